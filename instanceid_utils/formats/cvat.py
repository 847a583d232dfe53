"""CVAT for video (XML): tracks of boxes, polygons or run-length masks, frame by frame.

Frames count from 0. What is marked ``outside`` is not there. The file is refused if it declares a
document type: entities can make a small file an endless one.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_size,
)

SHAPES = ("box", "polygon", "mask")


def read(path, *, frame_shape=None):
    """Read a CVAT file; see `instanceid_utils.formats.read_masks`."""
    root = _parse(path)
    shape = frame_shape or _size(root, path)
    labels = sorted({track.get("label", "") for track in root.iter("track")})
    entries: dict = {}
    for k, track in enumerate(root.iter("track")):
        id_ = _whole(track, "id", f"{path}: track {k}")
        for element in track:
            if element.tag in SHAPES:
                where = f"{path}: track {id_}"
                number = _whole(element, "frame", where)
                there = entries.setdefault(number, [])
                if element.get("outside") != "1":
                    there.append((f"{where}, frame {number}", id_, track.get("label", ""), element))
    if not entries:
        raise FormatError(f"{path}: expected tracks of {', '.join(SHAPES)}, there are none")
    boxes_only = {e.tag for found in entries.values() for *_, e in found} <= {"box"}

    def decode(number, found):
        if len(found) > MAX_SEGMENTS:
            raise FormatError(f"{path}: over {MAX_SEGMENTS:,} objects in frame {number}")
        fields = {
            "classes": tuple(label for _, _, label, _ in found) if any(labels) else None,
            "ids": np.array([id_ + 1 for _, id_, _, _ in found], np.int64),  # CVAT begins with 0
        }
        if boxes_only:
            boxes = [_corners(element, where) for where, _, _, element in found]
            return FrameMasks(number, None, boxes=np.array(boxes).reshape(-1, 4), **fields)
        masks = [_mask(element, where, shape) for where, _, _, element in found]
        stack = np.array(masks) if masks else np.zeros((0, *shape), bool)
        return FrameMasks(number, stack, **fields)

    return MaskReader(path, entries, decode)


def _parse(path):
    data = Path(path).read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise FormatError(f"{path}: refused, it declares a document type")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise FormatError(f"{path}: not XML ({error})") from error
    if root.tag != "annotations":
        raise FormatError(f"{path}: expected <annotations> of CVAT, got <{root.tag:.40}>")
    return root


def _size(root, path):
    sizes = [e for name in ("original_size", "size") for e in root.iter(name) if len(e)]
    if not sizes:
        raise FormatError(f"{path}: it does not tell the size of the frames; give frame_shape")
    try:
        shape = tuple(int(sizes[0].findtext(side)) for side in ("height", "width"))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path}: expected a width and a height in <original_size>") from error
    check_size(*shape, str(path))
    return shape


def _whole(element, name, where):
    text = element.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise FormatError(f"{where}: expected a number {name!r}, got {text!r:.40}")
    return int(text)


def _floats(texts, where):
    try:
        values = np.array([float(text) for text in texts])
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: expected numbers, got {texts!r:.60}") from error
    if not np.isfinite(values).all():
        raise FormatError(f"{where}: expected finite numbers")
    return values


def _corners(element, where):
    corners = _floats([element.get(name) for name in ("xtl", "ytl", "xbr", "ybr")], where)
    if (corners[2:] < corners[:2]).any():
        raise FormatError(f"{where}: a box is upside down")
    return corners


def _mask(element, where, shape):
    if element.tag == "polygon":
        points = element.get("points", "").replace(";", ",").split(",")
        return rle.decode([_floats(points, where).tolist()], where, shape)
    if element.tag == "box":
        left, top, right, bottom = _corners(element, where)
        return rle.decode([[left, top, right, top, right, bottom, left, bottom]], where, shape)
    return _run_lengths(element, where, shape)


def _run_lengths(element, where, shape):
    """Decode the runs of a box, row by row, background first."""
    left, top, width, height = (
        _whole(element, name, where) for name in ("left", "top", "width", "height")
    )
    check_size(height, width, where)
    if top + height > shape[0] or left + width > shape[1]:
        raise FormatError(f"{where}: a mask reaches out of its {shape[1]}x{shape[0]} frame")
    runs = _floats(element.get("rle", "").split(","), where)
    if (runs < 0).any() or (runs % 1).any() or runs.sum() != width * height:
        raise FormatError(f"{where}: run lengths do not add up to {width}x{height} pixels")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs.astype(np.int64))
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = inside.reshape(height, width)
    return mask

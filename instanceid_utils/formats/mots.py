"""MOTS: text with one run-length mask a line, and 16-bit PNGs (KITTI MOTS, MOTSChallenge).

Text: ``frame id class height width counts``. PNG: value = 1000 class + instance. In both, 10000
marks regions to be ignored.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_frame_shape,
    check_size,
    files_by_number,
)
from instanceid_utils.segments.segments import Segments

IGNORE = 10000
_LINE = re.compile(rb"(\d{1,9}) (\d{1,18}) (\d{1,9}) (\d{1,9}) (\d{1,9}) (\S+)\s*$")


def read_txt(path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None) -> MaskReader:
    """Read a MOTS text file; see `instanceid_utils.formats.read_masks`."""
    entries = {}
    for i, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        if line.strip():
            match = _LINE.match(line.strip())
            if not match:
                raise FormatError(
                    f"{path}: line {i}: expected 'frame id class height width "
                    f"counts', got {line[:60]!r}"
                )
            entries.setdefault(int(match.group(1)), []).append((i, match))

    def decode(number, found):
        if len(found) > MAX_SEGMENTS:
            raise FormatError(f"{path}: over {MAX_SEGMENTS:,} segments in frame {number}")
        masks, ids, classes, shape = [], [], [], frame_shape
        for i, match in found:
            _, track, class_, height, width = (int(match.group(k)) for k in range(1, 6))
            segmentation = {"size": [height, width], "counts": match.group(6)}
            mask = rle.decode(segmentation, f"{path}: line {i}", shape)
            shape = shape or mask.shape
            if track != IGNORE:
                masks.append(mask)
                ids.append(track)
                classes.append(class_)
        stack = np.array(masks) if masks else np.zeros((0, *shape), bool)
        return FrameMasks(number, stack, classes=tuple(classes), ids=np.array(ids, np.int64))

    return MaskReader(path, entries, decode)


def read_png(path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None) -> MaskReader:
    """Read a folder of MOTS PNGs; see `instanceid_utils.formats.read_masks`."""
    files, names = files_by_number(path, ".png")

    def decode(number, file):
        label_map = read_png_frame(file)
        check_frame_shape(label_map.shape, frame_shape, str(file))
        ids = np.flatnonzero(np.bincount(label_map.ravel()))
        ids = ids[ids > 0].astype(np.int64)
        return FrameMasks(
            number, label_map, classes=tuple((ids // 1000).tolist()), ids=ids, name=file.stem
        )

    return MaskReader(path, files, decode, names)


def read_png_frame(file: str | os.PathLike) -> np.ndarray:
    """Read a 16-bit PNG as a label map (H, W) of int32, without what is to be ignored."""
    data = Path(file).read_bytes()
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            mode, (width, height) = image.mode, image.size  # the header only
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise FormatError(f"{file}: expected a PNG file ({error})") from error
    check_size(height, width, str(file))
    if not mode.startswith("I"):
        raise FormatError(f"{file}: expected a 16-bit grey PNG, its mode is {mode}")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype != np.uint16 or image.ndim != 2:
        raise FormatError(f"{file}: cannot be decoded, the file is damaged")
    label_map = image.astype(np.int32)
    label_map[label_map == IGNORE] = 0
    return label_map


def format_lines(
    number: int, label_map_segments: Segments, ids: ArrayLike, classes: Sequence | None = None
) -> str:
    """Give the lines of one frame as text, one a segment that has pixels and an ID.

    Parameters
    ----------
    number : int
        Of the frame, from 0.
    label_map_segments : Segments
        From `find_segments`; they must not overlap.
    ids : array_like of shape (N,), int
        Written as they are, where KITTI adds 1000 times the class. 10000 means "ignore" in
        this format, so that one ID is left out.
    classes : sequence of int, optional
        1 unless told.
    """
    segments = label_map_segments
    lines = []
    for k, id_ in enumerate(np.asarray(ids).tolist()):
        if id_ < 1 or id_ == IGNORE or not segments.areas[k]:
            continue
        height, width = segments.frame_shape
        class_ = classes[k] if classes and isinstance(classes[k], int) else 1
        counts = rle.encode_patch(segments.patches[k], segments.boxes_tlbr[k], (height, width))
        lines.append(f"{number} {id_} {class_} {height} {width} {counts}\n")
    return "".join(lines)

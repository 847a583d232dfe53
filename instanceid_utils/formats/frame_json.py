"""One JSON file a frame: LabelMe, or what SAM's scripts write (``amg.py``, SA-1B).

A folder of them, or a single file for a single frame. LabelMe: ``shapes`` with ``points``, its
``label`` the class and its ``group_id`` the identity. SAM: a list of dicts, or ``annotations``
that hold them, with ``segmentation`` as run lengths.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.coco import field, items, score_of
from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_size,
    files_by_number,
)
from instanceid_utils.json_files import read_json


def read(path, *, frame_shape=None):
    """Read a folder of JSON files, or one; see `instanceid_utils.formats.read_masks`."""
    if Path(path).is_dir():
        files, names = files_by_number(path, ".json")
    else:
        files, names = {0: Path(path)}, {Path(path).stem: 0}
    return MaskReader(
        path, files, lambda number, file: read_frame(file, number, frame_shape), names
    )


def is_frame(content):
    """Tell whether the content of a JSON file is that of one frame."""
    if isinstance(content, dict):
        return "shapes" in content or "image" in content and "annotations" in content
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[0], dict)
        and "segmentation" in content[0]
        and "image_id" not in content[0]
    )


def read_frame(file, number=0, frame_shape=None):
    """Read the objects of one frame."""
    content = read_json(file, FormatError)
    if isinstance(content, dict) and "shapes" in content:
        return _labelme(content, file, number, frame_shape)
    content = {"annotations": content} if isinstance(content, list) else content
    masks, scores = [], []
    annotations = items(content, "annotations", file)
    _check_count(annotations, file)
    for i, annotation in enumerate(annotations):
        where = f"{file}: annotations[{i}]"
        segmentation = field(annotation, "segmentation", (dict, list), where)
        masks.append(rle.decode(segmentation, where, frame_shape))
        frame_shape = frame_shape or masks[0].shape
        scores.append(score_of({"score": annotation.get("predicted_iou")}, where))
    return FrameMasks(
        number,
        np.array(masks) if masks else np.zeros((0, *(frame_shape or (1, 1))), bool),
        scores=None if None in scores or not scores else np.array(scores, np.float32),
        name=file.stem,
    )


def _labelme(content, file, number, frame_shape):
    shapes = items(content, "shapes", file)
    _check_count(shapes, file)
    if frame_shape is None:
        frame_shape = content.get("imageHeight"), content.get("imageWidth")
        check_size(*frame_shape, str(file))
    masks, classes, ids = [], [], []
    for i, shape in enumerate(shapes):
        where = f"{file}: shapes[{i}]"
        kind = shape.get("shape_type") or "polygon"
        if kind not in ("polygon", "rectangle", "circle"):
            continue  # a point or a line has no area
        points = _points(field(shape, "points", list, where), where)
        masks.append(rle.decode([_outline(kind, points, where)], where, frame_shape))
        classes.append(str(shape.get("label", "")))
        ids.append(shape.get("group_id"))
    whole = bool(ids) and all(type(i) is int and 0 < i < 2**63 for i in ids)
    return FrameMasks(
        number,
        np.array(masks) if masks else np.zeros((0, *frame_shape), bool),
        classes=tuple(classes),
        ids=np.array(ids, np.int64) if whole else None,
        name=file.stem,
    )


def _points(points, where):
    try:
        table = np.array(points, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"{where}: expected points [[x, y], ...]") from error
    if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
        raise FormatError(f"{where}: expected points [[x, y], ...], got {points!r:.60}")
    return table


def _outline(kind, points, where):
    """Return a shape as a polygon [x1, y1, x2, y2, ...]."""
    if kind == "polygon":
        return points.ravel().tolist()
    if len(points) != 2:
        raise FormatError(f"{where}: expected two points of a {kind}, got {len(points)}")
    (x1, y1), (x2, y2) = points
    if kind == "rectangle":
        return [x1, y1, x2, y1, x2, y2, x1, y2]
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radius = np.hypot(x2 - x1, y2 - y1)
    return np.stack([x1 + radius * np.cos(turn), y1 + radius * np.sin(turn)], 1).ravel().tolist()


def _check_count(found, file):
    if len(found) > MAX_SEGMENTS:
        raise FormatError(f"{file}: over {MAX_SEGMENTS:,} objects")

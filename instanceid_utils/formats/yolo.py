"""Labels of Ultralytics (``save_txt``): a folder with one text file a frame, ``VIDEO_12.txt``.

A line is ``class x1 y1 x2 y2 ...`` (a polygon) or ``class x y width height [confidence]`` (a box by
its centre), all in parts of the frame's size; a track ID may end a box's line. Frames of a video
count from 1, as Ultralytics does.
"""

from __future__ import annotations

import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    files_by_number,
)


def read(path, *, frame_shape=None):
    """Read a folder of labels; see `instanceid_utils.formats.read_masks`. It needs the size."""
    files, names = files_by_number(path, ".txt")
    if frame_shape is None:
        raise FormatError(f"{path}: labels in parts of the frame need its size: frame_shape=")

    def decode(number, file):
        rows = [
            _numbers(line, f"{file}: line {i}")
            for i, line in enumerate(file.read_bytes().splitlines(), 1)
            if line.strip()
        ]
        if len(rows) > MAX_SEGMENTS:
            raise FormatError(f"{file}: over {MAX_SEGMENTS:,} objects")
        lengths = {len(row) for row in rows}
        if lengths and max(lengths) > 7:
            return _polygons(rows, file, number, frame_shape)
        return _boxes(rows, file, number, frame_shape)

    return MaskReader(path, files, decode, names, first_number=0 if 0 in files else 1)


def _numbers(line, where):
    try:
        row = [float(part) for part in line.split()]
    except ValueError:
        row = []
    if len(row) < 5 or not np.isfinite(row).all() or row[0] < 0 or row[0] % 1 or row[0] > 2**31:
        raise FormatError(
            f"{where}: expected 'class x y width height' or 'class x1 y1 x2 y2 ...', "
            f"got {line[:60]!r}"
        )
    return row


def _polygons(rows, file, number, frame_shape):
    height, width = frame_shape
    masks = []
    for i, row in enumerate(rows, 1):
        points = np.array(row[1 : len(row) - (len(row) - 1) % 2]).reshape(-1, 2)
        polygon = (points * (width, height)).ravel().tolist()
        masks.append(rle.decode([polygon], f"{file}: line {i}", frame_shape))
    stack = np.array(masks).reshape(-1, height, width)
    return FrameMasks(number, stack, classes=_classes(rows), name=file.stem)


def _boxes(rows, file, number, frame_shape):
    height, width = frame_shape
    table = np.array([row[1:5] for row in rows]).reshape(-1, 4)
    if (np.abs(table) > 2).any():
        raise FormatError(f"{file}: expected numbers in parts of the frame, got {table.max()}")
    centres, sizes = table[:, :2], np.abs(table[:, 2:])
    boxes = np.hstack([centres - sizes / 2, centres + sizes / 2]) * (width, height, width, height)
    scored = all(len(row) > 5 for row in rows) and bool(rows)
    return FrameMasks(
        number,
        None,
        scores=np.array([row[5] for row in rows], np.float32) if scored else None,
        classes=_classes(rows),
        ids=np.array([row[6] for row in rows], np.int64)
        if rows and all(len(row) == 7 for row in rows)
        else None,
        name=file.stem,
        boxes=boxes,
    )


def _classes(rows):
    return tuple(int(row[0]) for row in rows)

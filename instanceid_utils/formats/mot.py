"""MOT-Challenge text: boxes, one line each; frames, IDs and corners count from 1.

``frame, id, left, top, width, height, confidence, class, ...``: ``det.txt`` with ID -1, ``gt.txt``
and results with IDs. Read as boxes, written with the tracker's IDs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from instanceid_utils.formats.frame_masks import MAX_SEGMENTS, FormatError, FrameMasks, MaskReader
from instanceid_utils.segments.segments import Segments


def read(path, *, frame_shape=None):
    """Read a MOT-Challenge file as boxes; see `instanceid_utils.formats.read_masks`.

    Classes are told where all lines name one (column 8, as in a ``gt.txt``); a confidence of 0 in
    a file with IDs says that an object is not to be judged, and is kept as a score.
    """
    entries: dict = {}
    for i, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        if line.strip():
            row = _numbers(line, f"{path}: line {i}")
            entries.setdefault(int(row[0]), []).append(row)

    def decode(number, rows):
        if len(rows) > MAX_SEGMENTS:
            raise FormatError(f"{path}: over {MAX_SEGMENTS:,} boxes in frame {number}")
        table = np.array([row[:7] for row in rows])
        boxes = table[:, 2:6].copy()
        boxes[:, :2] -= 1
        boxes[:, 2:] += boxes[:, :2]
        ids = table[:, 1].astype(np.int64)
        classes = [int(row[7]) if len(row) > 7 else -1 for row in rows]
        return FrameMasks(
            number,
            None,
            scores=table[:, 6].astype(np.float32),
            classes=tuple(classes) if min(classes) >= 0 else None,
            ids=ids if (ids > 0).all() else None,
            boxes=boxes,
        )

    return MaskReader(path, entries, decode, first_number=0 if 0 in entries else 1)


def _numbers(line, where):
    parts = line.replace(b",", b" ").split()
    try:
        row = [float(part) for part in parts]
    except ValueError:
        row = []
    whole = len(row) >= 6 and np.isfinite(row).all() and row[0] >= 0 and row[0] % 1 == 0
    if not whole or np.abs(row).max() >= 2**53:
        raise FormatError(
            f"{where}: expected 'frame, id, left, top, width, height, confidence', "
            f"got {line[:60]!r}"
        )
    if row[4] < 0 or row[5] < 0:
        raise FormatError(f"{where}: expected a width and a height of 0 or more, got {row[4:6]}")
    return row if len(row) > 6 else [*row, 1.0]


def format_lines(
    number: int, segments: Segments, ids: ArrayLike, scores: np.ndarray | None = None
) -> str:
    r"""Give the lines of one frame as text, one a segment that has pixels and an ID.

    ``frame, id, left, top, width, height, confidence, -1, -1, -1``

    Parameters
    ----------
    number : int
        Of the frame, from 0; written from 1 on.
    segments : Segments
        From `find_segments`.
    ids : array_like of shape (N,), int
        Those below 1 are left out.
    scores : array_like of shape (N,), float, optional
        Confidence; 1 unless given.

    Examples
    --------
    >>> from instanceid_utils.segments.segments import find_segments
    >>> format_lines(0, find_segments(np.eye(3, dtype=int)), [8])
    '1,8,1,1,3,3,1,-1,-1,-1\n'
    """
    scores = np.ones(len(segments)) if scores is None else scores
    return "".join(
        f"{number + 1},{id_},{left + 1},{top + 1},{right - left},{bottom - top},"
        f"{round(float(score), 4):g},-1,-1,-1\n"
        for id_, (left, top, right, bottom), area, score in zip(
            np.asarray(ids).tolist(), segments.boxes_tlbr.tolist(), segments.areas, scores
        )
        if id_ > 0 and area
    )

"""MOT-Challenge text: boxes with IDs, one line each; frames, IDs and corners count from 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from instanceid_utils.segments.segments import Segments


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

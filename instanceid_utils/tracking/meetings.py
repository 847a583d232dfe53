"""Segments that are not one whole instance: two that came as one, and one that came as two.

Both show in the boxes that were expected. A segment that fits the box round two instances better
than the box of the one whose ID it got is *merged*: it keeps that ID and teaches nobody; if it
looks like neither, it gets the ID of the likelier one. A segment that nobody is known for, but
that lies where an instance is expected which another segment got and left in part, so that both
together fit better, is a *fragment*: no ID is made for it.
"""

from __future__ import annotations

import numpy as np

from instanceid_utils.tracking.boxes import hull, inside, overlap
from instanceid_utils.tracking.place import Expected

_LATELY = 30  # updates for which an unseen instance may be part of a merged segment
_INSIDE = 0.7  # share of a box that has to lie in another to be covered by it
_BETTER = 0.05  # of overlap, below which a fit is not called better


def merged(boxes_tlbr: np.ndarray, ids: np.ndarray, expected: Expected) -> np.ndarray:
    """Tell which segments cover somebody else besides the instance whose ID they got.

    Parameters
    ----------
    boxes_tlbr : ndarray of shape (N, 4)
    ids : ndarray of shape (N,), int64
        IDs given; -1 for a new one.
    expected : place.Expected

    Returns
    -------
    ndarray of shape (N,), bool
    """
    out = np.zeros(len(ids), bool)
    missed = ~np.isin(expected.ids, ids) & (expected.ages <= _LATELY)
    others = expected.boxes_tlbr[missed]
    rows = np.flatnonzero(np.isin(ids, expected.ids))
    if not len(others) or not len(rows):
        return out
    boxes = np.asarray(boxes_tlbr, np.float64)[rows]
    own = expected.boxes_tlbr[np.searchsorted(expected.ids, ids[rows])]
    both = hull(own[:, None], others[None])
    alone = overlap(boxes, own)
    together = overlap(boxes[:, None], both)
    covers = inside(others[None], boxes[:, None]) >= _INSIDE
    covers &= (inside(own, boxes) >= _INSIDE)[:, None]
    out[rows] = (covers & (together > alone[:, None] + _BETTER)).any(axis=1)
    return out


def covered_pairs(boxes_tlbr: np.ndarray, ids: np.ndarray, expected: Expected) -> dict:
    """Find the two missed instances that a segment without an ID covers.

    Parameters as of `merged`.

    Returns
    -------
    dict of int to (int, int)
        Row of the segment -> IDs of those whose common box it fits best, and better than the box
        of either.
    """
    missed = ~np.isin(expected.ids, ids) & (expected.ages <= _LATELY)
    out, boxes = {}, np.asarray(boxes_tlbr, np.float64)
    for row in np.flatnonzero(np.asarray(ids) < 0) if missed.sum() > 1 else ():
        there = np.flatnonzero(missed)
        there = there[inside(expected.boxes_tlbr[there], boxes[row]) >= _INSIDE]
        places = expected.boxes_tlbr[there]
        fits = overlap(boxes[row], hull(places[:, None], places[None]))
        alone = np.diag(fits)
        better = fits > np.maximum(alone[:, None], alone[None]) + _BETTER
        if better.any():
            pair = np.unravel_index(np.where(better, fits, 0).argmax(), fits.shape)
            out[int(row)] = tuple(int(expected.ids[there[i]]) for i in pair)
    return out


def fragments(boxes_tlbr: np.ndarray, ids: np.ndarray, expected: Expected) -> np.ndarray:
    """Tell which segments without an ID are parts of an instance that another segment got.

    Parameters and returns as of `merged`.
    """
    out = np.zeros(len(ids), bool)
    rows = np.flatnonzero(ids < 0)
    known = np.flatnonzero(np.isin(ids, expected.ids[expected.ages == 1]))
    if not len(rows) or not len(known):
        return out
    boxes = np.asarray(boxes_tlbr, np.float64)
    own = expected.boxes_tlbr[np.searchsorted(expected.ids, ids[known])]
    alone = overlap(boxes[known], own)
    together = overlap(hull(boxes[rows, None], boxes[known][None]), own[None])
    within = inside(boxes[rows, None], own[None]) >= _INSIDE
    within &= (inside(boxes[known], own) >= _INSIDE)[None]
    out[rows] = (within & (together > alone[None] + _BETTER)).any(axis=1)
    return out

"""Fit the numbers of `tracking.Evidence` to video in which it is known who is who.

A tracker that is told the truth after every frame meets, for each segment, the candidates that it
would choose from. The numbers are those under which the truth is likeliest, when a segment is one
of its candidates or nobody of them with probabilities in proportion to exp(nats), nobody having
0 nats (a conditional logit: McFadden 1974, "Conditional Logit Analysis of Qualitative Choice
Behavior"). What the numbers cannot know from single frames, how much the parts repeat themselves
from frame to frame (``beside``) and how dear a wrong newcomer is (``entry``), is left as it is: it
was chosen by the IDF1 of the tracker on the same video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.candidates import gather
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.place import NOWHERE, PlaceMemory
from instanceid_utils.tracking.shots import ShotDetector

FITTED = ("looks", "width", "growth", "jump", "rivals", "change", "variety")
START = Evidence(  # of a first fit; under these sizes say nothing, and no data moved them from it
    looks=5.56, width=1.65, growth=0.939, jump=0.0288, rivals=0.0234, change=11.3, variety=0.186
)
NOBODY, UNCLEAR = 0, -1
_HIT, _TOUCH = 0.5, 0.1  # IoU from which a segment shows an identity, or has to do with one
_HOLD = 1e-3  # pull towards the start, per squared log of a number: where the data say nothing
_RANGE = (np.log(1e-3), np.log(50.0))


class Pairs(NamedTuple):
    """Segments beside their candidates, P pairs."""

    segment: np.ndarray  # (P,) int64, the same for all candidates of a segment
    same: np.ndarray  # (P,) bool, whether the candidate is who the segment shows
    distance: np.ndarray  # (P,) L2, not squared, in thresholds
    placed: np.ndarray  # (P,) bool, whether it is known where the candidate should be
    error: np.ndarray  # (P,) of place, see `tracking.Expected`
    age: np.ndarray  # (P,) updates
    change: np.ndarray  # (P,) of log area
    room: np.ndarray  # (P,) size of the segment, squared, as a part of the frame
    width: np.ndarray  # (P,) of places, see `tracking.PlaceMemory`


def true_identities(overlaps) -> np.ndarray:
    """Tell whom each segment shows.

    Parameters
    ----------
    overlaps : evaluation.Overlaps
        Of the true objects with the N segments.

    Returns
    -------
    ndarray of shape (N,), int64
        The identity with an IoU of at least .5, once in a frame; `NOBODY` for what touches no
        identity; `UNCLEAR` for the rest (parts, merged objects).
    """
    iou = overlaps.iou()
    if not iou.size:
        return np.full(iou.shape[1], NOBODY)
    best, at = iou.max(axis=0), iou.argmax(axis=0)
    out = np.where(best >= _HIT, np.asarray(overlaps.truth_ids)[at], UNCLEAR)
    out[best < _TOUCH] = NOBODY
    for i in np.unique(out[out > 0]):
        rows = np.flatnonzero(out == i)
        out[np.delete(rows, best[rows].argmax())] = UNCLEAR
    return out


def candidate_pairs(observations: Iterable, identities: Iterable, threshold: float) -> Pairs:
    """Let a tracker that is told the truth meet the candidates of every segment of a video.

    Parameters
    ----------
    observations : iterable of tracking.Observation
    identities : iterable of ndarray (N,), int64
        Of each observation's used segments, see `true_identities`.
    threshold : float
        L2, not squared.

    Returns
    -------
    Pairs
        Without segments that are `UNCLEAR`.
    """
    gallery, places, shots, shape = None, PlaceMemory(), ShotDetector(), None
    columns, count = [], 0
    for time, (seen, truth) in enumerate(zip(observations, identities)):
        segments, truth = seen.segments, np.asarray(truth)
        gallery = Gallery(seen.vectors.shape[1]) if gallery is None else gallery
        change = shots.compare(seen.signature)
        if change.cut or shape not in (None, segments.frame_shape):
            places.forget()
        shape = segments.frame_shape
        expected = places.expect(time) if len(places) else NOWHERE
        boxes = segments.boxes_tlbr
        if len(segments) and len(gallery):
            found = gather(gallery, seen.vectors, expected.nearest(boxes))
            rows, cols = np.nonzero((found.ids != NO_ID) & (truth != UNCLEAR)[:, None])
            placed, error, age, grown = expected.compare(boxes, found.ids)
            size = (boxes[:, 2:] - boxes[:, :2]).astype(float).prod(axis=1) / np.prod(shape)
            columns.append(
                (
                    count + rows,
                    found.ids[rows, cols] == truth[rows],
                    found.distances[rows, cols] / threshold,
                    *(values[rows, cols] for values in (placed, error, age, grown)),
                    size[rows],
                    np.full(len(rows), places.width),
                )
            )
        count += len(segments)
        known = truth > 0
        near = np.zeros(len(truth), bool)
        if len(gallery) and known.any():
            old = [i in gallery for i in truth.tolist()]
            for row in np.flatnonzero(old):
                to_own = gallery.distances_to([int(truth[row])], seen.vectors[row : row + 1])
                near[row] = to_own[0, 0] < threshold
        gallery.add(truth[known], seen.vectors[known])
        places.observe(truth[known], boxes[known], time, near[known])
        shots.accept(change)
    if not columns:
        return Pairs(*(np.zeros(0, kind) for kind in (int, bool, *[float] * 7)))
    return Pairs(*(np.concatenate(column) for column in zip(*columns)))


def fit_evidence(videos: Sequence[Pairs], start: Evidence | None = None) -> Evidence:
    """Find the numbers under which the truth is likeliest.

    Parameters
    ----------
    videos : sequence of Pairs
        Each counts the same, however long it is.
    start : Evidence, optional
        Where to begin, and what holds where the data say nothing; `START` unless told.

    Returns
    -------
    Evidence
        ``entry`` and ``beside`` are those of ``start``.

    Raises
    ------
    ValueError
        If no video has a segment that is one of its candidates.
    """
    start = start or START
    videos = [pairs for pairs in videos if pairs.same.any()]
    if not videos:
        raise ValueError("expected video in which somebody is seen again")
    firsts = np.cumsum([0, *(int(v.segment.max()) + 1 for v in videos[:-1])])
    pairs = Pairs(*map(np.concatenate, zip(*(v for v in videos))))
    group = np.concatenate([v.segment + first for v, first in zip(videos, firsts)])
    segments, group = np.unique(group, return_inverse=True)
    video = np.searchsorted(firsts, segments, side="right") - 1
    weight = 1 / np.bincount(video)[video]
    weight /= weight.sum()

    def numbers(x):
        return replace(start, **dict(zip(FITTED, np.exp(x).tolist())))

    def surprise(x):
        nats = np.clip(_nats(numbers(x), pairs), -40, 40)
        total = 1 + np.bincount(group, np.exp(nats))
        true = np.bincount(group, np.where(pairs.same, nats, 0))
        return weight @ (np.log(total) - true) + _HOLD * ((x - begin) ** 2).sum()

    begin = np.log([getattr(start, name) for name in FITTED])
    found = minimize(surprise, begin, method="L-BFGS-B", bounds=[_RANGE] * len(begin))
    return numbers(found.x)


def _nats(evidence, pairs):
    """Nats of each pair, all parts at their full worth."""
    age = np.where(pairs.placed, pairs.age, 1)
    place = evidence.of_place(np.where(pairs.placed, pairs.error, 0), age, pairs.width, pairs.room)
    size = evidence.of_size(np.where(pairs.placed, pairs.change, 0), age, pairs.width)
    return evidence.of_looks(pairs.distance, 1.0) + np.where(pairs.placed, place + size, 0)

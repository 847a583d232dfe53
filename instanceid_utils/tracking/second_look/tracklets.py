"""Tracklets: stretches of an ID's track that are surely one instance, cut where it may be two.

A track is cut where the looks change for good: the mean of the good views before an instant is far
from the mean of those after it. One odd view moves a mean little. Where an ID could have gone over
to somebody else (boxes that meet, a time unseen, a new shot) less is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from instanceid_utils.tracking.second_look.sightings import good_views

WINDOW = 8  # good views on each side that are compared
FEWEST = 3  # on each side; with fewer, a change cannot be told from odd views
_NEAR = 3  # sightings on each side of an instant in which a meeting casts doubt on it


class Limits(NamedTuple):
    """How far apart the means before and after may be, as parts of the threshold."""

    doubtful: float = 0.5
    clear: float = 0.8


LIMITS = Limits()


class Tracklet(NamedTuple):
    """A stretch of one ID's track."""

    rows: np.ndarray  # of the sightings, in the order of the video
    good: np.ndarray  # bool, one for each row


def cut_tracks(
    sightings: np.ndarray, threshold: float, limits: Limits = LIMITS
) -> Iterator[Tracklet]:
    """Cut the tracks of all IDs.

    Parameters
    ----------
    sightings : ndarray of shape (n,), of `sightings.sighting_dtype`
        In the order of the video.
    threshold : float
        L2, not squared: the tracker's.
    limits : Limits

    Yields
    ------
    Tracklet
        By increasing ID, then in the order of the video.
    """
    ids = sightings["id"]
    order = np.argsort(ids, kind="stable")
    starts = np.flatnonzero(np.diff(ids[order], prepend=np.int64(-1)))
    for rows in np.split(order, starts[1:]) if len(order) else []:
        track = sightings[rows]
        good = good_views(track)
        ends = cut_points(track, good, threshold, limits)
        for start, stop in zip([0, *ends], [*ends, len(rows)]):
            yield Tracklet(rows[start:stop], good[start:stop])


def cut_points(
    track: np.ndarray, good: np.ndarray, threshold: float, limits: Limits = LIMITS
) -> list:
    """Find where a track has to be cut.

    Parameters
    ----------
    track : ndarray of shape (n,), of `sightings.sighting_dtype`
        Of one ID.
    good : ndarray of shape (n,), bool
    threshold : float
    limits : Limits

    Returns
    -------
    list of int
        Sightings with which a new tracklet begins, increasing.
    """
    at = np.flatnonzero(good)
    if len(at) < 2 * FEWEST:
        return []
    vectors = track["vector"][at].astype(np.float32)
    doubt = _doubt(track, at)
    limit = threshold * np.where(doubt, limits.doubtful, limits.clear)
    excess = changes(vectors) - limit
    cuts = [0, len(at)]
    for k in np.argsort(-excess, kind="stable"):
        if excess[k] <= 0:
            break
        place = int(np.searchsorted(cuts, k + 1))
        first, last = cuts[place - 1], cuts[place]
        low, high = max(first, k + 1 - WINDOW), min(last, k + 1 + WINDOW)
        if min(k + 1 - low, high - k - 1) < FEWEST:
            continue
        if _apart(vectors[low : k + 1].sum(0), vectors[k + 1 : high].sum(0)) > limit[k]:
            cuts.insert(place, int(k) + 1)
    return [_instant(track["vector"], vectors, at, k) for k in cuts[1:-1]]


def changes(vectors: np.ndarray) -> np.ndarray:
    """How far the looks after each instant are from those before it.

    Parameters
    ----------
    vectors : ndarray of shape (n, D), float32
        Views of an ID, of unit length, in order of time.

    Returns
    -------
    ndarray of shape (n - 1,), float64
        L2 between the directions of the mean before and after; 0 with too few views on a side.
    """
    n = len(vectors)
    sums = np.zeros((n + 1, vectors.shape[1]))
    np.cumsum(vectors, axis=0, out=sums[1:])
    k = np.arange(1, n)
    before = sums[k] - sums[np.maximum(k - WINDOW, 0)]
    after = sums[np.minimum(k + WINDOW, n)] - sums[k]
    enough = np.minimum(k, n - k) >= FEWEST
    return np.where(enough, _apart(before, after), 0.0)


def _apart(a, b):
    """L2 between the directions of vectors (..., D)."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosine = (a * b).sum(-1) / np.maximum(lengths, 1e-9)
    return np.sqrt(np.maximum(2 - 2 * cosine, 0))


def _doubt(track, at):
    """Whether an ID could have changed its bearer between each good view and the next."""
    met = np.concatenate([[0], np.cumsum(track["covered"] > 0)])
    low, high = np.maximum(at[:-1] - _NEAR, 0), np.minimum(at[1:] + _NEAR + 1, len(track))
    step = np.diff(track["frame"][at])
    away = step > 2 * np.median(np.diff(track["frame"]))
    return (met[high] > met[low]) | away | (np.diff(track["shot"][at]) > 0)


def _instant(every, vectors, at, k):
    """Where the cut lies among the bad views between good ones: each goes to whom it looks like."""
    first, last = at[k - 1] + 1, at[k]
    if first == last:
        return int(last)
    before, after = (v.mean(0) for v in (vectors[max(k - WINDOW, 0) : k], vectors[k : k + WINDOW]))
    liking = every[first:last].astype(np.float32) @ (before - after)
    return int(first + np.argmax(np.concatenate([[0], np.cumsum(liking)])))

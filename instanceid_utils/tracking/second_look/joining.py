"""A second look at a finished video: tracks are cut where the looks change, and joined anew.

Online, each decision is made from one frame and is final. Afterwards all views are there: the
`tracklets` of all IDs are joined by their sets of views, the surest pair first, never two that are
seen in one frame, nor when their instance would have had to jump. What is joined keeps the ID that
most of its sightings had.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import NamedTuple

import numpy as np

from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.second_look.agglomeration import agglomerate
from instanceid_utils.tracking.second_look.junctions import LATEST, End, Places, junctions, starts
from instanceid_utils.tracking.second_look.sightings import spread
from instanceid_utils.tracking.second_look.tracklets import LIMITS, Limits, Tracklet, cut_tracks

N_VIEWS = 16  # of a set that are compared
QUANTILE = 0.1  # of the distances between two sets: their nearest views, but not one freak pair
N_NEAREST = 12  # tracklets looked at as partners of one, by their looks; and by their time
N_FOLLOWERS = 4
_BLOCK = 2048  # tracklets compared at a time


class Weights(NamedTuple):
    """Log-odds that two tracklets are one instance, by what is known of them.

    Chosen on generated video with simulated faults.
    """

    at: float = 0.7  # set distance, in thresholds, that says nothing either way
    near: float = 16.0  # log-odds for each threshold nearer than that, or farther
    far: float = 2.0  # the same from `bend` on: how much farther matters little
    bend: float = 0.78
    same_id: float = 2.2  # the tracker held them for one
    apart: float = 0.0  # log-odds that are needed

    def looks(self, distances: np.ndarray, threshold: float) -> np.ndarray:
        """Return the log-odds of distances between sets of views."""
        d = np.asarray(distances) / threshold
        beyond = np.maximum(d - self.bend, 0)
        return self.near * (self.at - np.minimum(d, self.bend)) - self.far * beyond


WEIGHTS = Weights()


class SecondLook(NamedTuple):
    """What `look_again` found."""

    ids: np.ndarray  # (n,) int64, one for each sighting
    n_cuts: int  # instants at which a track was cut and its parts are now different instances
    n_joined: int  # IDs that are now part of another one


def look_again(
    sightings: np.ndarray,
    threshold: float,
    *,
    new_id: Callable | None = None,
    known: Iterable[int] = (),
    looks: Callable | None = None,
    evidence: Evidence | None = None,
    weights: Weights = WEIGHTS,
    limits: Limits = LIMITS,
) -> SecondLook:
    """Give every sighting of a finished video its final ID.

    Parameters
    ----------
    sightings : ndarray of shape (n,), of `sightings.sighting_dtype`
        In the order of the video; may be a memory map.
    threshold : float
        L2, not squared: the tracker's.
    new_id : callable, optional
        Gives an ID that was never in use, for an instance that split off: ``gallery.new_id``. By
        default those beyond all in the sightings.
    known : iterable of int
        IDs that were known before the video; no two of them are joined.
    looks : callable, optional
        Log-odds of an array of set distances (L2), in place of those of ``weights``.
    evidence : Evidence, optional
        Weighs the place where a track goes on: that of the tracker.
    weights : Weights
    limits : Limits

    Returns
    -------
    SecondLook
        The same for the same sightings.
    """
    old = np.asarray(sightings["id"], np.int64)
    if not len(old):
        return SecondLook(old.copy(), 0, 0)
    looks = looks or partial(weights.looks, threshold=threshold)
    tracklets = cut_tracks(sightings, threshold, limits)
    pieces = {n: _Piece(sightings, tracklet) for n, tracklet in enumerate(tracklets)}
    _set_anchors(pieces.values(), known)
    odds = _Odds(pieces, looks, weights, Places(sightings, evidence or Evidence()))
    agglomerate(pieces, _partners(pieces), odds.compare, lambda cost, _: not cost < -weights.apart)
    return _numbered(old, pieces.values(), new_id or partial(next, count(int(old.max()) + 1)))


class _Piece:
    """A tracklet, or several that were joined."""

    def __init__(self, sightings, tracklet: Tracklet):
        rows, good = tracklet
        seen = sightings[rows]
        at = np.flatnonzero(good) if good.any() else np.arange(len(rows))
        at = spread(at, N_VIEWS)
        self.rows, self.ids = [rows], {int(seen["id"][0])}
        self.anchor = None
        kinds, counts = np.unique(seen["kind"], return_counts=True)
        self.kind = int(kinds[counts.argmax()])
        self.views = seen["vector"][at].astype(np.float32)
        self.when = seen["frame"][at]
        self.frames = set(seen["frame"].tolist())
        self.ends = [(End.of(seen, False), End.of(seen, True))]

    def absorb(self, other):
        """Take over all that is known of another."""
        self.rows += other.rows
        self.ids |= other.ids
        self.frames |= other.frames
        self.anchor = other.anchor if self.anchor is None else self.anchor
        self.ends = sorted(self.ends + other.ends, key=starts)
        order = np.argsort(np.concatenate([self.when, other.when]), kind="stable")
        order = spread(order, N_VIEWS)
        self.views = np.concatenate([self.views, other.views])[order]
        self.when = np.concatenate([self.when, other.when])[order]


def _speed(pieces):
    """How many of its sizes an instance may go in a frame: beyond what is seen in this video."""
    speeds = [
        np.hypot(*end.velocity) / end.size for piece in pieces for end in piece.ends[0] if end.size
    ]
    return max(0.1, 2 * float(np.quantile(speeds, 0.95)))


class _Odds:
    """How sure it is that two pieces are one instance."""

    def __init__(self, pieces, looks, weights, places):
        self.pieces, self.looks, self.weights, self.places = pieces, looks, weights, places
        self.speed = _speed(pieces.values())

    def compare(self, pairs):
        """Return the log-odds of each pair with a minus; None for two that cannot be one."""
        both = [(self.pieces[i], self.pieces[j]) for i, j in pairs]
        rest = [self._rest(one, other) for one, other in both]
        sets = [(one.views, other.views) for (one, other), r in zip(both, rest) if r is not None]
        odds = iter(self._odds(set_distances(sets), [r for r in rest if r is not None]).tolist())
        return [None if r is None else -next(odds) for r in rest]

    def _rest(self, one, other):
        """Log-odds of all but looks and places, and junctions; None for two that cannot be one."""
        if one.kind != other.kind and one.kind and other.kind:
            return None
        if one.anchor is not None and other.anchor is not None:
            return None
        if not one.frames.isdisjoint(other.frames):
            return None
        found = []
        for before, after in junctions(one.ends, other.ends):
            gap = after.frame - before.frame
            if gap <= 0 or before.shot != after.shot:
                continue
            away = math.dist(before.centre, after.centre)
            if away > max(before.size, after.size) * (1 + self.speed * gap):
                return None
            if gap <= LATEST:
                found.append((before, after, gap))
        return self.weights.same_id * bool(one.ids & other.ids), found

    def _odds(self, distances, rest):
        """Log-odds of pairs from their set distances and what else is known of them."""
        odds = self.looks(distances) + [bonus for bonus, _ in rest]
        places = [(n, junction) for n, (_, few) in enumerate(rest) for junction in few]
        if places:
            best = np.zeros(len(rest))
            np.maximum.at(best, [n for n, _ in places], self.places.nats([j for _, j in places]))
            odds = odds + best
        return odds


def _set_anchors(pieces, known):
    """Mark the longest tracklet of each ID that was known before: it is that one for sure."""
    known, longest = set(map(int, known)), {}
    for piece in pieces:
        (id_,) = piece.ids
        if id_ in known and len(piece.frames) > len(getattr(longest.get(id_), "frames", ())):
            longest[id_] = piece
    for id_, piece in longest.items():
        piece.anchor = id_


def _partners(pieces):
    """Which pairs to look at: the nearest by the looks, of one ID, and those that follow up."""
    pairs = set()
    means = np.stack([piece.views.mean(0) for piece in pieces.values()])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    k = min(N_NEAREST + 1, len(means))
    for start in range(0, len(means), _BLOCK):
        cosines = means[start : start + _BLOCK] @ means.T
        for i, row in enumerate(np.argpartition(-cosines, k - 1, axis=1)[:, :k].tolist(), start):
            pairs.update((min(i, j), max(i, j)) for j in row if j != i)
    of_id = {}
    for i, piece in pieces.items():
        of_id.setdefault(min(piece.ids), []).append(i)
    for members in of_id.values():
        pairs.update(zip(members, members[1:]))
    return sorted(pairs | _followers(pieces))


def _followers(pieces):
    """Pairs of which one begins soon after the other ends."""
    starts = sorted((piece.ends[0][0].frame, i) for i, piece in pieces.items())
    pairs = set()
    for i, piece in pieces.items():
        first = bisect_right(starts, (piece.ends[0][1].frame, len(pieces)))
        pairs.update((min(i, j), max(i, j)) for _, j in starts[first : first + N_FOLLOWERS])
    return pairs


def set_distances(pairs: list) -> np.ndarray:
    """Return how far apart the two of each pair of sets are.

    Parameters
    ----------
    pairs : list of tuple of two ndarray of shape (n, D), float32
        Views of unit length; the sets may differ in size.

    Returns
    -------
    ndarray of shape (len(pairs),), float64
        The quantile `QUANTILE` of the L2 distances, not squared, from each view to each.
    """
    out, by_size = np.empty(len(pairs)), {}
    for n, (a, b) in enumerate(pairs):
        by_size.setdefault((len(a), len(b)), []).append(n)
    for members in by_size.values():
        one, other = (np.stack([pairs[n][side] for n in members]) for side in (0, 1))
        cosines = (one @ other.transpose(0, 2, 1)).reshape(len(members), -1)
        k = int(QUANTILE * (cosines.shape[1] - 1))
        nearest = -np.partition(-cosines, k, axis=1)[:, k]
        out[members] = np.sqrt(np.maximum(2 - 2 * nearest, 0))
    return out


def _numbered(old, groups, new_id):
    """Give each group the ID that most of its sightings had, and that most want of it."""
    claims = []
    for n, group in enumerate(groups):
        rows = np.concatenate(group.rows)
        ids, counts = np.unique(old[rows], return_counts=True)
        claims += [
            (group.anchor != i, -count, i, n) for i, count in zip(ids.tolist(), counts.tolist())
        ]
    given, taken = {}, set()
    for _, _, i, n in sorted(claims):
        if n not in given and i not in taken:
            given[n] = i
            taken.add(i)
    new = old.copy()
    first = {n: min(rows[0] for rows in group.rows) for n, group in enumerate(groups)}
    for n in sorted(first, key=first.get):
        if n not in given:
            given[n] = new_id()
    for n, group in enumerate(groups):
        new[np.concatenate(group.rows)] = given[n]
    pairs = set(zip(old.tolist(), new.tolist()))
    n_cuts = len(pairs) - len(set(old.tolist()))
    n_joined = len(set(old.tolist()) - set(new.tolist()))
    return SecondLook(new, n_cuts, n_joined)

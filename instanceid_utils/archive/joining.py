"""Joining: which local IDs of all videos are one identity.

Set to set, as in the second look at one video (`tracking.second_look`): the views of one against
those of the other, the nearest pair first, never two that are seen at one time in one video. How
near is near enough depends on how many there are. Among ten, whoever looks alike is the same; among
a hundred thousand, some look alike by chance. So the limit is that for the number of identities at
that moment, and rises as they become fewer; when the nearest pair is beyond it, all is joined.

What was never confirmed is not joined with anybody: its views are too few, or too bad.

Nothing depends on the order of the videos or on how they came in: tracks are put in the order of
their keys, and each joining begins from them anew. What a person has decided holds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from instanceid_utils.archive.candidates import nearest_tracks
from instanceid_utils.archive.tracks import Tracks
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.second_look.agglomeration import agglomerate
from instanceid_utils.tracking.second_look.joining import N_VIEWS, set_distances
from instanceid_utils.tracking.second_look.sightings import spread

N_ASKED = 6  # views of a track that look for candidates
_BLOCK = 4096  # tracks compared with the rest of their identity at a time


class JoinLimits(NamedTuple):
    """How near two sets of views of one identity have to be, in thresholds.

    Chosen on generated identities, from 12 to 1,600: where three times the false joins and the
    false splits are fewest together. What was joined wrongly is hard to see; who was split is found
    by a search.
    """

    among_10: float = 1.1
    tenfold: float = 0.13  # nearer, for ten times as many identities
    least: float = 0.1

    def at(self, n_identities: int) -> float:
        """Return the limit among this many identities."""
        away = self.among_10 - self.tenfold * math.log10(max(n_identities, 1) / 10)
        return max(self.least, min(away, self.among_10 + self.tenfold / 2))


LIMITS = JoinLimits()


class Joined(NamedTuple):
    """What `join` found."""

    identity: np.ndarray  # (n,) int64 from 1, of all local IDs, video by video in order of key
    confidence: np.ndarray  # (n,) float64, that it is one with the rest; NaN if there is none
    limit: float  # the last: L2, not squared


def join(
    tracks: Mapping[str, Tracks],
    threshold: float,
    *,
    evidence: Evidence | None = None,
    same: Iterable = (),
    different: Iterable = (),
    limits: JoinLimits = LIMITS,
    exact: bool = False,
) -> Joined:
    """Join the local IDs of many videos into one set of identities.

    Parameters
    ----------
    tracks : mapping of str to Tracks
        Of each video, by key.
    threshold : float
        L2, not squared: the tracker's.
    evidence : Evidence, optional
        Says what a distance is worth, for the confidence: that of the tracker.
    same, different : iterable of ((key, local ID), (key, local ID))
        What a person has decided. What names a video or an ID that is not there is passed over.
    limits : JoinLimits
    exact : bool
        Look for candidates among all tracks, however many there are.

    Returns
    -------
    Joined
        Identities are numbered by their first local ID.

    Raises
    ------
    ValueError
        If what a person has decided contradicts itself, or what is seen at one time.
    """
    state = _Joining({key: tracks[key] for key in sorted(tracks)}, threshold, limits)
    state.obey(same, different)
    state.run(exact)
    identity, limit = state.numbered(), state.limit(len(state.groups)) * threshold
    return Joined(identity, state.confidence(identity, evidence or Evidence(), limit), limit)


def check_decisions(tracks: Mapping[str, Tracks], same: Iterable, different: Iterable) -> None:
    """Raise the ValueError that `join` would raise for what a person has decided."""
    _Joining({key: tracks[key] for key in sorted(tracks)}, 1.0, LIMITS).obey(same, different)


class _Group:
    """Tracks that are one identity."""

    __slots__ = ("members", "views", "where", "apart", "kind")

    def __init__(self, number, views, kind):
        self.members, self.apart, self.kind = [number], set(), kind
        self.views = views
        self.where = np.arange(len(views)) + (number << 8)  # a place for each view in all of them

    def may_join(self, other):
        """Whether nothing forbids that they are one."""
        if self.kind != other.kind and self.kind and other.kind:
            return False
        few, many = sorted((self, other), key=lambda group: len(group.members))
        return many.apart.isdisjoint(few.members)

    def absorb(self, other):
        """Take over all that is known of another."""
        self.members += other.members
        self.apart |= other.apart
        self.kind = self.kind or other.kind
        order = np.argsort(np.concatenate([self.where, other.where]), kind="stable")
        order = spread(order, N_VIEWS)
        self.views = np.concatenate([self.views, other.views])[order]
        self.where = np.concatenate([self.where, other.where])[order]


class _Joining:
    """Constrained agglomerative clustering, the nearest pair first."""

    def __init__(self, tracks, threshold, limits):
        self.threshold, self.limits = threshold, limits
        self.number_of, self.names, views = {}, [], []
        self.groups, self.sure_enough, start = {}, [], 0
        for key, of_video in tracks.items():
            cuts = np.searchsorted(of_video.view_row, np.arange(1, len(of_video)))
            for row, some in enumerate(np.split(of_video.views, cuts) if len(of_video) else []):
                name = key, int(of_video.local_id[row])
                views.append(spread(some, N_VIEWS).astype(np.float32))
                self.number_of[name] = start + row
                self.names.append(name)
                self.groups[start + row] = _Group(start + row, views[-1], int(of_video.kind[row]))
            self.sure_enough += of_video.confirmed.tolist()
            for one, other in meetings(of_video.runs):
                self._part(start + one, start + other)
            start += len(of_video)
        self.views = views
        self.n_left_alone = self.sure_enough.count(False)
        self.first_of = np.arange(start)  # number of the group that each track is in
        self.sure = set()  # joined by a person

    def _part(self, i, j):
        self.groups[i].apart.add(j)
        self.groups[j].apart.add(i)

    def obey(self, same, different):
        """Join and part what a person has decided."""
        for i, j in self._known(different):
            self._part(i, j)
        for i, j in self._known(same):
            self.sure |= {i, j}
            one, other = sorted((int(self.first_of[i]), int(self.first_of[j])))
            if one == other:
                continue
            if not self.groups[other].apart.isdisjoint(self.groups[one].members):
                raise ValueError(
                    f"{_name(self.names[i])} and {_name(self.names[j])} cannot be the same: they, "
                    "or others that are the same as they, are seen at one time or are said to be "
                    "different"
                )
            self._absorb(one, other)

    def _known(self, pairs):
        found = set()
        for one, other in pairs:
            i, j = (self.number_of.get((str(key), int(id_))) for key, id_ in (one, other))
            if i is not None and j is not None and i != j:
                found.add((min(i, j), max(i, j)))
        return sorted(found)

    def _absorb(self, one, other):
        group = self.groups.pop(other)
        self.first_of[group.members] = one
        self.groups[one].absorb(group)

    def limit(self, n_groups):
        """Return the limit while there are so many groups, in thresholds."""
        return self.limits.at(n_groups - self.n_left_alone)

    def run(self, exact):
        """Join until the nearest pair is beyond the limit."""

        def beyond(distance, n_groups):
            return not distance <= self.limit(n_groups)

        agglomerate(self.groups, self._candidates(exact), self._distances, beyond)
        for number, group in self.groups.items():
            self.first_of[group.members] = number

    def _distances(self, pairs):
        """Return how far apart the groups of each pair are, None where they may not join."""
        both = [(self.groups[i], self.groups[j]) for i, j in pairs]
        free = [one.may_join(other) for one, other in both]
        sets = [(one.views, other.views) for (one, other), may in zip(both, free) if may]
        distances = iter((set_distances(sets) / self.threshold).tolist())
        return [next(distances) if may else None for may in free]

    def _candidates(self, exact):
        able = np.flatnonzero(self.sure_enough)
        asked = [spread(self.views[i], N_ASKED) for i in able]
        if not asked:
            return []
        owners = np.repeat(np.arange(len(asked)), list(map(len, asked)))
        pairs = nearest_tracks(np.concatenate(asked), owners, exact=exact)
        pairs = np.sort(self.first_of[able[pairs]], axis=1)
        return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).tolist()

    def numbered(self):
        """Return the identity of each track, numbered from 1 by the first track of each."""
        return np.unique(self.first_of, return_inverse=True)[1].astype(np.int64) + 1

    def confidence(self, identity, evidence, limit):
        """Return how sure it is of each track that it is one with the rest of its identity."""
        out = np.full(len(identity), np.nan)
        pairs, numbers = [], []
        for group in self.groups.values():
            members = sorted(group.members)
            for number in members if len(members) > 1 else ():
                others = spread(np.array([m for m in members if m != number]), N_VIEWS)
                rest = np.concatenate([self.views[m] for m in others])
                pairs.append((self.views[number], spread(rest, N_VIEWS)))
                numbers.append(number)
        for start in range(0, len(pairs), _BLOCK):
            distances = set_distances(pairs[start : start + _BLOCK])
            nats = evidence.of_looks(distances, limit)
            out[numbers[start : start + _BLOCK]] = 1 / (1 + np.exp(-nats))
        out[np.array(sorted(self.sure), np.int64)] = 1.0
        return out


def meetings(runs: np.ndarray) -> list:
    """Return the pairs of rows that are seen in one frame.

    Parameters
    ----------
    runs : ndarray of shape (r, 3), int64
        As of `Tracks`.

    Examples
    --------
    >>> meetings(np.array([[0, 0, 9], [1, 5, 7], [2, 8, 12]]))
    [(0, 1), (0, 2)]
    """
    pairs, active = set(), []
    for row, first, last in runs[np.lexsort((runs[:, 0], runs[:, 1]))].tolist():
        while active and active[0][0] < first:
            heapq.heappop(active)
        pairs.update((min(row, other), max(row, other)) for _, other in active if other != row)
        heapq.heappush(active, (last, row))
    return sorted(pairs)


def _name(track):
    return f"{track[0]}:{track[1]}"

"""Abstention: where a decision could go either way, wait a few frames before making it.

The segment gets a provisional ID, which the tracker follows like any other. Each time it is
seen, its distances to the IDs it might be are noted. After a few updates it either becomes one
of them, by the mean distance, or stays the new instance that it was called.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from instanceid_utils.tracking.candidates import Candidates


@dataclass
class _Case:
    due: int  # the update in which it is settled
    credit: dict  # candidate ID -> what its place took off the distance when the case began
    distances: dict  # candidate ID -> L2 distances seen so far
    rivals: set = field(default_factory=set)  # IDs seen in one frame with it: not the same


class Abstention:
    """Provisional IDs and the evidence on whose they are.

    Parameters
    ----------
    n_updates : int
        How long an ID stays provisional; 0 switches abstention off.
    band : float
        As a part of the threshold: how near to it (or to the runner-up) a cost is ambiguous.
    """

    def __init__(self, n_updates: int = 0, band: float = 0.15):
        self.n_updates, self.band = n_updates, band
        self._cases = {}

    def __contains__(self, id):
        return id in self._cases

    def is_ambiguous(self, found: Candidates, threshold: float) -> np.ndarray:
        """Tell which segments could go either way.

        Parameters
        ----------
        found : Candidates
            Of N segments. Cost is the L2 distance less the place cue.
        threshold : float

        Returns
        -------
        ndarray of shape (N,), bool
            The lowest cost lies in the band round the threshold, or two below the threshold
            are nearer to each other than the band. IDs that are provisional themselves are no
            rivals, and a segment that continues one is not ambiguous again.
        """
        if not self.n_updates or not found.ids.size:
            return np.zeros(len(found.ids), bool)
        waiting = np.isin(found.ids, list(self._cases))
        costs = np.where(waiting, np.inf, found.costs)
        lowest = np.sort(np.pad(costs, ((0, 0), (0, 1)), constant_values=np.inf), axis=1)[:, :2]
        width = self.band * threshold
        near_threshold = np.abs(lowest[:, 0] - threshold) < width
        rivals = (lowest[:, 1] < threshold) & (lowest[:, 1] < lowest[:, 0] + width)
        continued = np.where(waiting, found.costs, np.inf).min(axis=1) < np.minimum(
            lowest[:, 0], threshold
        )
        return (near_threshold | rivals) & ~continued

    def take(
        self,
        ids: np.ndarray,
        provisional: np.ndarray,
        found: Candidates,
        threshold: float,
        time: int,
    ) -> None:
        """Take a frame over: open the cases that begin in it, note what it says on all.

        Parameters
        ----------
        ids : ndarray of shape (N,), int64
            IDs given in this frame.
        provisional : ndarray of shape (N,), bool
            From `is_ambiguous`: these IDs are new and may turn out to be one of their candidates.
        found : Candidates
            Of the same segments.
        threshold : float
        time : int
            Number of this update.
        """
        for row in np.flatnonzero(provisional):
            near = np.flatnonzero(found.costs[row] < threshold * (1 + self.band))
            candidates = zip(found.ids[row, near].tolist(), found.discounts[row, near].tolist())
            self.open(ids[row], dict(candidates), time)
        self.observe(ids, found)

    def open(self, id: int, candidates: dict, time: int) -> None:
        """Start a case.

        Parameters
        ----------
        id : int
            The provisional ID.
        candidates : dict of int to float
            Whom it may turn out to be, and what their places speak for that (a distance).
        time : int
            Number of this update.
        """
        none = {candidate: [] for candidate in candidates}
        self._cases[int(id)] = _Case(time + self.n_updates, dict(candidates), none)

    def observe(self, ids: Iterable, found: Candidates) -> None:
        """Note what a frame says on the open cases.

        A case is followed by its ID, or, where its segment was given another ID already, by
        its place.

        Parameters
        ----------
        ids : sequence of int, length N
            IDs given in this frame.
        found : Candidates
            Of the same segments.
        """
        if not self._cases:
            return
        ids = [int(i) for i in ids]
        for i, case in self._cases.items():
            row = ids.index(i) if i in ids else _at_its_place(i, found)
            if row is not None:
                case.rivals |= set(ids) - {i, ids[row]}
                seen = dict(zip(found.ids[row].tolist(), found.distances[row].tolist()))
                for candidate, values in case.distances.items():
                    values.append(min(seen.get(candidate, 2.0), 2.0))

    def settle(self, time: int | None, threshold: float, known: Container[int]) -> dict:
        """Close the cases that are due.

        Parameters
        ----------
        time : int or None
            Number of this update; None closes all.
        threshold : float
            A candidate's mean distance, less what its place took off at first, must lie below
            it, and it must never have been seen together with the provisional ID.
        known : container
            The IDs that exist.

        Returns
        -------
        dict of int to int
            Provisional ID -> the ID that it turns out to be; not those that stay new.
        """
        settled = {}
        for i in [i for i, c in self._cases.items() if time is None or c.due <= time]:
            case = self._cases.pop(i)
            means = {
                candidate: float(np.mean(values)) - case.credit[candidate]
                for candidate, values in case.distances.items()
                if values and candidate in known and candidate not in case.rivals
            }
            best = min(means, key=lambda candidate: means[candidate], default=None)
            if best is not None and means[best] < threshold and i in known:
                settled[i] = best
                self._replace(i, best)
        return settled

    def _replace(self, old, new):
        for case in self._cases.values():
            if old in case.rivals:
                case.rivals.add(new)
            if old in case.distances:
                case.distances.setdefault(new, []).extend(case.distances.pop(old))
                case.credit.setdefault(new, case.credit.pop(old))

    def forget(self, id: int) -> None:
        """Close a case without a word: its ID was merged, removed or confirmed by hand."""
        self._cases.pop(int(id), None)

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return [
            [i, c.due, list(c.credit.items()), list(c.distances.items()), sorted(c.rivals)]
            for i, c in self._cases.items()
        ]

    def restore(self, state: list) -> None:
        """Continue where the object that gave ``state`` stood."""
        self._cases = {
            i: _Case(due, dict(credit), {j: list(d) for j, d in distances}, set(rivals))
            for i, due, credit, distances, rivals in state
        }


def _at_its_place(id, found):
    if found.parts is None:
        return None
    here = np.where(found.ids == id, found.parts["place"], 0).max(axis=1, initial=0)
    return int(here.argmax()) if here.any() else None


def final_id(given: int, renamed: Mapping[int, int]) -> int:
    """Follow a chain of relabellings to its end.

    >>> final_id(5, {5: 3, 3: 1})
    1
    """
    while given in renamed:
        given = renamed[given]
    return given

"""Where an instance should be now, and how well a segment fits there.

From one frame to the next, position says more than looks; between look-alikes it is all there
is. After a while unseen, or across a shot cut, it says nothing. How far an error of place counts
against an instance depends on the video: with a fixed camera and every frame, people are foreseen
to a few hundredths of their size; with every tenth frame to half of it. So the memory measures,
as the video runs, how well it foresees those who are known by their looks.

An error is the distance between centres, or between the corners that fit best: an occluder that
cuts an object in half moves its centre, and leaves a corner where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from instanceid_utils.tracking.boxes import area

_NEAREST = 32  # expected places looked at for each box, where there are hundreds
TYPICAL_ERROR, LEAST_ERROR = 0.1, 0.01  # error of place before any is measured, and below measuring
_RECENT = 64  # errors that say how well places are foreseen


@dataclass
class _Sighting:
    box_tlbr: tuple  # where it was last seen
    velocity: tuple  # pixels an update, of the box centre
    time: int  # the update in which it was last seen


class Expected(NamedTuple):
    """Where the instances that were seen lately should be in this update, M of them."""

    ids: np.ndarray  # (M,) int64, increasing
    boxes_tlbr: np.ndarray  # (M, 4) float64
    ages: np.ndarray  # (M,) updates since each was seen, from 1

    def nearest(self, boxes_tlbr: np.ndarray, k: int = 8) -> np.ndarray:
        """Find who is expected where each box is.

        Parameters
        ----------
        boxes_tlbr : ndarray of shape (N, 4)
        k : int
            Most instances a box.

        Returns
        -------
        ndarray of shape (N, K), int64
            IDs, the nearest first; those unseen for long have as much farther to go. K is at
            most k.
        """
        boxes = np.asarray(boxes_tlbr, np.float64).reshape(-1, 4)
        at = _nearest(boxes, self.boxes_tlbr)
        errors = place_errors(boxes[:, None], self.boxes_tlbr[at]) / self.ages[at]
        order = np.argsort(errors, axis=1, kind="stable")[:, :k]
        return self.ids[np.take_along_axis(at, order, axis=1)]

    def compare(self, boxes_tlbr: np.ndarray, ids: np.ndarray) -> tuple:
        """Compare boxes with where some instances should be.

        Parameters
        ----------
        boxes_tlbr : ndarray of shape (N, 4)
        ids : ndarray of shape (N, K), int64

        Returns
        -------
        known : ndarray of shape (N, K), bool
            Whether it is known where that instance should be; the others mean nothing where not.
        errors : ndarray of shape (N, K), float64
            See `place_errors`.
        ages : ndarray of shape (N, K)
        changes : ndarray of shape (N, K), float64
            Of the logarithm of the box's area.
        """
        boxes = np.asarray(boxes_tlbr, np.float64).reshape(-1, 1, 4)
        at = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
        if not len(self.ids):
            nothing = np.zeros(np.shape(ids))
            return nothing > 0, nothing, nothing + 1, nothing
        there = self.boxes_tlbr[at]
        changes = np.log(np.maximum(area(boxes), 1) / np.maximum(area(there), 1))
        return self.ids[at] == ids, place_errors(boxes, there), self.ages[at], changes


#: Nobody is expected anywhere: after a cut, or where places are not to count.
NOWHERE = Expected(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64))


def place_errors(boxes_tlbr: np.ndarray, expected_tlbr: np.ndarray) -> np.ndarray:
    """Return how far boxes (..., 4) are from where they should be, in units of their size.

    The size is the root of the area, the geometric mean of both.
    """
    off = boxes_tlbr - expected_tlbr
    centre = (off[..., :2] + off[..., 2:]) / 2
    corners = [np.hypot(off[..., i], off[..., j]) for i in (0, 2) for j in (1, 3)]
    error = np.minimum(np.hypot(centre[..., 0], centre[..., 1]), np.min(corners, axis=0))
    size = (np.maximum(area(boxes_tlbr), 1) * np.maximum(area(expected_tlbr), 1)) ** 0.25
    return error / size


class PlaceMemory:
    """Last place and motion of the instances seen lately, and how well places are foreseen.

    Parameters
    ----------
    memory : int
        Updates for which the place of an unseen instance is kept.
    inertia : float
        Weight of the earlier velocity in its moving average, and the rate at which a velocity
        dies away while its instance is unseen.

    Examples
    --------
    >>> memory = PlaceMemory()
    >>> memory.observe([7], [[0, 0, 10, 10]], time=0)
    >>> memory.observe([7], [[4, 0, 14, 10]], time=1)
    >>> expected = memory.expect(time=2)
    >>> expected.boxes_tlbr                                 # where it is going
    array([[ 8.,  0., 18., 10.]])
    >>> known, errors, ages, changes = expected.compare([[8, 0, 18, 20]], np.array([[7]]))
    >>> errors, changes.round(2)                            # twice as high, two corners fit
    (array([[0.]]), array([[0.69]]))
    """

    def __init__(self, memory: int = 90, inertia: float = 0.5):
        self.memory, self.inertia = memory, inertia
        self._seen = {}
        self._errors = deque([TYPICAL_ERROR] * 3, maxlen=_RECENT)

    def __len__(self):
        return len(self._seen)

    @property
    def width(self) -> float:
        """Median error of place in the next update, lately, in units of an instance's size."""
        return max(median(self._errors), LEAST_ERROR)

    def expect(self, time: int) -> Expected:
        """Foresee where everybody is in an update, later than any observed."""
        ids = np.array(sorted(self._seen), np.int64)
        seen = [self._seen[i] for i in ids.tolist()]
        boxes = np.array([s.box_tlbr for s in seen], np.float64).reshape(-1, 4)
        velocity = np.array([s.velocity for s in seen], np.float64).reshape(-1, 2)
        ages = time - np.array([s.time for s in seen], np.int64)
        steps = (1 - self.inertia**ages) / (1 - self.inertia)  # of a velocity that dies away
        return Expected(ids, boxes + np.tile(velocity * steps[:, None], 2), ages)

    def observe(
        self,
        ids: npt.ArrayLike,
        boxes_tlbr: np.ndarray,
        time: int,
        sure: npt.ArrayLike | None = None,
    ) -> None:
        """Note where instances are in this update; forget those unseen for long.

        Parameters
        ----------
        ids : sequence of int, length N
        boxes_tlbr : ndarray of shape (N, 4)
        time : int
            Number of this update.
        sure : sequence of bool, length N, optional
            Which are known by their looks alone, so that the error of their place says how well
            places are foreseen; none unless told.
        """
        if sure is not None and np.any(sure):
            there = np.flatnonzero(sure)
            boxes = np.asarray(boxes_tlbr, np.float64)
            self._measure(np.asarray(ids)[there], boxes[there], time)
        for i, box in zip(np.asarray(ids).tolist(), np.asarray(boxes_tlbr, np.float64).tolist()):
            last = self._seen.get(int(i))
            velocity = (0.0, 0.0) if last is None else self._velocity(last, box, time)
            self._seen[int(i)] = _Sighting(tuple(box), velocity, time)
        for i in [i for i, s in self._seen.items() if time - s.time >= self.memory]:
            del self._seen[i]

    def _measure(self, ids, boxes, time):
        expected = self.expect(time)
        known, errors, ages, _ = expected.compare(boxes, ids[:, None])
        self._errors.extend(errors[known & (ages == 1)].tolist())

    def forget(self, ids: Iterable[int] | None = None) -> None:
        """Drop the places of some instances, or of all: after a cut they say nothing."""
        for i in list(self._seen) if ids is None else ids:
            self._seen.pop(int(i), None)

    def rename(self, old: int, new: int) -> None:
        """Give the place of ``old`` to ``new``, unless ``new`` was seen later."""
        sighting = self._seen.pop(int(old), None)
        if sighting is not None:
            known = self._seen.get(int(new))
            if known is None or known.time <= sighting.time:
                self._seen[int(new)] = sighting

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs, in types that JSON has."""
        seen = [[i, asdict(s)] for i, s in self._seen.items()]
        return {"seen": seen, "errors": list(self._errors)}

    def restore(self, state: dict[str, Any] | list) -> None:
        """Continue where the memory that gave ``state`` stood."""
        if isinstance(state, list):  # as of before errors were measured
            state = {"seen": state, "errors": list(self._errors)}
        self._seen = {
            int(i): _Sighting(tuple(s["box_tlbr"]), tuple(s["velocity"]), s["time"])
            for i, s in state["seen"]
        }
        self._errors = deque(map(float, state["errors"]), maxlen=_RECENT)

    def _velocity(self, last, box, time):
        ends = zip(_centre(box), _centre(last.box_tlbr))
        step = tuple((now - before) / (time - last.time) for now, before in ends)
        if last.velocity == (0.0, 0.0):
            return step
        kept, new = self.inertia, 1 - self.inertia
        return tuple(kept * v + new * s for v, s in zip(last.velocity, step))


def _nearest(boxes, expected):
    """Which expected boxes to look at for each box: all, or those with the nearest centres."""
    n, m = len(boxes), len(expected)
    if n * m <= 256 * 256:
        return np.broadcast_to(np.arange(m), (n, m))
    centres = (expected[:, :2] + expected[:, 2:]) / 2
    k = min(m, _NEAREST)
    near = cKDTree(centres).query((boxes[:, :2] + boxes[:, 2:]) / 2, k)[1].reshape(n, k)
    return np.sort(near, axis=1)


def _centre(box_tlbr):
    left, top, right, bottom = box_tlbr
    return (left + right) / 2, (top + bottom) / 2

"""Which segments may teach the gallery: an occluded sliver must not drag an identity away.

A segment is good evidence when nothing about it is unusual *for its instance*: a rider who is
always in front of a horse is covered as usual, a swan cut in half by a log is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from instanceid_utils.tracking.boxes import shared_area

_HABIT = 0.1  # weight of a new view in what is usual
_MEMORY = 300  # updates after which the habits of an unseen instance are dropped


@dataclass
class _Habit:
    area: float
    covered: float
    time: int


class Habits:
    """What is usual for each instance, and whether a view is good enough to learn from.

    Parameters
    ----------
    min_area : float
        A view is refused whose area is below this part of the usual area: mostly hidden.
    min_area_at_border : float
        The same for a view that touches the frame's border: partly outside.
    max_covered : float
        A view is refused when other segments' boxes cover this much more of its box, as a part
        of its area, than usual.
    max_shared : float
        A view is refused when other segments hold more of its pixels than this: it shows them
        as well. Masks seldom overlap; the boxes of a detector do, wherever people meet.

    Examples
    --------
    >>> habits = Habits()
    >>> habits.observe([7], np.array([1000]), np.array([0.0]), time=0)
    >>> inside = np.array([False])
    >>> habits.is_good([7], np.array([900]), inside, np.array([0.1])).tolist()
    [True]
    >>> habits.is_good([7], np.array([300]), inside, np.array([0.1])).tolist()   # a sliver
    [False]
    """

    def __init__(
        self,
        min_area: float = 0.5,
        min_area_at_border: float = 0.8,
        max_covered: float = 0.3,
        max_shared: float = 0.4,
    ):
        self.min_area, self.min_area_at_border = min_area, min_area_at_border
        self.max_covered, self.max_shared = max_covered, max_shared
        self._habits = {}

    def is_good(
        self,
        ids: Sequence,
        areas: np.ndarray,
        at_border: np.ndarray,
        covered: np.ndarray,
        shared: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        """Judge views of instances.

        Parameters
        ----------
        ids : sequence of int, length N
        areas : ndarray of shape (N,), pixels
        at_border : ndarray of shape (N,), bool
            From `at_border`.
        covered : ndarray of shape (N,), float
            From `covered_share`.
        shared : ndarray of shape (N,), float
            From `segments.shared_shares`.

        Returns
        -------
        ndarray of shape (N,), bool
            True for an instance of which nothing is known yet, if it is alone.
        """
        habits = [self._habits.get(int(i)) for i in ids]
        usual_area = np.array([0.0 if h is None else h.area for h in habits])
        usual_cover = np.array([np.inf if h is None else h.covered for h in habits])
        least = np.where(at_border, self.min_area_at_border, self.min_area) * usual_area
        alone = (covered <= usual_cover + self.max_covered) & (shared <= self.max_shared)
        return (areas >= least) & alone

    def observe(
        self, ids: Sequence[int] | np.ndarray, areas: np.ndarray, covered: np.ndarray, time: int
    ) -> None:
        """Learn what is usual, from good and bad views alike: that follows a change for good."""
        for i, area, cover in zip(ids, areas.tolist(), covered.tolist()):
            habit = self._habits.get(int(i))
            if habit is None:
                self._habits[int(i)] = _Habit(float(area), cover, time)
            else:
                habit.area += _HABIT * (area - habit.area)
                habit.covered += _HABIT * (cover - habit.covered)
                habit.time = time
        if time % _MEMORY == 0:
            self._habits = {i: h for i, h in self._habits.items() if time - h.time <= _MEMORY}

    def forget(self, ids: Iterable[int] | None = None) -> None:
        """Drop the habits of some instances, or of all: another shot shows them in another size."""
        for i in list(self._habits) if ids is None else ids:
            self._habits.pop(int(i), None)

    def rename(self, old: int, new: int) -> None:
        """Give the habits of ``old`` to ``new``, unless it has its own."""
        habit = self._habits.pop(int(old), None)
        if habit is not None:
            self._habits.setdefault(int(new), habit)

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return [[i, asdict(habit)] for i, habit in self._habits.items()]

    def restore(self, state: list) -> None:
        """Continue where the object that gave ``state`` stood."""
        self._habits = {int(i): _Habit(**habit) for i, habit in state}


def at_border(boxes_tlbr: np.ndarray, frame_shape: tuple[int, int]) -> np.ndarray:
    """Tell which boxes touch the border of the frame.

    Parameters
    ----------
    boxes_tlbr : ndarray of shape (N, 4), int
    frame_shape : tuple of int
        (H, W).

    Returns
    -------
    ndarray of shape (N,), bool

    Examples
    --------
    >>> at_border(np.array([[0, 3, 4, 5], [1, 1, 5, 5]]), (10, 10))
    array([ True, False])
    """
    height, width = frame_shape
    boxes = np.asarray(boxes_tlbr).reshape(-1, 4)
    return (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2:] >= (width, height)).any(axis=1)


def covered_share(boxes_tlbr: np.ndarray) -> np.ndarray:
    """Share of each box that the boxes of the other segments cover, overlaps counted twice.

    Parameters
    ----------
    boxes_tlbr : ndarray of shape (N, 4), int

    Returns
    -------
    ndarray of shape (N,), float64
        At most 1.

    Examples
    --------
    >>> covered_share(np.array([[0, 0, 4, 4], [2, 0, 6, 4], [9, 9, 10, 10]]))
    array([0.5, 0.5, 0. ])
    """
    boxes = np.asarray(boxes_tlbr, np.int64).reshape(-1, 4)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    own = _shared_by_pairs(boxes) if len(boxes) <= 128 else _shared_by_counting(boxes)
    return np.minimum(own / np.maximum(area, 1) - 1, 1.0)


def _shared_by_pairs(boxes):
    """Area that each box shares with all boxes, itself included."""
    return shared_area(boxes[:, None], boxes[None]).sum(axis=1)


def _shared_by_counting(boxes):
    """Return the same by summing up, over each box, how many boxes cover a pixel.

    Thousands of boxes make millions of pairs, but only one picture.
    """
    left, top, right, bottom = (boxes - np.tile(boxes[:, :2].min(axis=0), 2)).T
    count = np.zeros((bottom.max() + 1, right.max() + 1), np.int64)
    np.add.at(count, (np.r_[top, bottom], np.r_[left, right]), 1)
    np.add.at(count, (np.r_[top, bottom], np.r_[right, left]), -1)
    covers = count.cumsum(0).cumsum(1)
    total = np.zeros((covers.shape[0] + 1, covers.shape[1] + 1), np.int64)
    total[1:, 1:] = covers.cumsum(0).cumsum(1)
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]

"""The place cue: where an instance should be now, and how far that can be trusted.

From one frame to the next, position says more than looks; between look-alikes it is all there
is. After a while unseen, or across a shot cut, it says nothing. So the cue is a number in
[0, 1] that can only take something *off* the distance of a pair: overlap with the predicted
box, fading and widening with the time since the instance was last seen. Zero is no objection,
which is why an object that comes back elsewhere is still known by its looks.

Overlap is the intersection over union, which is sharp where many are close together, raised
half-way to the containment, which still knows the sliver that an occluder leaves of an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.spatial import cKDTree

_NEAREST = 32  # expected places looked at for each box, where there are hundreds


def box_iou(a_tlbr: np.ndarray, b_tlbr: np.ndarray, buffer: float | np.ndarray = 0.0) -> np.ndarray:
    """Intersection over union of every box with every other.

    Parameters
    ----------
    a_tlbr, b_tlbr : ndarray of shape (N, 4) and (M, 4)
        left, top, right, bottom; right and bottom exclusive.
    buffer : float or ndarray of shape (M,)
        Grow both boxes of a pair on each side by this much of their width and height first, so
        that boxes which just miss each other still count as near (Yang et al. 2023, "Hard to
        Track Objects with Irregular Motions and Similar Appearances? Make It Easier by Buffering
        the Matching Space", equation 1).

    Returns
    -------
    ndarray of shape (N, M), float64
        0 where both boxes have no area.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [4, 0, 6, 2]]).round(2)
    array([[0.33, 0.  ]])
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [4, 0, 6, 2]], buffer=1.0).round(2)
    array([[0.71, 0.2 ]])
    """
    a, b = (np.asarray(x, np.float64).reshape(-1, 4) for x in (a_tlbr, b_tlbr))
    return _iou(a[:, None], b[None], np.asarray(buffer))


def _iou(a, b, buffer):
    """Intersection over union of boxes (..., 4), grown by buffer (...), with broadcasting."""
    shared, area_a, area_b = _areas(_grow(a, buffer), _grow(b, buffer))
    union = area_a + area_b - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _contained(a, b):
    """Share of the smaller one of two boxes that lies in the other, with broadcasting."""
    shared, area_a, area_b = _areas(a, b)
    return shared / np.maximum(np.minimum(area_a, area_b), 1e-9)


def _areas(a, b):
    shared = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared, of_a, of_b = (
        np.maximum(x[..., 0], 0) * np.maximum(x[..., 1], 0)
        for x in (shared, a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2])
    )
    return shared, of_a, of_b


def _grow(boxes, buffer):
    room = (boxes[..., 2:] - boxes[..., :2]) * buffer[..., None]
    return np.concatenate([boxes[..., :2] - room, boxes[..., 2:] + room], axis=-1)


@dataclass
class _Sighting:
    box_tlbr: tuple  # where it was last seen
    velocity: tuple  # pixels an update, of the box centre
    time: int  # the update in which it was last seen


class PlaceMemory:
    """Last place and motion of the instances seen lately.

    Parameters
    ----------
    fade : float
        The trust in a place is multiplied by this for each update in which its instance was
        not seen: 1 in the next update, ``fade`` after one gap, and so on.
    buffer, spread : float
        Room round a box in units of its size, see `box_iou`; ``spread`` more for each update
        unseen, since the instance may have gone any way.
    inertia : float
        Weight of the earlier velocity in its moving average, and the rate at which a velocity
        dies away while its instance is unseen.

    Notes
    -----
    Instances with a trust below 1 % are dropped, so the memory is as small as the scene.

    Examples
    --------
    >>> memory = PlaceMemory()
    >>> memory.observe([7], [[0, 0, 10, 10]], time=0)
    >>> memory.observe([7], [[4, 0, 14, 10]], time=1)
    >>> ids, place = memory.match([[8, 0, 18, 10]], time=2)     # where it is going
    >>> ids, place.round(2)
    (array([[7]]), array([[1.]]))
    """

    def __init__(
        self, fade: float = 0.95, buffer: float = 0.5, spread: float = 0.3, inertia: float = 0.5
    ):
        self.fade, self.buffer, self.spread, self.inertia = fade, buffer, spread, inertia
        self._seen = {}

    def __len__(self):
        return len(self._seen)

    def match(self, boxes_tlbr: np.ndarray, time: int, k: int = 8) -> tuple:
        """Find the instances that are expected where the boxes are.

        Parameters
        ----------
        boxes_tlbr : ndarray of shape (N, 4)
        time : int
            Number of this update, larger than that of any observed.
        k : int
            Most instances a box.

        Returns
        -------
        ids : ndarray of shape (N, K), int64
            The best placed first, -1 where there are fewer; K is at most k.
        place : ndarray of shape (N, K), float64
            Overlap times trust, in [0, 1]; 0 beside an ID of -1.
        """
        ids, expected, age = self._expect(time)
        boxes = np.asarray(boxes_tlbr, np.float64).reshape(-1, 4)
        near = _nearest(boxes, expected)
        buffer = self.buffer + self.spread * (age[near] - 1)
        iou = _iou(boxes[:, None], expected[near], buffer)
        inside = _contained(boxes[:, None], expected[near])
        place = np.maximum(iou, (iou + inside) / 2) * self._trust(age[near])
        each = np.arange(len(boxes))[:, None]
        order = np.argsort(-place, axis=1, kind="stable")[:, :k]
        place = place[each, order]
        return np.where(place > 0, ids[near[each, order]], -1), place

    def _expect(self, time):
        ids = np.array(sorted(self._seen), np.int64)
        seen = [self._seen[i] for i in ids.tolist()]
        boxes = np.array([s.box_tlbr for s in seen], np.float64).reshape(-1, 4)
        velocity = np.array([s.velocity for s in seen], np.float64).reshape(-1, 2)
        age = time - np.array([s.time for s in seen])
        steps = (1 - self.inertia**age) / (1 - self.inertia)  # of a velocity that dies away
        return ids, boxes + np.tile(velocity * steps[:, None], 2), age

    def observe(self, ids: Sequence, boxes_tlbr: np.ndarray, time: int) -> None:
        """Note where instances are in this update; forget those unseen for long.

        Parameters
        ----------
        ids : sequence of int, length N
        boxes_tlbr : ndarray of shape (N, 4)
        time : int
            Number of this update.
        """
        for i, box in zip(ids, np.asarray(boxes_tlbr, np.float64).tolist()):
            last = self._seen.get(int(i))
            velocity = (0.0, 0.0) if last is None else self._velocity(last, box, time)
            self._seen[int(i)] = _Sighting(tuple(box), velocity, time)
        for i in [i for i, s in self._seen.items() if self._trust(time + 1 - s.time) < 0.01]:
            del self._seen[i]

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

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return [[i, asdict(s)] for i, s in self._seen.items()]

    def restore(self, state: list) -> None:
        """Continue where the memory that gave ``state`` stood."""
        self._seen = {
            int(i): _Sighting(tuple(s["box_tlbr"]), tuple(s["velocity"]), s["time"])
            for i, s in state
        }

    def _trust(self, age):
        return self.fade ** (age - 1.0)

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

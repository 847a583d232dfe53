"""Boxes of whole objects, also behind others, as detectors and annotators draw them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from instanceid_utils.segments.segments import Segments

_SHRINK = 0.97  # a frame: at most so fast does an object become smaller
_INERTIA = 0.5  # of the motion that says where a hidden side is
_LASTING = 30  # frames unseen after which nothing is remembered


@dataclass
class _Whole:
    size: np.ndarray  # (2,) width, height
    area: float  # pixels
    centre: np.ndarray  # (2,)
    velocity: np.ndarray  # (2,) a frame
    time: int


@dataclass
class WholeBoxes:
    """How large the objects of one video are, hidden or not.

    An object that has just been seen whole is as large as it was, or shrinks by 3 % a frame at
    most; its box reaches to where it was going, and holds all that is seen of it.
    """

    _time: int = 0
    _known: dict = field(default_factory=dict)

    def observe(self, truth: Segments) -> tuple[Segments, np.ndarray]:
        """Complete the objects of the next frame.

        Parameters
        ----------
        truth : Segments
            What is seen of each; labels are identities.

        Returns
        -------
        whole : Segments
            Full boxes in the same order, clipped to the frame.
        shares : ndarray of shape (N,), float64
            How much of each is seen, by its pixels.
        """
        self._time += 1
        height, width = truth.frame_shape
        boxes, shares = np.empty((len(truth), 4), np.int32), np.empty(len(truth))
        for i, label in enumerate(truth.labels.tolist()):
            box, shares[i] = self._complete(
                label, truth.boxes_tlbr[i].astype(float), float(truth.areas[i])
            )
            boxes[i] = np.rint(np.clip(box, 0, (width, height, width, height)))
        patches = tuple(np.ones((b - t, r - x), bool) for x, t, r, b in boxes.tolist())
        areas = np.array([patch.size for patch in patches], np.int64)
        return replace(truth, boxes_tlbr=boxes, areas=areas, patches=patches), shares

    def _complete(self, label, seen, area):
        size, centre = seen[2:] - seen[:2], (seen[:2] + seen[2:]) / 2
        last = self._known.get(label)
        if last is None or self._time - last.time > _LASTING:
            self._known[label] = _Whole(size, area, centre, np.zeros(2), self._time)
            return seen, 1.0
        gap = self._time - last.time
        shrunk = _SHRINK**gap
        whole = np.maximum(size, shrunk * last.size)
        full = max(area, shrunk**2 * last.area)
        there = last.centre + gap * last.velocity
        there = np.clip(there, seen[2:] - whole / 2, seen[:2] + whole / 2)  # holds what is seen
        velocity = _INERTIA * last.velocity + (1 - _INERTIA) * (there - last.centre) / gap
        self._known[label] = _Whole(whole, full, there, velocity, self._time)
        return np.concatenate([there - whole / 2, there + whole / 2]), area / full

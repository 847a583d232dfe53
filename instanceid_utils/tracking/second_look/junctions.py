"""Where tracklets begin and end, and how well one goes on where another was going."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from instanceid_utils.tracking.place import LEAST_ERROR, TYPICAL_ERROR, place_errors

LATEST = 90  # frames after which a place says nothing, as in `place`
_INERTIA = 0.5  # at which a velocity dies away while its instance is unseen, as there
_MOTION = 5  # sightings that say how a tracklet moves where it begins and ends
_SAMPLE = 20_000  # sightings that say how well places are foreseen


class End(NamedTuple):
    """Where a tracklet begins or ends, and how it moves there: plain numbers, of which many."""

    frame: int
    shot: int
    centre: tuple  # x, y
    sides: tuple  # width, height
    velocity: tuple  # pixels a frame, of the centre
    size: float  # root of the area

    @classmethod
    def of(cls, seen: np.ndarray, last: bool) -> End:
        """Describe the last, or the first, of some sightings."""
        some = seen[-_MOTION:] if last else seen[:_MOTION]
        boxes, at = some["box_tlbr"].astype(np.float64), -1 if last else 0
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        time = int(some["frame"][-1] - some["frame"][0])
        velocity = (centres[-1] - centres[0]) / time if time else np.zeros(2)
        sides = boxes[at, 2:] - boxes[at, :2]
        return cls(
            int(some["frame"][at]),
            int(some["shot"][at]),
            tuple(centres[at].tolist()),
            tuple(sides.tolist()),
            tuple(velocity.tolist()),
            max(float(np.prod(sides)), 1.0) ** 0.5,
        )


def starts(run: tuple[End, End]) -> tuple[int, int]:
    """Order of time."""
    return run[0].frame, run[1].frame


def junctions(one: list, other: list) -> Iterator[tuple[End, End]]:
    """Yield (end, start) wherever a tracklet of one list is followed by one of the other.

    Both are lists of (start, end) in order of time; the shorter one is gone through.
    """
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    begins = [starts(run) for run in many]
    for n, run in enumerate(few):
        at = bisect_right(begins, starts(run))
        before = few[n - 1] if n else None
        after = few[n + 1] if n + 1 < len(few) else None
        if at and (before is None or starts(before) <= begins[at - 1]):
            yield many[at - 1][1], run[0]
        if at < len(many) and (after is None or begins[at] < starts(after)):
            yield run[1], many[at][0]


class Places:
    """Nats for one tracklet to begin where another was going, as `Evidence` weighs places."""

    def __init__(self, sightings, evidence):
        self.evidence = evidence
        boxes = sightings["box_tlbr"]
        self.frame_area = max(float(boxes[:, 2].max()) * float(boxes[:, 3].max()), 1.0)
        self.width = _foresight(sightings)

    def nats(self, junctions):
        """Weigh junctions (end, start, gap); (n,) float64."""
        gaps = np.array([gap for *_, gap in junctions])
        steps = (1 - _INERTIA**gaps) / (1 - _INERTIA)  # of a velocity that dies away
        velocity = np.array([before.velocity for before, *_ in junctions])
        expected = np.array([_box(before) for before, *_ in junctions])
        expected += np.tile(velocity * steps[:, None], 2)
        boxes = np.array([_box(after) for _, after, _ in junctions])
        room = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / self.frame_area
        errors = place_errors(boxes, expected)
        return self.evidence.beside * self.evidence.of_place(errors, gaps, self.width, room)


def _box(end):
    (x, y), (width, height) = end.centre, end.sides
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _foresight(sightings):
    """How well places are foreseen in this video: the median error from one frame to the next.

    Half of the last step is expected again: boxes tremble.
    """
    some = sightings[:_SAMPLE]
    order = np.lexsort((some["frame"], some["id"]))
    ids, frames = some["id"][order], some["frame"][order]
    boxes = some["box_tlbr"][order].astype(np.float64)
    steady = (ids[2:] == ids[:-2]) & (frames[2:] - frames[1:-1] == frames[1:-1] - frames[:-2])
    before, last, now = (boxes[k : len(boxes) - 2 + k][steady] for k in range(3))
    if not len(now):
        return TYPICAL_ERROR
    centres = (last - before).reshape(-1, 2, 2).mean(axis=1)
    errors = place_errors(now, last + np.tile(centres * _INERTIA, 2))
    return max(float(np.median(errors)), LEAST_ERROR)

"""The baseline of overlaps alone: what it remembers, and for how long."""

import numpy as np
import pytest

from instanceid_utils.evaluation.iou_tracker import IouTracker

FRAME = np.zeros((8, 12, 3), np.uint8)
SEEN = np.zeros((8, 12), np.int32)
SEEN[2:6, 2:6] = 1
EMPTY = np.zeros_like(SEEN)


@pytest.mark.parametrize(("n_unseen", "same"), [(0, True), (2, True), (3, False)])
def test_who_is_unseen_for_longer_than_max_age_is_new(n_unseen, same):
    tracker = IouTracker(max_age=2)
    first = tracker.update(FRAME, SEEN).ids
    for _ in range(n_unseen):
        tracker.update(FRAME, EMPTY)
    assert (tracker.update(FRAME, SEEN).ids == first).all() == same


def test_less_overlap_than_asked_for_is_somebody_new():
    moved = np.roll(SEEN, 3, axis=1)  # an IoU of 1/7
    for least, same in ((0.1, True), (0.2, False)):
        tracker = IouTracker(min_iou=least)
        first = tracker.update(FRAME, SEEN).ids
        assert (tracker.update(FRAME, moved).ids == first).all() == same

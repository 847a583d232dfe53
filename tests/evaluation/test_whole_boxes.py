"""Boxes of objects that pass behind others keep their size and go on where they were going."""

import numpy as np

from instanceid_utils.evaluation.mask_faults import MaskFaults, simulate
from instanceid_utils.evaluation.whole_boxes import WholeBoxes
from instanceid_utils.segments.segments import find_segments


def passing(n=12):
    """Object 1 of 8 x 20 pixels walks behind object 2, two pixels a frame."""
    for t in range(n):
        labels = np.zeros((40, 60), np.int32)
        labels[10:30, 10 + 2 * t : 18 + 2 * t] = 1
        labels[5:35, 24:30] = 2
        yield np.zeros((40, 60, 3), np.uint8), labels


def test_a_hidden_side_is_where_it_was_going():
    whole = WholeBoxes()
    for t, (_, labels) in enumerate(passing()):
        found, shares = whole.observe(find_segments(labels))
        left = 10 + 2 * t
        box, seen = found.boxes_tlbr[0], (labels == 1).sum() / 160
        np.testing.assert_allclose(box[[1, 3]], [10, 30])
        assert abs(box[0] - left) <= 2 and abs(box[2] - left - 8) <= 2
        assert seen <= shares[0] <= min(1, 1.6 * seen)
        assert found.patches[0].all() and found.areas[0] == found.patches[0].size
    assert (found.boxes_tlbr[1] == (24, 5, 30, 35)).all() and shares[1] == 1


def test_what_comes_nearer_grows_at_once_and_what_goes_away_shrinks_slowly():
    whole, sizes = WholeBoxes(), []
    for side in (10, 20, 5):
        labels = np.zeros((40, 60), np.int32)
        labels[10 : 10 + side, 10 : 10 + side] = 1
        found, _ = whole.observe(find_segments(labels))
        sizes.append(found.boxes_tlbr[0, 2] - found.boxes_tlbr[0, 0])
    assert sizes[:2] == [10, 20] and 18 <= sizes[2] < 20


def test_nobody_is_remembered_for_ever():
    whole = WholeBoxes()
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30] = 1
    whole.observe(find_segments(labels))
    for _ in range(40):
        whole.observe(find_segments(np.zeros_like(labels)))
    labels[10:30, 12:30] = 0
    found, shares = whole.observe(find_segments(labels))
    assert (found.boxes_tlbr[0] == (10, 10, 12, 30)).all() and shares[0] == 1


def test_a_detector_misses_what_is_mostly_hidden():
    faults, counts = MaskFaults(boxes=True, hidden=0.5), []
    for _, labels, found in simulate(passing(), faults, np.random.default_rng(0)):
        counts.append((len(found), (labels == 1).sum() / 160))
    assert min(n for n, _ in counts) == 1 and counts[0][0] == 2
    assert all(n == 2 for n, share in counts if share > 0.8)
    assert all(n == 1 for n, share in counts if share < 0.3)

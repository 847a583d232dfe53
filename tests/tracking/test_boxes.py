"""Boxes against counted pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking.boxes import area, box_iou, hull, inside, overlap, shared_area

boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def grid(box):
    left, top, right, bottom = box
    out = np.zeros((12, 12), bool)
    out[top:bottom, left:right] = True
    return out


@given(a=boxes, b=boxes)
@settings(max_examples=80, deadline=None)
def test_against_counted_pixels(a, b):
    here, there = grid(a), grid(b)
    both, union = (here & there).sum(), (here | there).sum()
    a, b = np.array(a, float), np.array(b, float)
    assert area(a) == here.sum() and shared_area(a, b) == both
    assert overlap(a, b) == pytest.approx(both / union if union else 0.0)
    assert inside(a, b) == pytest.approx(both / here.sum() if here.any() else 0.0)
    assert box_iou([a], [b])[0, 0] == overlap(a, b)


def test_every_box_with_every_other():
    a, b = (
        np.array([[0, 0, 2, 2], [4, 4, 6, 8]]),
        np.array([[0, 0, 2, 2], [4, 4, 6, 6], [9, 9, 9, 9]]),
    )
    assert box_iou(a, b).tolist() == [[1, 0, 0], [0, 0.5, 0]]
    assert box_iou(np.empty((0, 4)), b).shape == (0, 3)


def test_the_hull_holds_both():
    assert hull(np.array([0, 3, 2, 5]), np.array([1, 1, 9, 4])).tolist() == [0, 1, 9, 5]
    a, b = np.zeros((3, 1, 4)), np.ones((1, 2, 4))
    assert hull(a, b).shape == (3, 2, 4)


def test_a_box_inside_out_has_no_area():
    assert (
        area(np.array([5, 5, 2, 9])) == 0
        and shared_area(np.array([0, 0, 2, 2]), np.array([3, 3, 4, 4])) == 0
    )

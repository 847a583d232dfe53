"""What may teach the gallery, rule by rule."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking import habits
from instanceid_utils.tracking.habits import Habits, at_border, covered_share


def judge(habits, area, border=False, covered=0.0, id=1):
    good = habits.is_good([id], np.array([area]), np.array([border]), np.array([covered]))
    return bool(good[0])


@pytest.fixture
def known():
    """An instance of 1000 pixels, a fifth of it usually behind another one's box."""
    known = Habits()
    for t in range(10):
        known.observe([1], np.array([1000]), np.array([0.2]), time=t)
    return known


def test_an_unknown_instance_is_learned_from(known):
    assert judge(known, 3, border=True, covered=1.0, id=2)


def test_a_sliver_is_not(known):
    assert judge(known, 501) and not judge(known, 499)


def test_pixels_that_another_holds_too_show_another(known):
    every = np.full(3, 1000), np.zeros(3, bool), np.zeros(3), np.array([0.0, 0.39, 0.41])
    assert known.is_good([1, 1, 2], *every).tolist() == [True, True, False]


def test_at_the_border_more_must_be_seen(known):
    assert judge(known, 801, border=True) and not judge(known, 799, border=True)


def test_covered_is_measured_against_what_is_usual(known):
    assert judge(known, 1000, covered=0.45) and not judge(known, 1000, covered=0.55)


def test_a_lasting_change_becomes_usual(known):
    for t in range(10, 40):
        known.observe([1], np.array([300]), np.array([0.2]), time=t)
    assert judge(known, 300)


def test_forget_rename_resume(known):
    other = Habits()
    other.restore(json.loads(json.dumps(known.state())))
    assert other.state() == known.state()
    other.rename(1, 5)
    assert not judge(other, 100, id=5) and judge(other, 100, id=1)
    other.forget([5])
    assert judge(other, 100, id=5)


def test_habits_of_long_gone_instances_are_dropped(known):
    nothing = np.empty(0)
    for t in range(10, 700):
        known.observe([], nothing, nothing, time=t)
    assert known.state() == []


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_covered_share_against_counted_pixels(seed, n):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 8, (n, 2))], axis=1)
    grids = np.zeros((n, 20, 20), int)
    for grid, (left, top, right, bottom) in zip(grids, boxes):
        grid[top:bottom, left:right] = 1
    expected = [min(((grids.sum(0) - grid) * grid).sum() / grid.sum(), 1) for grid in grids]
    np.testing.assert_allclose(covered_share(boxes), expected)


def test_no_boxes():
    assert covered_share(np.empty((0, 4))).shape == (0,)


def test_thousands_of_boxes_as_a_few():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 300, (1000, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 20, (1000, 2))], axis=1)
    pairs = habits._shared_by_pairs(boxes)
    np.testing.assert_array_equal(habits._shared_by_counting(boxes), pairs)


def test_the_border_of_the_frame():
    boxes = np.array([[1, 1, 9, 9], [0, 1, 9, 9], [1, 0, 9, 9], [1, 1, 20, 9], [1, 1, 9, 10]])
    assert at_border(boxes, (10, 20)).tolist() == [False, True, True, True, True]

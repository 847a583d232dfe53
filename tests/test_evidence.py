"""What may teach the gallery, rule by rule."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.evidence import Evidence, at_border, covered_share


def judge(evidence, area, border=False, covered=0.0, id=1):
    good = evidence.is_good([id], np.array([area]), np.array([border]), np.array([covered]))
    return bool(good[0])


@pytest.fixture
def evidence():
    """An instance of 1000 pixels, a fifth of it usually behind another one's box."""
    evidence = Evidence()
    for t in range(10):
        evidence.observe([1], np.array([1000]), np.array([0.2]), time=t)
    return evidence


def test_an_unknown_instance_is_learned_from(evidence):
    assert judge(evidence, 3, border=True, covered=1.0, id=2)


def test_a_sliver_is_not(evidence):
    assert judge(evidence, 501) and not judge(evidence, 499)


def test_at_the_border_more_must_be_seen(evidence):
    assert judge(evidence, 801, border=True) and not judge(evidence, 799, border=True)


def test_covered_is_measured_against_what_is_usual(evidence):
    assert judge(evidence, 1000, covered=0.45) and not judge(evidence, 1000, covered=0.55)


def test_a_lasting_change_becomes_usual(evidence):
    for t in range(10, 40):
        evidence.observe([1], np.array([300]), np.array([0.2]), time=t)
    assert judge(evidence, 300)


def test_forget_rename_resume(evidence):
    other = Evidence()
    other.restore(json.loads(json.dumps(evidence.state())))
    assert other.state() == evidence.state()
    other.rename(1, 5)
    assert not judge(other, 100, id=5) and judge(other, 100, id=1)
    other.forget([5])
    assert judge(other, 100, id=5)


def test_habits_of_long_gone_instances_are_dropped(evidence):
    nothing = np.empty(0)
    for t in range(10, 700):
        evidence.observe([], nothing, nothing, time=t)
    assert evidence.state() == []


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_covered_share_against_counted_pixels(seed, n):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 12, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 8, (n, 2))], axis=1)
    grids = np.zeros((n, 20, 20), int)
    for grid, (left, top, right, bottom) in zip(grids, boxes):
        grid[top:bottom, left:right] = 1
    expected = [
        min(((grids.sum(0) - grid) * grid).sum() / grid.sum(), 1) for grid in grids
    ]
    np.testing.assert_allclose(covered_share(boxes), expected)


def test_no_boxes_and_thousands():
    assert covered_share(np.empty((0, 4))).shape == (0,)
    side = np.arange(2000) * 10
    apart = np.stack([side, side, side + 10, side + 10], axis=1)
    assert covered_share(apart).max() == 0


def test_the_border_of_the_frame():
    boxes = np.array([[1, 1, 9, 9], [0, 1, 9, 9], [1, 0, 9, 9], [1, 1, 20, 9], [1, 1, 9, 10]])
    assert at_border(boxes, (10, 20)).tolist() == [False, True, True, True, True]

"""Two that come as one, and one that comes as two: told by the boxes that were expected."""

import numpy as np
import pytest

from instanceid_utils.tracking.meetings import covered_pairs, fragments, merged
from instanceid_utils.tracking.place import NOWHERE, Expected


def expect(*boxes, ages=None):
    ids = np.arange(1, len(boxes) + 1)
    ages = np.ones(len(boxes), int) if ages is None else np.array(ages)
    return Expected(ids, np.array(boxes, float), ages)


LEFT, RIGHT = (0, 0, 20, 50), (18, 0, 38, 50)
BOTH = (0, 0, 38, 50)


def test_a_segment_round_two_expected_ones_is_merged():
    assert merged(np.array([BOTH]), np.array([1]), expect(LEFT, RIGHT)).tolist() == [True]


def test_not_if_the_other_one_has_a_segment_of_its_own():
    boxes, ids = np.array([BOTH, RIGHT]), np.array([1, 2])
    assert merged(boxes, ids, expect(LEFT, RIGHT)).tolist() == [False, False]


def test_who_walks_before_another_is_not_merged_with_him():
    behind = (4, 2, 18, 48)
    assert merged(np.array([LEFT]), np.array([1]), expect(LEFT, behind)).tolist() == [False]


def test_who_comes_to_where_somebody_is_missed_is_not_merged_with_him():
    away = (200, 0, 220, 50)
    assert merged(np.array([LEFT]), np.array([1]), expect(away, LEFT)).tolist() == [False]


@pytest.mark.parametrize("age, expected", [(30, True), (31, False)])
def test_who_was_not_seen_for_long_is_not_looked_for(age, expected):
    places = expect(LEFT, RIGHT, ages=[1, age])
    assert merged(np.array([BOTH]), np.array([1]), places).tolist() == [expected]


def test_a_newcomer_and_one_whose_place_is_not_known_are_not_merged():
    boxes, ids = np.array([BOTH, BOTH]), np.array([-1, 9])
    assert merged(boxes, ids, expect(LEFT, RIGHT)).tolist() == [False, False]


def test_a_segment_that_looks_like_neither_covers_both():
    third = (60, 0, 80, 50)
    places = expect(LEFT, RIGHT, third)
    assert covered_pairs(np.array([BOTH]), np.array([-1]), places) == {0: (1, 2)}
    assert covered_pairs(np.array([LEFT]), np.array([-1]), places) == {}  # one of them alone
    assert covered_pairs(np.array([BOTH, RIGHT]), np.array([-1, 2]), places) == {}
    assert covered_pairs(np.array([BOTH]), np.array([1]), places) == {}


UPPER, LOWER = (0, 0, 20, 24), (0, 26, 20, 50)


def test_the_rest_of_somebody_who_came_in_two_parts_is_a_fragment():
    boxes, ids = np.array([LOWER, UPPER]), np.array([1, -1])
    assert fragments(boxes, ids, expect(LEFT)).tolist() == [False, True]


def test_who_comes_out_before_somebody_whole_is_no_fragment():
    boxes, ids = np.array([LEFT, LOWER]), np.array([1, -1])
    assert fragments(boxes, ids, expect(LEFT)).tolist() == [False, False]


def test_who_stands_where_somebody_was_that_is_elsewhere_now_is_no_fragment():
    boxes, ids = np.array([(200, 0, 220, 50), LEFT]), np.array([1, -1])
    assert fragments(boxes, ids, expect(LEFT)).tolist() == [False, False]


def test_a_newcomer_beside_is_no_fragment():
    boxes, ids = np.array([UPPER, (30, 0, 50, 50)]), np.array([1, -1])
    assert fragments(boxes, ids, expect(LEFT)).tolist() == [False, False]


def test_of_one_who_was_not_seen_the_frame_before_nothing_is_a_fragment():
    boxes, ids = np.array([LOWER, UPPER]), np.array([1, -1])
    assert fragments(boxes, ids, expect(LEFT, ages=[2])).tolist() == [False, False]


def test_nobody_expected_and_nobody_there():
    assert covered_pairs(np.array([LEFT]), np.array([-1]), NOWHERE) == {}
    for function in (merged, fragments):
        assert function(np.array([LEFT]), np.array([1]), NOWHERE).tolist() == [False]
        assert function(np.zeros((0, 4)), np.zeros(0, int), expect(LEFT)).tolist() == []

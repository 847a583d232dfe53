"""Places: motion, errors, how well they are foreseen, resuming."""

import json

import numpy as np
import pytest

from instanceid_utils.tracking.place import NOWHERE, PlaceMemory, place_errors


def walk(memory, n=5, step=4, id=7):
    for t in range(n):
        memory.observe([id], [[t * step, 0, t * step + 10, 10]], time=t)


def error_of(memory, box, time, id=7):
    known, errors, _, _ = memory.expect(time).compare(np.array([box]), np.array([[id]]))
    assert known[0, 0]
    return errors[0, 0]


def test_a_steady_walk_is_foreseen():
    memory = PlaceMemory()
    walk(memory)
    assert error_of(memory, [20, 0, 30, 10], 5) == pytest.approx(0)
    assert error_of(memory, [16, 0, 26, 10], 5) == pytest.approx(0.4)  # of its size


def test_an_error_is_that_of_the_centre_or_of_the_best_corner():
    whole = np.array([0.0, 0, 20, 40])
    assert place_errors(np.array([0.0, 0, 20, 10]), whole) == 0  # the lower part is hidden
    middle = np.array([5.0, 10, 15, 30])  # all edges moved, the centre did not
    assert place_errors(middle, whole) == 0
    away = place_errors(whole + 30, whole)
    assert away == pytest.approx(30 * 2**0.5 / (20 * 40) ** 0.5)
    assert place_errors(2 * (whole + 30), 2 * whole) == pytest.approx(away)


def test_the_memory_empties():
    memory = PlaceMemory(memory=5)
    memory.observe([7], [[0, 0, 10, 10]], time=0)
    memory.observe([], np.empty((0, 4)), time=4)
    assert len(memory) == 1 and memory.expect(5).ages.tolist() == [5]
    memory.observe([], np.empty((0, 4)), time=5)
    assert len(memory) == 0


def test_velocity_dies_away_while_unseen():
    memory = PlaceMemory()
    walk(memory)  # 4 pixels an update, last seen at 16; 4 * (1 + 1/2 + 1/4 + ...) = 8 more
    lefts = [memory.expect(4 + age).boxes_tlbr[0, 0] for age in (1, 2, 40)]
    assert lefts == pytest.approx([20, 22, 24], abs=1e-6)


def test_how_well_places_are_foreseen_is_measured_on_those_who_are_sure():
    memory = PlaceMemory()
    assert memory.width == 0.1
    for t in range(80):  # to and fro by 1, never foreseen
        box = [[t % 2, 0, t % 2 + 10, 10], [3 * t, 50, 3 * t + 10, 60]]
        memory.observe([1, 2], box, t, sure=[False, t > 1])
    assert memory.width == 0.01  # the steady one alone counts
    for t in range(80, 160):
        memory.observe([1], [[t % 2, 0, t % 2 + 10, 10]], t, sure=[True])
    assert 0.05 < memory.width < 0.2


def test_the_nearest_come_first_and_no_more_than_k():
    memory = PlaceMemory()
    memory.observe([1, 2, 3], [[0, 0, 10, 10], [5, 0, 15, 10], [200, 0, 210, 10]], time=0)
    near = memory.expect(1).nearest(np.array([[4, 0, 14, 10], [500, 0, 510, 10]]), k=2)
    assert near.tolist() == [[2, 1], [3, 2]]


def test_who_is_not_known_is_said():
    memory = PlaceMemory()
    memory.observe([3], [[0, 0, 10, 10]], time=0)
    ids = np.array([[3, 4, -1], [1, 3, 9]])
    known, errors, ages, changes = memory.expect(1).compare(np.array([[0, 0, 10, 20]] * 2), ids)
    assert known.tolist() == [[True, False, False], [False, True, False]]
    assert changes[known] == pytest.approx(np.log(2)) and (ages[known] == 1).all()
    assert errors.shape == ages.shape == (2, 3)


def test_nobody_is_expected():
    for expected in (NOWHERE, PlaceMemory().expect(5)):
        assert expected.nearest(np.zeros((3, 4))).shape == (3, 0)
        known = expected.compare(np.zeros((3, 4)), np.ones((3, 2), int))[0]
        assert known.shape == (3, 2) and not known.any()


def test_thousands_of_boxes_in_pieces_as_in_one():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 500, (600, 2))
    boxes = np.concatenate([corner, corner + 20], axis=1)
    memory = PlaceMemory()
    memory.observe(range(1, 601), boxes, time=0)
    expected = memory.expect(1)
    near = expected.nearest(boxes)
    assert (expected.compare(boxes, near)[1][:, 0] == 0).all()
    assert (expected.nearest(boxes[300:301]) == near[300]).all()


def test_forget_and_rename():
    memory = PlaceMemory()
    memory.observe([1, 2], [[0, 0, 10, 10], [50, 0, 60, 10]], time=0)
    memory.rename(2, 9)
    assert memory.expect(1).ids.tolist() == [1, 9]
    memory.observe([1], [[2, 0, 12, 10]], time=1)
    memory.rename(9, 1)  # 1 was seen later: its own place stays
    assert error_of(memory, [4, 0, 14, 10], 2, id=1) == pytest.approx(0)
    memory.forget([1])
    assert len(memory) == 0


def test_resume_through_json():
    memory = PlaceMemory()
    walk(memory)
    other = PlaceMemory()
    other.restore(json.loads(json.dumps(memory.state())))
    for m in (memory, other):
        m.observe([7], [[21, 0, 31, 10]], time=5, sure=[True])
    assert other.state() == memory.state() and other.width == memory.width


def test_a_state_of_before_errors_were_measured():
    memory = PlaceMemory()
    walk(memory)
    other = PlaceMemory()
    other.restore(memory.state()["seen"])
    assert other.expect(5).boxes_tlbr.tolist() == memory.expect(5).boxes_tlbr.tolist()
    assert other.width == 0.1


def test_only_who_was_seen_an_update_ago_says_how_well_places_are_foreseen():
    memory = PlaceMemory()
    before = memory.width
    memory.observe([1], [[0, 0, 10, 10]], 0, [True])
    for time in range(5, 60, 5):  # far from where it was, after a while unseen
        memory.observe([1], [[9 * time, 0, 9 * time + 10, 10]], time, [True])
    assert memory.width == before
    memory.observe([1], [[900, 0, 910, 10]], 56, [True])
    for time in range(57, 70):
        memory.observe([1], [[900 + 90 * (time % 2), 0, 910 + 90 * (time % 2), 10]], time, [True])
    assert memory.width > 2 * before


def test_a_velocity_is_that_of_one_update():
    memory = PlaceMemory()
    memory.observe([1], [[0, 0, 10, 10]], 0)
    memory.observe([1], [[12, 0, 22, 10]], 3)  # 12 pixels in three updates
    np.testing.assert_allclose(memory.expect(4).boxes_tlbr, [[16, 0, 26, 10]])

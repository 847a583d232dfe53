"""Places: overlap against a count of pixels, motion, fading, resuming."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking.place import PlaceMemory, box_iou

boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@given(a=boxes, b=boxes)
@settings(max_examples=80, deadline=None)
def test_iou_against_counted_pixels(a, b):
    grids = []
    for left, top, right, bottom in (a, b):
        grid = np.zeros((12, 12), bool)
        grid[top:bottom, left:right] = True
        grids.append(grid)
    union = (grids[0] | grids[1]).sum()
    expected = (grids[0] & grids[1]).sum() / union if union else 0.0
    assert box_iou([a], [b])[0, 0] == pytest.approx(expected)


def test_a_buffer_reaches_further_and_keeps_the_order():
    near, far = box_iou([[0, 0, 10, 10]], [[11, 0, 21, 10], [16, 0, 26, 10]], buffer=0.5)[0]
    assert near > far > 0
    assert box_iou([[0, 0, 10, 10]], [[0, 0, 10, 10]], buffer=0.5)[0, 0] == 1


def test_no_boxes():
    assert box_iou(np.empty((0, 4)), [[0, 0, 1, 1]]).shape == (0, 1)
    ids, place = PlaceMemory().match(np.zeros((3, 4)), time=5)
    assert ids.shape == place.shape == (3, 0)


def walk(memory, n=5, step=4, id=7):
    for t in range(n):
        memory.observe([id], [[t * step, 0, t * step + 10, 10]], time=t)


def place_of(memory, box, time):
    return memory.match(np.array([box]), time)[1][0, 0]


def test_a_steady_walk_is_foreseen():
    memory = PlaceMemory()
    walk(memory)
    assert place_of(memory, [20, 0, 30, 10], 5) == pytest.approx(1)
    assert place_of(memory, [16, 0, 26, 10], 5) < 1


def test_trust_fades_and_the_memory_empties():
    memory = PlaceMemory(fade=0.5)
    memory.observe([7], [[0, 0, 10, 10]], time=0)
    trust = [place_of(memory, [0, 0, 10, 10], t) for t in (1, 2, 3)]
    assert trust == pytest.approx([1, 0.5, 0.25])
    memory.observe([], np.empty((0, 4)), time=6)
    assert len(memory) == 1
    memory.observe([], np.empty((0, 4)), time=7)
    assert len(memory) == 0


def test_velocity_dies_away_while_unseen():
    memory = PlaceMemory(fade=0.9)
    walk(memory)  # 4 pixels an update, last seen at 16; 4 * (1 + 1/2 + 1/4 + ...) = 8 more
    far = 40
    boxes = np.array([[left, 0, left + 10, 10] for left in range(60)])
    best = [memory.match(boxes, 4 + age)[1][:, 0].argmax() for age in (1, 2, far)]
    assert best == [20, 22, 24]


def test_the_best_placed_come_first_and_no_more_than_k():
    memory = PlaceMemory()
    memory.observe([1, 2, 3], [[0, 0, 10, 10], [5, 0, 15, 10], [200, 0, 210, 10]], time=0)
    ids, place = memory.match(np.array([[4, 0, 14, 10], [500, 0, 510, 10]]), 1, k=2)
    assert ids.tolist() == [[2, 1], [-1, -1]]
    assert (np.diff(place[0]) < 0).all() and place[1].tolist() == [0, 0]


def test_thousands_of_boxes_in_pieces_as_in_one():
    rng = np.random.default_rng(0)
    corner = rng.integers(0, 500, (600, 2))
    boxes = np.concatenate([corner, corner + 20], axis=1)
    memory = PlaceMemory()
    memory.observe(range(1, 601), boxes, time=0)
    ids, place = memory.match(boxes, 1)
    assert place.max(axis=1).tolist() == [1] * 600
    one = memory.match(boxes[300:301], 1)
    assert (one[0] == ids[300]).all() and (one[1] == place[300]).all()


def test_forget_and_rename():
    memory = PlaceMemory()
    memory.observe([1, 2], [[0, 0, 10, 10], [50, 0, 60, 10]], time=0)
    memory.rename(2, 9)
    assert memory.match(np.array([[50, 0, 60, 10]]), 1)[0][0, 0] == 9
    memory.observe([1], [[2, 0, 12, 10]], time=1)
    memory.rename(9, 1)  # 1 was seen later: its own place stays
    assert place_of(memory, [4, 0, 14, 10], 2) == pytest.approx(1)
    memory.forget([1])
    assert len(memory) == 0


def test_resume_through_json():
    memory = PlaceMemory()
    walk(memory)
    other = PlaceMemory()
    other.restore(json.loads(json.dumps(memory.state())))
    for m in (memory, other):
        m.observe([7], [[21, 0, 31, 10]], time=5)
    assert other.state() == memory.state()

"""An ID keeps its class, wherever its numbers go; what has no class is ruled out by none."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanceid_utils.tracking.candidates import Candidates
from instanceid_utils.tracking.classes import ClassMemory
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import GREEN, RED, ColourEmbedder, paint


def update(tracker, classes, *things):
    return tracker.update(*paint(*things), classes=classes)


A, B = (1, RED, 10, 10, 30, 40), (2, RED, 120, 10, 30, 40)  # look alike


def test_an_id_never_crosses_classes():
    tracker = InstanceID(ColourEmbedder(), place_cue=False)
    first = update(tracker, ["car", "dog"], A, B)
    assert first.ids.tolist() == [1, 2]
    assert [d.category for d in first.decisions] == ["car", "dog"]
    for _ in range(3):
        swapped = update(tracker, ["dog", "car"], A, B)
        assert swapped.ids.tolist() == [2, 1], "as alike as they are, the class decides"
    assert update(tracker, ["cat"], A).ids.tolist() == [3]


def test_unless_it_may():
    tracker = InstanceID(ColourEmbedder(), across_classes=True)
    update(tracker, ["car"], A)
    assert update(tracker, ["truck"], A).ids.tolist() == [1]


def test_no_class_rules_nothing_out():
    tracker = InstanceID(ColourEmbedder())
    update(tracker, [3], A)
    assert tracker.update(*paint(A)).ids.tolist() == [1]
    assert update(tracker, [3], A).ids.tolist() == [1]


def test_the_right_one_is_found_behind_many_of_another_class():
    tracker = InstanceID(ColourEmbedder(), place_cue=False, n_neighbours=1)
    update(tracker, ["dog"], (1, (200, 24, 20), 10, 10, 30, 40))
    for k in range(8):
        tracker.gallery.add([tracker.gallery.new_id()], tracker.observe(*paint(A)).vectors)
        tracker._classes.observe([k + 2], ["car"])
    assert update(tracker, ["dog"], A).ids.tolist() == [1]


def test_classes_follow_merge_forget_save_and_load(tmp_path):
    tracker = InstanceID(ColourEmbedder(), place_cue=False)
    update(tracker, ["car", "dog"], A, (2, GREEN, 120, 10, 30, 40))
    tracker.save(tmp_path)
    again = InstanceID.load(tmp_path, ColourEmbedder())
    assert update(again, ["dog"], A).ids.tolist() == [3], "ID 1 is a car"
    tracker.merge(2, 1)
    assert tracker._classes.state() == [[2, "dog"]]
    tracker.forget(2)
    assert tracker._classes.state() == []


def test_state_is_json():
    memory = ClassMemory()
    memory.observe(np.array([4, 9]), [1, None])
    other = ClassMemory()
    other.restore(json.loads(json.dumps(memory.state())))
    assert other.state() == [[4, 1]]


def test_lengths_that_disagree_change_nothing():
    tracker = InstanceID(ColourEmbedder())
    with pytest.raises(ValueError, match="classes: expected one for each of 2"):
        tracker.update(np.zeros((20, 20, 3), np.uint8), boxes=[[1, 1, 5, 5]] * 2, classes=["a"])
    assert len(tracker.gallery) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("observe"), st.integers(1, 5), st.sampled_from([None, "a", "b", 3])),
            st.tuples(st.just("forget"), st.integers(1, 5)),
            st.tuples(st.just("rename"), st.integers(1, 5), st.integers(1, 5)),
            st.tuples(st.just("restore")),
        )
    )
)
def test_whether_there_are_several_classes_is_what_a_look_at_all_would_say(calls):
    memory = ClassMemory()
    for name, *values in calls:
        if name == "observe":
            memory.observe([values[0]], [values[1]])
        elif name == "forget":
            memory.forget(values)
        elif name == "rename":
            memory.rename(*values)
        else:
            memory, before = ClassMemory(), memory
            memory.restore(json.loads(json.dumps(before.state())))
        assert memory.several == (len({kind for _, kind in memory.state()}) > 1)


def test_what_speaks_for_the_others_stays():
    """Taking candidates out must not lose what looks and place said of those that are left."""
    memory = ClassMemory()
    memory.observe([7, 8], ["car", "dog"])
    parts = {"place": np.array([[1.0, 2.0]])}
    found = Candidates(np.array([[7, 8]]), np.array([[0.1, 0.2]]), np.zeros((1, 2)), parts)
    left = memory.exclude(found, ["dog"])
    assert left.ids.tolist() == [[-1, 8]] and left.parts is parts

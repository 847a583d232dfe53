"""Corrections by hand: what they do, that they survive another threshold, and that they last."""

import csv
import json

import numpy as np
import pytest

from instanceid_utils.evaluation.repeated_decisions import record
from instanceid_utils.lab.review import Review
from instanceid_utils.tracking.tracker import InstanceID
from tests.moving_shapes import HueEmbedder, Video

VIDEO = Video(9, seen=((0, 9), (0, 9), (4, 9)))


def observe(video=VIDEO):
    return record(HueEmbedder(), ((video[t], video.label_map(t)) for t in range(len(video))))


@pytest.fixture(scope="module")
def observations():
    return observe()


@pytest.fixture
def review(observations):
    return Review(observations, HueEmbedder())


def as_lists(review):
    return [ids.tolist() for ids in review.ids]


def test_a_review_begins_with_what_the_tracker_says(review, observations):
    tracker = InstanceID(HueEmbedder())
    assert as_lists(review) == [tracker.decide(o).ids.tolist() for o in observations]
    assert review.all_ids == [1, 2, 3] and review.threshold == HueEmbedder.threshold
    assert len(review) == 9 and review.cuts == []


def test_merge_makes_two_ids_one_everywhere(review):
    review.decide(1e-6)  # everything is new in every frame
    first, later = int(review.ids[0][0]), int(review.ids[1][0])
    n = len(review.tracker.gallery)
    review.merge(first, later)
    assert review.ids[1][0] == first and later not in review.all_ids
    assert later not in review.tracker.gallery and len(review.tracker.gallery) == n - 1
    assert review.decision(1, 0).id == first
    assert later not in [i for i, _ in review.decision(2, 0).neighbours]


def test_two_ids_seen_together_are_not_merged(review):
    before = as_lists(review)
    with pytest.raises(ValueError, match="1 and 2 are both seen in frame 0"):
        review.merge(1, 2)
    for pair in ((1, 99), (99, 1), (1, 1)):
        with pytest.raises(ValueError, match="expected"):
            review.merge(*pair)
    assert as_lists(review) == before and review.edits == []


def test_edits_follow_their_objects_to_another_threshold(review):
    review.decide(1e-6)
    review.merge(int(review.ids[0][1]), int(review.ids[5][1]))
    review.rename(int(review.ids[5][1]), "blue")
    review.rename(int(review.ids[4][2]), "green")
    review.decide(0.3)  # now every object keeps its ID anyway
    assert as_lists(review)[-1] == [1, 2, 3] and review.names == {2: "blue", 3: "green"}
    review.decide(1e-6)
    assert review.ids[0][1] == review.ids[5][1] != review.ids[3][1]
    assert review.names[int(review.ids[5][1])] == "blue"


def test_a_merge_that_another_threshold_makes_impossible_is_passed_over(review):
    review.decide(1e-6)
    review.merge(int(review.ids[0][0]), int(review.ids[1][1]))  # red and blue: an error by hand
    review.decide(0.3)
    assert as_lists(review)[0] == [1, 2]


def test_undo_takes_back_the_last_edit(review):
    before = as_lists(review)
    review.rename(1, "red")
    review.rename(2, "blue")
    review.undo()
    assert review.names == {1: "red"}
    review.undo()
    assert review.names == {} and as_lists(review) == before
    assert review.undo() is None


def test_an_empty_name_takes_the_name_away(review):
    review.rename(1, "red")
    review.rename(1, " ")
    assert review.names == {}


def test_a_merge_keeps_a_name(review):
    review.decide(1e-6)
    one, other = int(review.ids[0][0]), int(review.ids[1][0])
    review.rename(other, "red")
    review.merge(one, other)
    assert review.names == {one: "red"}


def test_what_is_saved_comes_back(review, observations, tmp_path):
    review.decide(1e-6)
    review.merge(int(review.ids[0][0]), int(review.ids[1][0]))
    review.rename(int(review.ids[0][0]), "Röd, <1>")
    review.save(tmp_path)
    again = Review(observations, HueEmbedder())
    again.load(tmp_path)
    assert as_lists(again) == as_lists(review)
    assert again.names == review.names and again.threshold == 1e-6
    with open(tmp_path / "ids.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == np.concatenate(review.ids).tolist()
    assert rows[0]["name"] == "Röd, <1>" and rows[0]["reason"] == "new"


def test_a_saved_tracker_goes_on_with_the_merged_gallery(review, tmp_path):
    review.decide(1e-6)
    for t in range(1, 9):
        review.merge(int(review.ids[0][0]), int(review.ids[t][0]))
    review.save(tmp_path)
    tracker = InstanceID.load(tmp_path / "tracker", HueEmbedder())
    tracker.threshold = 0.3
    tracker.new_video()
    assert tracker.update(VIDEO[0], VIDEO.label_map(0)).ids[0] == review.ids[0][0]


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "{}",
        "[]",
        '{"threshold": "wide", "edits": []}',
        '{"threshold": 0.3, "edits": [["merge", [0, 0]]]}',
        '{"threshold": 0.3, "edits": [["name", [99, 0], "of another video"]]}',
        '{"threshold": 0.3, "edits": [["merge", [0, 0], [0, 9]]]}',
        '{"threshold": 5.0, "edits": []}',
    ],
)
def test_edits_that_do_not_belong_here_change_nothing(review, tmp_path, text):
    review.rename(1, "red")
    before = as_lists(review), dict(review.names), review.threshold, json.dumps(review.edits)
    (tmp_path / "edits.json").write_text(text)
    with pytest.raises(ValueError, match="edits.json|threshold"):
        review.load(tmp_path)
    after = as_lists(review), dict(review.names), review.threshold, json.dumps(review.edits)
    assert after == before


def test_a_gallery_is_refused(observations):
    with pytest.raises(ValueError, match="gallery"):
        Review(observations, HueEmbedder(), gallery=InstanceID(HueEmbedder()).gallery)


def test_who_was_seen_once_long_ago_can_still_be_merged():
    """A tracker forgets an ID that was not confirmed; under review a person decides."""
    seen = ((0, 9), (0, 9)), ((0, 9),), ((0, 9), (9, 9), (0, 9))
    both, alone, late = (Video(seen=each) for each in seen)
    shown = [(both, 0)] + 40 * [(alone, 1)] + [(late, 2)]
    frames = ((video[t], video.label_map(t)) for video, t in shown)
    review = Review(record(HueEmbedder(), frames), HueEmbedder())
    (once,) = set(review.ids[0].tolist()) - set(review.ids[20].tolist())
    (last,) = set(review.ids[-1].tolist()) - set(review.ids[20].tolist())
    assert once != last
    review.merge(last, once)
    assert last in review.ids[0] and once not in review.all_ids

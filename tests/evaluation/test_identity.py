"""Scores against worked examples and a search through all assignments."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.evaluation.identity import (
    COLUMNS,
    MORE_COLUMNS,
    IdentityScorer,
    mask_iou,
    score_table,
)
from instanceid_utils.evaluation.overlaps import Overlaps, mask_overlaps
from instanceid_utils.segments.segments import find_segments


def scored(frames):
    scorer = IdentityScorer()
    for truth, predicted in frames:
        scorer.add_ids(truth, predicted)
    return scorer.scores()


def test_perfect_up_to_the_names():
    scores = scored([([1, 2], [70, 5])] * 4)
    assert {k: scores[k] for k in ("IDF1", "MOTA", "HOTA", "DetA", "AssA")} == dict.fromkeys(
        ("IDF1", "MOTA", "HOTA", "DetA", "AssA"), pytest.approx(1)
    )
    assert scores["switches"] == 0 and scores["segments"] == 8 and scores["ids"] == 2


def test_a_worked_example():
    # Ten frames, one object, the ID changes after six: IDTP 6, AssA (6*6/10 + 4*4/10) / 10.
    scores = scored([([1], [1])] * 6 + [([1], [2])] * 4)
    assert scores["IDF1"] == pytest.approx(0.6)
    assert scores["switches"] == 1
    assert scores["MOTA"] == pytest.approx(0.9)
    assert scores["DetA"] == pytest.approx(1)
    assert scores["AssA"] == pytest.approx(0.52)
    assert scores["HOTA"] == pytest.approx(np.sqrt(0.52))


@given(
    frames=st.lists(
        st.tuples(st.permutations([1, 2, 3]), st.permutations([1, 2, 3, 4])), min_size=1, max_size=8
    )
)
@settings(max_examples=25, deadline=None)
def test_idf1_against_all_assignments(frames):
    frames = [(list(t), list(p)[:3]) for t, p in frames]
    best = max(
        sum(names[t - 1] == p for truth, predicted in frames for t, p in zip(truth, predicted))
        for names in itertools.permutations([1, 2, 3, 4], 3)
    )
    assert scored(frames)["IDF1"] == pytest.approx(best / (3 * len(frames)))


def test_no_prediction_and_no_object():
    scores = scored([([1, 2], [7, -1]), ([1, 0], [7, 3])])
    assert scores["segments"] == 3
    assert scores["IDF1"] == pytest.approx(2 * 2 / (3 + 3))


def test_a_new_video_has_other_identities():
    scorer = IdentityScorer()
    scorer.add_ids([1], [1])
    scorer.new_video()
    scorer.add_ids([1], [1])
    assert scorer.scores()["identities"] == scorer.scores()["ids"] == 2


def test_a_frame_without_annotation_does_not_count():
    scorer = IdentityScorer()
    truth = np.zeros((8, 8), int)
    truth[2:6, 2:6] = 1
    scorer.add_maps(truth, truth * 5)
    scorer.add_maps(None, truth * 6)
    scorer.add_maps(truth, truth * 5)
    assert scorer.scores()["IDF1"] == 1 and scorer.scores()["segments"] == 2


def test_predicted_masks_are_matched_by_overlap():
    truth = np.zeros((10, 10), int)
    truth[:, :8] = 3
    predicted = np.zeros((10, 10), int)
    predicted[:6, :8] = 1  # IoU 0.6
    scorer = IdentityScorer()
    scorer.add_maps(truth, predicted)
    scores = scorer.scores()
    assert scores["IDF1"] == 1
    assert scores["DetA"] == pytest.approx(12 / 19)  # thresholds 0.05 to 0.60 of 0.05 to 0.95
    strict = IdentityScorer(min_iou=0.7)
    strict.add_maps(truth, predicted)
    assert strict.scores()["IDF1"] == 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_mask_iou_against_loops(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, 5, 6))
    truth_ids, predicted_ids, iou = mask_iou(truth, predicted * 7)
    assert iou.shape == (len(truth_ids), len(predicted_ids))
    for (i, t), (j, p) in itertools.product(enumerate(truth_ids), enumerate(predicted_ids)):
        a, b = truth == t, predicted * 7 == p
        assert iou[i, j] == pytest.approx((a & b).sum() / (a | b).sum())


def test_bad_input():
    scorer = IdentityScorer()
    with pytest.raises(ValueError, match="as many"):
        scorer.add_ids([1, 2], [1])
    with pytest.raises(ValueError, match="predicted ID stands twice"):
        scorer.add_ids([1, 2], [1, 1])
    with pytest.raises(ValueError, match="size"):
        scorer.add_maps(np.zeros((2, 3), int), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="predicted_map"):
        scorer.add_maps(np.zeros((2, 3), int), np.zeros((2, 3)))
    assert scorer.scores()["segments"] == 0 and np.isnan(scorer.scores()["IDF1"])


def test_the_table():
    good, bad = IdentityScorer(), IdentityScorer()
    for t in range(4):
        good.add_ids([1], [1])
        bad.add_ids([1], [t + 1])
    table = score_table({"good": good, "bad": bad})
    assert list(table.columns) == list(COLUMNS) and list(table.index) == ["good", "bad"]
    assert table.loc["good", "IDF1"] == 1 and table.loc["bad", "IDF1"] == 0.25
    assert table.loc["bad", "switches"] == 3


def found_in(*masks):
    return find_segments(np.array(masks, bool))


def test_masks_that_overlap():
    truth = np.array([[1, 1, 1, 1, 2, 2, 2, 2]])
    one, both = [[1, 1, 1, 1, 0, 0, 0, 0]], [[1, 1, 1, 1, 1, 1, 0, 0]]
    other = [[0, 0, 0, 0, 1, 1, 1, 0]]
    overlaps = mask_overlaps(truth, found_in(one, both, other))
    np.testing.assert_allclose(overlaps.iou(), [[1, 4 / 6, 0], [0, 2 / 8, 3 / 4]])
    scorer = IdentityScorer()
    scorer.add_segments(truth, found_in(one, both, other), [7, 8, 9])
    scores = scorer.scores()
    assert scores["IDF1"] == scorer.bound() == pytest.approx(2 * 2 / (2 + 3))
    assert scorer.purity() == 1


def test_fragments_with_one_id_are_one_object():
    truth = np.array([[1, 1, 1, 1]])
    halves = found_in([[1, 1, 0, 0]], [[0, 0, 1, 1]])
    one, two = IdentityScorer(), IdentityScorer()
    one.add_segments(truth, halves, [5, 5])
    two.add_segments(truth, halves, [5, 6])
    assert one.scores()["IDF1"] == 1 and one.scores()["ids"] == 1
    assert two.scores()["IDF1"] == pytest.approx(2 / 3)


def test_boxes_are_hits_from_an_iou_of_one_half_on():
    scorer = IdentityScorer()
    scorer.add_boxes(
        [1, 2], [[0, 0, 10, 10], [20, 0, 30, 10]], [[0, 0, 10, 5], [20, 0, 30, 4]], [1, 2]
    )
    assert scorer.bound() == scorer.scores()["IDF1"] == 0.5


def test_no_tracker_exceeds_the_bound_and_what_was_not_given_an_id_counts():
    truth = [[0, 0, 10, 10]]
    scorer = IdentityScorer()
    for ids in ([1, 2], [1, -1], [3, 2]):
        scorer.add_boxes([4], truth, [[0, 0, 10, 9], [50, 0, 60, 10]], ids)
    assert scorer.bound() == pytest.approx(2 * 3 / (3 + 6))
    assert scorer.scores()["IDF1"] == pytest.approx(2 * 2 / (3 + 5))


def test_the_bound_has_as_many_hits_as_there_can_be():
    iou = np.array([[0.9, 0.51], [0.51, 0.45]])  # the largest sum would be a hit and a miss
    hundred = np.full(2, 100)
    scorer = IdentityScorer()
    scorer.add_overlaps(Overlaps(np.array([1, 2]), hundred, hundred, 200 * iou / (1 + iou)), [1, 2])
    assert scorer.bound() == 1


def test_purity_is_the_share_of_hits_on_the_main_identity():
    mixed, cut = IdentityScorer(), IdentityScorer()
    for t in range(10):
        mixed.add_ids([1, 2], [5, 6] if t < 6 else [6, 5])
        cut.add_ids([1, 2], [5, 6] if t < 6 else [7, 8])
    assert mixed.purity() == pytest.approx(0.6) and cut.purity() == 1
    assert mixed.bound() == cut.bound() == 1
    table = score_table({"mixed": mixed}, [*COLUMNS, *MORE_COLUMNS])
    assert table.loc["mixed", "purity"] == 0.6 and list(table.columns)[-1] == "bound"


def test_nothing_to_be_pure():
    assert np.isnan(IdentityScorer().purity()) and np.isnan(IdentityScorer().bound())


def test_an_id_for_each_object_found():
    scorer = IdentityScorer()
    with pytest.raises(ValueError, match="expected 1 predicted"):
        scorer.add_boxes([1], [[0, 0, 1, 1]], [[0, 0, 1, 1]], [1, 2])
    with pytest.raises(ValueError, match="true IDs"):
        scorer.add_boxes([1, 2], [[0, 0, 1, 1]], [[0, 0, 1, 1]], [1])
    with pytest.raises(ValueError, match="frame of"):
        scorer.add_segments(np.zeros((3, 3), int), found_in([[1]]), [1])
    assert np.isnan(scorer.bound())

"""Provisional IDs: opened in the band, settled by what follows, reported as relabelled."""

import json

import numpy as np
import pytest

from instanceid_utils.tracking.abstention import Abstention, final_id
from instanceid_utils.tracking.candidates import Candidates
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import GREEN, RED, ColourEmbedder, show


def row(*costs):
    costs = np.array([costs], float)
    return Candidates(1 + np.arange(costs.size)[None], costs, np.zeros_like(costs))


@pytest.mark.parametrize(
    ("costs", "ambiguous"),
    [
        ((0.10, 0.90), False),  # clear
        ((0.45, 0.90), True),  # just below the threshold
        ((0.55, 0.90), True),  # just above
        ((0.80, 0.90), False),  # clearly new
        ((0.20, 0.22), True),  # two candidates
        ((0.20, 0.52), False),  # the second is none
        ((), False),
    ],
)
def test_what_is_ambiguous(costs, ambiguous):
    abstention = Abstention(3, band=0.15)
    assert abstention.is_ambiguous(row(*costs), 0.5).tolist() == [ambiguous]
    assert not Abstention(0).is_ambiguous(row(*costs), 0.5).any()


def test_a_provisional_id_is_no_rival_and_is_followed():
    abstention = Abstention(3, band=0.15)
    abstention.open(2, dict.fromkeys([1], 0.0), time=0)
    assert not abstention.is_ambiguous(row(0.20, 0.22), 0.5).any()
    assert not abstention.is_ambiguous(row(0.48, 0.20), 0.5).any()
    assert abstention.is_ambiguous(row(0.48, 0.60), 0.5).all()


def observe(abstention, ids, candidates, distances):
    distances = np.array(distances, float)
    abstention.observe(ids, Candidates(np.array(candidates), distances, np.zeros_like(distances)))


def test_settled_by_the_mean_distance_when_due():
    abstention = Abstention(3)
    abstention.open(9, dict.fromkeys([1, 2], 0.0), time=0)
    for d1, d2 in ((0.55, 0.40), (0.3, 0.6), (0.3, 0.6)):
        observe(abstention, [9], [[1, 2]], [[d1, d2]])
    assert abstention.settle(2, 0.5, {1, 2, 9}) == {}
    assert 9 in abstention
    assert abstention.settle(3, 0.5, {1, 2, 9}) == {9: 1}
    assert 9 not in abstention


def test_stays_new_when_no_candidate_is_near_enough_or_left():
    for distances, known in (([0.6, 0.7], {1, 2, 9}), ([0.1, 0.7], {2, 9}), ([0.1, 0.2], {1, 2})):
        abstention = Abstention(1)
        abstention.open(9, dict.fromkeys([1, 2], 0.0), time=0)
        observe(abstention, [9], [[1, 2]], [distances])
        assert abstention.settle(None, 0.5, known) == {}


def test_whoever_was_seen_beside_it_is_somebody_else():
    abstention = Abstention(2)
    abstention.open(9, dict.fromkeys([1], 0.0), time=0)
    observe(abstention, [9, 1], [[1], [1]], [[0.1], [0.0]])
    assert abstention.settle(None, 0.5, {1, 9}) == {}


def test_two_seen_together_do_not_become_one():
    abstention = Abstention(2)
    abstention.open(8, dict.fromkeys([1], 0.0), time=0)
    abstention.open(9, dict.fromkeys([1], 0.0), time=0)
    observe(abstention, [8, 9], [[1], [1]], [[0.2], [0.1]])
    assert abstention.settle(None, 0.5, {1, 8, 9}) == {8: 1}


def test_followed_by_its_place_where_it_got_another_id():
    abstention = Abstention(2)
    abstention.open(9, dict.fromkeys([1], 0.0), time=0)
    place = {"place": np.array([[0.0, 2.0]])}
    found = Candidates(np.array([[1, 9]]), np.array([[0.1, 0.4]]), np.array([[0.0, 0.2]]), place)
    abstention.observe([1], found)
    assert abstention.settle(None, 0.5, {1, 9}) == {9: 1}


def test_what_the_place_said_at_first_is_remembered():
    for credit, settled in ((0.1, {9: 1}), (0.0, {})):
        abstention = Abstention(1)
        abstention.open(9, {1: credit}, time=0)
        observe(abstention, [9], [[1]], [[0.55]])
        assert abstention.settle(None, 0.5, {1, 9}) == settled


def test_resume_through_json():
    abstention = Abstention(2)
    abstention.open(9, dict.fromkeys([1, 2], 0.0), time=0)
    observe(abstention, [9, 4], [[1], [1]], [[0.2], [1.0]])
    other = Abstention(2)
    other.restore(json.loads(json.dumps(abstention.state())))
    assert other.state() == abstention.state()
    assert other.settle(2, 0.5, {1, 2, 9}) == {9: 1}


FADED = (150, 80, 20)  # 0.39 from RED, where the threshold is 0.3


def test_a_doubtful_return_is_provisional_and_then_relabelled():
    tracker = InstanceID(ColourEmbedder(), abstain=3, abstain_band=0.4)
    for t in range(3):
        show(tracker, (1, RED, 20 + t, 20, 20, 30))
    for _ in range(30):
        show(tracker)
    given, relabelled = [], {}
    for t in range(5):
        colour = FADED if t == 0 else RED
        update = show(tracker, (1, colour, 120 + t, 60, 20, 30))
        given += update.ids.tolist()
        relabelled.update(update.relabelled)
        if t == 0:
            assert update.decisions[0].reason == "ambiguous" and update.decisions[0].provisional
    assert {final_id(i, relabelled) for i in given} == {1}
    assert given[-1] == 1 and len(tracker.gallery) == 1


def test_a_doubtful_stranger_stays_new():
    tracker = InstanceID(ColourEmbedder(), abstain=3, abstain_band=0.4)
    show(tracker, (1, RED, 20, 20, 20, 30))
    for _ in range(30):
        show(tracker)
    updates = [show(tracker, (1, c, 120, 60, 20, 30)) for c in (FADED, *[(130, 95, 20)] * 5)]
    assert all(update.ids.tolist() == [2] for update in updates)
    assert all(update.relabelled == {} for update in updates)
    assert not updates[-1].decisions[0].provisional


def test_the_end_of_a_video_settles():
    tracker = InstanceID(ColourEmbedder(), abstain=50, abstain_band=0.4)
    for _ in range(3):
        show(tracker, (1, RED, 20, 20, 20, 30), (2, GREEN, 90, 20, 20, 30))
    for _ in range(30):
        show(tracker, (2, GREEN, 90, 20, 20, 30))
    for colour in (FADED, RED, RED):
        show(tracker, (1, colour, 150, 60, 20, 30), (2, GREEN, 90, 20, 20, 30))
    assert tracker.new_video() == {3: 1}
    assert tracker.gallery.ids.tolist() == [1, 2]


def test_settled_by_the_mean_and_not_by_one_lucky_view():
    abstention = Abstention(3)
    abstention.open(9, dict.fromkeys([1, 2], 0.0), time=0)
    for d1, d2 in ((0.1, 0.4), (0.9, 0.4), (0.9, 0.4)):
        observe(abstention, [9], [[1, 2]], [[d1, d2]])
    assert abstention.settle(3, 0.5, {1, 2, 9}) == {9: 2}

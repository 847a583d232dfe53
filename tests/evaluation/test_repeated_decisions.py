"""Deciding on what was recorded gives what tracking the frames gives."""

import numpy as np
import pytest

from instanceid_utils.evaluation.iou_tracker import IouTracker
from instanceid_utils.evaluation.repeated_decisions import (
    contest,
    mistakes,
    record,
    replay,
    score_updates,
    sweep,
)
from instanceid_utils.tracking.tracker import InstanceID
from tests.moving_shapes import HueEmbedder, Video


def stream(video):
    return ((video[t], video.label_map(t)) for t in range(len(video)))


@pytest.mark.parametrize("threshold", [0.001, 0.3, 2.0])
def test_a_replay_is_the_tracking_of_the_frames(threshold):
    video, embedder = Video(12, seen=((0, 5), (0, 12), (3, 12), (8, 12))), HueEmbedder()
    tracker = InstanceID(embedder, threshold=threshold)
    tracked = [tracker.update(frame, masks) for frame, masks in stream(video)]
    again = replay(InstanceID(embedder, threshold=threshold), record(embedder, stream(video)))
    for one, other in zip(tracked, again):
        np.testing.assert_array_equal(one.ids, other.ids)
        assert one.decisions == other.decisions and one.shot_cut == other.shot_cut


def test_the_iou_tracker_decides_on_the_same_observations():
    video = Video(12)
    tracker = IouTracker()
    tracked = [tracker.update(frame, masks).ids for frame, masks in stream(video)]
    again = replay(IouTracker(), record(HueEmbedder(), stream(video)))
    assert [u.ids.tolist() for u in again] == [ids.tolist() for ids in tracked]


def test_observing_changes_nothing_and_keeps_no_pixels():
    video, embedder = Video(3), HueEmbedder()
    tracker = InstanceID(embedder)
    first = tracker.observe(video[0], video.label_map(0))
    second = tracker.observe(video[0], video.label_map(0))
    assert len(tracker.gallery) == 0
    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert first.every.patches == first.segments.patches == ()
    assert tracker.decide(first).ids.tolist() == [1, 2]


def test_provisional_ids_are_final_in_a_replay():
    """What abstention settles later is written back to the frames before."""
    observations = record(HueEmbedder(), stream(Video(12, seen=((0, 12), (0, 12)))))
    settings = {"threshold": 0.25, "abstain": 2, "abstain_band": 0.9, "place_cue": False}
    updates = replay(InstanceID(HueEmbedder(), **settings), observations)
    assert any(update.relabelled for update in updates)  # or this tests nothing
    assert all(update.ids.tolist() == [1, 2] for update in updates[:-2])


def test_perfect_ids_score_one():
    observations = record(HueEmbedder(), stream(Video(8)))
    scores = score_updates(observations, replay(InstanceID(HueEmbedder()), observations)).scores()
    assert scores["IDF1"] == 1.0 and scores["switches"] == 0 and scores["segments"] == 20


class Given:
    """A tracker that gives the IDs it was told."""

    def __init__(self, ids):
        self.ids = iter(ids)

    def decide(self, observation):
        return type("Update", (), {"ids": np.array(next(self.ids))})()


def test_mistakes_are_counted_by_hand():
    observations = record(HueEmbedder(), stream(Video(5, seen=((0, 9), (1, 9), (3, 9)))))
    # Disc 1: 1 1 5 5 1; disc 2: - 2 2 1 2 (the ID of 1 in frame 3); disc 3: - - - 2 2, an old ID.
    updates = replay(Given([[1], [1, 2], [5, 2], [5, 1, 2], [1, 3, 2]]), observations)
    assert mistakes(observations, updates) == {
        "newcomers": 3,
        "false_reuse": 1,
        "known": 8,
        "false_new": 2,
        "wrong_id": 2,
    }


def test_the_threshold_trades_one_mistake_for_the_other():
    observations = record(HueEmbedder(), stream(Video(8, seen=((0, 4), (0, 9), (4, 9)))))
    table = sweep(observations, HueEmbedder(), [1e-6, 0.5, 2.0], place_cue=False)
    assert table.newcomers.tolist() == [3] * 3 and table.known.tolist() == [13] * 3
    assert table.false_new_rate.tolist() == [1, 0, 0]
    assert table.false_reuse.tolist() == [0, 0, 1] and table.wrong_id.tolist() == [0, 0, 3]


def test_a_contest_scores_each_tracker():
    observations = record(HueEmbedder(), stream(Video(8)))
    trackers = {
        "looks": lambda: InstanceID(HueEmbedder()),
        "nobody": lambda: Given([[-1] * len(o.every) for o in observations]),
    }
    table = contest(observations, trackers)
    assert table.IDF1.tolist() == [1, 0] and table.index.tolist() == ["looks", "nobody"]

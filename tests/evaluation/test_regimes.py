"""The regimes are what they say, on a data set small enough to check by hand; the baseline too."""

import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.evaluation import regimes
from instanceid_utils.evaluation.iou_tracker import IouTracker


@pytest.fixture
def dataset(make_davis):
    return DavisDataset(make_davis(sequences=(("pond", 40), ("road", 7))))


def labels(stream):
    return [sorted(set(np.unique(label_map).tolist()) - {0}) for _, label_map in stream]


def test_identities_are_unique_over_the_data_set(dataset):
    seen = {name: labels(stream) for name, stream in regimes.every(dataset)}
    assert seen == {"pond": [[1001, 1002]] * 40, "road": [[2001, 2002]] * 7}


def test_dropped_frames(dataset):
    kept = {name: [f for f, _ in stream] for name, stream in regimes.every(dataset, step=5)}
    assert {name: len(frames) for name, frames in kept.items()} == {"pond": 8, "road": 2}
    np.testing.assert_array_equal(kept["pond"][1], dataset.frame("pond", 5).image)
    with pytest.raises(ValueError, match="step"):
        list(regimes.every(dataset, step=0))


def test_hidden_one_after_the_other_for_20_frames(dataset):
    videos = {name: labels(stream) for name, stream in regimes.hidden(dataset)}
    for identity, start in ((1001, 13), (1002, 15)):
        there = [identity in frame for frame in videos["pond"]]
        assert there == [not start <= i < start + 20 for i in range(40)]
    assert videos["road"] == [[2001, 2002]] * 7  # too short to hide in


def test_cuts_return_to_every_sequence(dataset):
    ((_, stream),) = regimes.cuts(dataset, shot=5, sequences=("pond", "road"))
    sequence = [frame[0] // 1000 for frame in labels(stream)]
    assert sequence == [1] * 5 + [2] * 5 + [1] * 5 + [2] * 2 + [1] * 30


def test_cuts_have_one_size(make_davis, tmp_path):
    root = make_davis(sequences=(("a", 3),), root=tmp_path / "x")
    make_davis(sequences=(("b", 3),), size=(96, 128), root=root)
    ((_, stream),) = regimes.cuts(DavisDataset(root), shot=2)
    frames = list(stream)
    assert {f.shape for f, _ in frames} == {(48, 64, 3)}
    assert {m.shape for _, m in frames} == {(48, 64)}
    assert labels(frames) == [[1001, 1002]] * 2 + [[2001, 2002]] * 2 + [[1001, 1002], [2001, 2002]]


def test_frames_without_annotation_are_left_out(dataset):
    dataset.frame_paths("road", 3)[1].unlink()
    assert [len(labels(stream)) for _, stream in regimes.every(dataset)] == [40, 6]


def test_a_label_beyond_a_thousand_is_refused():
    with pytest.raises(ValueError, match="below 1000"):
        regimes._identities(np.array([[1000]]), 1, "pond")


def test_the_baseline_is_good_at_every_frame_and_loses_who_was_hidden(dataset):
    for name, perfect in (("every frame", True), ("hidden 20", False)):
        make = IouTracker if perfect else lambda: IouTracker(max_age=10)
        scores = regimes.score_regime(make, regimes.REGIMES[name](dataset)).scores()
        assert (scores["IDF1"] == 1) == perfect


def test_the_streams_are_the_same_each_time(dataset):
    for regime in regimes.REGIMES.values():
        first, second = (
            [(n, f.sum(), m.sum()) for n, stream in regime(dataset) for f, m in stream]
            for _ in range(2)
        )
        assert first == second and first


def test_iou_tracker_ids():
    tracker, frame = IouTracker(max_age=2), np.zeros((20, 40, 3), np.uint8)

    def step(*lefts):
        masks = np.zeros((len(lefts), 20, 40), bool)
        for mask, left in zip(masks, lefts):
            if left is not None:
                mask[5:15, left : left + 10] = True
        return tracker.update(frame, masks).ids.tolist()

    assert step(0, 25) == [1, 2]
    assert step(27, 2) == [2, 1]
    assert step(2, None) == [1, -1]
    assert step(3, 20) == [1, 3]  # a jump is a new object
    assert step(3) == [1]
    assert step(3) == [1]
    assert step(3) == [1]
    assert step(3, 20) == [1, 4]  # unseen for too long
    tracker.new_video()
    assert step(3) == [5]

"""Watched videos are scored by overlap; boxes from files; real boxes where they are."""

import cv2
import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.evaluation import (
    FAULTS,
    REGIMES,
    IouTracker,
    MaskFaults,
    final_ids,
    refined_ids,
    score_watched,
    watch,
    watch_boxes,
)
from instanceid_utils.formats import FormatError
from instanceid_utils.tracking import InstanceID


class Mirror:
    """An embedder that costs nothing."""

    crop_size, margin, dim, threshold, weights_sha256 = 16, 0.1, 3, 0.5, "0" * 64

    def embed_crops(self, crops):
        """Return the mean colour of each crop."""
        colours = crops[..., :3].reshape(len(crops), -1, 3).mean(1) + 1.0
        return (colours / np.linalg.norm(colours, axis=1, keepdims=True)).astype(np.float32)


def answer(observations):
    return final_ids(IouTracker(), observations)


def one_id_each(observations):
    """Give every detection an ID of its own."""
    ends = np.cumsum([len(o.every) for o in observations])
    return [np.arange(end - len(o.every), end) + 1 for end, o in zip(ends, observations)]


@pytest.fixture
def dataset(make_davis):
    return DavisDataset(make_davis(sequences=(("pond", 12), ("road", 7))))


def watched(dataset, faults, regime="every frame", seed=0):
    return [
        watch(Mirror(), stream, faults, np.random.default_rng([seed, i]))
        for i, (_, stream) in enumerate(REGIMES[regime](dataset))
    ]


@pytest.mark.parametrize("regime", REGIMES)
def test_perfect_masks_allow_everything(dataset, regime):
    scorer = score_watched(answer, watched(dataset, FAULTS["perfect"], regime))
    assert scorer.bound() == 1
    assert scorer.scores()["identities"] == 4


@pytest.mark.parametrize("boxes", [False, True])
def test_misses_are_in_the_bound(dataset, boxes):
    videos = watched(dataset, MaskFaults(miss=0.5, boxes=boxes))
    n_found = sum(len(one.observation.every) for video in videos for one in video)
    scorer = score_watched(answer, videos)
    assert scorer.bound() == pytest.approx(2 * n_found / (2 * 19 + n_found))
    assert 0.4 < scorer.bound() < 0.9
    assert scorer.scores()["IDF1"] <= scorer.bound()


def test_the_answer_is_what_is_scored(dataset):
    videos = watched(dataset, FAULTS["perfect"])
    scores = score_watched(one_id_each, videos).scores()
    assert scores["ids"] == 38 and scores["IDF1"] == pytest.approx(2 * 4 / (38 + 38))


def test_the_same_faults_for_a_seed(dataset):
    def areas(seed):
        videos = watched(dataset, FAULTS["hard masks"], seed=seed)
        return [one.observation.every.areas.tolist() for video in videos for one in video]

    assert areas(1) == areas(1) != areas(2)


def test_a_second_look_joins_what_the_tracker_lost(dataset):
    class Forgetful(InstanceID):
        """Starts anew in the middle."""

        def decide(self, observation):
            self.n = getattr(self, "n", 0) + 1
            if self.n == 7:
                self.gallery.remove(self.gallery.ids)
                self.new_video()
            return super().decide(observation)

    videos = watched(dataset, FAULTS["perfect"])[:1]

    def scores(look):
        return score_watched(lambda seen: look(Forgetful(Mirror()), seen), videos).scores()

    assert scores(final_ids)["ids"] == 4
    assert scores(refined_ids)["ids"] == 2 and scores(refined_ids)["IDF1"] == 1


@pytest.fixture
def files(tmp_path):
    """Write a video of ten frames, boxes of two objects in each, the truth of every third."""
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), np.full((60, 80, 3), 20 * i, np.uint8))
    detections, truth = tmp_path / "det.txt", tmp_path / "truth.txt"
    detections.write_text(
        "".join(
            f"{n},-1,{5 + n},11,20,30,0.9\n{n},-1,50,21,20,30,0.8\n{n},-1,1,1,9,9,0.4\n"
            for n in range(1, 11)
            if n != 5
        )
    )
    truth.write_text("".join(f"{n},1,{5 + n},11,20,30\n{n},2,50,21,20,30\n" for n in (2, 5, 8)))
    return tmp_path, detections, truth


def test_boxes_from_files(files):
    video = watch_boxes(Mirror(), *files)
    assert [one.overlaps is not None for one in video] == [n in (2, 5, 8) for n in range(1, 11)]
    assert [len(one.observation.every) for one in video] == [2, 2, 2, 2, 0, 2, 2, 2, 2, 2]
    scorer = score_watched(answer, [video])
    assert scorer.bound() == scorer.scores()["IDF1"] == pytest.approx(2 * 4 / (6 + 4))


def test_only_some_frames_and_low_scores_too(files):
    video = watch_boxes(Mirror(), *files, first=2, last=6, min_score=0.3)
    assert [len(one.observation.every) for one in video] == [3, 3, 3, 0, 3]
    with pytest.raises(FormatError, match="truth.txt: expected lines for frames from 9"):
        watch_boxes(Mirror(), *files, first=9)


def test_a_truth_without_ids_is_refused(files):
    folder, detections, truth = files
    with pytest.raises(FormatError, match="det.txt: frame 1: expected IDs"):
        watch_boxes(Mirror(), folder, detections, detections)


@pytest.mark.real_data
def test_the_bound_of_real_boxes(video_root):
    files = (video_root / f"vtest{end}" for end in (".avi", "_detections.txt", "_truth.txt"))
    scorer = score_watched(answer, [watch_boxes(Mirror(), *files, first=583, last=795)])
    assert scorer.bound() == pytest.approx(0.83, abs=0.001)
    assert scorer.scores()["identities"] == 9 and scorer.scores()["IDF1"] < scorer.bound()

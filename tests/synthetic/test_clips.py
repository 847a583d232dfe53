"""Generated clips are files as a user has them: a video, a model's masks, and the truth beside."""

import json

import numpy as np

from instanceid_utils.formats import detect_format, read_masks
from instanceid_utils.synthetic import clips
from instanceid_utils.synthetic.dataset import Plot, draw_sequence
from instanceid_utils.video.reader import read_video

PLOT = Plot(4, 2, absences=((), ((1, 3),)), shake=0)


def make(folder, crumbs=3.0):
    folder.mkdir()
    frames = list(draw_sequence(PLOT, [7, 1]))
    clips.write_clip(folder, "clip", frames, np.random.default_rng(0), crumbs=crumbs)
    return frames


def test_actors_keep_away_as_they_are_told():
    seen = [set(np.unique(label_map)) - {0} for _, label_map in draw_sequence(PLOT, [7, 1])]
    assert [2 in labels for labels in seen] == [True, False, False, True]
    assert all(1 in labels for labels in seen)


def test_masks_are_those_of_the_objects_and_crumbs_of_background(tmp_path):
    frames = make(tmp_path / "clips")
    assert detect_format(tmp_path / "clips/clip.json") == "coco"
    found = read_masks(tmp_path / "clips/clip.json")
    n_crumbs = 0
    for t, (_, label_map) in enumerate(frames):
        for mask, score in zip(found[t].masks, found[t].scores):
            if score > 0.8:
                label = np.unique(label_map[mask])
                assert len(label) == 1 and np.array_equal(mask, label_map == label[0])
            else:
                n_crumbs += 1
                assert not label_map[mask].any() and 0 < mask.sum() < 100
    assert n_crumbs > 0


def test_video_and_truth_go_with_them(tmp_path):
    frames = make(tmp_path / "clips", crumbs=0)
    seen = list(read_video(tmp_path / "clips/clip.mp4"))
    truth = read_masks(tmp_path / "clips/clip_truth")
    assert len(seen) == len(truth) == len(frames)
    assert all(np.array_equal(truth[t].masks, frames[t][1]) for t in range(len(frames)))
    assert np.abs(seen[0].image.astype(int) - frames[0][0]).mean() < 6


def test_a_clip_is_the_same_every_time(tmp_path):
    make(tmp_path / "one"), make(tmp_path / "other")
    one, other = (json.loads((tmp_path / n / "clip.json").read_text()) for n in ("one", "other"))
    assert one == other


def test_visits_are_of_one_cast():
    drawn = [list(frames) for frames in clips.draw_visits(4, 5, 3, 2, 0)]
    present = [set(np.unique([labels for _, labels in clip]).tolist()) - {0} for clip in drawn]
    assert set.union(*present) <= {1, 2, 3, 4, 5} and len(set.union(*present)) == 5
    assert all(len(some) <= 3 for some in present) and sum(map(len, present)) >= 10
    again = [list(frames) for frames in clips.draw_visits(4, 5, 3, 2, 0)]
    assert all(np.array_equal(a[0][0], b[0][0]) for a, b in zip(drawn, again))

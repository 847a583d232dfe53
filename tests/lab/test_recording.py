"""A video is watched once, and is there again frame by frame."""

import numpy as np

from instanceid_utils.evaluation.repeated_decisions import record
from instanceid_utils.formats import FrameMasks
from instanceid_utils.lab.recording import record_video
from instanceid_utils.video.reader import read_video
from instanceid_utils.video.writer import VideoWriter
from tests.moving_shapes import HueEmbedder, Video


def make(tmp_path):
    shapes = Video(n_frames=6)
    with VideoWriter(tmp_path / "clip.mp4", 12, crf=5) as writer:
        for t in range(len(shapes)):
            writer.write(shapes[t])
    masks = {t: FrameMasks(t, shapes.label_map(t)) for t in range(len(shapes)) if t != 2}
    return tmp_path / "clip.mp4", shapes, masks


def test_what_was_watched_is_there_again(tmp_path):
    path, shapes, masks = make(tmp_path)
    frames, label_maps, observations = record_video(
        path, HueEmbedder(), masks=masks, progress=False
    )
    assert len(frames) == len(label_maps) == len(observations) == 6
    for frame in read_video(path):
        assert frames[frame.index].dtype == np.uint8
        assert np.abs(frames[frame.index].astype(int) - frame.image).mean() < 6
    for t in (0, 5):
        assert np.array_equal(label_maps[t], shapes.label_map(t))
    assert not label_maps[2].any() and not len(observations[2].every)


def test_observations_are_of_the_frames_as_they_were(tmp_path):
    path, shapes, masks = make(tmp_path)
    recording = record_video(path, HueEmbedder(), masks=masks, progress=False)
    stream = [(f.image, shapes.label_map(f.index)) for f in read_video(path) if f.index != 2]
    expected = record(HueEmbedder(), stream)
    found = [o for t, o in enumerate(recording.observations) if t != 2]
    assert all(np.array_equal(a.vectors, b.vectors) for a, b in zip(found, expected))


def test_it_stops_and_it_cleans(tmp_path):
    path, shapes, masks = make(tmp_path)
    recording = record_video(
        path, HueEmbedder(), masks=masks, stop=2, min_area=10**4, progress=False
    )
    assert len(recording.frames) == 2
    assert not any(len(o.every) for o in recording.observations)


def test_labels_of_any_size(tmp_path):
    path, shapes, masks = make(tmp_path)
    large = {
        t: FrameMasks(t, np.where(found.masks > 0, found.masks.astype(np.int64) << 16, 0))
        for t, found in masks.items()
    }
    recording = record_video(path, HueEmbedder(), masks=large, progress=False)
    for t in (0, 5):
        assert np.array_equal(recording.label_maps[t] > 0, shapes.label_map(t) > 0)
        assert len(np.unique(recording.label_maps[t])) == len(np.unique(shapes.label_map(t)))
        assert (recording.observations[t].every.labels >= 1 << 16).all()

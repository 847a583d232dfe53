"""Frames in OpenCV's order of channels are suspected where the gallery was made from RGB."""

from __future__ import annotations

import pytest

from instanceid_utils.tracking import InstanceID
from tests.moving_shapes import HueEmbedder, Video

SEEN = ((0, 99), (0, 99), (0, 99), (0, 99))


def known():
    tracker, video = InstanceID(HueEmbedder()), Video(3, SEEN)
    for t in range(3):
        tracker.update(video[t], video.label_map(t))
    return tracker.gallery


@pytest.mark.parametrize("seen", [SEEN, ((0, 0), (0, 0), (0, 0), (0, 99))])
def test_swapped_channels_are_suspected_once(caplog, seen):
    tracker, video = InstanceID(HueEmbedder(), gallery=known()), Video(6, seen, seed=1)
    for t in range(6):
        tracker.update(video[t][..., ::-1], video.label_map(t))
    assert caplog.text.count("red and blue were swapped") == 1


def test_right_channels_and_newcomers_are_not(caplog):
    tracker, video = InstanceID(HueEmbedder(), gallery=known()), Video(6, SEEN, seed=1)
    for t in range(6):
        tracker.update(video[t], video.label_map(t))
    fresh = InstanceID(HueEmbedder())  # nothing is known: nothing can be suspected
    for t in range(6):
        fresh.update(video[t][..., ::-1], video.label_map(t))
    assert not caplog.text
    assert fresh.embedder.n_crops == 24 and tracker.embedder.n_crops == 24 + 5 * 4

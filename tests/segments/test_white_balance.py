"""The light is taken out of a picture, and nothing else."""

import numpy as np
import pytest

from instanceid_utils.segments import shades_of_grey


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(10, 180, (90, 160, 3)).astype(np.uint8)


def test_two_lights_come_out_as_one(frame):
    warm = np.rint(frame * np.array([1.3, 1.0, 0.7])).astype(np.uint8)
    apart = np.abs(warm.astype(int) - frame).mean()
    left = np.abs(shades_of_grey(warm).astype(int) - shades_of_grey(frame)).mean()
    assert left < 0.1 * apart


def test_it_is_the_equation_at_the_size_that_light_is_estimated_from():
    frame = np.random.default_rng(1).integers(0, 200, (30, 40, 3)).astype(np.uint8)
    light = ((frame / 255.0) ** 6).mean((0, 1)) ** (1 / 6)
    expected = np.clip(np.rint(frame * (light.mean() / light)), 0, 255)
    assert np.abs(shades_of_grey(frame) - expected).max() <= 1


def test_grey_light_and_no_light_change_nothing(frame):
    grey = np.repeat(frame[..., :1], 3, axis=2)
    assert (shades_of_grey(grey) == grey).all()
    frame[..., 2] = 0
    before = frame.copy()
    assert (shades_of_grey(frame) == before).all() and (frame == before).all()


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), None])
def test_what_is_no_frame_is_refused(bad):
    with pytest.raises(ValueError, match="frame"):
        shades_of_grey(bad)


def test_a_power_below_one_is_refused(frame):
    with pytest.raises(ValueError, match="power: expected a number from 1 up, got 0"):
        shades_of_grey(frame, 0)

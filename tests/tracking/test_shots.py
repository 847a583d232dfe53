"""Cuts are found, motion and flashes are not taken for cuts."""

import cv2
import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.tracking.shots import ShotDetector, signature


def is_cut(detector, frame):
    change = detector.compare(signature(frame))
    detector.accept(change)
    return change.cut


def scene(seed, size=(400, 700)):
    """A wide picture of coloured blobs: a background to pan over."""
    rng = np.random.default_rng(seed)
    picture = np.empty((*size, 3), np.uint8)
    picture[:] = rng.integers(40, 200, 3)
    for _ in range(60):
        centre = tuple(int(v) for v in rng.integers(0, size[1], 2))
        colour = tuple(int(v) for v in rng.normal(picture[0, 0], 40).clip(0, 255))
        cv2.ellipse(picture, centre, (60, 25), float(rng.uniform(0, 180)), 0, 360, colour, -1)
    return picture


def pan(picture, n_frames, speed, rng):
    noise = rng.integers(0, 12, picture.shape).astype(np.uint8)
    for i in range(n_frames):
        left, down = int(i * speed), int(rng.integers(0, 100))
        grain = noise[down : down + 216, :384]
        yield cv2.add(picture[:216, left : left + 384], grain)


def cuts(frames, **options):
    detector = ShotDetector(**options)
    return [i for i, frame in enumerate(frames) if is_cut(detector, frame)]


@pytest.mark.parametrize("step", [1, 5, 10])
def test_generated_cuts_are_found_at_any_frame_rate(step):
    rng = np.random.default_rng(0)
    shots = [list(pan(scene(seed), 40, 4, rng))[::step] for seed in range(6)]
    frames = [frame for shot in shots for frame in shot]
    assert cuts(frames) == list(range(len(shots[0]), len(frames), len(shots[0])))


def test_a_flash_is_no_cut():
    rng = np.random.default_rng(1)
    frames = list(pan(scene(3), 12, 2, rng))
    frames[6] = cv2.convertScaleAbs(frames[6], alpha=1.2, beta=15)
    assert cuts(frames) == []


def test_a_video_that_always_changes_much_has_no_cuts_for_that():
    rng = np.random.default_rng(2)
    frames = [np.full((90, 160, 3), 30 + 20 * i, np.uint8) for i in range(10)]
    noisy = [(f + rng.integers(0, 60, f.shape)).clip(0, 255).astype(np.uint8) for f in frames]
    found = cuts(noisy)
    assert all(i <= 4 for i in found)  # until it knows what is usual


def test_size_may_change_and_bad_frames_change_nothing():
    detector = ShotDetector()
    picture = scene(0)
    assert not is_cut(detector, picture)
    before = detector.state()
    with pytest.raises(ValueError, match="uint8 RGB"):
        is_cut(detector, picture.astype(np.float32))
    assert detector.state() == before
    assert not is_cut(detector, cv2.resize(picture, (320, 180)))


def test_reset_and_resume():
    a, b = scene(0), scene(1)
    detector = ShotDetector()
    is_cut(detector, a)
    detector.reset()
    assert not is_cut(detector, b)
    other = ShotDetector()
    other.restore(detector.state())
    assert is_cut(other, a) and is_cut(detector, a)
    assert other.state() == detector.state()


@pytest.mark.real_data
@pytest.mark.parametrize(("step", "false_cuts"), [(5, 0), (10, 3)])
def test_real_sequences_joined(davis_root, step, false_cuts):
    dataset = DavisDataset(davis_root)
    detector, missed, false = ShotDetector(), [], []
    for number, name in enumerate(dataset.sequences()):
        for index in range(0, len(dataset.frame_names(name)), step):
            found = is_cut(detector, dataset.frame(name, index).image)
            if index == 0 and number and not found:
                missed.append(name)
            if index and found:
                false.append((name, index))
    assert missed == []
    assert len(false) <= false_cuts


def test_two_cuts_in_a_row_are_two():
    """What is usual is the median of recent changes: a cut a frame ago does not make one usual."""
    one, two, three = (scene(seed)[:216, :384] for seed in (11, 12, 13))
    frames = [one] * 6 + [two] + [three] * 4
    assert cuts(frames) == [6, 7]

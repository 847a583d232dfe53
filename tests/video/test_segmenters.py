"""Background subtraction on drawn scenes; the torchvision adapter with a stand-in for torch."""

from __future__ import annotations

import sys
import types

import cv2
import numpy as np
import pytest

from instanceid_utils.formats import from_model
from instanceid_utils.video.background import Background
from instanceid_utils.video.segmenters import (
    BackgroundSegmenter,
    Persistence,
    TorchvisionSegmenter,
    make_segmenter,
)

H, W = 96, 160


def scene(rng, *, discs=(), shadow=False):
    """A noisy background with discs (x, y, radius), each with a shadow beside it if wanted."""
    frame = np.full((H, W, 3), (110, 130, 100), np.uint8)
    for x, y, radius in discs:
        if shadow:
            cv2.ellipse(frame, (x + radius + 8, y), (12, 6), 0, 0, 360, (75, 88, 68), -1)
        cv2.circle(frame, (x, y), radius, (200, 60, 50), -1)
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


def run(segmenter, n=40, **options):
    """Learn the empty scene, then let two discs cross it; return the label maps and the truth."""
    rng, found, truth = np.random.default_rng(0), [], []
    for _ in range(25):
        segmenter.segment(scene(rng))
    for t in range(n):
        discs = ((20 + 2 * t, 30, 9), (130 - 2 * t, 70, 12))
        found.append(segmenter.segment(scene(rng, discs=discs, **options)))
        blank = np.zeros((H, W), np.uint8)
        truth.append([cv2.circle(blank.copy(), (x, y), r, 1, -1) > 0 for x, y, r in discs])
    return found, truth


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("method", ["mog2", "knn"])
@pytest.mark.parametrize("shadow", [False, True])
def test_moving_discs_are_found_without_their_shadows(method, shadow):
    found, truth = run(BackgroundSegmenter(method), shadow=shadow)
    assert found[-1].dtype == np.int32 and all(labels.max() == 2 for labels in found[5:])
    for masks in zip(*truth):
        overlaps = [
            max(iou(labels == label, mask) for label in (1, 2))
            for labels, mask in zip(found[5:], masks[5:])
        ]
        assert np.mean(overlaps) > 0.75 and np.min(overlaps) > 0.7


def test_nothing_moves_nothing_is_found():
    rng = np.random.default_rng(1)
    segmenter = BackgroundSegmenter()
    assert not any(segmenter.segment(scene(rng)).any() for _ in range(40))


def test_light_that_goes_on_is_no_object():
    rng = np.random.default_rng(1)
    segmenter = BackgroundSegmenter()
    for _ in range(20):
        segmenter.segment(scene(rng))
    assert not segmenter.segment(np.clip(scene(rng) + 90, 0, 255).astype(np.uint8)).any()


def test_another_frame_size_starts_anew():
    segmenter = BackgroundSegmenter(warm_up=3)
    run(segmenter)
    for _ in range(3):
        assert segmenter.segment(np.full((50, 60, 3), 90, np.uint8)).shape == (50, 60)


def test_the_same_frames_give_the_same_masks():
    first, _ = run(BackgroundSegmenter())
    second, _ = run(BackgroundSegmenter())
    assert np.array_equal(first, second)


@pytest.mark.parametrize("method", ["mog2", "knn"])
def test_what_stands_still_is_seen_for_as_long_as_the_memory(method):
    rng, disc = np.random.default_rng(0), [(80, 48, 12)]
    segmenter = BackgroundSegmenter(method, memory=40)
    for _ in range(250):
        segmenter.segment(scene(rng))
    seen = [segmenter.segment(scene(rng, discs=disc)).any() for _ in range(80)]
    assert not any(seen[:2]) and all(seen[2:25]) and not any(seen[70:])


def stop_and_go(segmenter, n_still):
    """Let a disc come in, stand still and go on; return the largest label of each frame."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        segmenter.segment(scene(rng))
    way = [*range(10, 81, 3), *[80] * n_still, *range(83, 200, 3)]
    frames = [scene(rng, discs=[(x, 48, 12)]) for x in way] + [scene(rng) for _ in range(20)]
    stands = [x == 80 for x in way] + [False] * 20
    found = [segmenter.segment(frame) for frame in frames]
    return np.array([labels.max() for labels in found]), np.array(stands), found


def test_what_has_come_and_stands_still_is_held():
    seen, stands, found = stop_and_go(BackgroundSegmenter(memory=40, hold=200), 150)
    assert (seen[stands] == 1).all() and not seen[-20:].any()
    here = cv2.circle(np.zeros((H, W), np.uint8), (80, 48), 12, 1, -1) > 0
    assert iou(found[np.flatnonzero(stands)[-1]] > 0, here) > 0.75
    gone = np.flatnonzero(stands)[-1] + 12
    assert not any((labels[here] > 0).any() for labels in found[gone:])  # nothing is left behind


def test_it_is_not_held_for_ever():
    seen, stands, _ = stop_and_go(BackgroundSegmenter(memory=40, hold=60), 150)
    assert (seen[stands][:80] == 1).all() and not seen[stands][-10:].any()


def test_what_is_left_behind_is_not_held():
    rng, segmenter = np.random.default_rng(0), BackgroundSegmenter(memory=40, hold=1000)
    for _ in range(200):
        segmenter.segment(scene(rng, discs=[(60, 48, 12)]))
    frames = [scene(rng, discs=[(x, 48, 12)]) for x in range(60, 180, 3)]
    found = [segmenter.segment(frame) for frame in frames + [scene(rng) for _ in range(60)]]
    assert any(labels[48, 60] for labels in found) and not found[-1].any()


def test_what_the_background_tells_to_be_left_behind_fades(monkeypatch):
    monkeypatch.setattr(Background, "left_behind", lambda self, places: [True] * len(places))
    seen, stands, _ = stop_and_go(BackgroundSegmenter(memory=40, hold=1000), 150)
    assert seen[stands][0] == 1 and not seen[stands][-10:].any()


def test_a_tape_in_the_wind_is_no_object():
    segmenter = BackgroundSegmenter()
    run(segmenter)
    tape = scene(np.random.default_rng(3))
    cv2.line(tape, (10, 50), (150, 60), (220, 220, 220), 3)
    assert not segmenter.segment(tape).any()


@pytest.mark.parametrize("persist", [1, 3])
def test_an_object_is_reported_once_it_has_lasted(persist):
    rng = np.random.default_rng(0)
    segmenter = BackgroundSegmenter(persist=persist)
    for _ in range(25):
        segmenter.segment(scene(rng))
    flash = [segmenter.segment(scene(rng, discs=d)).any() for d in ([(40, 40, 10)], [], [], [])]
    assert flash == [persist == 1, False, False, False]
    walk = [segmenter.segment(scene(rng, discs=[(90 + 6 * t, 40, 10)])).any() for t in range(6)]
    assert walk == [False] * (persist - 1) + [True] * (7 - persist)


def test_what_walks_side_by_side_is_two_objects():
    rng = np.random.default_rng(0)
    segmenter = BackgroundSegmenter(persist=1)
    empty = np.full((480, 640, 3), 100, np.uint8)
    for t in range(30):
        frame = empty.copy()
        if t >= 25:
            frame[200:300, 100 + 9 * t : 130 + 9 * t] = 200, 60, 50
            frame[205:305, 136 + 9 * t : 166 + 9 * t] = 60, 50, 200
        noise = rng.normal(0, 3, frame.shape)
        found = segmenter.segment(np.clip(frame + noise, 0, 255).astype(np.uint8))
    assert found.max() == 2


def test_a_blob_grows_older_while_it_is_near_and_of_its_size():
    persistence = Persistence(2)
    assert persistence.ages([(10, 10, 100), (50, 10, 100)]).tolist() == [1, 1]
    assert persistence.ages([(15, 10, 120), (50, 10, 30)]).tolist() == [2, 1]  # 30 is a piece
    assert persistence.ages([]).tolist() == []
    assert persistence.ages([(19, 10, 100), (90, 90, 100)]).tolist() == [3, 1]  # was away for one
    assert persistence.ages([]).tolist() == persistence.ages([]).tolist() == []
    assert persistence.ages([(19, 10, 100)]).tolist() == [1]


@pytest.mark.parametrize(
    "options",
    [
        {"method": "gmm"},
        {"memory": 0},
        {"sensitivity": 0},
        {"min_area": 1},
        {"split": 0},
        {"persist": 0},
        {"warm_up": -1},
        {"hold": -1},
    ],
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        BackgroundSegmenter(**options)


def test_a_wrong_frame_is_refused():
    with pytest.raises(ValueError, match="uint8 RGB"):
        BackgroundSegmenter().segment(np.zeros((4, 4)))


class Tensor(np.ndarray):
    """As much of a torch tensor as the adapter touches."""

    def to(self, device):
        return self

    def permute(self, *axes):
        return self.transpose(axes)

    def float(self):
        return self.astype(np.float32)

    def detach(self):
        return self

    cpu = detach


class NoGrad:
    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        return False


class Model:
    def to(self, device):
        self.device = device
        return self

    def __call__(self, images):
        (image,) = images
        assert image.shape == (3, 20, 30) and image.dtype == np.float32
        assert 0 <= image.min() and image.max() == pytest.approx(1.0)
        masks = np.zeros((3, 1, 20, 30), np.float32)
        masks[0, 0, :9, :9], masks[1, 0, 10:, 10:], masks[2, 0, :5, 20:] = 0.9, 0.8, 0.4
        return [
            {
                "masks": masks.view(Tensor),
                "labels": np.array([1, 3, 1]).view(Tensor),
                "scores": np.array([0.9, 0.8, 0.7], np.float32).view(Tensor),
            }
        ]


def test_torchvision_adapter(monkeypatch):
    torch = types.ModuleType("torch")
    torch.from_numpy = lambda array: array.view(Tensor)
    torch.inference_mode = NoGrad
    monkeypatch.setitem(sys.modules, "torch", torch)
    frame = np.full((20, 30, 3), 255, np.uint8)
    masks = from_model(TorchvisionSegmenter(Model()).segment(frame), 5, (20, 30))
    assert masks.number == 5 and masks.classes == (1, 3, 1)
    assert masks.masks.sum(axis=(1, 2)).tolist() == [81, 200, 0]
    people = from_model(TorchvisionSegmenter(Model(), classes={1}).segment(frame))
    assert people.classes == (1, 1) and people.scores == pytest.approx([0.9, 0.7])


def test_a_segmenter_is_made_by_its_name(monkeypatch):
    made = make_segmenter("knn", 2.0)
    assert (made.method, made.sensitivity) == ("knn", 2.0)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="needs torch and torchvision, which are no part of"):
        make_segmenter("torchvision", 1.0)
    with pytest.raises(ValueError, match="mog2"):
        make_segmenter("other", 1.0)

"""Tracklets end at the first doubt; a network gets better at them and stays near to itself."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils.embedding import Embedder, build_network
from instanceid_utils.evaluation import pairwise_distances
from instanceid_utils.segments import find_segments
from instanceid_utils.training import adapt, follow, recalibrate

HEIGHT, WIDTH = 96, 160
A, B = (200, 40, 40), (190, 60, 50)


def video(path_of_b, n_frames=16, colour_of_b=lambda time: B):
    """Two discs alike, one that stands and one on its way."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for time in range(n_frames):
        image = rng.integers(60, 90, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, x, colour in ((1, 40, A), (2, path_of_b(time), colour_of_b(time))):
            disc = np.hypot(rows - 48, columns - x) < 14
            image[disc], labels[disc] = colour + rng.integers(-9, 10, (disc.sum(), 3)), label
        yield image, find_segments(labels)


@pytest.fixture(scope="module")
def embedder():
    network = build_network(crop_size=32, dim=16, widths=(8, 8, 8), n_bins=8, colour_weight=1.0)
    return Embedder(network)


def test_who_stands_apart_is_followed_to_the_end(embedder):
    seen = follow(embedder, video(lambda time: 110))
    assert np.bincount(seen.tracklets).tolist() == [16, 16]
    assert [group.tolist() for group in seen.together()] == [[0, 1]]


def test_a_tracklet_ends_where_two_meet_or_one_jumps_or_changes(embedder):
    there = follow(embedder, video(lambda time: 110))
    meet = follow(embedder, video(lambda time: 110 - 9 * min(time, 16 - time), 17))
    assert len(np.unique(meet.tracklets)) == 4  # both begin anew
    jump = follow(embedder, video(lambda time: 90 if time < 8 else 130))
    other = (40, 60, 220)
    change = follow(embedder, video(lambda time: 110, colour_of_b=lambda t: B if t < 8 else other))
    for seen in (jump, change):
        assert len(np.unique(seen.tracklets)) == len(np.unique(there.tracklets)) + 1
    apart = [tuple(group) for group in jump.together()]
    assert len(apart) == 2 and all(0 in group for group in apart)  # 1 and 2 are never together


def test_nothing_to_learn_from_is_said(embedder):
    with pytest.raises(ValueError, match="two objects or more"):
        follow(embedder, video(lambda time: 45))
    with pytest.raises(ValueError, match="two objects or more"):
        follow(embedder, [])


def test_strangers_part_and_hold_keeps_them_near(embedder):
    seen = follow(embedder, video(lambda time: 110))

    def after(hold):
        network = adapt(embedder, seen, steps=25, learning_rate=2e-3, hold=hold, progress=False)
        return Embedder(network).embed_crops(seen.crops)

    def clearance(vectors):
        """By how much strangers are farther than views of one, on average."""
        distances = pairwise_distances(vectors)
        same = seen.tracklets[:, None] == seen.tracklets[None]
        return distances[~same].mean() - distances[same].mean()

    free, held = after(0.0), after(100.0)
    assert clearance(free) > clearance(seen.vectors) + 0.03
    moved = [np.linalg.norm(vectors - seen.vectors, axis=1).mean() for vectors in (free, held)]
    assert moved[1] < 0.6 * moved[0]


def test_the_threshold_follows_the_scale_of_the_embedding(embedder):
    seen = follow(embedder, video(lambda time: 110))
    distances = pairwise_distances(seen.vectors)
    strangers = distances[seen.tracklets[:, None] != seen.tracklets[None]]
    old = replace(Embedder.pretrained().calibration, threshold=float(np.median(strangers)))
    found = recalibrate(0.5 * seen.vectors, seen, old, "f" * 64)
    assert found.threshold == pytest.approx(max(0.05, 0.5 * old.threshold), abs=2e-3)
    assert found.far == pytest.approx(0.5, abs=0.02)  # as many strangers as before
    assert found.weights_sha256 == "f" * 64 and found.evidence == old.evidence
    assert found.galleries is None and found.n_identities == 2


def test_a_threshold_that_no_stranger_reaches_stays(embedder):
    seen = follow(embedder, video(lambda time: 110))
    old = replace(Embedder.pretrained().calibration, threshold=1.9)
    assert recalibrate(seen.vectors, seen, old, "f" * 64).threshold == 1.9

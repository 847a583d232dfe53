"""The threshold that a gallery of some size needs."""

import numpy as np
import pytest

from instanceid_utils.evaluation import as_masks_and_boxes, thresholds_by_size
from instanceid_utils.evaluation.pairs import pairwise_distances

DIM = 6


def strangers(n, n_views=1, seed=0, dim=DIM):
    """Points spread evenly over the sphere: whoever is near is so by chance."""
    points = np.random.default_rng(seed).normal(size=(n, 1, dim))
    points = np.repeat(points / np.linalg.norm(points, axis=2, keepdims=True), n_views, axis=1)
    return points.reshape(-1, dim), np.repeat(np.arange(n), n_views)


@pytest.mark.parametrize("size", [10, 100, 3000])
def test_false_reuse_stays_below_the_target(size):
    at = thresholds_by_size(*strangers(300), sizes=(size,))[0]
    newcomers, known = strangers(2000, seed=1)[0], strangers(size, seed=2)[0]
    reused = (pairwise_distances(newcomers, known).min(axis=1) < at).mean()
    assert 0.004 < reused < 0.016


def test_thresholds_fall_as_the_dimension_says():
    sizes = (10, 100, 1000, 10000)
    found = thresholds_by_size(*strangers(300), sizes=sizes)
    assert (np.diff(found) < 0).all()
    slope = np.log(found[-1] / found[-2]) / np.log(1 / 10)
    assert slope == pytest.approx(1 / (DIM - 1), rel=0.2)


def test_who_was_made_alike_is_no_stranger():
    vectors, identities = strangers(120)
    vectors[1::2] = vectors[::2] + 1e-3
    pairs = identities // 2
    alone = thresholds_by_size(vectors[::2], identities[::2])
    assert thresholds_by_size(vectors, identities)[0] < 0.1 * alone[0]
    assert thresholds_by_size(vectors, identities, alike=pairs)[0] == pytest.approx(
        alone[0], rel=0.1
    )


def test_too_few_say_nothing():
    with pytest.raises(ValueError, match="50 or more, got 20"):
        thresholds_by_size(*strangers(20))


def test_masks_leave_the_background_out_and_boxes_let_some_in():
    crops = np.full((1, 32, 32, 4), 255, np.uint8)
    crops[..., :3] = 20, 160, 60
    crops[0, 4:28, 4:28, :3] = 200, 40, 40
    crops[..., 3] = 0
    crops[0, 4:28, 4:28, 3] = 255
    crops[0, 10:22, 10:22, :3], crops[0, 10:22, 10:22, 3] = (20, 160, 60), 0  # seen through it
    cut = as_masks_and_boxes(crops)
    assert (cut["masks"][0, 16, 16] == (128, 128, 128, 0)).all()
    assert (cut["boxes"][0, 16, 16] == (20, 160, 60, 255)).all()
    assert (cut["boxes"][0, 4, 4] == (128, 128, 128, 0)).all()  # the corner of a box
    assert (cut["masks"][0, 4, 4] == (200, 40, 40, 255)).all()

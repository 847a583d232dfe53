import cv2
import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.segment_sets import collect
from instanceid_utils.embedding.descriptors import DESCRIPTORS, hsv_histogram, raw_pixels
from instanceid_utils.evaluation.retrieval import evaluate_retrieval


@pytest.fixture
def crops():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (5, 32, 32, 4), np.uint8)
    crops[..., 3] = 0
    crops[:, 6:26, 9:20, 3] = 255
    return crops


@pytest.mark.parametrize("describe", DESCRIPTORS.values())
def test_descriptors_are_unit_vectors_that_ignore_the_background(describe, crops):
    vectors = describe(crops)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    other = crops.copy()
    other[..., :3][crops[..., 3] == 0] = 77
    np.testing.assert_array_equal(describe(other), vectors)
    assert not np.allclose(describe(crops[::-1]), vectors)
    np.testing.assert_array_equal(describe(crops[2:3])[0], vectors[2])
    assert describe(crops[:0]).shape == (0, vectors.shape[1])


def test_raw_pixels_are_block_means_relative_to_grey(crops):
    pixels = (crops[..., :3] - 128.0) * (crops[..., 3:] > 127)
    blocks = pixels.reshape(5, 16, 2, 16, 2, 3).mean(axis=(2, 4)).reshape(5, -1)
    blocks /= np.linalg.norm(blocks, axis=1, keepdims=True)
    np.testing.assert_allclose(raw_pixels(crops), blocks, atol=1e-5)


def test_hsv_histogram_equals_a_count_pixel_by_pixel(crops):
    expected = np.zeros((5, 8, 4, 4))
    for i, crop in enumerate(crops):
        for h, s, v in cv2.cvtColor(crop[..., :3], cv2.COLOR_RGB2HSV)[crop[..., 3] > 127]:
            expected[i, int(h) * 8 // 180, int(s) * 4 // 256, int(v) * 4 // 256] += 1
    expected = np.sqrt(expected / (20 * 11)).reshape(5, -1)
    np.testing.assert_allclose(hsv_histogram(crops), expected, atol=1e-6)


def test_hsv_distance_is_that_of_hellinger(crops):
    p, q = hsv_histogram(crops[:2]).astype(float) ** 2
    hellinger = np.sqrt(1 - np.sum(np.sqrt(p * q)))
    d = np.linalg.norm(np.subtract(*hsv_histogram(crops[:2])))
    assert d == pytest.approx(np.sqrt(2) * hellinger, rel=1e-5)


def test_a_grey_segment_still_has_a_direction():
    crops = np.full((1, 8, 8, 4), 128, np.uint8)
    assert np.linalg.norm(raw_pixels(crops)) == pytest.approx(1)


@pytest.mark.parametrize("describe", DESCRIPTORS.values())
def test_bad_crops(describe, crops):
    with pytest.raises(ValueError, match=r"shape \(N, S, S, 4\)"):
        describe(crops[..., :3])
    with pytest.raises(ValueError, match="uint8, got float64"):
        describe(crops / 255)
    crops[[1, 4], ..., 3] = 0
    with pytest.raises(ValueError, match=r"crops \[1, 4\] have no pixel"):
        describe(crops)


@pytest.mark.real_data
def test_known_figures_on_davis(davis_root):
    """Other code found these figures for the same descriptors, data and rule."""
    seen = collect(DavisDataset(davis_root), size=64, progress=False)
    crops, where = seen.crops, (seen.identities, seen.sequences, seen.frames)
    if len(crops) != 1447 or len(set(where[0])) != 20:
        pytest.skip(f"the figures are for another selection of DAVIS than {davis_root}")

    raw = evaluate_retrieval(raw_pixels(crops), *where, n_bootstrap=0)
    hsv = evaluate_retrieval(hsv_histogram(crops), *where, n_bootstrap=0)
    figures = [(r.rank1, r.auc, r.tar_at_far_1pct) for r in (raw, hsv)]
    np.testing.assert_allclose(figures, [(0.666, 0.808, 0.23), (0.921, 0.976, 0.71)], atol=0.02)


def test_bands_tell_a_red_shirt_over_blue_trousers_from_the_reverse():
    crops = np.zeros((2, 16, 16, 4), np.uint8)
    crops[:, 4:12, 4:12, 3] = 255
    crops[0, 4:8, ..., 0] = crops[0, 8:12, ..., 2] = 200
    crops[1, 4:8, ..., 2] = crops[1, 8:12, ..., 0] = 200
    whole, halves = hsv_histogram(crops), hsv_histogram(crops, bands=2)
    assert whole[0] @ whole[1] > 0.999 and halves[0] @ halves[1] < 1e-6
    assert halves.shape == (2, 256)
    np.testing.assert_allclose(np.linalg.norm(halves, axis=1), 1, rtol=1e-6)

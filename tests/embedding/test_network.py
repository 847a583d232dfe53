"""The network's own layers against NumPy, and what the mask must and must not do."""

import numpy as np
import pytest

from instanceid_utils.embedding.descriptors import hsv_histogram
from instanceid_utils.embedding.network import MaskedPooling, SoftHistogram, build_network
from instanceid_utils.embedding.tensorflow import tf


@pytest.fixture(scope="module")
def small():
    tf.keras.utils.set_random_seed(0)
    return build_network(16, 8, widths=(4, 8, 8), n_bins=8)


def crops(n, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 4), np.uint8)


def test_soft_histogram_is_the_square_root_of_soft_shares():
    rng = np.random.default_rng(0)
    colours = rng.uniform(-1, 1, (2, 3, 4, 3)).astype(np.float32)
    weights = rng.random((2, 3, 4, 1)).astype(np.float32)
    layer = SoftHistogram(5)
    found = layer([colours, weights]).numpy()
    centres, sharpness = layer.centres.numpy(), np.exp(layer.log_sharpness.numpy())
    for b in range(2):
        share = np.zeros(5)
        for colour, weight in zip(colours[b].reshape(-1, 3), weights[b].ravel()):
            near = np.exp(-sharpness * ((colour - centres) ** 2).sum(1))
            share += weight * near / near.sum()
        np.testing.assert_allclose(found[b], np.sqrt(share / weights[b].sum()), atol=2e-3)
    np.testing.assert_allclose((found**2).sum(1), 1, atol=1e-4)


def test_masked_pooling_is_a_weighted_mean_and_a_weighted_cubic_mean():
    rng = np.random.default_rng(1)
    features = rng.random((2, 3, 3, 4)).astype(np.float32)
    weights = (rng.random((2, 3, 3, 1)) > 0.5).astype(np.float32)
    found = MaskedPooling()([features, weights]).numpy()
    for b in range(2):
        inside = features[b][weights[b, ..., 0] > 0]
        np.testing.assert_allclose(found[b, :4], inside.mean(0), atol=2e-3)
        np.testing.assert_allclose(found[b, 4:], np.cbrt((inside**3).mean(0)), atol=2e-3)


def test_masked_pooling_of_no_pixels_is_finite():
    assert np.isfinite(MaskedPooling()([np.ones((1, 2, 2, 3)), np.zeros((1, 2, 2, 1))])).all()


def test_embeddings_have_unit_length_and_bytes_are_as_good_as_floats(small):
    images = crops(5)
    embeddings = small(images.astype(np.float32)).numpy()
    assert embeddings.shape == (5, 8) and embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(embeddings, small(images).numpy())


def test_a_crop_is_embedded_alike_in_any_batch(small):
    images = crops(6).astype(np.float32)
    together = small(images).numpy()
    alone = np.concatenate([small(image[None]).numpy() for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("changes", "n_fewer"), [({"n_bins": 0}, 1), ({"pooling": "plain"}, 0)])
def test_variants_build(changes, n_fewer):
    full = build_network(16, 8, widths=(4, 8, 8), n_bins=8)
    variant = build_network(16, 8, widths=(4, 8, 8), **{"n_bins": 8, **changes})
    assert variant(crops(2)).shape == (2, 8)
    assert (variant.count_params() < full.count_params()) == bool(n_fewer)


def test_a_keras_backbone_takes_the_place_of_our_own_features():
    network = build_network(64, 8, n_bins=8, backbone="MobileNetV2", backbone_weights=None)
    vectors = network(crops(2, 64)).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert network.count_params() > 2_000_000


def test_features_of_several_layers_of_a_backbone_are_pooled():
    layers = ("block_2_add", "block_6_project_BN")
    network = build_network(64, 8, n_bins=0, backbone="MobileNetV2", backbone_layers=layers)
    images = crops(2, 64)
    assert network(images).shape == (2, 8)
    assert network.get_layer("embedding").kernel.shape == (2 * 24 + 2 * 64, 8)
    assert network.count_params() < 250_000  # what lies above is cut off
    with pytest.raises(ValueError, match="no layer 'block_99_add'"):
        build_network(64, 8, backbone="MobileNetV2", backbone_layers=("block_99_add",))


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_the_fixed_histogram_is_that_of_the_descriptor(bands):
    images = crops(4, 64)
    images[..., 3] = np.where(images[..., 3] > 100, 255, 0)
    images[0, :20, :, 3] = images[1, 50:, :, 3] = 0  # bands are those of the segment
    plain = build_network(64, 8, widths=(4, 8, 8), n_bins=8)
    colour = {"colour_weight": 1.0, "colour_bands": bands}
    joined = build_network(64, 8, widths=(4, 8, 8), n_bins=8, **colour)
    joined.set_weights(plain.get_weights())
    found = joined(images).numpy() * np.sqrt(2)
    np.testing.assert_allclose(found[:, :8], plain(images).numpy(), atol=1e-4)
    # OpenCV rounds hue and saturation to bytes: a few pixels change sides.
    every_second = hsv_histogram(images[:, ::2, ::2], bands=bands)
    np.testing.assert_allclose((found[:, 8:] * every_second).sum(1), 1, atol=0.01)


@pytest.mark.parametrize("wrong", [{"backbone": "NoSuchNet"}, {"pooling": "max"}])
def test_unknown_choices_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        build_network(64, 8, **wrong)


@pytest.mark.parametrize("size", [0, 8, 30])
def test_crop_size_is_checked(size):
    with pytest.raises(ValueError, match="multiple of 8"):
        build_network(size)


def test_pooling_looks_at_the_segment_alone():
    rng = np.random.default_rng(0)
    features = rng.uniform(0.1, 1, (2, 4, 4, 3)).astype(np.float32)
    weights = np.zeros((2, 4, 4, 1), np.float32)
    weights[0, :2], weights[1, 1:3, 1:3] = 1, 0.5
    found = MaskedPooling()([features, weights]).numpy()
    share = weights + 1e-4
    share /= share.sum((1, 2), keepdims=True)
    mean, cubes = (features * share).sum((1, 2)), (features**3 * share).sum((1, 2))
    np.testing.assert_allclose(found, np.concatenate([mean, np.cbrt(cubes)], 1), rtol=1e-4)
    outside = np.where(weights > 0, features, 2.0).astype(np.float32)
    np.testing.assert_allclose(MaskedPooling()([outside, weights]).numpy(), found, rtol=0.02)
    assert abs(MaskedPooling()([outside, np.ones_like(weights)]).numpy() - found).max() > 0.5

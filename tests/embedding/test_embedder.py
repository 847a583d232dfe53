"""The Embedder: what goes in, what comes out, no retracing."""

import numpy as np
import pytest

from instanceid_utils import Embedder
from instanceid_utils.embedding.network import build_network
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import find_segments


@pytest.fixture(scope="module")
def embedder():
    tf.keras.utils.set_random_seed(0)
    return Embedder(build_network(16, 8, widths=(4, 8, 8), n_bins=8), threshold=0.5)


def scene():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (40, 60, 3), np.uint8)
    masks = np.zeros((40, 60), np.int32)
    masks[2:20, 3:20], masks[5:35, 30:50] = 9, 4
    return frame, masks


def test_rows_follow_the_labels_or_the_masks(embedder):
    frame, masks = scene()
    vectors = embedder.embed(frame, masks)
    assert vectors.shape == (2, 8) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    stack = np.stack([masks == 9, masks == 4])
    np.testing.assert_allclose(embedder.embed(frame, stack), vectors[::-1], atol=1e-6)


def test_embed_is_cut_then_network(embedder):
    frame, masks = scene()
    crops = cut_crops(frame, find_segments(masks), 16, embedder.margin)
    expected = embedder.network(crops.astype(np.float32)).numpy()
    np.testing.assert_allclose(embedder.embed(frame, masks), expected, atol=1e-6)


def test_an_empty_frame_gives_no_vectors(embedder):
    frame, masks = scene()
    assert embedder.embed(frame, np.zeros_like(masks)).shape == (0, 8)
    assert embedder.embed(frame, np.zeros((0, 40, 60), bool)).shape == (0, 8)


@pytest.mark.parametrize("n", [1, 3, 64, 65, 150])
def test_batches_of_any_size_give_what_single_crops_give(embedder, n):
    crops = np.random.default_rng(n).integers(0, 256, (n, 16, 16, 4), np.uint8)
    vectors = embedder.embed_crops(crops)
    np.testing.assert_allclose(vectors[-1:], embedder.embed_crops(crops[-1:]), atol=1e-5)


def test_the_graph_is_traced_once(embedder):
    for n in range(1, 40, 3):
        embedder.embed_crops(np.zeros((n, 16, 16, 4), np.uint8))
    assert embedder._forward.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(
    ("frame", "masks", "words"),
    [
        (np.zeros((4, 4, 3)), np.ones((4, 4), int), "uint8"),
        (np.zeros((4, 4), np.uint8), np.ones((4, 4), int), "RGB|3"),
        (np.zeros((4, 4, 3), np.uint8), np.ones((5, 4), int), "5"),
        (np.zeros((4, 4, 3), np.uint8), np.full((4, 4), np.nan), "NaN"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4), bool), "empty|no pixels"),
    ],
)
def test_bad_input_is_named(embedder, frame, masks, words):
    with pytest.raises(ValueError, match=words):
        embedder.embed(frame, masks)


def test_crops_of_another_shape_are_refused(embedder):
    with pytest.raises(ValueError, match="expected uint8"):
        embedder.embed_crops(np.zeros((2, 8, 8, 4), np.uint8))

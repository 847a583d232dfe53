"""The Embedder: what goes in, what comes out, no retracing."""

import copy
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from instanceid_utils import Embedder
from instanceid_utils.embedding.weights import shipped
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.tracker import InstanceID


def small_keras():
    tf = pytest.importorskip("tensorflow")
    from instanceid_utils.embedding.network import build_network

    tf.keras.utils.set_random_seed(0)
    return Embedder(build_network(16, 8, widths=(4, 8, 8), n_bins=8), threshold=0.5)


@pytest.fixture(scope="module", params=["onnx", "keras"])
def embedder(request):
    if request.param == "keras":
        return small_keras()
    return Embedder.pretrained()


@pytest.fixture(scope="module")
def keras():
    return small_keras()


def scene():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (40, 60, 3), np.uint8)
    masks = np.zeros((40, 60), np.int32)
    masks[2:20, 3:20], masks[5:35, 30:50] = 9, 4
    return frame, masks


def test_rows_follow_the_labels_or_the_masks(embedder):
    frame, masks = scene()
    vectors = embedder.embed(frame, masks)
    assert vectors.shape == (2, embedder.dim) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    stack = np.stack([masks == 9, masks == 4])
    np.testing.assert_allclose(embedder.embed(frame, stack), vectors[::-1], atol=1e-6)


def test_embed_is_cut_then_network(keras):
    embedder = keras
    frame, masks = scene()
    crops = cut_crops(frame, find_segments(masks), 16, embedder.margin)
    expected = embedder.network(crops.astype(np.float32)).numpy()
    np.testing.assert_allclose(embedder.embed(frame, masks), expected, atol=1e-6)


def test_an_empty_frame_gives_no_vectors(embedder):
    frame, masks = scene()
    assert embedder.embed(frame, np.zeros_like(masks)).shape == (0, embedder.dim)
    assert embedder.embed(frame, np.zeros((0, 40, 60), bool)).shape == (0, embedder.dim)


@pytest.mark.parametrize("n", [1, 3, 64, 65, 150])
def test_batches_of_any_size_give_what_single_crops_give(embedder, n):
    size = embedder.crop_size
    crops = np.random.default_rng(n).integers(0, 256, (n, size, size, 4), np.uint8)
    vectors = embedder.embed_crops(crops)
    np.testing.assert_allclose(vectors[-1:], embedder.embed_crops(crops[-1:]), atol=1e-5)


def test_the_graph_is_traced_once(keras):
    for n in range(1, 40, 3):
        keras.embed_crops(np.zeros((n, 16, 16, 4), np.uint8))
    assert keras._run._forward.experimental_get_tracing_count() == 1


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


def test_a_backend_that_is_not_known_or_not_there(tmp_path):
    with pytest.raises(ValueError, match="backend: expected one of"):
        Embedder.pretrained(backend="torch")
    with pytest.raises(ValueError, match="providers: NoProvider is not in this ONNX Runtime"):
        Embedder.pretrained(providers=["NoProvider"])
    for name in ("instanceid.json", "instanceid.npz", "instanceid.calibration.json"):
        shutil.copy(shipped().with_name(name), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"instanceid\.onnx: .*saved without"):
        Embedder.pretrained(tmp_path / "instanceid.json", backend="onnx")
    (tmp_path / "instanceid.onnx").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"instanceid\.onnx: SHA-256 is .* its card"):
        Embedder.pretrained(tmp_path / "instanceid.json")


def test_what_needs_tensorflow_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("instanceid_utils.embedding.embedder.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"instanceid-utils\[train\]"):
        Embedder.pretrained(backend="keras")
    embedder = Embedder.pretrained()
    assert embedder.backend == "onnx"
    with pytest.raises(ImportError, match=r"instanceid-utils\[train\]"):
        _ = embedder.network


@pytest.mark.parametrize("way", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("backend", ["onnx", "keras"])
def test_copies_go_on_as_the_original(backend, way):
    if backend == "keras":
        pytest.importorskip("tensorflow")
    embedder = Embedder.pretrained(backend=backend)
    frame, masks = scene()
    tracker = InstanceID(embedder, threshold=0.6)
    tracker.update(frame, masks)
    other = way(tracker)
    assert other.gallery is not tracker.gallery
    for _ in range(2):
        assert other.update(frame, masks).ids.tolist() == tracker.update(frame, masks).ids.tolist()
    np.testing.assert_array_equal(other.gallery.ids, tracker.gallery.ids)


def test_a_bare_keras_network_says_why_it_cannot_be_copied(keras):
    with pytest.raises(TypeError, match="save_weights, and load it"):
        copy.deepcopy(keras)


FORKED = """
import multiprocessing, sys
import numpy as np
from instanceid_utils import Embedder, InstanceID

tracker = InstanceID(Embedder.pretrained())
frame, masks = np.zeros((60, 80, 3), np.uint8), np.zeros((60, 80), np.uint8)
masks[5:40, 5:30], masks[10:50, 45:70] = 1, 2
frame[masks == 1], frame[masks == 2] = (200, 30, 30), (30, 60, 220)
ids = tracker.update(frame, masks).ids.tolist()

def go_on():
    sys.exit(tracker.update(frame, masks).ids.tolist() != ids)

child = multiprocessing.get_context("fork").Process(target=go_on)
child.start()
child.join()
sys.exit(child.exitcode)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_tracks_on():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=60, check=False)
    assert done.returncode == 0


LIGHT = """
import resource, sys, time
begin = time.perf_counter()
from instanceid_utils import Embedder, InstanceID
tracker = InstanceID(Embedder.pretrained())
import instanceid_utils.app.video_tracking, instanceid_utils.cli, instanceid_utils.commands
heavy = {"tensorflow", "pandas", "matplotlib", "sklearn", "motmetrics", "pooch", "ipywidgets"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_what_tracks_loads_nothing_of_what_trains():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr


@pytest.mark.real_data
def test_onnx_is_equal_to_keras_on_real_video(davis_root):
    pytest.importorskip("tensorflow")
    from instanceid_utils.data import DavisDataset, collect

    crops = collect(DavisDataset(davis_root), progress=False).crops
    ours, theirs = (Embedder.pretrained(backend=b).embed_crops(crops) for b in ("onnx", "keras"))
    assert np.abs(ours - theirs).max() < 1e-5

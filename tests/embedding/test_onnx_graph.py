"""The graph spelled out from arrays gives what Keras gives, for every architecture of ours."""

import numpy as np
import onnx
import pytest

from instanceid_utils import Embedder
from instanceid_utils.embedding.network import build_network
from instanceid_utils.embedding.onnx_graph import build_graph, can_export
from instanceid_utils.embedding.runtimes import KerasNetwork, OnnxNetwork
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.embedding.weights import load_weights, onnx_path, save_weights, shipped

ARCHITECTURES = {
    "plain": {"crop_size": 16, "dim": 8, "widths": [4, 8, 8], "n_bins": 8, "pooling": "plain"},
    "masked": {"crop_size": 24, "dim": 16, "widths": [4, 8, 12], "n_bins": 0},
    "with colour": {"crop_size": 32, "dim": 8, "widths": [4, 4, 8], "colour_weight": 0.7},
    "bands of colour": {
        "crop_size": 32,
        "dim": 8,
        "widths": [4, 4, 8],
        "colour_weight": 1.0,
        "colour_bands": 3,
    },
    "MobileNetV2": {
        "crop_size": 64,
        "dim": 8,
        "n_bins": 8,
        "backbone": "MobileNetV2",
        "backbone_layers": ["block_2_add", "block_6_project_BN"],
    },
}


def shaken(architecture):
    """A network whose normalisations have seen something, as after training."""
    tf.keras.utils.set_random_seed(0)
    network = build_network(**architecture)
    rng = np.random.default_rng(0)
    shake = 0.02 if architecture.get("backbone") else 0.4  # many layers: numbers stay small
    network.set_weights([w + rng.uniform(0.01, shake, w.shape) for w in network.get_weights()])
    return network


def crops_of(size, n=9):
    rng = np.random.default_rng(1)
    crops = rng.integers(0, 256, (n, size, size, 4)).astype(np.uint8)
    crops[..., 3] = np.where(crops[..., 3] > 90, 255, 0)
    crops[0, ..., :3] = 128  # grey: no hue
    crops[1] = 0  # black, and no mask
    return crops


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_equal_to_keras(name):
    architecture = ARCHITECTURES[name]
    network = shaken(architecture)
    model = build_graph(architecture, network.get_weights(), {"note": "n"})
    onnx.checker.check_model(model, full_check=True)
    ours, theirs = OnnxNetwork(model.SerializeToString()), KerasNetwork(network)
    assert (ours.crop_size, ours.dim) == (theirs.crop_size, theirs.dim)
    crops = crops_of(architecture["crop_size"])
    for n in (1, 9):
        assert np.abs(ours(crops[:n]) - theirs(crops[:n])).max() < 1e-5


def test_saved_weights_bring_it_and_bind_it(tmp_path):
    architecture = ARCHITECTURES["with colour"]
    network = shaken(architecture)
    digest = save_weights(network, tmp_path / "mine.json", architecture)
    embedder = Embedder.pretrained(tmp_path / "mine.json")
    assert embedder.backend == "onnx" and embedder.weights_sha256 == digest
    crops = crops_of(32)
    again = Embedder.pretrained(tmp_path / "mine.json", backend="keras").embed_crops(crops)
    assert np.abs(embedder.embed_crops(crops) - again).max() < 1e-5
    save_weights(network, tmp_path / "again.json", architecture)
    assert onnx_path(tmp_path / "mine.json").read_bytes() == (tmp_path / "again.onnx").read_bytes()


def test_the_shipped_file_is_the_graph_of_the_shipped_arrays():
    network, card = load_weights(shipped())
    model = build_graph(card["architecture"], network.get_weights(), {"sha256": card["sha256"]})
    assert model.SerializeToString(deterministic=True) == onnx_path(shipped()).read_bytes()


def test_what_it_cannot_spell_is_refused():
    architecture = ARCHITECTURES["plain"]
    arrays = shaken(architecture).get_weights()
    for wrong in (arrays[:-1], [*arrays, arrays[0]], arrays[::-1]):
        with pytest.raises(ValueError, match="do not fit|too many"):
            build_graph(architecture, wrong)
    assert not can_export({"backbone": "MobileNetV2"})
    with pytest.raises(ValueError, match="backend='keras'"):
        build_graph({"crop_size": 32, "backbone": "MobileNetV2"}, [])


def test_bytes_that_are_no_model():
    with pytest.raises(ValueError, match="expected an ONNX model"):
        OnnxNetwork(b"rubbish")


def test_nodes_have_names_of_their_own():
    """ONNX Runtime 1.18 refuses a graph in which it has fused several nodes without a name."""
    onnx = pytest.importorskip("onnx")
    nodes = onnx.load(shipped().with_suffix(".onnx")).graph.node
    assert all(node.name for node in nodes)
    assert len({node.name for node in nodes}) == len(nodes)

"""Weights and card: written, read back, and refused when anything is wrong."""

import json

import numpy as np
import pytest

from instanceid_utils.embedding import weights
from instanceid_utils.embedding.network import build_network

ARCHITECTURE = {"crop_size": 16, "dim": 8, "widths": [4, 8, 8], "n_bins": 8}


@pytest.fixture
def card(tmp_path):
    network = build_network(**ARCHITECTURE)
    path = tmp_path / "w" / "test.json"
    weights.save_weights(network, path, ARCHITECTURE, seed=3)
    return path, network


def test_round_trip(card):
    path, network = card
    loaded, facts = weights.load_weights(path)
    for a, b in zip(network.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert facts["seed"] == 3
    assert facts["sha256"] == weights.file_sha256(path.with_suffix(".npz"))


def test_the_same_weights_are_the_same_file(card, tmp_path):
    path, network = card
    again = tmp_path / "again.json"
    assert weights.save_weights(network, again, ARCHITECTURE) == weights.read_card(path)["sha256"]


def test_any_changed_byte_is_refused(card):
    path, _ = card
    arrays = path.with_suffix(".npz")
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)
    with pytest.raises(ValueError, match="SHA-256"):
        weights.load_weights(path)


def test_another_architecture_is_refused(card):
    path, _ = card
    facts = json.loads(path.read_text())
    facts["architecture"]["dim"] = 16
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="do not fit the architecture"):
        weights.load_weights(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "\x80", "[" * 100_000, '{"sha256": "a", "architecture": 3}'],
    ids=["empty", "list", "bare", "no text", "deep", "no arguments"],
)
def test_a_card_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"c\.json: .*(card|arguments)"):
        weights.read_card(path)


def test_a_card_with_a_strange_architecture_is_refused(card):
    path, _ = card
    facts = json.loads(path.read_text())
    facts["architecture"] = {"layers": 3}
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"\.json: architecture: .*layers"):
        weights.load_weights(path)


def test_huge_weights_are_refused_before_they_are_read(card, monkeypatch):
    path, _ = card
    monkeypatch.setattr(weights, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="few MB"):
        weights.load_weights(path)


def test_pickles_are_refused(card):
    path, _ = card
    arrays = path.with_suffix(".npz")
    np.savez(arrays, w000=np.array([{}], dtype=object))
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "sha256": weights.file_sha256(arrays)}))
    with pytest.raises(ValueError, match="[Pp]ickle|Object arrays"):
        weights.load_weights(path)


def test_missing_weights_say_how_to_make_them():
    with pytest.raises(FileNotFoundError, match="make pretrain"):
        weights.shipped("no-such-weights")


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    weights.write_atomically(path, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        weights.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"

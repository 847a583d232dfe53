"""What version 1.0 wrote is read by this one: weights, threshold, gallery, tracker, manifest."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from instanceid_utils import Embedder, Gallery, InstanceID
from instanceid_utils.data import read_manifest

WRITTEN = Path(__file__).parent / "golden" / "v1_0"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text())


@pytest.fixture(scope="module")
def embedder():
    return Embedder.pretrained(WRITTEN / "weights.json")


@pytest.fixture(scope="module")
def next_frame():
    with np.load(WRITTEN / "next_frame.npz") as arrays:
        return arrays["frame"], arrays["masks"]


def test_weights_give_the_same_embeddings_and_threshold(embedder, next_frame):
    assert embedder.threshold == EXPECTED["threshold"]
    assert np.abs(embedder.embed(*next_frame) - EXPECTED["embedding"]).max() < 2e-5


def test_a_gallery_knows_its_ids_and_belongs_to_the_weights(embedder):
    gallery = Gallery.load(WRITTEN / "known.gallery", weights_sha256=embedder.weights_sha256)
    assert gallery.ids.tolist() == EXPECTED["gallery_ids"]
    gallery.check()


def test_a_gallery_with_cells_goes_on_where_it_was():
    """Cells in use, the next ones half made, and free rows."""

    def draw(n, seed):
        vectors = np.random.default_rng(seed).normal(size=(n, 8))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    gallery = Gallery.load(WRITTEN / "cells.gallery")
    assert gallery.search(draw(12, 999), k=3)[0].tolist() == EXPECTED["cells_found"]
    for step, expected in enumerate(EXPECTED["cells_go_on"]):
        views = draw(3, 200 + step)
        assert gallery.search(views, k=1)[0][:, 0].tolist() == expected
        gallery.add([gallery.new_id() for _ in range(3)], views)
    gallery.check()


def test_a_tracker_goes_on_where_it_was(embedder, next_frame, tmp_path):
    shutil.copytree(WRITTEN / "tracker", tmp_path / "tracker")
    tracker = InstanceID.load(tmp_path / "tracker", embedder)
    assert tracker.update(*next_frame).ids.tolist() == EXPECTED["next_ids"]
    tracker.save(tmp_path / "tracker")
    InstanceID.load(tmp_path / "tracker", embedder)


def test_a_manifest_has_its_rows():
    manifest = read_manifest(WRITTEN / "segments")
    assert len(manifest) == 8 and manifest.identity.nunique() == 4

import csv

import cv2
import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.plugins.projector import projector_config_pb2

from instanceid_utils.pictures.projector import export_projector, make_sprite


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (7, 8, 8, 4), np.uint8)


def read_config(path):
    return text_format.Parse(path.read_text(), projector_config_pb2.ProjectorConfig())


def test_tensorboards_own_parser_reads_the_export_back(crops, tmp_path):
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, 7, 5)).astype(np.float32)
    identities = np.array([f"pond/{i % 3}" for i in range(7)])
    frames = np.arange(7) * 20
    path = export_projector(
        tmp_path / "log",
        {"before": before, "after": after},
        crops,
        identity=identities,
        frame=frames,
    )

    config = read_config(path)
    assert [e.tensor_name for e in config.embeddings] == ["before", "after"]
    for entry, vectors in zip(config.embeddings, (before, after)):
        stored = np.loadtxt(path.parent / entry.tensor_path, delimiter="\t")
        np.testing.assert_allclose(stored, vectors, rtol=1e-5)
        assert list(entry.sprite.single_image_dim) == [8, 8]

    with open(path.parent / config.embeddings[0].metadata_path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["identity"] for row in rows] == identities.tolist()
    assert [int(row["frame"]) for row in rows] == frames.tolist()
    assert [int(row["index"]) for row in rows] == list(range(7))

    sprite = cv2.imread(str(path.parent / config.embeddings[0].sprite.image_path), -1)
    sprite = cv2.cvtColor(sprite, cv2.COLOR_BGRA2RGBA)
    for i, crop in enumerate(crops):
        y, x = 8 * (i // 3), 8 * (i % 3)
        np.testing.assert_array_equal(sprite[y : y + 8, x : x + 8], crop)


def test_a_second_export_replaces_the_first(crops, tmp_path):
    export_projector(tmp_path, np.eye(7), crops, identity=range(7))
    path = export_projector(tmp_path, np.eye(7)[:4], crops[:4], identity=range(4))
    assert read_config(path).embeddings[0].tensor_name == "embedding"
    assert len((tmp_path / "embedding.tsv").read_text().splitlines()) == 4
    assert len((tmp_path / "metadata.tsv").read_text().splitlines()) == 5


def test_names_cannot_break_the_table(crops, tmp_path):
    export_projector(tmp_path, np.eye(7), crops, identity=["a\tb", "c\nd", *"efghi"])
    lines = (tmp_path / "metadata.tsv").read_text().splitlines()
    assert lines[:3] == ["index\tidentity", "0\ta b", "1\tc d"]


@pytest.mark.parametrize(
    ("n", "side", "limit", "expected"),
    [(1, 8, 64, 8), (5, 8, 64, 24), (64, 8, 64, 64), (65, 8, 64, 63), (900, 64, 8192, 1920)],
)
def test_sprites_stay_within_the_limit(n, side, limit, expected):
    sprite = make_sprite(np.full((n, side, side, 4), 9, np.uint8), limit)
    assert sprite.shape == (expected, expected, 4)
    thumbnail = expected // int(np.ceil(np.sqrt(n)))
    assert np.count_nonzero(sprite[..., 0]) == n * thumbnail**2


def test_too_many_for_a_sprite():
    with pytest.raises(ValueError, match="5 thumbnails do not fit in 2 x 2"):
        make_sprite(np.zeros((5, 8, 8, 4), np.uint8), 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.eye(6)}, r"embedding: shape \(6, 6\) for 7 crops"),
        ({"embeddings": {"a/b": np.eye(7)}}, "embedding name 'a/b'"),
        ({"embeddings": np.eye(7) * np.nan}, "NaN"),
        ({"identity": range(3)}, r"column identity: shape \(3,\)"),
        ({"index": range(7)}, "'index' is there already"),
        ({"crops": np.zeros((7, 8, 8, 3), np.uint8)}, r"uint8 of shape \(N, S, S, 4\)"),
    ],
)
def test_bad_arguments_write_nothing(crops, tmp_path, change, message):
    arguments = {"embeddings": np.eye(7), "crops": crops, "identity": range(7), **change}
    with pytest.raises(ValueError, match=message):
        export_projector(tmp_path / "log", **arguments)
    assert not (tmp_path / "log").exists()
    with pytest.raises(ValueError, match="at least one column"):
        export_projector(tmp_path / "log", np.eye(7), crops)

"""MNIST format: golden files read back by idx2numpy, folder trees, hostile input."""

import gzip

import cv2
import idx2numpy
import numpy as np
import pytest

from instanceid_utils import mnist
from instanceid_utils.idx import write_idx


def picture(path, value, shape=(10, 10), alpha=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.zeros((*shape, 3 if alpha is None else 4), np.uint8)
    image[..., :3] = value[::-1]  # OpenCV stores BGR
    if alpha is not None:
        image[..., 3] = alpha
    cv2.imwrite(str(path), image)


@pytest.fixture
def tree(tmp_path):
    for name, value in {"2": (250, 0, 0), "10": (0, 250, 0), "b": (0, 0, 250)}.items():
        for i in range(4):
            picture(tmp_path / "tree" / name / f"{i}.png", value)
    return tmp_path / "tree"


def independent(path):
    with gzip.open(path) as file:
        return idx2numpy.convert_from_file(file)


def test_an_independent_reader_finds_the_pictures(tree, tmp_path):
    counts = mnist.convert_folders(tree, tmp_path / "out", test_fraction=0, colour_size=8)
    assert counts == {"train": 12, "test": 0}
    labels = independent(tmp_path / "out/train-labels-idx1-ubyte.gz")
    colour = independent(tmp_path / "out/train-images-idx4-ubyte.gz")
    grey = independent(tmp_path / "out/train-images-idx3-ubyte.gz")
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and labels.dtype == np.uint8
    assert colour.shape == (12, 8, 8, 3) and grey.shape == (12, 28, 28)
    assert colour[0, 4, 4].tolist() == [250, 0, 0] and colour[11, 4, 4].tolist() == [0, 0, 250]
    # Grey is luminance, not the red channel: 0.299 R, 0.587 G, 0.114 B.
    assert [int(g[14, 14]) for g in grey[::4]] == pytest.approx([75, 147, 28], abs=1)
    assert (tmp_path / "out/identities.txt").read_text() == "2\n10\nb\n"


def test_rows_and_columns_stay_what_they_are(tmp_path):
    picture(tmp_path / "t/0/a.png", (200, 200, 200), shape=(40, 10))
    mnist.convert_folders(tmp_path / "t", tmp_path / "out", test_fraction=0, colour_size=40)
    colour = independent(tmp_path / "out/train-images-idx4-ubyte.gz")[0]
    bright = (colour[..., 0] == 200).nonzero()
    assert np.ptp(bright[0]) == 39 and np.ptp(bright[1]) == 9


def test_splits_by_identity_share_no_label(tree, tmp_path):
    mnist.convert_folders(tree, tmp_path / "out", test_fraction=0.34)
    train, test = (mnist.read_mnist(tmp_path / "out", s) for s in ("train", "test"))
    assert len(train.labels) == 8 and len(test.labels) == 4
    assert not set(train.labels) & set(test.labels)


def test_a_tree_with_its_own_splits_keeps_them(tmp_path):
    picture(tmp_path / "t/training-images/0/a.png", (1, 2, 3))
    picture(tmp_path / "t/test-images/1/a.jpg", (1, 2, 3))
    assert mnist.convert_folders(tmp_path / "t", tmp_path / "o") == {"train": 1, "test": 1}


def test_beyond_256_identities_labels_take_four_bytes(tmp_path):
    for i in range(300):
        picture(tmp_path / f"t/{i}/a.png", (i % 256, 0, 0), shape=(4, 4))
    mnist.convert_folders(tmp_path / "t", tmp_path / "o", test_fraction=0, colour_size=4)
    labels = independent(tmp_path / "o/train-labels-idx1-int.gz")
    assert labels.dtype.itemsize == 4 and labels.tolist() == list(range(300))
    assert mnist.read_mnist(tmp_path / "o").labels[-1] == 299


def test_alpha_becomes_masks_and_crops_come_back(tmp_path):
    alpha = np.zeros((8, 8), np.uint8)
    alpha[2:6, 2:6] = 255
    picture(tmp_path / "t/0/a.png", (9, 8, 7), shape=(8, 8), alpha=alpha)
    mnist.convert_folders(tmp_path / "t", tmp_path / "o", test_fraction=0, colour_size=8)
    split = mnist.read_mnist(tmp_path / "o")
    np.testing.assert_array_equal(split.crops[0, ..., 3], alpha)
    assert split.crops[0, 0, 0, :3].tolist() == [9, 8, 7]


def test_a_broken_picture_is_named_and_nothing_is_lost(tree, tmp_path):
    out = tmp_path / "out"
    mnist.convert_folders(tree, out, test_fraction=0)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (tree / "b" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match="3.png"):
        mnist.convert_folders(tree, out, test_fraction=0.34, rng=np.random.default_rng(1))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_empty_tree_is_an_error(tmp_path):
    (tmp_path / "0").mkdir()
    with pytest.raises(ValueError, match="for each identity"):
        mnist.convert_folders(tmp_path, tmp_path / "o")


def test_files_that_disagree_are_named(tree, tmp_path):
    out = tmp_path / "out"
    mnist.convert_folders(tree, out, test_fraction=0)
    write_idx(out / "train-labels-idx1-ubyte.gz", np.zeros(5, np.uint8))
    with pytest.raises(ValueError, match="train-labels.*expected 12 labels"):
        mnist.read_mnist(out)
    write_idx(out / "train-labels-idx1-ubyte.gz", np.full(12, 9, np.uint8))
    with pytest.raises(ValueError, match="below 3"):
        mnist.read_mnist(out)
    with pytest.raises(ValueError, match="split"):
        mnist.read_mnist(out, "valid")

import gzip
import shutil

import cv2
import idx2numpy
import numpy as np
import pytest
from PIL import Image

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.extraction import extract
from instanceid_utils.data.manifest import load_crops, read_manifest
from instanceid_utils.mnist.idx import write_idx
from instanceid_utils.mnist.mnist_files import read_mnist, write_mnist


def independent(path):
    with gzip.open(path, "rb") as file:
        return idx2numpy.convert_from_file(file)


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def crops(make_davis, tmp_path):
    root = make_davis((("pond", 12), ("road", 11)), train=["road"], val=["pond"])
    extract(DavisDataset(root), tmp_path / "crops", progress=False)
    return tmp_path / "crops"


def test_a_manifest_becomes_mnist(crops, tmp_path):
    out = tmp_path / "mnist"
    assert write_mnist(crops, out, progress=False) == {"train": 22, "test": 24}
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["identities.txt"]
        + [
            f"{split}-{name}-ubyte.gz"
            for split in ("train", "test")
            for name in ("images-idx3", "images-idx4", "masks-idx3", "labels-idx1")
        ]
    )
    manifest = read_manifest(crops)
    names = (out / "identities.txt").read_text().splitlines()
    assert names == ["pond_1", "pond_2", "road_1", "road_2"]
    for split in ("train", "test"):
        rows = manifest[manifest.split == split]
        rgba = load_crops(rows, crops)
        grey = independent(out / f"{split}-images-idx3-ubyte.gz")
        colour = independent(out / f"{split}-images-idx4-ubyte.gz")
        masks = independent(out / f"{split}-masks-idx3-ubyte.gz")
        labels = independent(out / f"{split}-labels-idx1-ubyte.gz")
        assert grey.shape == (len(rows), 28, 28) and labels.dtype == np.uint8
        np.testing.assert_array_equal(colour, rgba[..., :3])
        np.testing.assert_array_equal(masks, rgba[..., 3])
        assert [names[label] for label in labels] == rows.identity.tolist()
        expected = np.asarray(Image.fromarray(colour[0]).convert("L").resize((28, 28), Image.BOX))
        assert np.abs(grey[0].astype(int) - expected).mean() < 4

        for kind, images in (("grey", grey), ("colour", colour), ("rgba", rgba)):
            read = read_mnist(out, split, kind)
            np.testing.assert_array_equal(read.images, images)
            np.testing.assert_array_equal(read.labels, labels)
            assert read.names == tuple(names) and read.labels.dtype == np.int64


def load_mnist(path, kind):
    """Read as the loader that comes with Fashion-MNIST does: by the names of MNIST."""
    with gzip.open(f"{path}/{kind}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    with gzip.open(f"{path}/{kind}-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(len(labels), 784), labels


def test_a_reader_of_mnist_finds_its_names(crops, tmp_path):
    own, out = tmp_path / "own", tmp_path / "mnist"
    write_mnist(crops, own, progress=False)
    for mnist_names in (False, True):  # the second run leaves no file of the first
        write_mnist(crops, out, mnist_names=mnist_names, progress=False)
    wanted = {path.name.replace("test-", "t10k-") for path in own.iterdir()}
    assert {path.name for path in out.iterdir()} == wanted
    images, labels = load_mnist(out, "t10k")
    theirs = read_mnist(own, "test", "grey")
    assert np.array_equal(images.reshape(-1, 28, 28), theirs.images) and len(images)
    assert np.array_equal(labels, theirs.labels)
    for split in ("train", "test"):
        assert np.array_equal(read_mnist(out, split).images, read_mnist(own, split).images)
    write_mnist(crops, out, progress=False)
    assert {path.name for path in out.iterdir()} == {path.name for path in own.iterdir()}


def test_nothing_is_transposed_and_nothing_stretched(tmp_path):
    image = np.zeros((40, 20, 3), np.uint8)
    image[:5] = 255, 0, 0  # red along the top
    image[5:, :4] = 0, 255, 0  # green down the left
    save(tmp_path / "in/0/tall.png", image)
    write_mnist(
        tmp_path / "in", tmp_path / "out", test_fraction=None, progress=False, colour_size=40
    )
    read = read_mnist(tmp_path / "out", "train", "rgba").images[0]
    np.testing.assert_array_equal(read[:, 10:30, :3], image)
    assert (read[:, 10:30, 3] == 255).all()
    assert (read[:, :10] == (128, 128, 128, 0)).all() and (read[:, 30:] == (128,) * 3 + (0,)).all()
    grey = read_mnist(tmp_path / "out", "train", "grey").images[0]
    assert abs(int(grey[1, 14]) - 76) <= 2 and abs(int(grey[20, 8]) - 150) <= 2  # not one channel


def test_folders_in_natural_order_every_one_taken(tmp_path):
    for i, name in enumerate(["10", "2", "0", "1"]):
        for file in ("b10.png", "b9.JPG"):
            save(tmp_path / f"in/{name}/{file}", np.full((8, 8, 3), 10 * i + 1, np.uint8))
        (tmp_path / f"in/{name}/Thumbs.db").write_bytes(b"no image")
    (tmp_path / "in/3").mkdir()
    (tmp_path / "in/.ipynb_checkpoints").mkdir()
    counts = write_mnist(tmp_path / "in", tmp_path / "out", test_fraction=None, progress=False)
    assert counts == {"train": 8, "test": 0}
    read = read_mnist(tmp_path / "out", "train")
    assert read.names == ("0", "1", "2", "3", "10")
    assert read.labels.tolist() == [0, 0, 1, 1, 2, 2, 4, 4]
    assert read.images[:, 0, 0, 0].tolist() == [21, 21, 31, 31, 11, 11, 1, 1]
    assert len(read_mnist(tmp_path / "out", "test").images) == 0


def test_train_and_test_share_no_identity(tmp_path):
    for i in range(8):
        for k in range(3):
            save(tmp_path / f"in/{i}/{k}.png", np.full((4, 4), i, np.uint8))
    write_mnist(tmp_path / "in", tmp_path / "out", progress=False)
    train, test = (set(read_mnist(tmp_path / "out", s).labels) for s in ("train", "test"))
    assert not train & test and train | test == set(range(8)) and len(test) == 2


def test_label_type_follows_the_number_of_identities(tmp_path):
    out = tmp_path / "out"
    options = {"grey_size": 2, "colour_size": 2, "test_fraction": None, "progress": False}
    for i in range(256):
        save(tmp_path / f"in/{i:03d}/0.png", np.zeros((2, 2), np.uint8))
    for n, kind in ((256, "ubyte"), (257, "int"), (256, "ubyte")):
        if n == 257:
            save(tmp_path / "in/256/0.png", np.zeros((2, 2), np.uint8))
        else:
            shutil.rmtree(tmp_path / "in/256", ignore_errors=True)
        write_mnist(tmp_path / "in", out, **options)
        assert [path.name for path in out.glob("train-labels*")] == [f"train-labels-idx1-{kind}.gz"]
        labels = independent(out / f"train-labels-idx1-{kind}.gz")
        assert labels.dtype.itemsize == (1 if n == 256 else 4)
        assert labels.tolist() == list(range(n)) == read_mnist(out, "train").labels.tolist()


def test_conversion_is_deterministic(crops, tmp_path):
    for name in "ab":
        write_mnist(crops / "manifest.csv", tmp_path / name, progress=False)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_many_batches(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 4, 4), dtype=np.uint8)
    for i, image in enumerate(images):
        save(tmp_path / f"in/x/{i}.png", image)
    options = {"grey_size": 4, "colour_size": 4, "test_fraction": None, "progress": False}
    write_mnist(tmp_path / "in", tmp_path / "out", **options)
    np.testing.assert_array_equal(read_mnist(tmp_path / "out", "train", "grey").images, images)


def test_nothing_to_convert(tmp_path, crops):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match="expected a manifest.csv, or a folder of images"):
        write_mnist(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ValueError, match="size: expected"):
        write_mnist(crops, tmp_path / "out", grey_size=0)
    with pytest.raises(FileNotFoundError):
        write_mnist(tmp_path / "nowhere", tmp_path / "out")


def test_a_broken_picture_leaves_the_earlier_files(tmp_path):
    save(tmp_path / "in/0/a.png", np.zeros((4, 4), np.uint8))
    options = {"test_fraction": None, "progress": False}
    write_mnist(tmp_path / "in", tmp_path / "out", **options)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    (tmp_path / "in/0/b.png").write_bytes((tmp_path / "in/0/a.png").read_bytes()[:40])
    with pytest.raises(ValueError, match="b.png"):
        write_mnist(tmp_path / "in", tmp_path / "out", **options)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}


def test_files_that_do_not_belong_together(crops, tmp_path):
    out = tmp_path / "out"
    write_mnist(crops, out, progress=False)
    with pytest.raises(ValueError, match="expected a split"):
        read_mnist(out, "val")
    with pytest.raises(ValueError, match="a kind of"):
        read_mnist(out, "train", "red")
    labels = out / "train-labels-idx1-ubyte.gz"
    write_idx(labels, np.full(22, 4, np.uint8))
    with pytest.raises(ValueError, match="labels below 4"):
        read_mnist(out, "train")
    write_idx(labels, np.zeros(21, np.uint8))
    with pytest.raises(ValueError, match="expected 22 labels for the images, got 21"):
        read_mnist(out, "train")
    write_idx(out / "train-masks-idx3-ubyte.gz", np.zeros((21, 64, 64), np.uint8))
    with pytest.raises(ValueError, match="21 masks, 22 images"):
        read_mnist(out, "train", "rgba")
    labels.unlink()
    with pytest.raises(FileNotFoundError):
        read_mnist(out, "train")


@pytest.mark.real_data
def test_real_crops(davis_root, tmp_path):
    dataset = DavisDataset(davis_root)
    sequence = dataset.sequences("val")[-1]
    extract(dataset, tmp_path / "crops", sequences=[sequence], progress=False)
    write_mnist(tmp_path / "crops", tmp_path / "mnist", progress=False)
    manifest = read_manifest(tmp_path / "crops")
    for split in ("train", "test"):
        rows = manifest[manifest.split == split]
        read = read_mnist(tmp_path / "mnist", split, "rgba")
        np.testing.assert_array_equal(read.images, load_crops(rows, tmp_path / "crops"))
        assert [read.names[label] for label in read.labels] == rows.identity.tolist()
        grey = read_mnist(tmp_path / "mnist", split, "grey").images
        small = cv2.resize(
            cv2.cvtColor(read.images[0], cv2.COLOR_RGBA2GRAY), (28, 28), None, 0, 0, 3
        )
        np.testing.assert_array_equal(grey[0], small)

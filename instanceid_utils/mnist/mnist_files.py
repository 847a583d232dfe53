"""Crops in the format of MNIST: IDX files that every MNIST reader takes.

For "train" and for "test", which share no identity:

=================================  ==================  ==========================================
``train-images-idx3-ubyte.gz``     (N, 28, 28)         grey
``train-images-idx4-ubyte.gz``     (N, S, S, 3)        RGB
``train-masks-idx3-ubyte.gz``      (N, S, S)           alpha of the RGB: 255 segment, 0 background
``train-labels-idx1-ubyte.gz``     (N,)                number of the identity
``identities.txt``                 one name per line   line k (from 0) is label k, in both splits
=================================  ==================  ==========================================

MNIST calls its own test files ``t10k-``, and its readers ask for that name: `write_mnist` gives it
on demand. Labels count through both splits, in natural order of the names. With more than 256
identities they are 32-bit, in ``train-labels-idx1-int.gz``. Images stand in the order of the
manifest, or of the folders and their files.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import namedtuple
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.davis import natural_key
from instanceid_utils.data.image_files import read_rgba
from instanceid_utils.data.manifest import SPLITS, read_manifest, split_by_identity
from instanceid_utils.mnist.idx import IdxWriter, read_idx
from instanceid_utils.segments.crops import CROP_SIZE, FILL

logger = logging.getLogger(__name__)

GREY_SIZE = 28
NAMES = "identities.txt"
TEST_OF_MNIST = "t10k"
KINDS = ("grey", "colour", "rgba")

_BATCH = 256
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

Mnist = namedtuple("Mnist", "images labels names")


def write_mnist(
    source: str | os.PathLike,
    out_dir: str | os.PathLike,
    *,
    grey_size: int = GREY_SIZE,
    colour_size: int = CROP_SIZE,
    test_fraction: float | None = 0.25,
    rng: np.random.Generator | None = None,
    mnist_names: bool = False,
    progress: bool = True,
) -> dict:
    """Convert crops, or a folder of images per identity, to MNIST files.

    A picture that is not square is padded, not stretched, and padding is background.

    Parameters
    ----------
    source : path-like
        A manifest or the folder it is in, see `extract`; its split is kept. Or a folder with a
        folder of PNG or JPEG images for each identity (``0/a.png``, ``1/b.png``), every one of
        which is taken.
    out_dir : path-like
    grey_size, colour_size : int
        Sides of the images in pixels.
    test_fraction : float or None
        For a folder per identity: fraction of the identities that go to "test". None puts all
        images into "train" and leaves "test" empty.
    rng : numpy.random.Generator, optional
        For that split; seeded with 0 by default.
    mnist_names : bool
        Begin the names of the test files with ``t10k-``, as those of MNIST.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict of str to int
        Number of images in "train" and in "test".

    Raises
    ------
    ValueError
        If there is nothing to convert or a picture is broken; it is named.
    """
    source, out_dir = Path(source), Path(out_dir)
    for size in (grey_size, colour_size):
        if not 1 <= size <= 4096:
            raise ValueError(f"size: expected a number of pixels in [1, 4096], got {size}")
    if source.suffix == ".csv" or (source / "manifest.csv").exists():
        paths, identities, splits = _from_manifest(source)
    else:
        paths, identities, splits = _from_folders(source, test_fraction, rng)
    names = sorted(set(identities), key=natural_key)
    label_of = {name: label for label, name in enumerate(names)}
    if any(len(name.splitlines()) != 1 for name in names):
        raise ValueError(f"{source}: expected names of one line for identities")

    out_dir.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split in SPLITS:
        items = [
            (path, label_of[name])
            for path, name, side in zip(paths, identities, splits)
            if path is not None and side == split
        ]
        stored = np.uint8 if len(names) <= 256 else np.int32
        prefix = TEST_OF_MNIST if mnist_names and split == "test" else split
        _write_split(out_dir, prefix, items, stored, grey_size, colour_size, progress)
        counts[split] = len(items)
    for path in out_dir.glob(f"{'test' if mnist_names else TEST_OF_MNIST}-*-idx?-*.gz"):
        path.unlink()  # of an earlier run with the other names
    write_atomically(out_dir / NAMES, "".join(f"{name}\n" for name in names))
    return counts


def read_mnist(folder: str | os.PathLike, split: str, kind: str = "colour") -> tuple:
    """Read the images and labels of a split.

    Parameters
    ----------
    folder : path-like
        Where `write_mnist` has put them.
    split : {"train", "test"}
    kind : {"grey", "colour", "rgba"}
        (N, 28, 28), (N, S, S, 3) or, with the masks, (N, S, S, 4).

    Returns
    -------
    images : ndarray, uint8
    labels : ndarray of shape (N,), int64
        Positions in ``names``.
    names : tuple of str
        Of all identities, those of the other split too.

    Raises
    ------
    ValueError
        If the files are damaged or do not belong together.
    OSError
        If one is missing.
    """
    folder = Path(folder)
    if split not in SPLITS or kind not in KINDS:
        raise ValueError(f"expected a split of {SPLITS} and a kind of {KINDS}: {split!r}, {kind!r}")
    names = tuple((folder / NAMES).read_text(encoding="utf-8").splitlines())
    if split == "test" and any(folder.glob(f"{TEST_OF_MNIST}-*")):
        split = TEST_OF_MNIST
    path = _labels_path(folder, split, np.uint8 if len(names) <= 256 else np.int32)
    labels = read_idx(path).astype(np.int64)
    images = read_idx(folder / f"{split}-images-idx{3 if kind == 'grey' else 4}-ubyte.gz")
    if kind == "rgba":
        masks = read_idx(folder / f"{split}-masks-idx3-ubyte.gz")
        if masks.shape != images.shape[:3]:
            raise ValueError(f"{folder}: {len(masks)} masks, {len(images)} images, or other sizes")
        images = np.concatenate([images, masks[..., np.newaxis]], axis=3)
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{path}: expected {len(images)} labels for the images, got {len(labels)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"{path}: expected labels below {len(names)}, the number of names")
    return Mnist(images, labels, names)


def _from_manifest(source):
    manifest = read_manifest(source)
    if not len(manifest):
        raise ValueError(f"{source}: expected at least one crop")
    folder = source if source.is_dir() else source.parent
    return [folder / crop for crop in manifest.crop], manifest.identity, manifest.split


def _from_folders(source, test_fraction, rng):
    folders = [path for path in source.iterdir() if path.is_dir() and path.name[0] != "."]
    paths, identities = [], []
    for folder in sorted(folders, key=lambda path: natural_key(path.name)):
        files = sorted(folder.iterdir(), key=lambda path: natural_key(path.name))
        images = [p for p in files if p.suffix.lower() in _SUFFIXES and p.name[0] != "."]
        if not images:
            logger.warning("%s: no images; it has a label all the same", folder)
        paths += images or [None]
        identities += [folder.name] * max(1, len(images))
    if not any(paths):
        raise ValueError(f"{source}: expected a manifest.csv, or a folder of images per identity")
    if test_fraction is None:
        return paths, identities, ["train"] * len(paths)
    rng = np.random.default_rng(0) if rng is None else rng
    filled = [name for path, name in zip(paths, identities) if path is not None]
    sides = iter(split_by_identity(filled, test_fraction, rng))
    return paths, identities, ["train" if path is None else next(sides) for path in paths]


def _labels_path(folder, prefix, dtype):
    return folder / f"{prefix}-labels-idx1-{'ubyte' if dtype == np.uint8 else 'int'}.gz"


def _write_split(folder, prefix, items, label_type, grey_size, colour_size, progress):
    shapes = {
        "images-idx3": (grey_size, grey_size),
        "images-idx4": (colour_size, colour_size, 3),
        "masks-idx3": (colour_size, colour_size),
    }
    labels_path = _labels_path(folder, prefix, label_type)
    n = len(items)
    with contextlib.ExitStack() as stack:
        labels = stack.enter_context(IdxWriter(labels_path, (), label_type, n))
        writers = [
            stack.enter_context(IdxWriter(folder / f"{prefix}-{name}-ubyte.gz", shape, np.uint8, n))
            for name, shape in shapes.items()
        ]
        with tqdm(total=n, desc=prefix, unit="image", disable=not progress) as bar:
            for start in range(0, n, _BATCH):
                batch = items[start : start + _BATCH]
                pictures = [_picture(path, grey_size, colour_size) for path, _ in batch]
                for writer, images in zip(writers, zip(*pictures)):
                    writer.append(np.stack(images))
                labels.append(np.array([label for _, label in batch], label_type))
                bar.update(len(batch))
    other = _labels_path(folder, prefix, np.int32 if label_type == np.uint8 else np.uint8)
    other.unlink(missing_ok=True)  # of an earlier run with more or fewer identities


def _picture(path, grey_size, colour_size):
    """Grey, RGB and alpha of a picture."""
    rgba = read_rgba(path)
    height, width = rgba.shape[:2]
    if height != width:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.full((side, side, 4), (FILL, FILL, FILL, 0), np.uint8)
        square[top : top + height, left : left + width] = rgba
        rgba = square
    grey = _resize(cv2.cvtColor(rgba, cv2.COLOR_RGBA2GRAY), grey_size)
    rgba = _resize(rgba, colour_size)
    return grey, rgba[..., :3], rgba[..., 3]


def _resize(image, size):
    interpolation = cv2.INTER_AREA if len(image) > size else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=interpolation)

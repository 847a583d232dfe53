"""Pictures of identities in the files of MNIST, which every tool of the field can read.

For each split, grey and colour pictures, masks and labels, all in one order:

- ``train-images-idx3-ubyte.gz``: (N, 28, 28) grey;
- ``train-images-idx4-ubyte.gz``: (N, S, S, 3) RGB;
- ``train-masks-idx3-ubyte.gz``: (N, S, S), 255 on the segment, where the pictures have alpha;
- ``train-labels-idx1-ubyte.gz``: (N,), ``-int`` in place of ``-ubyte`` beyond 256 identities;

and ``t10k-...``, as MNIST calls it, for the test split. ``identities.txt`` names label 0 in its
first line, label 1 in its second; labels count through both splits, which share none.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.data import natural_key
from instanceid_utils.idx import read_idx
from instanceid_utils.idx_streams import IdxWriter
from instanceid_utils.image_files import read_rgba
from instanceid_utils.manifest import read_manifest, split_by_identity
from instanceid_utils.segments import FILL

PREFIXES = {"train": "train", "test": "t10k"}
NAMES = "identities.txt"
_SUFFIXES = (".png", ".jpg", ".jpeg")
_BATCH = 256


@dataclass(frozen=True, eq=False)
class MnistSplit:
    """One split in memory.

    Attributes
    ----------
    grey : ndarray of shape (N, 28, 28), uint8
    colour : ndarray of shape (N, S, S, 3), uint8
    masks : ndarray of shape (N, S, S), uint8, or None
    labels : ndarray of shape (N,), uint8 or int32
    names : tuple of str
        Name of each label, of both splits.
    """

    grey: np.ndarray
    colour: np.ndarray
    masks: np.ndarray | None
    labels: np.ndarray
    names: tuple

    @property
    def crops(self):
        """Colour and mask as RGBA, (N, S, S, 4): what ``segments.cut_crops`` made."""
        masks = np.full(self.colour.shape[:3], 255, np.uint8) if self.masks is None else self.masks
        return np.concatenate([self.colour, masks[..., None]], 3)


def convert_manifest(folder, out_dir, **options):
    """Convert the crops of a manifest, split as it says.

    Parameters
    ----------
    folder : path
        As `extraction.extract` left it.
    out_dir : path
        Where the files go.
    **options
        ``grey_size``, ``colour_size``, ``progress`` as in `convert_folders`.

    Returns
    -------
    dict of str to int
        Pictures in each split.
    """
    manifest = read_manifest(folder)
    items = [(Path(folder) / row.crop, row.identity, row.split) for row in manifest.itertuples()]
    return _convert(items, out_dir, masks=True, **options)


def convert_folders(root, out_dir, *, test_fraction=0.25, rng=None, **options):
    """Convert a tree with a folder of pictures for each identity: ``0/a.png``, ``1/b.png``.

    Every folder is taken, in natural order (2 before 10), and every PNG and JPEG in it. Where
    the root holds ``train`` and ``test`` (or ``training-images`` and ``test-images``), these
    are the splits; otherwise whole identities are drawn for testing.

    Parameters
    ----------
    root, out_dir : path
    test_fraction : float
        Fraction of the identities for testing; 0 puts all into training.
    rng : numpy.random.Generator, optional
        For that draw; seeded with 0 by default.
    grey_size, colour_size : int
        Sides of the grey and of the colour pictures, 28 and 64.
    progress : bool
        Show a bar.

    Returns
    -------
    dict of str to int
        Pictures in each split.

    Raises
    ------
    ValueError
        If there is no picture, an identity is in both splits, or a picture cannot be read; it
        is named. What was in ``out_dir`` before stays.
    """
    root = Path(root)
    items = _split_tree(root)
    if items is None:
        found = _pictures(root)
        splits = np.full(len(found), "train")
        if test_fraction and len({name for _, name in found}) > 1:
            rng = np.random.default_rng(0) if rng is None else rng
            splits = split_by_identity([name for _, name in found], test_fraction, rng)
        items = [(path, name, str(split)) for (path, name), split in zip(found, splits)]
    if not items:
        raise ValueError(f"{root}: expected a folder of PNG or JPEG pictures for each identity")
    return _convert(items, out_dir, masks=None, **options)


def _split_tree(root):
    for pair in (("train", "test"), ("training-images", "test-images")):
        if all((root / name).is_dir() for name in pair):
            return [
                (path, name, split)
                for split, folder in zip(("train", "test"), pair)
                for path, name in _pictures(root / folder)
            ]
    return None


def _pictures(root):
    folders = sorted((p for p in root.iterdir() if p.is_dir()), key=lambda p: natural_key(p.name))
    return [
        (path, folder.name)
        for folder in folders
        for path in sorted(folder.iterdir(), key=lambda p: natural_key(p.name))
        if path.suffix.lower() in _SUFFIXES
    ]


def _convert(items, out_dir, *, masks, grey_size=28, colour_size=64, progress=True):
    names = sorted({name for _, name, _ in items}, key=natural_key)
    if any("\n" in name for name in names):
        raise ValueError("expected names of identities without line breaks")
    number = {name: i for i, name in enumerate(names)}
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    if masks is None:
        masks = all(path.suffix.lower() == ".png" and _has_alpha(path) for path, _, _ in items[:1])
    counts = {}
    with tempfile.TemporaryDirectory(prefix=".mnist-", dir=out_dir) as part:
        part = Path(part)
        for split, prefix in PREFIXES.items():
            mine = [(path, number[name]) for path, name, s in items if s == split]
            _write_split(part, prefix, mine, len(names), grey_size, colour_size, masks, progress)
            counts[split] = len(mine)
        (part / NAMES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        for old in out_dir.glob("*-idx*-*.gz"):  # of other counts, or with masks
            if old.name.split("-")[0] in PREFIXES.values() and not (part / old.name).exists():
                old.unlink()
        for new in part.iterdir():
            os.replace(new, out_dir / new.name)
    return counts


def _has_alpha(path):
    return (read_rgba(path)[..., 3] < 255).any()


def _write_split(out_dir, prefix, mine, n_names, grey_size, colour_size, masks, progress):
    byte = n_names <= 256
    wanted = {
        "grey": (f"{prefix}-images-idx3-ubyte.gz", (grey_size, grey_size), np.uint8),
        "colour": (f"{prefix}-images-idx4-ubyte.gz", (colour_size, colour_size, 3), np.uint8),
        "masks": (f"{prefix}-masks-idx3-ubyte.gz", (colour_size, colour_size), np.uint8),
        "labels": (
            f"{prefix}-labels-idx1-{'ubyte' if byte else 'int'}.gz",
            (),
            np.uint8 if byte else np.int32,
        ),
    }
    if not masks:
        del wanted["masks"]
    with contextlib.ExitStack() as stack:
        writers = {
            kind: stack.enter_context(IdxWriter(out_dir / name, shape, dtype, count=len(mine)))
            for kind, (name, shape, dtype) in wanted.items()
        }
        bar = tqdm(total=len(mine), desc=f"{prefix} pictures", disable=not progress)
        stack.callback(bar.close)
        for start in range(0, len(mine), _BATCH):
            batch = mine[start : start + _BATCH]
            pictures = np.stack([_fitted(read_rgba(path), colour_size) for path, _ in batch])
            writers["grey"].append(np.stack([_grey(p, grey_size) for p in pictures]))
            writers["colour"].append(pictures[..., :3])
            if masks:
                writers["masks"].append(pictures[..., 3])
            writers["labels"].append(np.array([label for _, label in batch], wanted["labels"][2]))
            bar.update(len(batch))


def _fitted(rgba, size):
    """Bring a picture to a square, whole and not squeezed, on grey without alpha."""
    height, width = rgba.shape[:2]
    if (height, width) == (size, size):
        return rgba
    scale = size / max(height, width)
    to = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(rgba), to, interpolation=how)
    out = np.empty((size, size, 4), np.uint8)
    out[:] = FILL, FILL, FILL, 0
    top, left = (size - to[1]) // 2, (size - to[0]) // 2
    out[top : top + to[1], left : left + to[0]] = small
    return out


def _grey(rgba, size):
    """Luminance (ITU-R BT.601), smaller."""
    grey = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)


def read_mnist(folder, split="train"):
    """Read a split back.

    Parameters
    ----------
    folder : path
    split : {"train", "test"}

    Returns
    -------
    MnistSplit

    Raises
    ------
    ValueError
        If the files disagree in number, or a label has no name; the file is named.
    FileNotFoundError
        If one is missing.
    """
    folder = Path(folder)
    if split not in PREFIXES:
        raise ValueError(f"split: expected one of {tuple(PREFIXES)}, got {split!r}")
    prefix = folder / PREFIXES[split]
    grey, colour = (read_idx(f"{prefix}-images-idx{n}-ubyte.gz") for n in (3, 4))
    masks = Path(f"{prefix}-masks-idx3-ubyte.gz")
    masks = read_idx(masks) if masks.exists() else None
    labels_path = Path(f"{prefix}-labels-idx1-ubyte.gz")
    if not labels_path.exists():
        labels_path = Path(f"{prefix}-labels-idx1-int.gz")
    labels = read_idx(labels_path)
    names = tuple((folder / NAMES).read_text(encoding="utf-8").splitlines())
    for part in (grey, colour, labels if masks is None else masks):
        if len(part) != len(labels):
            raise ValueError(f"{labels_path}: expected {len(part)} labels, got {len(labels)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise ValueError(f"{labels_path}: expected labels below {len(names)}, as in {NAMES}")
    return MnistSplit(grey, colour, masks, labels, names)

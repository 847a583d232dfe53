"""The manifest: one row per crop, and which identities are for training and which for testing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from instanceid_utils.data.image_files import read_rgba

MANIFEST_TYPES = {
    "sequence": str,
    "frame": str,  # a name, "00012", not a number
    "instance_id": np.int64,
    "identity": str,  # sequence and instance ID: an ID means nothing outside its sequence
    "left": np.int64,
    "top": np.int64,
    "right": np.int64,
    "bottom": np.int64,
    "area": np.int64,
    "frame_height": np.int64,
    "frame_width": np.int64,
    "crop": str,  # path from the folder of the manifest
    "split": str,
}
COLUMNS = tuple(MANIFEST_TYPES)
SPLITS = ("train", "test")


def read_manifest(path: str | os.PathLike) -> pd.DataFrame:
    """Read and check a manifest.

    Parameters
    ----------
    path : path-like
        The file, or the folder with ``data.csv`` in it.

    Returns
    -------
    pandas.DataFrame
        One row per crop: ``sequence``, ``frame`` (name), ``instance_id``, ``identity``, box
        (``left``, ``top``, ``right``, ``bottom``; the last two exclusive), ``area`` in pixels,
        ``frame_height``, ``frame_width``, ``crop`` (path from the folder of the manifest) and
        ``split`` ("train" or "test").

    Raises
    ------
    ValueError
        If columns are missing or hold what they must not, or an identity is in both splits.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    path = path / "manifest.csv" if path.is_dir() else path
    try:
        manifest = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: expected a table with commas ({error})") from error
    if tuple(manifest.columns) != COLUMNS:
        raise ValueError(f"{path}: expected columns {COLUMNS}, got {tuple(manifest.columns)}")
    try:
        manifest = manifest.astype(MANIFEST_TYPES)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: expected whole numbers ({error})") from error
    _check(path, manifest)
    return manifest


def _check(path, manifest):
    m = manifest
    inside = (m.left >= 0) & (m.top >= 0) & (m.right <= m.frame_width)
    inside &= (m.bottom <= m.frame_height) & (m.left < m.right) & (m.top < m.bottom)
    leaves = m.crop.str.startswith(("/", "\\")) | m.crop.str.contains(r"\.\.|:|^$")
    for bad, expected in (
        (~m.split.isin(SPLITS), f"a split of {SPLITS}"),
        (~inside, "a box inside the frame"),
        (leaves, "a crop below the folder of the manifest"),
        (m.identity == "", "an identity"),
    ):
        if bad.any():
            line = int(np.flatnonzero(bad)[0]) + 2
            raise ValueError(f"{path}: expected {expected} in line {line}")
    both = m.groupby("identity").split.nunique()
    if (both > 1).any():
        raise ValueError(f"{path}: identity {both.idxmax()!r} is in both splits")


def load_crops(manifest: pd.DataFrame, folder: str | os.PathLike) -> np.ndarray:
    """Load the crops of a manifest.

    Parameters
    ----------
    manifest : pandas.DataFrame
        From `read_manifest`, or some of its rows.
    folder : path-like
        Where the manifest is.

    Returns
    -------
    ndarray of shape (N, S, S, 4), uint8
        RGBA, in the order of the rows.

    Raises
    ------
    ValueError
        If there are no rows, a crop is broken, or they differ in size.
    """
    paths = [Path(folder) / name for name in manifest.crop]
    if not paths:
        raise ValueError("manifest: expected at least one row")
    first = read_rgba(paths[0])
    crops = np.empty((len(paths), *first.shape), np.uint8)
    for i, path in enumerate(paths):
        crop = read_rgba(path)
        if crop.shape != first.shape:
            raise ValueError(
                f"{path}: expected {first.shape[1]}x{first.shape[0]}, the size of {paths[0]}, "
                f"got {crop.shape[1]}x{crop.shape[0]}"
            )
        crops[i] = crop
    return crops


def split_by_identity(
    identities: npt.ArrayLike, test_fraction: float, rng: np.random.Generator
) -> np.ndarray:
    """Put each identity, with all its crops, either into "train" or into "test".

    Splitting by frame would test on near copies of what was trained on.

    Parameters
    ----------
    identities : array-like of shape (N,)
        Identity of each crop; for instance a column of a manifest.
    test_fraction : float
        Fraction of the identities, in (0, 1); at least one identity goes to each side.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (N,), str
        "train" or "test".

    Raises
    ------
    ValueError
        If there are fewer than two identities, or the fraction is out of range.

    Examples
    --------
    >>> split_by_identity(["a", "b", "a", "b"], 0.5, np.random.default_rng(0)).tolist()
    ['test', 'train', 'test', 'train']
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: expected a number in (0, 1), got {test_fraction}")
    names, index = np.unique(np.asarray(identities), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"identities: expected at least two to split, got {len(names)}")
    n_test = int(np.clip(round(test_fraction * len(names)), 1, len(names) - 1))
    is_test = np.zeros(len(names), bool)
    is_test[rng.permutation(len(names))[:n_test]] = True
    return np.where(is_test[index], "test", "train")

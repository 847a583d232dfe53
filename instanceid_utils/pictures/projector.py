"""Export embeddings to the TensorBoard projector: vectors, labels and thumbnails.

The projector reads plain files; none of them needs TensorFlow to be written::

    tensorboard --logdir FOLDER        # then open the tab "Projector"
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import numpy as np

MAX_SPRITE = 8192  # pixels a side; browsers refuse larger textures
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ENTRY = """\
embeddings {{
  tensor_name: "{name}"
  tensor_path: "{name}.tsv"
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


def export_projector(
    folder: str | os.PathLike, embeddings: np.ndarray, crops: np.ndarray, **columns
) -> Path:
    """Write a folder that ``tensorboard --logdir`` shows in its projector.

    Parameters
    ----------
    folder : path
        Made if missing; files of an earlier export are replaced.
    embeddings : ndarray of shape (N, D), float, or dict of str to such
        Several, such as "before" and "after", can be switched between in the projector.
        Names consist of letters, digits, ``_``, ``.`` and ``-``.
    crops : ndarray of shape (N, S, S, 4), uint8
        RGB and mask: the thumbnails, transparent outside the mask.
    **columns : array_like of shape (N,)
        What to show of each point, such as ``identity=...``, ``frame=...``.

    Returns
    -------
    pathlib.Path
        The configuration file.

    Raises
    ------
    ValueError
        If lengths disagree, a name is not allowed, or a vector is not finite.
    """
    named = embeddings if isinstance(embeddings, dict) else {"embedding": embeddings}
    named = {name: np.asarray(vectors, np.float32) for name, vectors in named.items()}
    _check(named, crops, columns)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, vectors in named.items():
        np.savetxt(folder / f"{name}.tsv", vectors, fmt="%.6g", delimiter="\t")
    _write_metadata(folder / "metadata.tsv", {"index": np.arange(len(crops)), **columns})
    sprite = make_sprite(crops)
    ok, png = cv2.imencode(".png", cv2.cvtColor(sprite, cv2.COLOR_RGBA2BGRA))
    if not ok:
        raise OSError(f"{folder / 'sprite.png'}: could not be encoded")
    (folder / "sprite.png").write_bytes(png.tobytes())
    side = len(sprite) // _per_row(len(crops))
    config = folder / "projector_config.pbtxt"
    config.write_text("".join(_ENTRY.format(name=name, side=side) for name in named))
    return config


def make_sprite(crops, max_side=MAX_SPRITE):
    """Lay thumbnails out in a square, row by row, shrunk if it would grow too large.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
    max_side : int
        Pixels.

    Returns
    -------
    ndarray of shape (M, M, 4), uint8
        M is ceil(sqrt(N)) times the side of a thumbnail; places left over are transparent.

    Examples
    --------
    >>> make_sprite(np.zeros((5, 8, 8, 4), np.uint8)).shape
    (24, 24, 4)
    """
    per_row = _per_row(len(crops))
    side = min(crops.shape[1], max_side // per_row)
    if side < 1:
        raise ValueError(f"{len(crops)} thumbnails do not fit in {max_side} x {max_side} pixels")
    sprite = np.zeros((per_row * side, per_row * side, 4), np.uint8)
    for i, crop in enumerate(crops):
        row, column = (side * k for k in divmod(i, per_row))
        if side < len(crop):
            crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        sprite[row : row + side, column : column + side] = crop
    return sprite


def _per_row(n_crops):
    return int(np.ceil(np.sqrt(n_crops)))


def _write_metadata(path, columns):
    def clean(value):
        return re.sub(r"\s", " ", str(value))

    # With one column only, the projector would take a header for a label: there are always two.
    rows = zip(*(np.asarray(values).tolist() for values in columns.values()))
    lines = ["\t".join(map(clean, row)) for row in (columns, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _check(named, crops, columns):
    if crops.ndim != 4 or crops.dtype != np.uint8 or crops.shape[3] != 4 or not len(crops):
        raise ValueError(
            "crops must be uint8 of shape (N, S, S, 4), N at least 1, "
            f"got {crops.dtype} of shape {crops.shape}"
        )
    if not columns:
        raise ValueError("give at least one column, for instance identity=identities")
    if "index" in columns:
        raise ValueError("column 'index' is there already: the position in the arrays")
    for name, vectors in named.items():
        if not _NAME.fullmatch(name) or name in ("metadata", "sprite"):
            raise ValueError(f"embedding name {name!r}: use letters, digits, '_', '.' and '-'")
        if vectors.ndim != 2 or len(vectors) != len(crops):
            raise ValueError(f"{name}: shape {vectors.shape} for {len(crops)} crops")
        if not np.isfinite(vectors).all():
            raise ValueError(f"{name}: NaN or infinite values")
    for name, values in columns.items():
        if np.shape(values) != (len(crops),):
            raise ValueError(f"column {name}: shape {np.shape(values)} for {len(crops)} crops")

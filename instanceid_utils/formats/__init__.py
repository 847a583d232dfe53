"""Formats: masks from any segmentation model.

In go files, folders and what a model holds in memory; out come the masks of each frame, decoded
when they are asked for:

=================  ==========================================================================
``palette``        folder of DAVIS / YouTube-VOS palette PNGs (grey and RGB-coded ones too)
``mots-png``       folder of 16-bit MOTS PNGs
``npz``            folder of one ``.npz`` a frame
``mots``           MOTS text file
``coco``           COCO JSON: data set or results
``youtube-vis``    YouTube-VIS (COCO-VIS) JSON: data set or results
=================  ==========================================================================

`from_model` takes what a model holds in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from instanceid_utils.formats import coco, mots, npz, palette, youtube_vis
from instanceid_utils.formats.frame_masks import FormatError, FrameMasks, MaskReader, clean_masks
from instanceid_utils.formats.model_outputs import from_model

__all__ = [
    "FORMATS",
    "FormatError",
    "FrameMasks",
    "MaskReader",
    "clean_masks",
    "detect_format",
    "from_model",
    "read_masks",
]

MOTS_END = 11_000  # classes 1 and 2, and 10 for what is to be ignored

FORMATS: dict[str, Callable] = {
    "palette": palette.read,
    "mots-png": mots.read_png,
    "npz": npz.read,
    "mots": mots.read_txt,
    "coco": coco.read,
    "youtube-vis": youtube_vis.read,
}


def read_masks(
    path: str | os.PathLike,
    format: str | None = None,
    *,
    frame_shape: tuple | None = None,
    sequence: str | None = None,
) -> MaskReader:
    """Open the masks of a video.

    Parameters
    ----------
    path : path-like
        File or folder.
    format : str, optional
        A key of `FORMATS`; told from the file unless given.
    frame_shape : tuple of int, optional
        (H, W) that the masks must have. COCO polygons without an image size need it.
    sequence : str, optional
        Which video of a YouTube-VIS file, by folder name or id.

    Returns
    -------
    MaskReader
        A mapping from frame number to `FrameMasks`, decoded one at a time.

    Raises
    ------
    FormatError
        If the file is not of that format, now or when one of its frames is decoded; it names
        file and place.
    FileNotFoundError
        If there is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    format = format or detect_format(path)
    if format not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
    if path.is_dir() != (format in ("palette", "mots-png", "npz")):
        kind = "file" if path.is_dir() else "folder"
        raise FormatError(f"{path}: masks in the format {format!r} are in a {kind}")
    options: dict = {"frame_shape": frame_shape}
    if format == "youtube-vis":
        options["sequence"] = sequence
    elif sequence is not None:
        raise ValueError(f"sequence: {format!r} holds one video, expected none, got {sequence!r}")
    return FORMATS[format](path, **options)


def detect_format(path: str | os.PathLike) -> str:
    """Tell the format of a file or folder by what is in it.

    Raises
    ------
    FormatError
        If it looks like none of them.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(
            p for p in path.iterdir() if p.suffix.lower() in (".png", ".npz") and p.name[0] != "."
        )
        if files:
            return "npz" if files[0].suffix.lower() == ".npz" else _png_format(files)
        raise FormatError(f"{path}: expected PNG or npz files with masks, there are none")
    if path.suffix.lower() == ".txt":
        return "mots"
    if path.suffix.lower() == ".json":
        return _json_format(coco.load_json(path), path)
    raise FormatError(f"{path}: expected a folder, .json or .txt; or say the format")


def _png_format(files):
    """16-bit grey with values from 1000 to 10,999 is MOTS; anything else is a label map."""
    from instanceid_utils.data.image_files import read_label_map

    for file in files[:20]:
        try:
            label_map = read_label_map(file)
        except ValueError as error:
            raise FormatError(str(error)) from error
        if label_map.any():
            low, high = label_map[label_map > 0].min(), label_map.max()
            is_mots = label_map.dtype.itemsize == 2 and 1000 <= low <= high < MOTS_END
            return "mots-png" if is_mots else "palette"
    return "palette"


def _json_format(content, path):
    if isinstance(content, dict):
        if "videos" in content:
            return "youtube-vis"
        if "images" in content or "annotations" in content:
            return "coco"
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        if "segmentations" in content[0]:
            return "youtube-vis"
        if "segmentation" in content[0]:
            return "coco"
    raise FormatError(
        f"{path}: expected COCO or YouTube-VIS JSON (images or videos with "
        "annotations, or a list of results)"
    )

"""Formats: masks from any segmentation model.

In go files, folders and what a model holds in memory; out come the masks of each frame, decoded
when they are asked for:

=================  ==========================================================================
``palette``        label maps: folder of PNGs (palette, grey, RGB-coded) or TIFFs, or a TIFF
``mots-png``       folder of 16-bit MOTS PNGs
``npz``            folder of one ``.npz`` a frame, or one ``.npz`` or ``.npy`` for the video
``mots``           MOTS text file
``mot``            MOT-Challenge text file: boxes
``yolo``           folder of labels of Ultralytics, ``save_txt``: polygons or boxes
``coco``           COCO JSON: data set or results; CocoVID
``youtube-vis``    YouTube-VIS (COCO-VIS) JSON: data set or results
``frame-json``     folder of one JSON a frame, or one: LabelMe, SAM (``amg.py``, SA-1B)
``cvat``           CVAT for video, XML
=================  ==========================================================================

`from_model` takes what a model holds in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from instanceid_utils.formats import (
    arrays,
    coco,
    cvat,
    frame_json,
    mot,
    mots,
    palette,
    yolo,
    youtube_vis,
)
from instanceid_utils.formats.frame_masks import FormatError, FrameMasks, MaskReader, clean_masks
from instanceid_utils.formats.model_outputs import from_model
from instanceid_utils.json_files import read_json

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
    "npz": arrays.read,
    "mots": mots.read_txt,
    "mot": mot.read,
    "yolo": yolo.read,
    "coco": coco.read,
    "youtube-vis": youtube_vis.read,
    "frame-json": frame_json.read,
    "cvat": cvat.read,
}
_IN_FOLDERS, _IN_BOTH = {"mots-png", "yolo"}, {"palette", "npz", "frame-json"}


def read_masks(
    path: str | os.PathLike,
    format: str | None = None,
    *,
    frame_shape: tuple | None = None,
    sequence: str | None = None,
    keep_void: bool = False,
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
        Which video of a YouTube-VIS or CocoVID file, by folder name or id.
    keep_void : bool
        Whether 255 in a palette PNG is an object, and not "not to be judged".

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
    if format not in _IN_BOTH and path.is_dir() != (format in _IN_FOLDERS):
        kind = "file" if path.is_dir() else "folder"
        raise FormatError(f"{path}: masks in the format {format!r} are in a {kind}")
    options: dict = {"frame_shape": frame_shape}
    if format in ("youtube-vis", "coco"):
        options["sequence"] = sequence
    elif sequence is not None:
        raise ValueError(f"sequence: {format!r} holds one video, expected none, got {sequence!r}")
    if format == "palette":
        options["keep_void"] = keep_void
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
        return _folder_format(path)
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _text_format(path)
    if suffix == ".json":
        return _json_format(read_json(path, FormatError), path)
    if suffix in (".npz", ".npy"):
        return "npz"
    if suffix in (".tif", ".tiff"):
        return "palette"
    if suffix == ".xml":
        return "cvat"
    raise FormatError(
        f"{path}: expected a folder, .json, .txt, .xml, .npz, .npy or .tif; or say the format"
    )


def _folder_format(path):
    kinds: dict = {}
    for file in sorted(path.iterdir()):
        if not file.name.startswith("."):
            kinds.setdefault(file.suffix.lower(), []).append(file)
    if ".png" in kinds:
        return _png_format(kinds[".png"])
    for suffix, format in (
        (".npz", "npz"),
        (".tif", "palette"),
        (".tiff", "palette"),
        (".json", "frame-json"),
        (".txt", "yolo"),
    ):
        if suffix in kinds:
            return format
    if {".jpg", ".jpeg"} & set(kinds):
        raise FormatError(
            f"{path}: holds JPEG pictures; as masks they are refused, since JPEG changes labels"
        )
    raise FormatError(
        f"{path}: expected PNG, TIFF, npz, JSON or txt files with masks, there are none"
    )


def _text_format(path):
    """MOTS has six fields with spaces between, the last one run lengths; MOT has numbers alone."""
    with open(path, "rb") as file:
        first = next((line for line in file if line.strip()), b"")
    fields = first.split()
    return "mot" if b"," in first or len(fields) != 6 else "mots"


def _png_format(files):
    """16-bit grey with all values from 1000 to 10,999 is MOTS; anything else is a label map."""
    from instanceid_utils.data.image_files import read_label_map

    is_mots = False
    for file in files[:20]:
        try:
            label_map = read_label_map(file)
        except ValueError as error:
            raise FormatError(str(error)) from error
        if label_map.any():
            low, high = label_map[label_map > 0].min(), label_map.max()
            is_mots = label_map.dtype.itemsize == 2 and 1000 <= low <= high < MOTS_END
            if not is_mots:
                break
    return "mots-png" if is_mots else "palette"


def _json_format(content, path):
    if isinstance(content, dict):
        if "videos" in content and "images" not in content:
            return "youtube-vis"
        if frame_json.is_frame(content):
            return "frame-json"
        if "images" in content or "annotations" in content:
            return "coco"
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        if "segmentations" in content[0]:
            return "youtube-vis"
        if frame_json.is_frame(content):
            return "frame-json"
        if "segmentation" in content[0] or "bbox" in content[0]:
            return "coco"
    raise FormatError(
        f"{path}: expected COCO or YouTube-VIS JSON (images or videos with "
        "annotations, or a list of results)"
    )

"""Label maps: DAVIS and YouTube-VOS palette PNGs, grey and RGB-coded ones, TIFF.

A file's name is the frame's: ``00005.png`` belongs to ``00005.jpg``, or to frame 5 of a video.
Frames may be missing in between.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from instanceid_utils.data.image_files import TIFF_SUFFIXES, VOID, read_label_map, read_tiff
from instanceid_utils.formats.frame_masks import (
    FormatError,
    FrameMasks,
    MaskReader,
    check_frame_shape,
    files_by_number,
)
from instanceid_utils.segments.segments import Segments

logger = logging.getLogger(__name__)

MAX_ID = 65535


def read(
    path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None, keep_void: bool = False
) -> MaskReader:
    """Read a folder of label maps, or the pages of a TIFF; see `formats.read_masks`."""
    if Path(path).is_dir():
        files, names = files_by_number(path, (".png", *TIFF_SUFFIXES))
    else:
        files, names = dict.fromkeys(range(_n_pages(path)), Path(path)), {}
    warned = []

    def decode(number, file):
        try:
            if names:
                label_map = read_label_map(file, keep_void=keep_void)
            else:
                label_map = read_tiff(file, number)
        except ValueError as error:
            raise FormatError(str(error)) from error
        check_frame_shape(label_map.shape, frame_shape, str(file))
        labels = (
            np.flatnonzero(np.bincount(label_map.ravel()))
            if label_map.dtype == np.uint8
            else np.unique(label_map)
        )
        ids = labels[labels > 0].astype(np.int64)
        if not warned and _is_interpolated(label_map, ids):
            warned.append(file)
            logger.warning(
                "%s: %d labels, most of a few pixels: was it resized with interpolation? Resize "
                "label maps with nearest neighbours",
                file,
                len(ids),
            )
        return FrameMasks(number, label_map, ids=ids, name=file.stem if names else None)

    return MaskReader(path, files, decode, names)


def _n_pages(path):
    try:
        with Image.open(path, formats=["TIFF"]) as picture:
            return min(getattr(picture, "n_frames", 1), 10**6)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise FormatError(f"{path}: cannot be read as a TIFF file ({error})") from error


def _is_interpolated(label_map, ids):
    """Whether most labels are rims: interpolation between two labels makes all those between."""
    if len(ids) < 12:
        return False
    areas = np.unique(label_map[label_map > 0], return_counts=True)[1]
    return np.count_nonzero(areas < 0.01 * areas.sum()) > 0.7 * len(areas)


def id_map(segments: Segments, ids: ArrayLike) -> np.ndarray:
    """Give the map (H, W) of IDs, for `data.write_label_map`.

    Segments without an ID, and IDs beyond what a PNG holds (65,535), are left out.
    """
    ids = np.asarray(ids)
    out = np.zeros(segments.frame_shape, np.uint8 if ids.max(initial=0) < VOID else np.uint16)
    for id_, patch, (left, top, right, bottom) in zip(
        ids.tolist(), segments.patches, segments.boxes_tlbr.tolist()
    ):
        if 0 < id_ <= MAX_ID:
            out[top:bottom, left:right][patch] = id_
    return out

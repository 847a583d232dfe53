"""Folders of label maps: DAVIS and YouTube-VOS palette PNGs, grey and RGB-coded ones too.

A file's name is the frame's: ``00005.png`` belongs to ``00005.jpg``, or to frame 5 of a video.
Frames may be missing in between.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from instanceid_utils.data.image_files import read_label_map
from instanceid_utils.formats.frame_masks import (
    FormatError,
    FrameMasks,
    MaskReader,
    files_by_number,
)
from instanceid_utils.segments.segments import Segments

MAX_ID = 65535


def read(path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None) -> MaskReader:
    """Read a folder of label maps; see `instanceid_utils.formats.read_masks`."""
    files, names = files_by_number(path, ".png")

    def decode(number, file):
        try:
            label_map = read_label_map(file)
        except ValueError as error:
            raise FormatError(str(error)) from error
        if frame_shape is not None and label_map.shape != tuple(frame_shape):
            (height, width), (h, w) = frame_shape, label_map.shape
            raise FormatError(
                f"{file}: expected a mask of the frame's size {width}x{height}, got {w}x{h}"
            )
        labels = (
            np.flatnonzero(np.bincount(label_map.ravel()))
            if label_map.dtype == np.uint8
            else np.unique(label_map)
        )
        ids = labels[labels > 0].astype(np.int64)
        return FrameMasks(number, label_map, ids=ids, name=file.stem)

    return MaskReader(path, files, decode, names)


def id_map(segments: Segments, ids: ArrayLike) -> np.ndarray:
    """Give the map (H, W) of IDs, for `data.write_label_map`.

    Segments without an ID, and IDs beyond what a PNG holds (65,535), are left out.
    """
    ids = np.asarray(ids)
    out = np.zeros(segments.frame_shape, np.uint8 if ids.max(initial=0) < 256 else np.uint16)
    for id_, patch, (left, top, right, bottom) in zip(
        ids.tolist(), segments.patches, segments.boxes_tlbr.tolist()
    ):
        if 0 < id_ <= MAX_ID:
            out[top:bottom, left:right][patch] = id_
    return out

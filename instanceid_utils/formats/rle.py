"""Run-length masks of COCO: checked before any memory is claimed, then left to pycocotools.

The compressed string is a list of run lengths (columns first, background first), each coded in
groups of five bits, from the fourth on as the difference to the one two before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from instanceid_utils.formats.frame_masks import FormatError, check_frame_shape, check_size

logger = logging.getLogger(__name__)

MAX_GROUPS = 7  # of five bits: more than any run of a picture of 2**26 pixels takes


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Encode a bool mask (H, W) as ``{"size": [H, W], "counts": str}``.

    Examples
    --------
    >>> encode(np.eye(2, dtype=bool))
    {'size': [2, 2], 'counts': '0120'}
    """
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def encode_patch(
    patch: np.ndarray, box_tlbr: Sequence[int] | np.ndarray, frame_shape: tuple[int, int]
) -> str:
    """Encode a mask given by its box: the compressed counts for the whole frame, as text.

    Parameters
    ----------
    patch : ndarray of shape (h, w), bool
    box_tlbr : sequence of int
        left, top, right, bottom of the patch; right and bottom exclusive.
    frame_shape : tuple of int
        (H, W).

    Examples
    --------
    >>> encode_patch(np.eye(2, dtype=bool), (1, 1, 3, 3), (4, 4)) == encode(np.pad(np.eye(2), 1)
    ...     .astype(bool))["counts"]
    True
    """
    height, width = frame_shape
    left, top, right, bottom = (int(side) for side in box_tlbr)
    pixels = np.zeros((right - left) * height + 2, bool)  # with one of background at each end
    pixels[1:-1].reshape(-1, height)[:, top:bottom] = patch.T
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + left * height
    runs = np.diff(changes, prepend=0, append=height * width).tolist()
    runs = runs[:-1] if runs[-1] == 0 else runs
    return coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)[
        "counts"
    ].decode("ascii")


def decode(segmentation: Any, where: str, frame_shape: tuple[int, int] | None = None) -> np.ndarray:
    """Decode a COCO segmentation: compressed or plain run lengths, or polygons.

    Parameters
    ----------
    segmentation : dict or list
        ``{"size": [H, W], "counts": str or list}``, or a list of polygons [x1, y1, x2, y2, ...].
    where : str
        File and place, for errors.
    frame_shape : tuple of int, optional
        (H, W) that the mask must have. Polygons need it.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    FormatError
        If it is anything else, or its numbers do not fit its size.
    """
    if isinstance(segmentation, list):
        return _decode_polygons(segmentation, where, frame_shape)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= set(segmentation):
        raise FormatError(f"{where}: expected run lengths {{size, counts}} or polygons")
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise FormatError(f"{where}: expected a size [height, width], got {size!r:.60}")
    height, width = (int(s) if isinstance(s, float) and s == s // 1 else s for s in size)
    check_size(height, width, where)
    check_frame_shape((height, width), frame_shape, where)
    runs = _run_lengths(counts, where)
    if (runs < 0).any() or runs.sum() != height * width:
        raise FormatError(f"{where}: run lengths do not add up to {width}x{height} pixels")
    rle = {"size": [height, width], "counts": counts}
    if isinstance(counts, list):
        rle = coco_mask.frPyObjects(
            {"size": [height, width], "counts": runs.tolist()}, height, width
        )
    return np.ascontiguousarray(coco_mask.decode(rle)).view(bool)


def _run_lengths(counts, where):
    if isinstance(counts, list):
        try:
            runs = np.array(counts)
        except (ValueError, OverflowError) as error:
            raise FormatError(f"{where}: expected a list of run lengths ({error})") from error
        if runs.ndim != 1 or runs.dtype.kind not in "iu" or (len(runs) and runs.max() >= 2**31):
            raise FormatError(f"{where}: expected a list of run lengths")
        return runs.astype(np.int64)
    if isinstance(counts, str):
        if counts[:2] in ("b'", 'b"'):
            raise FormatError(
                f"{where}: counts is the text of a Python bytes literal, {counts[:20]!r}: write "
                "counts.decode() and not str(counts)"
            )
        counts = counts.encode("ascii", "replace")
    if not isinstance(counts, bytes):
        raise FormatError(f"{where}: expected run lengths as text or a list, got {type(counts)}")
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise FormatError(f"{where}: expected compressed run lengths, got {counts[:40]!r}")
    ends = np.flatnonzero(codes < 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    groups = ends - starts + 1
    if groups.max() > MAX_GROUPS:
        raise FormatError(f"{where}: a run length is too large for any picture")
    position = np.arange(len(codes)) - np.repeat(starts, groups)
    values = np.add.reduceat((codes & 31) << (5 * position), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * groups), 0)  # the sign
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _decode_polygons(polygons, where, frame_shape):
    if frame_shape is None:
        raise FormatError(f"{where}: polygons need the size of the frame, which is not given")
    height, width = frame_shape
    check_size(height, width, where)
    checked: list = []
    short: list = []
    for polygon in polygons:
        try:
            points = np.array(polygon, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"{where}: expected polygons [x1, y1, x2, y2, ...]") from error
        if points.ndim == 1 and len(points) in (2, 4):
            short.append(points)  # a point or a line has no area
            continue
        if points.ndim != 1 or len(points) < 6 or len(points) % 2:
            raise FormatError(
                f"{where}: expected polygons [x1, y1, x2, y2, ...] "
                f"of three points or more, got {polygon!r:.60}"
            )
        reach = 2 * max(height, width)
        if not (np.abs(points) <= reach).all():
            raise FormatError(f"{where}: a polygon reaches far out of its {width}x{height} frame")
        checked.append(points.tolist())
    if short and not checked:
        raise FormatError(
            f"{where}: expected polygons [x1, y1, x2, y2, ...] of three points or more, got "
            f"{polygons!r:.60}"
        )
    if short:
        logger.warning("%s: skipped %d polygons of fewer than three points", where, len(short))
    if not checked:
        return np.zeros((height, width), bool)
    parts = coco_mask.frPyObjects(checked, height, width)
    return np.ascontiguousarray(coco_mask.decode(coco_mask.merge(parts))).view(bool)

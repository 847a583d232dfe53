"""Square crops of segments.

Every later step sees a segment as a crop: a square box round it, everything that is not the
segment filled with mid grey, and the mask itself in the fourth channel.
"""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from instanceid_utils.segments.segments import Segments, check_frame

CROP_SIZE = 64
MARGIN = 0.1
FILL = 128  # mid grey: no colour of its own, and 0 once pixels are scaled to [-1, 1]
_FILL_PIXEL = np.array([FILL, FILL, FILL, 0], np.uint8).view(np.uint32)


def square_boxes(
    boxes_tlbr: np.ndarray, size: int = CROP_SIZE, margin: float = MARGIN
) -> np.ndarray:
    """Square boxes that are cut round the boxes: the longest side times (1 + 2 margin), centred.

    Rounded up to a multiple of 2**k where the crop shrinks 2**k times or more, so that the first
    k halvings are exact and cost next to nothing.

    Parameters
    ----------
    boxes_tlbr : ndarray of shape (N, 4), int
    size : int
        Side of a crop in pixels.
    margin : float
        Room left on each side, in units of the longest side.

    Returns
    -------
    ndarray of shape (N, 4), int64
        May reach over the frame.

    Raises
    ------
    ValueError
        If size or margin is out of range.

    Examples
    --------
    >>> square_boxes(np.array([[10, 10, 20, 30]])).tolist()
    [[3, 8, 27, 32]]
    """
    if not 1 <= size <= 4096:
        raise ValueError(f"size: expected a number of pixels in [1, 4096], got {size}")
    if not 0 <= margin <= 10:
        raise ValueError(f"margin: expected a number in [0, 10], got {margin}")
    boxes = np.asarray(boxes_tlbr, np.int64).reshape(-1, 4).tolist()
    return np.array([_square(box, size, margin) for box in boxes], np.int64).reshape(-1, 4)


def cut_crops(
    frame: np.ndarray, segments: Segments, size: int = CROP_SIZE, margin: float = MARGIN
) -> np.ndarray:
    """Cut every segment out of its frame: square, filled with grey where it is not the segment.

    The colours are averaged over the pixels of the segment only, so the rim of a crop has the
    segment's own colour and not a mixture with its background or with the fill.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
        RGB.
    segments : Segments
        From `find_segments`; none of them empty.
    size : int
        Side S of a crop in pixels.
    margin : float
        Room left on each side, in units of the longest side of the bounding box.

    Returns
    -------
    ndarray of shape (N, S, S, 4), uint8
        RGB and the mask (255 where at least half of a pixel is segment, else 0).

    Raises
    ------
    ValueError
        If the frame is not RGB of the right size, a mask is empty, or size or margin is off.
    """
    check_frame(frame, segments.frame_shape)
    squares = square_boxes(segments.boxes_tlbr, size, margin)
    empty = np.flatnonzero(segments.areas == 0)
    if len(empty):
        raise ValueError(f"segments: the mask with label {segments.labels[empty[0]]} is empty")
    crops = np.empty((len(segments), size, size, 4), np.uint8)
    crops.view(np.uint32)[:] = _FILL_PIXEL
    for i, patch in enumerate(segments.patches):
        _cut(frame, patch, segments.boxes_tlbr[i].tolist(), squares[i].tolist(), out=crops[i])
    return crops


def with_background(
    crops: np.ndarray, frame: np.ndarray, segments: Segments, margin: float = MARGIN
) -> np.ndarray:
    """Put back what surrounds the segments inside their bounding boxes, for comparison.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
        From `cut_crops` with the same frame, segments and margin.
    frame, segments, margin
        See `cut_crops`.

    Returns
    -------
    ndarray of shape (N, S, S, 4), uint8
        The fourth channel is still the mask.
    """
    boxes = replace(segments, patches=tuple(np.ones_like(patch) for patch in segments.patches))
    whole = cut_crops(frame, boxes, crops.shape[1], margin)
    return np.concatenate([whole[..., :3], crops[..., 3:]], axis=3)


def filled(pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Make crops of pixels and masks: filled with grey where the mask is not.

    Parameters
    ----------
    pixels : ndarray of shape (..., S, S, 3), uint8
    inside : ndarray of shape (..., S, S), bool

    Returns
    -------
    ndarray of shape (..., S, S, 4), uint8
        As `cut_crops` makes them.
    """
    out = np.empty((*inside.shape, 4), np.uint8)
    out[..., :3] = np.where(inside[..., None], pixels, FILL)
    out[..., 3] = inside * np.uint8(255)
    return out


def _square(box_tlbr, size, margin):
    """Square to cut round a box, see `square_boxes`."""
    left, top, right, bottom = box_tlbr
    side = max(right - left, bottom - top) * (1 + 2 * margin) - 1e-9
    unit = 2 ** int(math.log2(max(side / size, 1)))
    side = math.ceil(side / unit) * unit
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    return left, top, left + side, top + side


def _cut(frame, patch, box_tlbr, square_tlbr, out):
    """Cut one segment into ``out``, which holds the fill, see `cut_crops`.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
    patch : ndarray of shape (bottom - top, right - left), bool
        The mask inside its box; not empty.
    box_tlbr, square_tlbr : tuple of int
        The box lies in the frame; the square may reach over it.
    out : ndarray of shape (S, S, 4), uint8
        Pixels of the segment are set, the others stay as they are.
    """
    left, top, right, bottom = box_tlbr
    side, size = square_tlbr[2] - square_tlbr[0], len(out)
    y, x = top - square_tlbr[1], left - square_tlbr[0]
    unit = 1  # 2**k, where the crop shrinks 2**k times or more
    while side >= 2 * size * unit and side % (2 * unit) == 0:
        unit *= 2

    # Outside the segment all is 0, so after shrinking: RGB = coverage * mean colour.
    # Halving leaves out the margin: of the square only those cells that the box touches.
    rgba = cv2.cvtColor(frame[top:bottom, left:right], cv2.COLOR_RGB2RGBA)
    (y0, dy), (x0, dx) = divmod(y, unit), divmod(x, unit)
    height, width = bottom - top, right - left
    cells = np.zeros(
        (-(-(dy + height) // unit) * unit, -(-(dx + width) // unit) * unit, 4), np.uint8
    )
    cv2.copyTo(rgba, patch.view(np.uint8), cells[dy : dy + height, dx : dx + width])
    while unit > 1:
        unit //= 2
        side //= 2
        half = cells.shape[1] // 2, cells.shape[0] // 2
        cells = cv2.resize(cells, half, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((side, side, 4), np.uint8)
    canvas[y0 : y0 + cells.shape[0], x0 : x0 + cells.shape[1]] = cells
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    canvas = cv2.resize(canvas, (size, size), interpolation=interpolation)

    coverage = cv2.extractChannel(canvas, 3)
    inside = coverage >= min(128, coverage.max())  # the best pixels of a hair-thin segment stay
    rgba = cv2.divide(canvas, cv2.merge([coverage] * 4), scale=255)
    cv2.copyTo(rgba, inside.view(np.uint8), out)

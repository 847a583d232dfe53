"""Square, pixels and mask of a single crop; `segments` has the crops of a frame."""

from __future__ import annotations

import math

import cv2
import numpy as np


def square(box_tlbr, size, margin):
    """Square to cut round a box, see `segments.square_boxes`."""
    left, top, right, bottom = box_tlbr
    side = max(right - left, bottom - top) * (1 + 2 * margin) - 1e-9
    unit = 2 ** int(math.log2(max(side / size, 1)))
    side = math.ceil(side / unit) * unit
    left, top = (left + right - side) // 2, (top + bottom - side) // 2
    return left, top, left + side, top + side


def cut(frame, patch, box_tlbr, square_tlbr, out):
    """Cut one segment into ``out``, which holds the fill, see `segments.cut_crops`.

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

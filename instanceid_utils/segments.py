"""Instance masks of one frame: find the segments, cut a square crop round each.

Every later step sees a segment as a crop: a square box round it, everything that is not the
segment filled with mid grey, and the mask itself in the fourth channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from instanceid_utils._cutting import cut, square
from instanceid_utils._finding import of_label_map, of_stack

CROP_SIZE = 64
MARGIN = 0.1
FILL = 128  # mid grey: no colour of its own, and 0 once pixels are scaled to [-1, 1]
_FILL_PIXEL = np.array([FILL, FILL, FILL, 0], np.uint8).view(np.uint32)


@dataclass(frozen=True, eq=False)
class Segments:
    """The segments of one frame, in order of increasing label (or of the mask stack).

    Attributes
    ----------
    frame_shape : tuple of int
        (H, W).
    labels : ndarray of shape (N,), int64
        Value in the label map, or position in the mask stack plus one.
    boxes_tlbr : ndarray of shape (N, 4), int32
        left, top, right, bottom; right and bottom exclusive. Zeros for an empty mask.
    areas : ndarray of shape (N,), int64
        Pixels; 0 for an empty mask.
    patches : tuple of ndarray, bool
        The mask inside its box, of shape (bottom - top, right - left).
    """

    frame_shape: tuple[int, int]
    labels: np.ndarray
    boxes_tlbr: np.ndarray
    areas: np.ndarray
    patches: tuple[np.ndarray, ...]

    def __len__(self):
        return len(self.labels)

    def select(self, keep):
        """Return the segments at ``keep``: a bool mask of shape (N,) or indices."""
        index = np.arange(len(self))[keep]
        patches = tuple(self.patches[i] for i in index)
        return Segments(
            self.frame_shape, self.labels[index], self.boxes_tlbr[index], self.areas[index], patches
        )


def find_segments(masks):
    """Find box, area and mask of every segment.

    Parameters
    ----------
    masks : ndarray or Segments
        Integer label map (H, W), 0 = background; or a stack of bool masks (N, H, W), which may
        overlap and may be empty. Segments that were found already are returned as they are.

    Returns
    -------
    Segments
        In order of increasing label, or in the order of the stack.

    Raises
    ------
    ValueError
        If ``masks`` is neither, holds a negative label, or has no pixels.

    Examples
    --------
    >>> segments = find_segments(np.array([[0, 7, 7], [0, 0, 3]]))
    >>> segments.labels, segments.areas
    (array([3, 7]), array([1, 2]))
    >>> segments.boxes_tlbr.tolist()
    [[2, 1, 3, 2], [1, 0, 3, 1]]
    """
    if isinstance(masks, Segments):
        return masks
    masks = np.asarray(masks)
    stack = masks.dtype == bool and masks.ndim == 3
    label_map = masks.dtype.kind in "iu" and masks.ndim == 2
    if not (stack or label_map):
        raise ValueError(
            "masks: expected an integer label map (H, W) or a bool stack (N, H, W), "
            f"got {masks.dtype} of shape {masks.shape}{_mask_hint(masks)}"
        )
    if 0 in masks.shape[-2:]:
        raise ValueError(f"masks: expected at least one pixel, got shape {masks.shape}")
    found = of_stack(masks) if stack else of_label_map(masks)
    return Segments(masks.shape[-2:], *found)


def _mask_hint(masks):
    if masks.dtype.kind == "f" and np.isnan(masks).any():
        return ", with NaN in it"
    if masks.dtype == bool and masks.ndim == 2:
        return "; a single mask is masks[np.newaxis]"
    if masks.dtype.kind in "iuf" and masks.ndim == 3:
        return "; masks of 0 and 1 are masks.astype(bool)"
    return ""


def check_frame(frame, frame_shape=None):
    """Check that ``frame`` is a uint8 RGB picture (H, W, 3), of the size of its masks.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
    frame_shape : tuple of int, optional
        (H, W) of the masks that belong to it.

    Raises
    ------
    ValueError
        Says what was expected and what was given.
    """
    shape, dtype = getattr(frame, "shape", None), getattr(frame, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape or dtype != np.uint8:
        got = type(frame).__name__ if shape is None else f"{dtype} of shape {tuple(shape)}"
        raise ValueError(f"frame: expected uint8 RGB of shape (H, W, 3), got {got}")
    if frame_shape is not None and tuple(shape[:2]) != tuple(frame_shape):
        raise ValueError(
            f"frame: expected the size of its masks, {frame_shape[1]}x{frame_shape[0]}, "
            f"got {shape[1]}x{shape[0]}"
        )


def square_boxes(boxes_tlbr, size=CROP_SIZE, margin=MARGIN):
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
    return np.array([square(box, size, margin) for box in boxes], np.int64).reshape(-1, 4)


def cut_crops(frame, segments, size=CROP_SIZE, margin=MARGIN):
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
        cut(frame, patch, segments.boxes_tlbr[i].tolist(), squares[i].tolist(), out=crops[i])
    return crops


def with_background(crops, frame, segments, margin=MARGIN):
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

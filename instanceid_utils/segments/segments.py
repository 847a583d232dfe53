"""The segments of one frame: label, box, area and mask of each, from masks or from boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np


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

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, keep: np.ndarray) -> Segments:
        """Return the segments at ``keep``: a bool mask of shape (N,) or indices."""
        index = np.arange(len(self))[keep]
        patches = tuple(self.patches[i] for i in index)
        return Segments(
            self.frame_shape, self.labels[index], self.boxes_tlbr[index], self.areas[index], patches
        )


def find_segments(masks: np.ndarray | Segments) -> Segments:
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
    height, width = masks.shape[-2:]
    if not (height and width):
        raise ValueError(f"masks: expected at least one pixel, got shape {masks.shape}")
    found = _of_stack(masks) if stack else _of_label_map(masks)
    return Segments((height, width), *found)


def _mask_hint(masks):
    if masks.dtype == bool and masks.ndim == 2:
        return "; a single mask is masks[np.newaxis]"
    if masks.dtype.kind == "f" and np.isnan(masks).any():
        return "; instanceid_utils.formats.from_model takes what models return, without NaN"
    if masks.dtype.kind in "iuf" and masks.ndim == 3 and masks.size:
        if set(np.unique(masks).tolist()) <= {0, 1}:
            return "; masks of 0 and 1 are masks.astype(bool)"
        return f"; bool is masks > {0.5 if masks.dtype.kind == 'f' else 0}"
    return "; instanceid_utils.formats.from_model takes what models return"


def _of_stack(masks):
    """Return labels, boxes, areas and patches of a bool stack (N, H, W)."""
    n = len(masks)
    boxes = np.zeros((n, 4), np.int32)
    patches = []
    for i, mask in enumerate(masks):
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
        if w:
            boxes[i] = x, y, x + w, y + h
        patches.append(mask[y : y + h, x : x + w].copy())
    return np.arange(1, n + 1), boxes, _areas(patches), tuple(patches)


def _areas(patches):
    return np.array([np.count_nonzero(patch) for patch in patches], np.int64)


def _of_label_map(label_map):
    """Return labels, boxes, areas and patches of a label map (H, W).

    One pass finds the runs (equal neighbours in a row); all the rest works on those few.
    """
    _check_labels(label_map)
    foreground = label_map if label_map.dtype == np.uint8 else (label_map != 0).view(np.uint8)
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(foreground))
    if not width:
        return *_NONE, ()

    label_map = np.ascontiguousarray(label_map[y : y + height, x : x + width])
    edge = np.empty((height, width), bool)
    edge[:, 0] = True
    np.not_equal(label_map[:, 1:], label_map[:, :-1], out=edge[:, 1:])
    starts = np.flatnonzero(edge)
    stops = np.empty_like(starts)
    stops[:-1], stops[-1] = starts[1:], height * width
    values = label_map.ravel()[starts]
    order = np.flatnonzero(values)
    order = order[np.argsort(values[order], kind="stable")]
    starts, lengths = starts[order], (stops - starts)[order]
    labels, first = np.unique(values[order], return_index=True)

    tops, lefts = np.divmod(starts, width)
    boxes = np.stack(
        [
            np.minimum.reduceat(lefts, first),
            np.minimum.reduceat(tops, first),
            np.maximum.reduceat(lefts + lengths, first),
            np.maximum.reduceat(tops, first) + 1,
        ],
        axis=1,
    )
    patches = tuple(
        label_map[top:bottom, left:right] == label
        for label, (left, top, right, bottom) in zip(labels, boxes.tolist())
    )
    areas = np.add.reduceat(lengths, first).astype(np.int64)
    boxes = (boxes + (x, y, x, y)).astype(np.int32)
    return labels.astype(np.int64), boxes, areas, patches


def _check_labels(label_map):
    if label_map.dtype.kind == "i" and label_map.min() < 0:
        raise ValueError(f"masks: expected labels >= 0, got {label_map.min()}")
    if label_map.dtype == np.uint64 and label_map.max() >= 2**63:
        raise ValueError(f"masks: expected labels below 2**63, got {label_map.max()}")


_NONE = np.zeros(0, np.int64), np.zeros((0, 4), np.int32), np.zeros(0, np.int64)


BOX_FILL = 0.8  # of a box's half-axes: the ellipse that stands for the object in it


def box_segments(boxes_tlbr: np.ndarray, frame_shape: tuple[int, int]) -> Segments:
    """Stand-ins for objects of which only the box is known.

    An object fills the middle of its box and the background its corners. So the segment of a box
    is an ellipse in it, with axes of `BOX_FILL` of its sides: on generated objects the embedding
    tells instances apart better by it than by the whole box (AUC .969 instead of .947).

    Parameters
    ----------
    boxes_tlbr : ndarray of shape (N, 4), float or int
        left, top, right, bottom in pixels; rounded, and cut at the frame's border.
    frame_shape : tuple of int
        (H, W).

    Returns
    -------
    Segments
        In the order of the boxes, labels from 1 on; one that lies outside the frame is empty.

    Raises
    ------
    ValueError
        If the shape is another, a number is not finite, or a box is upside down.

    Examples
    --------
    >>> found = box_segments(np.array([[1, 1, 7.2, 9], [20, 0, 30, 5]]), (10, 10))
    >>> found.boxes_tlbr.tolist(), found.areas.tolist()
    ([[1, 1, 7, 9], [0, 0, 0, 0]], [20, 0])
    """
    height, width = frame_shape
    boxes = np.asarray(boxes_tlbr, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all():
        raise ValueError("boxes: expected finite numbers")
    upside_down = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if upside_down.any():
        row = int(upside_down.argmax())
        raise ValueError(
            f"boxes: expected left, top, right, bottom, got {boxes[row].tolist()} in row {row}; "
            "left, top, width, height are boxes[:, 2:] += boxes[:, :2]"
        )
    low, high = np.zeros(4), np.array([width, height, width, height])
    boxes = np.clip(np.round(boxes), low, high).astype(np.int32)
    boxes[(boxes[:, 2:] <= boxes[:, :2]).any(axis=1)] = 0
    patches = tuple(_ellipse(right - left, bottom - top) for left, top, right, bottom in boxes)
    labels = np.arange(1, len(boxes) + 1)
    return Segments((height, width), labels, boxes, _areas(patches), patches)


def _ellipse(width, height):
    """Return the pixels of a box (h, w) that lie in the ellipse; all of a thin one."""
    if min(width, height) < 4:
        return np.ones((height, width), bool)
    x, y = ((2 * np.arange(n) + 1) / n - 1 for n in (width, height))
    return x**2 + (y**2)[:, None] <= BOX_FILL**2


def apart(segments: Segments) -> Segments:
    """Give each pixel to one segment, the smallest that holds it: for files that ask for that.

    Examples
    --------
    >>> found = find_segments(np.array([[[1, 1, 1]], [[0, 1, 0]]], bool))
    >>> apart(found).patches[0].tolist(), apart(found).areas.tolist()
    ([[True, False, True]], [2, 1])
    """
    owner = np.full(segments.frame_shape, -1, np.int32)
    order = np.argsort(-segments.areas, kind="stable")
    for i in order:
        left, top, right, bottom = segments.boxes_tlbr[i]
        owner[top:bottom, left:right][segments.patches[i]] = i
    patches = tuple(
        owner[top:bottom, left:right] == i
        for i, (left, top, right, bottom) in enumerate(segments.boxes_tlbr)
    )
    return replace(segments, areas=_areas(patches), patches=patches)


def shared_shares(segments: Segments) -> np.ndarray:
    """Share of each segment's pixels that other segments hold too: masks, or boxes, that overlap.

    Returns
    -------
    ndarray of shape (N,), float64

    Examples
    --------
    >>> shared_shares(find_segments(np.array([[[1, 1, 1, 1]], [[0, 0, 0, 1]]], bool)))
    array([0.25, 1.  ])
    """
    count = np.zeros(segments.frame_shape, np.uint16)
    places = [np.s_[t:b, x:r] for x, t, r, b in segments.boxes_tlbr.tolist()]
    for place, patch in zip(places, segments.patches):
        count[place] += patch
    shared = [
        np.count_nonzero(count[place][patch] > 1) for place, patch in zip(places, segments.patches)
    ]
    return np.array(shared, np.float64) / np.maximum(segments.areas, 1)


def check_frame(frame: np.ndarray, frame_shape: tuple[int, int] | None = None) -> None:
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

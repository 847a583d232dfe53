"""Find labels, boxes, areas and masks of the segments of a frame; see `segments`."""

from __future__ import annotations

import cv2
import numpy as np


def of_stack(masks):
    """Find the segments of a bool stack (N, H, W).

    Returns
    -------
    labels, boxes_tlbr, areas, patches
        As of `segments.Segments`.
    """
    n = len(masks)
    boxes = np.zeros((n, 4), np.int32)
    patches = []
    for i, mask in enumerate(masks):
        x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
        if w:
            boxes[i] = x, y, x + w, y + h
        patches.append(mask[y : y + h, x : x + w].copy())
    areas = np.array([np.count_nonzero(patch) for patch in patches], np.int64)
    return np.arange(1, n + 1), boxes, areas, tuple(patches)


def of_label_map(label_map):
    """Find the segments of a label map (H, W); returns what `of_stack` does.

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

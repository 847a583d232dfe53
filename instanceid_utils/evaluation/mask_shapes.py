"""Shapes that faults are made of: masks cut, padded, roughened and drawn, each with its corner."""

from __future__ import annotations

import cv2
import numpy as np


def union(truth, members):
    """Corner and mask of several segments together."""
    left, top = truth.boxes_tlbr[members, :2].min(axis=0).tolist()
    right, bottom = truth.boxes_tlbr[members, 2:].max(axis=0).tolist()
    mask = np.zeros((bottom - top, right - left), bool)
    for i in members:
        x0, y0, x1, y1 = truth.boxes_tlbr[i] - (left, top, left, top)
        mask[y0:y1, x0:x1] |= truth.patches[i]
    return (left, top), mask


def tight(corner, mask):
    """Cut off the empty rows and columns round a mask."""
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return (corner[0] + x, corner[1] + y), mask[y : y + h, x : x + w]


def padded(corner, mask, share):
    """Put empty room round a mask, a share of its sides; say how much (x, y)."""
    x, y = (int(share * n) + 2 for n in mask.shape[::-1])
    return (corner[0] - x, corner[1] - y), np.pad(mask, ((y, y), (x, x))), (x, y)


def clip(corner, mask, frame_shape):
    """Cut off what lies outside the frame."""
    (left, top), (height, width) = corner, frame_shape
    x0, y0 = max(0, -left), max(0, -top)
    mask = mask[y0 : max(y0, height - top), x0 : max(x0, width - left)]
    return (left + x0, top + y0), mask


def redraw(mask, cells, rough, rng):
    """Draw a mask at a low resolution, its outline shifted by noise, and scale it up again."""
    height, width = mask.shape
    scale = min(1.0, cells / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    soft = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if rough:
        soft = cv2.GaussianBlur(soft, (0, 0), max(0.5, 0.03 * max(size)))
        noise = rng.normal(0, rough, (size[1] // 3 + 2, size[0] // 3 + 2)).astype(np.float32)
        noise = cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR)
        soft += 4 * soft * (1 - soft) * (noise + np.float32(rng.normal(0, rough / 2)))
    return cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5


def without_side(mask, how):
    """Cut 15 to 45 % off a side; ``how`` in (0, 1] says which and how much."""
    side, share = int(how * 3.999), 0.15 + 0.3 * (how * 4 % 1)
    mask = mask.copy()
    n = int(share * mask.shape[side % 2])
    rows = mask if side % 2 == 0 else mask.T
    rows[slice(None, n) if side < 2 else slice(len(rows) - n, None)] = False
    return mask


def bulge(shape, pad, angle, radius):
    """Draw a blob at the edge of an object: the object's box is ``shape`` without ``pad``."""
    half = np.array([shape[1] / 2 - pad[0], shape[0] / 2 - pad[1]])
    centre = np.array([shape[1], shape[0]]) / 2 + half * (np.cos(angle), np.sin(angle))
    blob = np.zeros(shape, np.uint8)
    axes = max(2, int(radius * half.min() * 1.2)), max(2, int(radius * half.min()))
    cv2.ellipse(blob, tuple(int(c) for c in centre), axes, np.degrees(angle), 0, 360, 1, -1)
    return blob.view(bool)


def blob(centre, axes, frame_shape):
    """Corner and mask of an ellipse."""
    left, top = np.floor(centre - axes).astype(int).tolist()
    width, height = np.ceil(2 * axes).astype(int).tolist()
    x, y = np.arange(width)[None] + 0.5 - axes[0], np.arange(height)[:, None] + 0.5 - axes[1]
    inside = (x / axes[0]) ** 2 + (y / axes[1]) ** 2 <= 1
    return clip((left, top), inside, frame_shape)

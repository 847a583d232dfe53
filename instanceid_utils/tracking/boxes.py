"""Boxes: areas, overlaps, hulls. left, top, right, bottom in pixels; right, bottom exclusive."""

from __future__ import annotations

import numpy as np


def area(boxes: np.ndarray) -> np.ndarray:
    """Return the area of boxes (..., 4); 0 for one that is turned inside out."""
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1)


def shared_area(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the area that boxes a and b (..., 4) share, with broadcasting."""
    corner = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    return np.maximum(corner, 0).prod(axis=-1)


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes (..., 4), with broadcasting; 0 without area."""
    shared = shared_area(a, b)
    union = area(a) + area(b) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def inside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the share of box a that lies in box b (..., 4), with broadcasting."""
    return shared_area(a, b) / np.maximum(area(a), 1e-9)


def hull(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the smallest box round boxes a and b (..., 4), with broadcasting."""
    low, high = np.minimum(a[..., :2], b[..., :2]), np.maximum(a[..., 2:], b[..., 2:])
    return np.concatenate([low, high], axis=-1)


def box_iou(a_tlbr: np.ndarray, b_tlbr: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other.

    Parameters
    ----------
    a_tlbr, b_tlbr : ndarray of shape (N, 4) and (M, 4)

    Returns
    -------
    ndarray of shape (N, M), float64
        0 where both boxes have no area.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [4, 0, 6, 2]]).round(2)
    array([[0.33, 0.  ]])
    """
    a, b = (np.asarray(x, np.float64).reshape(-1, 4) for x in (a_tlbr, b_tlbr))
    return overlap(a[:, None], b[None])

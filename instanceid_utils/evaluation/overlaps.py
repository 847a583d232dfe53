"""How much of each true object lies in each object that a model found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from instanceid_utils.segments.segments import Segments, find_segments
from instanceid_utils.tracking.boxes import area, shared_area


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Areas of true objects, of those found, and of what they share; pixels.

    Attributes
    ----------
    truth_ids : ndarray of shape (T,), int64
    truth_areas : ndarray of shape (T,)
    areas : ndarray of shape (P,)
    shared : ndarray of shape (T, P)
    """

    truth_ids: np.ndarray
    truth_areas: np.ndarray
    areas: np.ndarray
    shared: np.ndarray

    def iou(self) -> np.ndarray:
        """Intersection over union of all pairs, (T, P); 0 where both are empty."""
        union = self.truth_areas[:, None] + self.areas[None] - self.shared
        return self.shared / np.maximum(union, 1e-9)

    def united(self, ids: np.ndarray, order: np.ndarray) -> Overlaps:
        """Take what was found with one ID for one object.

        Parameters
        ----------
        ids : ndarray of shape (P,), int
        order : ndarray of shape (Q,), int
            IDs to keep.

        Returns
        -------
        Overlaps
            Of the true objects with Q united ones, as if fragments with one ID did not overlap.
        """
        belongs = np.asarray(ids)[:, None] == np.asarray(order)[None]
        areas, shared = self.areas @ belongs, self.shared @ belongs
        return Overlaps(
            self.truth_ids, self.truth_areas, areas, np.minimum(shared, self.truth_areas[:, None])
        )


def mask_overlaps(truth_map: np.ndarray, segments: Segments) -> Overlaps:
    """Compare masks that a model found with the true ones, pixel by pixel.

    Parameters
    ----------
    truth_map : ndarray of shape (H, W), int
        0 = background.
    segments : Segments
        May overlap.

    Returns
    -------
    Overlaps

    Raises
    ------
    ValueError
        If the frames differ in size.

    Examples
    --------
    >>> found = find_segments(np.array([[[0, 1, 0, 0]], [[0, 1, 1, 1]]], bool))
    >>> mask_overlaps(np.array([[0, 3, 3, 4]]), found).iou().round(2)
    array([[0.5 , 0.67],
           [0.  , 0.33]])
    """
    if tuple(truth_map.shape) != tuple(segments.frame_shape):
        raise ValueError(
            f"segments: expected those of a frame of {truth_map.shape}, got {segments.frame_shape}"
        )
    truth = find_segments(truth_map)
    shared = np.zeros((len(truth), len(segments)), np.int64)
    for column, ((left, top, right, bottom), patch) in enumerate(
        zip(segments.boxes_tlbr.tolist(), segments.patches)
    ):
        values = truth_map[top:bottom, left:right][patch]
        labels, counts = np.unique(values[values != 0], return_counts=True)
        shared[np.searchsorted(truth.labels, labels), column] = counts
    return Overlaps(truth.labels, truth.areas, segments.areas, shared)


def box_overlaps(truth_ids: ArrayLike, truth_boxes: ArrayLike, boxes: ArrayLike) -> Overlaps:
    """Compare boxes that a detector found with the true ones.

    Parameters
    ----------
    truth_ids : array_like of shape (T,), int
    truth_boxes, boxes : array_like of shape (T, 4) and (P, 4)
        left, top, right, bottom; right and bottom exclusive.

    Returns
    -------
    Overlaps

    Examples
    --------
    >>> box_overlaps([5], [[0, 0, 4, 4]], [[0, 0, 4, 2], [8, 8, 9, 9]]).iou()
    array([[0.5, 0. ]])
    """
    ids = np.asarray(truth_ids, np.int64)
    truth, found = (np.asarray(b, np.float64).reshape(-1, 4) for b in (truth_boxes, boxes))
    if ids.shape != (len(truth),):
        raise ValueError(f"expected a box for each of {ids.shape} true IDs, got {len(truth)}")
    return Overlaps(ids, area(truth), area(found), shared_area(truth[:, None], found[None]))

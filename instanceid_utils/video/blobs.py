"""What `segmenters` does with the blobs of a mask: fill, measure, part and follow them."""

from __future__ import annotations

import cv2
import numpy as np


def part_blob(blob, split):
    """Part a blob at its necks.

    Peaks of the distance to the edge are the middles of the parts; two of them are parts of
    their own where the way from one to the other narrows by the fraction ``split`` of the
    blob's greatest width or more. Each pixel goes to the nearest peak.

    Parameters
    ----------
    blob : ndarray of shape (h, w), bool
    split : float
        In (0, 1].

    Returns
    -------
    list of ndarray of shape (h, w), bool
        The blob itself if it has no neck.
    """
    padded = np.pad(blob.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    drop = split * depth.max()
    if split >= 1 or drop < 1:
        return [blob]
    level = _flooded(depth - drop, depth)  # flat wherever no neck is deeper than the drop
    tops = level - _flooded(level - 0.02, level) > 0.01
    n, peaks = cv2.connectedComponents(tops.astype(np.uint8))
    if n <= 2:
        return [blob]
    away = (peaks == 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(nearest.max() + 1, np.int32)
    owner[nearest[peaks > 0]] = peaks[peaks > 0]
    parts = np.where(padded > 0, owner[nearest], 0)[1:-1, 1:-1]
    return [parts == k for k in range(1, n)]


def thickness(blob):
    """Return the greatest width of a blob, in pixels."""
    return 2 * cv2.distanceTransform(np.pad(blob.astype(np.uint8), 1), cv2.DIST_L2, 5).max()


def _flooded(low, high):
    """Morphological reconstruction: let ``low`` rise as far as it can spread under ``high``."""
    kernel = np.ones((3, 3), np.uint8)
    while True:
        risen = np.minimum(cv2.dilate(low, kernel), high)
        if np.array_equal(risen, low):
            return low
        low = risen


def filled(mask):
    """Return a mask (H, W), uint8, without its holes."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return cv2.drawContours(np.zeros_like(mask), contours, -1, 255, cv2.FILLED)


class Persistence:
    """Count in how many frames each blob was seen before, one of about its size and place.

    Parameters
    ----------
    n_frames : int
        For so many frames a blob may be away and still count as seen.
    """

    def __init__(self, n_frames):
        self.n_frames = n_frames
        self._count, self._seen = 0, np.zeros((0, 5))  # x, y, area, age, frame of each blob

    def ages(self, blobs):
        """Take in the blobs of the next frame.

        Parameters
        ----------
        blobs : array_like of shape (N, 3)
            Centre x, y and area.

        Returns
        -------
        ndarray of shape (N,), int
            1 for a blob that is new.
        """
        self._count += 1
        blobs = np.asarray(blobs, float).reshape(-1, 3)
        x, y, area, age, _ = self._seen.T
        ratio = blobs[:, 2:] / area
        reach = np.sqrt(np.maximum(blobs[:, 2:], area))
        same = (np.hypot(blobs[:, :1] - x, blobs[:, 1:2] - y) < reach) & (ratio < 2) & (ratio > 0.5)
        ages = 1 + np.where(same, age, 0).max(axis=1, initial=0)
        now = np.column_stack([blobs, ages, np.full(len(blobs), self._count)])
        recent = self._seen[self._seen[:, 4] > self._count - self.n_frames]
        self._seen = np.concatenate([recent, now])
        return ages.astype(int)

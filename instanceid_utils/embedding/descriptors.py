"""Plain descriptors of a crop: what a learned embedding has to beat.

Both take RGBA crops, look at the pixels of the mask only, and return unit vectors, so that L2
distances compare as those of an embedding do.
"""

from __future__ import annotations

import cv2
import numpy as np


def raw_pixels(crops: np.ndarray, size: int = 16) -> np.ndarray:
    """RGB pixels of the shrunken crop, relative to mid grey; zero outside the mask.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
    size : int
        Side length in pixels to shrink to.

    Returns
    -------
    ndarray of shape (N, size * size * 3), float32
        Unit length.
    """
    crops = _check_crops(crops)
    vectors = np.empty((len(crops), size, size, 3), np.float32)
    for vector, crop in zip(vectors, crops):
        pixels = (crop[..., :3].astype(np.float32) - 128.0) * (crop[..., 3:] > 127)
        vector[:] = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
    return _unit(vectors.reshape(len(crops), size * size * 3))


def hsv_histogram(crops: np.ndarray, bins: tuple = (8, 4, 4), bands: int = 1) -> np.ndarray:
    """Colour histogram of the mask's pixels, as square roots (Hellinger).

    The L2 distance between square roots of two distributions is sqrt(2) times their Hellinger
    distance.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
    bins : tuple of int
        Bins of hue, saturation and value.
    bands : int
        Bands of the mask's height with a histogram each, from above to below.

    Returns
    -------
    ndarray of shape (N, bands x product of bins), float32
        Unit length.
    """
    crops = _check_crops(crops)
    inside = crops[..., 3] > 127
    n_bins = int(np.prod(bins))
    at, rows, _ = np.nonzero(inside)
    cell = (at * bands + _band(inside, bands)[at, rows]) * n_bins
    if len(crops):
        hsv = cv2.cvtColor(crops[..., :3][inside][np.newaxis], cv2.COLOR_RGB2HSV)[0]
        strides = (bins[1] * bins[2], bins[2], 1)
        for channel, (n, stride, span) in enumerate(zip(bins, strides, (180, 256, 256))):
            table = np.arange(256) * n // span * stride  # OpenCV's hue ends at 180
            cell += table[hsv[:, channel]]
    counts = np.bincount(cell, minlength=len(crops) * bands * n_bins)
    counts = counts.reshape(len(crops), bands, n_bins).astype(np.float32)
    shares = counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
    return _unit(np.sqrt(shares).reshape(len(crops), bands * n_bins))


def _band(inside, bands):
    """Return the number of the band that each row of the masks (N, S, S) is in; (N, S)."""
    rows = inside.any(axis=2)
    size = rows.shape[1]
    top, last = rows.argmax(axis=1)[:, None], size - 1 - rows[:, ::-1].argmax(axis=1)[:, None]
    return np.clip((np.arange(size) - top) * bands // (last + 1 - top), 0, bands - 1)


DESCRIPTORS = {"raw pixels 16x16": raw_pixels, "HSV histogram 8x4x4": hsv_histogram}


def _unit(vectors):
    # A segment of mid grey has no direction; it gets one of its own.
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(lengths > 0, vectors, 1.0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _check_crops(crops):
    crops = np.asarray(crops)
    if crops.ndim != 4 or crops.shape[1] != crops.shape[2] or crops.shape[3] != 4:
        raise ValueError(f"crops must have shape (N, S, S, 4), RGB and mask: got {crops.shape}")
    if crops.dtype != np.uint8:
        raise ValueError(f"crops must be uint8, got {crops.dtype}")
    empty = np.flatnonzero((crops[..., 3] <= 127).all(axis=(1, 2)))
    if len(empty):
        raise ValueError(f"crops {empty[:10].tolist()} have no pixel of the mask")
    return crops

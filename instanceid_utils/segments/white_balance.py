"""Colours as they would be in white light, for video whose light or white balance changes."""

from __future__ import annotations

import cv2
import numpy as np

from instanceid_utils.segments.segments import check_frame

_EVEN = 64  # pixels of the longer side that the light is estimated from


def shades_of_grey(frame: np.ndarray, power: float = 6) -> np.ndarray:
    """Scale each channel so that the light of the frame is grey.

    The colour of the light is estimated as the Minkowski mean of all pixels (Finlayson and
    Trezzi 2004, "Shades of Gray and Colour Constancy", equation 7). Give it to a tracker in place
    of the frame, in all frames or in none: ``tracker.update(shades_of_grey(frame), masks)``. In
    steady light it costs a little, as colours of the scene are taken for colours of the light.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
        RGB; not changed.
    power : float
        Of the mean: 1 is the grey world, infinity would be the brightest value.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        As bright as before on average; a frame without light in some channel comes back as it is.

    Raises
    ------
    ValueError
        If the frame is not RGB, or the power is below 1.

    Examples
    --------
    >>> warm = np.full((4, 4, 3), (180, 120, 90), np.uint8)
    >>> shades_of_grey(warm)[0, 0].tolist()
    [130, 130, 130]
    """
    check_frame(frame)
    if not 1 <= power < np.inf:
        raise ValueError(f"power: expected a number from 1 up, got {power}")
    factor = min(1.0, _EVEN / max(frame.shape[:2]))
    size = [max(1, round(side * factor)) for side in frame.shape[1::-1]]
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) / 255
    light = (small**power).mean(axis=(0, 1)) ** (1 / power)
    if light.min() <= 0:
        return frame.copy()
    levels = np.arange(256)[:, None] * (light.mean() / light)
    return cv2.LUT(frame, np.rint(levels).clip(0, 255).astype(np.uint8)[np.newaxis])

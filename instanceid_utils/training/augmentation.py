"""Change training crops as a camera and a segmentation model might have."""

from __future__ import annotations

import numpy as np

from instanceid_utils.segments.crops import FILL


def augment(
    crops: np.ndarray,
    rng: np.random.Generator,
    *,
    shift: int = 4,
    colour: float = 0.05,
    erase: float = 0.25,
) -> np.ndarray:
    """Flip, shift, tint and partly hide crops, each on its own.

    Parameters
    ----------
    crops : ndarray of shape (B, S, S, 4), uint8
        RGBA, background filled, see ``segments.cut_crops``.
    rng : numpy.random.Generator
    shift : int
        Largest shift each way, in pixels.
    colour : float
        Deviation of the log gain of each channel; that of the brightness is 1.5 times it.
    erase : float
        Share of the crops that lose a rectangle, as behind an occluder.

    Returns
    -------
    ndarray of shape (B, S, S, 4), float32
        In [0, 255]; a copy.
    """
    n, size = crops.shape[:2]
    out = _shifted(crops, rng.integers(-shift, shift + 1, (n, 2)), rng.random(n) < 0.5)
    out = out.astype(np.float32)
    if colour:
        gains = rng.normal(0, colour, (n, 1, 1, 3)) + rng.normal(0, 1.5 * colour, (n, 1, 1, 1))
        alpha = out[..., 3:] / 255
        tinted = np.clip(out[..., :3] * np.exp(gains).astype(np.float32), 0, 255)
        out[..., :3] += alpha * (tinted - out[..., :3])
    for i in np.flatnonzero(rng.random(n) < erase):
        (height, width), (top, left) = (
            rng.integers(size // 8, size * 5 // 8, 2),
            rng.integers(0, size * 7 // 8, 2),
        )
        out[i, top : top + height, left : left + width] = (FILL, FILL, FILL, 0)
    return out


def _shifted(crops, offsets, flipped):
    """Gather pixels from where they were; what comes from outside is background."""
    n, size = crops.shape[:2]
    steps = np.arange(size)
    rows, columns = steps - offsets[:, :1], steps - offsets[:, 1:]
    columns = np.where(flipped[:, None], size - 1 - columns, columns)
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[
        :, None
    ]
    rows, columns = np.clip(rows, 0, size - 1), np.clip(columns, 0, size - 1)
    out = crops[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None]]
    out[~inside] = (FILL, FILL, FILL, 0)
    return out

"""Write a short clip as a looping GIF, for pages that play no video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def write_gif(
    path,
    frames: Iterable[np.ndarray],
    fps: float = 12,
    *,
    width: int | None = None,
    n_colours: int = 128,
) -> None:
    """Write a looping GIF with one palette for all frames, for a README.

    Parameters
    ----------
    frames : iterable of ndarray of shape (H, W, 3), uint8
        Held in memory together: keep it to some hundred small frames.
    fps : float
        GIF counts in hundredths of a second, so the rate is rounded to 100 / n.
    width : int, optional
        Scale to this width.
    """
    from PIL import Image

    images = []
    for frame in frames:
        if width is not None:
            height = round(frame.shape[0] * width / frame.shape[1])
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
        images.append(Image.fromarray(frame))
    if not images:
        raise ValueError(f"{path}: expected at least one frame")
    sample = np.concatenate([np.asarray(i) for i in images[:: max(1, len(images) // 8)]])
    palette = Image.fromarray(sample).quantize(n_colours, method=Image.Quantize.MEDIANCUT)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    images[0].save(
        partial,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=max(2, round(100 / fps)) * 10,
        loop=0,
        optimize=False,
    )
    os.replace(partial, path)

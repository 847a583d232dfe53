"""Shot cuts, found while the video runs: where one ends, an object's last place says nothing.

Two frames of a shot share their colours however the camera moves, so the colour histogram is
compared first. It is held against its own recent past, since a video with dropped frames
changes more from frame to frame than a full one. Where only the light has changed (a flash, the
exposure) the picture's structure is still there, and that is not a cut.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Any, NamedTuple

import cv2
import numpy as np

from instanceid_utils.segments.segments import check_frame

_LINES = 60  # the frame is thinned to about as many lines: 0.2 ms, and still thousands of pixels
_GRID = 32  # side of the picture whose structure is compared
_TYPICAL = 0.1  # colour distance of neighbouring frames, before there is a history
_WINDOW = np.outer(np.hanning(_GRID), np.hanning(_GRID)).astype(np.float32)


class FrameChange(NamedTuple):
    """A frame compared with the last one."""

    cut: bool
    colours: float | None  # Hellinger distance, None for the first frame
    signature: tuple


class ShotDetector:
    """Tell for each frame of a stream whether it starts a new shot.

    Parameters
    ----------
    jump : float
        A cut is a colour distance (Hellinger, in [0, 1]) larger than that of recent frames by
        this much. Unrelated pictures are some 0.5 apart, neighbouring frames 0.1.
    same_structure : float
        No cut if the grey pictures correlate better than this after the best shift.
    history : int
        Number of recent frames that say what is usual.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> day = rng.integers(100, 200, (120, 160, 3)).astype(np.uint8)
    >>> night = rng.integers(0, 60, (120, 160, 3)).astype(np.uint8)
    >>> detector = ShotDetector()
    >>> for frame in (day, day, night, night, day):
    ...     change = detector.compare(signature(frame))
    ...     detector.accept(change)
    ...     print(change.cut, end=" ")
    False False True False True
    """

    def __init__(self, jump: float = 0.2, same_structure: float = 0.9, history: int = 9):
        self.jump, self.same_structure = jump, same_structure
        self._recent = deque([_TYPICAL] * 3, maxlen=history)
        self._last: tuple[np.ndarray, ...] | None = None

    def compare(self, signature: tuple[np.ndarray, np.ndarray]) -> FrameChange:
        """Compare a frame, given by its `signature`, with the last one, without taking it.

        Returns
        -------
        FrameChange
            To be handed to `accept` once all else has gone well.
        """
        if self._last is None:
            return FrameChange(False, None, signature)
        colours = _hellinger(self._last[0], signature[0])
        cut = (
            colours > median(self._recent) + self.jump
            and _correlation(self._last[1], signature[1]) < self.same_structure
        )
        return FrameChange(cut, colours, signature)

    def accept(self, change: FrameChange) -> None:
        """Take a frame that was compared as the last one."""
        self._last = change.signature
        if change.colours is not None:
            self._recent.append(change.colours)  # a cut too: the median shrugs off a few

    def reset(self) -> None:
        """Forget the last frame, keep what is usual: the next frame starts a stream."""
        self._last = None

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs, in types that JSON has."""
        last = None if self._last is None else [part.tolist() for part in self._last]
        return {"recent": list(self._recent), "last": last}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue where the detector that gave ``state`` stood."""
        last = state["last"]
        self._last = last and tuple(np.asarray(part, np.float32) for part in last)
        self._recent = deque(state["recent"], maxlen=self._recent.maxlen)


def signature(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is compared of a frame: square roots of its histogram, and its structure.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    histogram : ndarray of shape (512,), float32
    structure : ndarray of shape (32, 32), float32
        Grey, without its mean, unit norm.
    """
    check_frame(frame)
    step = max(1, min(frame.shape[:2]) // _LINES)
    small = np.ascontiguousarray(frame[::step, ::step])
    levels = (small >> 5).astype(np.int32)  # 8 levels a channel
    bins = (levels[..., 0] << 6) | (levels[..., 1] << 3) | levels[..., 2]
    histogram = np.bincount(bins.ravel(), minlength=512) / bins.size
    grey = cv2.resize(small, (_GRID, _GRID), interpolation=cv2.INTER_AREA).mean(axis=2)
    structure = (grey - grey.mean()) * _WINDOW
    structure /= max(np.linalg.norm(structure), 1e-6)
    return np.sqrt(histogram).astype(np.float32), structure.astype(np.float32)


def _hellinger(a, b):
    """Hellinger distance of two histograms given as square roots."""
    return float(np.sqrt(max(0.0, 1.0 - float(a @ b))))


def _correlation(a, b):
    """Highest circular cross-correlation of two pictures of unit norm."""
    product = np.fft.rfft2(a) * np.conj(np.fft.rfft2(b))
    return float(np.fft.irfft2(product, a.shape).max())

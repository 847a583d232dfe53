"""What a fixed camera usually sees, pixel by pixel, and what is not as usual."""

from __future__ import annotations

import cv2
import numpy as np

SHADOW, FOREGROUND = 127, 255  # as OpenCV's subtractors mark them
FADING = {"mog2": 0.105, "knn": 0.19}  # learning rate times the frames until something has faded
SETTLED = 10  # frames that are learned as they come
_RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
EVERY = 4  # frames after which it learns, once settled: a second pass costs time
MARGIN = 7  # pixels: what is not learned of held objects goes so far beyond them, in all


class Background:
    """Tell what differs from the background, and learn the background.

    Parameters
    ----------
    method : {"mog2", "knn"}
        See `segmenters.BackgroundSegmenter`, as for the others.
    memory : int
    sensitivity : float
    holds : bool
        Learn by `learn`, which can leave out objects, and not from every frame as it comes.
        Only "mog2" can: "knn" learns at a rate of 0, too.
    """

    def __init__(self, method, memory, sensitivity, holds):
        if method == "mog2":
            self._subtractor = cv2.createBackgroundSubtractorMOG2(detectShadows=True)
            threshold = self._subtractor.getVarThreshold()
            self._subtractor.setVarThreshold(threshold / sensitivity)
        else:
            self._subtractor = cv2.createBackgroundSubtractorKNN(detectShadows=True)
            threshold = self._subtractor.getDist2Threshold()
            self._subtractor.setDist2Threshold(threshold / sensitivity)
        self._subtractor.setShadowValue(SHADOW)
        self._rate = FADING[method] / memory
        self._holds = holds and method == "mog2"
        self._count, self._to_learn = 0, None

    def changed(self, frame):
        """Return what differs in the next frame (H, W, 3), uint8: 255 there, 0 elsewhere."""
        self._count += 1
        self._frame = cv2.GaussianBlur(frame, (0, 0), 1.0)
        waits = self._holds and self._count > SETTLED
        changed = self._subtractor.apply(self._frame, learningRate=0 if waits else self._speed())
        return np.where(changed == FOREGROUND, np.uint8(255), np.uint8(0))

    def learn(self, held=None):
        """Learn from the frame.

        Parameters
        ----------
        held : ndarray of shape (H, W), uint8, optional
            Where it is not 0, the background is hidden and taken to be as before.
        """
        if not self._holds or self._count <= SETTLED or self._count % EVERY:
            return
        if held is not None and self._to_learn is not None and held.any():
            seen = cv2.dilate(held, np.ones((MARGIN, MARGIN), np.uint8)) == 0
            self._to_learn = cv2.copyTo(self._frame, seen.view(np.uint8), self._to_learn)
        else:
            self._to_learn = self._frame
        self._subtractor.apply(self._to_learn, learningRate=min(1.0, EVERY * self._speed()))

    def left_behind(self, places):
        """Tell of which blobs the edge was seen before, and is not now: something has left them.

        Parameters
        ----------
        places : list of (tuple of slice, ndarray of shape (h, w) bool)
            Places and masks.

        Returns
        -------
        list of bool
        """
        usual = self._subtractor.getBackgroundImage() if places else None
        ghosts = []
        for here, mask in places:
            padded = np.pad(mask.astype(np.uint8), 1)
            rim = (cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, _RIM) > 0)[1:-1, 1:-1]
            now, before = (
                np.abs(cv2.Laplacian(image[here], cv2.CV_32F)).sum(axis=2)[rim].mean()
                for image in (self._frame, usual)
            )
            ghosts.append(bool(now < before))
        return ghosts

    def _speed(self):
        # At first faster: the background is not known yet, and what was taken for it may leave.
        return min(1.0, max(self._rate, 1 / (2 * self._count)))

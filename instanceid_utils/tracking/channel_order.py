"""Suspect frames with red and blue swapped: OpenCV's order, where the gallery knows RGB."""

from __future__ import annotations

import logging

import numpy as np

from instanceid_utils.tracking.observation import observe

logger = logging.getLogger(__name__)

N_LOOKS = 5


class ChannelOrder:
    """Look at the first frames both ways, and warn once if the gallery knows them only swapped.

    Parameters
    ----------
    gallery : gallery.Gallery
        Of earlier videos. An empty one says nothing, and is not asked.
    """

    def __init__(self, gallery):
        self._known_before = gallery.ids
        self._n_left = N_LOOKS if len(self._known_before) else 0
        self._n_segments = self._gain = 0

    def look(self, frame, masks, vectors, tracker):
        """Compare a frame with its swapped self.

        Parameters
        ----------
        frame, masks : ndarray
            As for ``tracker.update``.
        vectors : ndarray of shape (N, D), float32
            Of its segments.
        tracker : tracking.InstanceID
        """
        if not self._n_left or not len(vectors):
            return
        swapped = observe(tracker.embedder, np.ascontiguousarray(frame[..., ::-1]), masks).vectors
        self._n_left -= 1
        self._n_segments += len(vectors)
        self._gain += self._n_known(swapped, tracker) - self._n_known(vectors, tracker)
        if self._gain >= max(2, self._n_segments / 2):
            self._n_left = 0
            logger.warning(
                "frames look as if red and blue were swapped (OpenCV reads BGR): the gallery knows "
                "%d more of %d segments when they are swapped back; give RGB, frame[..., ::-1]",
                self._gain,
                self._n_segments,
            )

    def _n_known(self, vectors, tracker):
        ids, distances = tracker.gallery.search(vectors, k=1)
        known = np.isin(ids[:, 0], self._known_before)
        return np.count_nonzero(known & (distances[:, 0] < tracker.threshold))

"""Which IDs a segment might be: its nearest in the gallery, and whoever should be at its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.decision import NO_ID

MOST_CANDIDATES = 64


class Candidates(NamedTuple):
    """Candidate IDs of N segments, K each."""

    ids: np.ndarray  # (N, K) int64, distinct in a row, -1 where there are fewer
    distances: np.ndarray  # (N, K) float32, L2, not squared; inf beside -1
    discounts: np.ndarray  # (N, K) float64, what the place cue takes off

    @property
    def costs(self) -> np.ndarray:
        """Distance less discount, (N, K)."""
        return self.distances - self.discounts


def gather(
    gallery: Gallery,
    vectors: np.ndarray,
    placed: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    weight: float = 0.0,
    n_neighbours: int = 5,
) -> Candidates:
    """Collect the candidates of a frame's segments.

    Parameters
    ----------
    gallery : gallery.Gallery
    vectors : ndarray of shape (N, D), float32
        Unit length.
    placed : (ndarray (N, J) int64, ndarray (N, J) float), optional
        From `tracking.PlaceMemory.match`: IDs expected there, and how well they fit, in [0, 1].
    weight : float
        Distance taken off for a perfect fit.
    n_neighbours : int
        Least number of nearest IDs to look at.

    Returns
    -------
    Candidates
        By appearance, enough for an optimal assignment: N segments can claim no more than the N
        nearest IDs of one of them. In a frame with more than `MOST_CANDIDATES` segments it is
        optimal among so many nearest.
    """
    n_nearest = min(max(n_neighbours, min(len(vectors), MOST_CANDIDATES)), max(len(gallery), 1))
    ids, distances = gallery.search(vectors, k=n_nearest)
    if placed is None or not placed[0].size:
        return Candidates(ids, distances, np.zeros(ids.shape))
    place_ids, place = placed
    same = (ids[:, :, None] == place_ids[:, None, :]) & (place_ids != NO_ID)[:, None, :]
    discounts = (same * place[:, None, :]).sum(axis=2)
    far = np.where(same.any(axis=1), NO_ID, place_ids)  # there, but not among the nearest
    if (far != NO_ID).any():
        far[far != NO_ID] = [i if i in gallery else NO_ID for i in far[far != NO_ID].tolist()]
        ids = np.concatenate([ids, far], axis=1)
        distances = np.concatenate([distances, gallery.distances_to(far, vectors)], axis=1)
        discounts = np.concatenate([discounts, np.where(far == NO_ID, 0, place)], axis=1)
    return Candidates(ids, distances, weight * discounts)

"""Which IDs a segment might be: its nearest in the gallery, and whoever should be at its place."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.habits import at_border
from instanceid_utils.tracking.place import Expected

MOST_CANDIDATES = 64


class Candidates(NamedTuple):
    """Candidate IDs of N segments, K each."""

    ids: np.ndarray  # (N, K) int64, distinct in a row, -1 where there are fewer
    distances: np.ndarray  # (N, K) float32, L2, not squared; inf beside -1
    discounts: np.ndarray  # (N, K) float64, L2, what all but the looks takes off; may be negative
    parts: dict | None = None  # of `evidence.PARTS` -> (N, K) float64, nats

    @property
    def costs(self) -> np.ndarray:
        """Distance less discount, (N, K)."""
        return self.distances - self.discounts


def gather(
    gallery: Gallery,
    vectors: np.ndarray,
    placed: np.ndarray | None = None,
    *,
    n_neighbours: int = 5,
) -> Candidates:
    """Collect the candidates of a frame's segments.

    Parameters
    ----------
    gallery : gallery.Gallery
    vectors : ndarray of shape (N, D), float32
        Unit length.
    placed : ndarray of shape (N, J), int64, optional
        From `place.Expected.nearest`: IDs expected there.
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
    if placed is not None and placed.size:
        same = (ids[:, :, None] == placed[:, None, :]).any(axis=1)
        far = np.where(same, NO_ID, placed)  # there, but not among the nearest
        if (far != NO_ID).any():
            far[far != NO_ID] = [i if i in gallery else NO_ID for i in far[far != NO_ID].tolist()]
            ids = np.concatenate([ids, far], axis=1)
            distances = np.concatenate([distances, gallery.distances_to(far, vectors)], axis=1)
    return Candidates(ids, distances, np.zeros(ids.shape))


def weigh(
    found: Candidates,
    evidence: Evidence,
    expected: Expected,
    boxes_tlbr: np.ndarray,
    frame_shape: tuple[int, int],
    *,
    threshold: float,
    width: float,
    weight: float = 1.0,
) -> Candidates:
    """Let place, size and entry speak for the candidates, or against them.

    Parameters
    ----------
    found : Candidates
        Of N segments.
    evidence : evidence.Evidence
    expected : place.Expected
    boxes_tlbr : ndarray of shape (N, 4)
    frame_shape : tuple of int
        (H, W).
    threshold, width : float
        See `Evidence`.
    weight : float
        Of what is not looks, beyond ``evidence.beside``.

    Returns
    -------
    Candidates
        A discount is what these parts are worth as L2 distance.
    """
    boxes = np.asarray(boxes_tlbr, np.float64)
    known, errors, ages, changes = expected.compare(boxes, found.ids)
    room = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) / np.prod(frame_shape)
    inside = ~at_border(boxes_tlbr, frame_shape)
    place = evidence.of_place(errors, ages, width, room[:, None])
    size = evidence.of_size(changes, ages, width)
    weight = weight * evidence.beside
    parts = {
        "looks": evidence.of_looks(found.distances, threshold),
        "place": weight * np.where(known, place, 0),
        "size": weight * np.where(known, size, 0),
        "entry": weight * np.broadcast_to(evidence.entry * inside[:, None], known.shape),
    }
    nats = parts["place"] + parts["size"] + parts["entry"]
    discounts = np.where(found.ids == NO_ID, 0, nats * threshold / evidence.looks)
    return found._replace(discounts=discounts, parts=parts)

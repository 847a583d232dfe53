"""A memory across batches: whom today's network takes for whom."""

from __future__ import annotations

import numpy as np


class LookAlikes:
    """Where each identity was embedded when it was last met, and who lies near whom.

    The hardest negatives of a batch are as hard as the batch is lucky. A memory of what the
    network made of each identity lets batches be drawn full of those that look alike to it
    (Wang et al. 2020, "Cross-Batch Memory for Embedding Learning", whose memory holds negatives;
    here it chooses them, and they are embedded anew).

    Parameters
    ----------
    identities : ndarray of shape (I,), int
        Sorted, each once.
    """

    def __init__(self, identities: np.ndarray):
        self.identities = np.asarray(identities)
        self._met = np.zeros(len(self.identities), bool)
        self._centres: np.ndarray | None = None

    def remember(self, labels: np.ndarray, embeddings: np.ndarray) -> None:
        """Keep the mean embedding of each identity of a batch.

        Parameters
        ----------
        labels : ndarray of shape (B,), int
            Each one of the identities.
        embeddings : ndarray of shape (B, D), float32
        """
        if self._centres is None:
            self._centres = np.zeros((len(self.identities), embeddings.shape[1]), np.float32)
        found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
        sums = np.zeros((len(found), embeddings.shape[1]), np.float32)
        np.add.at(sums, inverse, embeddings)
        rows = np.searchsorted(self.identities, found)
        self._centres[rows] = sums / counts[:, None]
        self._met[rows] = True

    def around(self, index: int, n: int) -> np.ndarray:
        """Find the identities that lie nearest to one.

        Parameters
        ----------
        index : int
            Which of the identities.
        n : int
            How many others at most.

        Returns
        -------
        ndarray of shape (n or fewer,), int
            Which of the identities, the nearest first; none for one that was not met yet.
        """
        others = np.flatnonzero(self._met & (np.arange(len(self._met)) != index))
        if self._centres is None or not self._met[index] or not len(others):
            return np.zeros(0, int)
        distances = ((self._centres[others] - self._centres[index]) ** 2).sum(axis=1)
        return others[np.argsort(distances, kind="stable")[:n]]

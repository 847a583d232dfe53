"""K-means in steps of any size, so that it can run in the gaps between other work."""

from __future__ import annotations

import faiss
import numpy as np


class StepwiseKMeans:
    """Lloyd's algorithm over a sample of the rows of an array, a few rows at a time.

    The same calls in the same order give the same centroids.

    Parameters
    ----------
    sample : ndarray of shape (S,), int64
        Rows to learn from, in random order.
    centroids : ndarray of shape (C, D), float32
        Where to start from.
    n_iterations : int

    References
    ----------
    Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 28, 1982.
    """

    def __init__(self, sample, centroids, n_iterations=5):
        self.sample = sample
        self.centroids = centroids
        self.n_iterations = n_iterations
        self.iteration = 0
        self.position = 0
        self.sums = np.zeros(centroids.shape, np.float64)
        self.counts = np.zeros(len(centroids), np.int64)

    @property
    def n_left(self):
        """Number of assignments still to make."""
        return (self.n_iterations - self.iteration) * len(self.sample) - self.position

    def step(self, vectors, owners, n):
        """Assign at most n rows of `vectors`, but for those whose owner is 0; return how many."""
        rows = self.sample[self.position : self.position + n]
        self.position += len(rows)
        self._count(vectors[rows[owners[rows] > 0]])
        if self.position == len(self.sample):
            self._move()
        return len(rows)

    def _count(self, vectors):
        if not len(vectors):
            return
        nearest = assign(vectors, self.centroids)
        order = nearest.argsort(kind="stable")
        found, starts = np.unique(nearest[order], return_index=True)
        self.sums[found] += np.add.reduceat(vectors[order], starts, axis=0)
        self.counts += np.bincount(nearest, minlength=len(self.counts))

    def _move(self):
        """End an iteration; a centroid that nothing is near to moves beside the busiest ones."""
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        empty = np.flatnonzero(self.counts == 0)
        busiest = self.counts.argsort(kind="stable")[::-1][: len(empty)]
        means[empty] = 0.9 * means[busiest] + 0.1 * self.centroids[empty]
        self.centroids = means.astype(np.float32)
        self.sums[:] = 0
        self.counts[:] = 0
        self.position = 0
        self.iteration += 1


def assign(vectors, centroids):
    """Return the number of the centroid nearest to each vector, int64."""
    return faiss.knn(vectors, centroids, 1)[1][:, 0]

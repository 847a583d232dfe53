"""Vectors with owners in rows of one array, found again by nearest-neighbour search.

The rows are the truth; FAISS searches them in place. A row freed by a removal is used again,
a key never is: it holds the number of the row and of the update that filled it.
"""

from __future__ import annotations

import faiss
import numpy as np

from instanceid_utils._journal import Journal

ROW_BITS = 28
ROW_MASK = (1 << ROW_BITS) - 1
FREE = 0  # owner of a free row
FAR = 1e3  # coordinate of a free row: no unit vector is anywhere near
_MIN_ROWS = 1024


class VectorIndex:
    """Rows of unit vectors, each with an owner and a key.

    Parameters
    ----------
    dim : int
        Length D of the vectors.
    journal : Journal
        Records each write, for the caller to undo or commit.
    n_threads : int
        Threads for a search.
    """

    def __init__(self, dim, journal=None, *, n_threads=1):
        self.dim = dim
        self.n_threads = n_threads
        self.n_rows = 0  # rows in use or free, below the capacity
        self.n_live = 0
        self.serial = 1
        self.free = []
        self.vectors = np.empty((_MIN_ROWS, dim), np.float32)
        self.keys = np.zeros(_MIN_ROWS, np.int64)
        self.owners = np.zeros(_MIN_ROWS, np.int64)
        self._journal = Journal() if journal is None else journal

    def place(self, rows, vectors, owners):
        """Fill rows with vectors under new keys; a row of -1 stands for any free one.

        Parameters
        ----------
        rows : ndarray of shape (N,), int64
            Live rows to overwrite, or -1.
        vectors : ndarray of shape (N, D), float32
        owners : ndarray of shape (N,), int64, positive

        Returns
        -------
        ndarray of shape (N,), int64
            The rows filled.
        """
        journal = self._journal
        missing = rows < 0
        n_missing = int(np.count_nonzero(missing))
        if n_missing:
            rows = rows.copy()
            rows[missing] = self._allocate(n_missing)
            journal.set(self, n_live=self.n_live + n_missing)
        journal.write(self.vectors, rows, vectors)
        journal.write(self.keys, rows, (self.serial << ROW_BITS) | rows)
        journal.write(self.owners, rows, owners)
        journal.set(self, serial=self.serial + 1)
        return rows

    def release(self, rows):
        """Free live rows."""
        journal, n_free = self._journal, len(self.free)
        journal.write(self.vectors, rows, FAR)
        journal.write(self.owners, rows, FREE)
        journal.set(self, n_live=self.n_live - len(rows))
        journal.on_undo(self.free.__delitem__, slice(n_free, None))
        self.free.extend(rows[::-1].tolist())

    def give(self, rows, owner):
        """Hand live rows over to another owner; their keys stay."""
        self._journal.write(self.owners, rows, owner)

    def nearest(self, queries, n):
        """Find the n nearest live rows, sorted by distance.

        Parameters
        ----------
        queries : ndarray of shape (Q, D), float32
        n : int
            At most `n_live`.

        Returns
        -------
        rows : ndarray of shape (Q, n), int64
        squared_distances : ndarray of shape (Q, n), float32
            By subtraction, free of the cancellation of FAISS's batched formula.
        """
        with _threads(self.n_threads):
            _, rows = faiss.knn(queries, self.vectors[: self.n_rows], n)
        difference = self.vectors[rows]
        difference -= queries[:, None]
        return rows, np.einsum("qnd,qnd->qn", difference, difference)

    def _allocate(self, n):
        journal, free = self._journal, self.free
        reused = free[len(free) - min(n, len(free)) :]
        n_new = n - len(reused)
        self._reserve(self.n_rows + n_new)
        journal.on_undo(free.extend, reused)
        del free[len(free) - len(reused) :]
        new = np.arange(self.n_rows, self.n_rows + n_new)
        journal.set(self, n_rows=self.n_rows + n_new)
        return np.concatenate([np.array(reused[::-1], np.int64), new])

    def _reserve(self, n_rows):
        if n_rows > ROW_MASK:
            raise MemoryError(f"a gallery holds at most {ROW_MASK} vectors")
        if n_rows > len(self.keys):
            # In place: for a large array the system moves pages, not bytes.
            capacity = n_rows + max(_MIN_ROWS, n_rows // 8)
            for array in (self.vectors, self.keys, self.owners):
                array.resize((capacity, *array.shape[1:]), refcheck=False)


class _threads:
    """Run FAISS with this many threads, then restore what the caller had."""

    def __init__(self, n_threads):
        self.n_threads = n_threads

    def __enter__(self):
        self.before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self.n_threads)

    def __exit__(self, *exc_info):
        faiss.omp_set_num_threads(self.before)

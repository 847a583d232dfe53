"""Vectors with owners in rows of one array, found again by nearest-neighbour search.

The rows are the truth. As long as that is fastest FAISS searches all of them; later an inverted
file (`GrowingCells`) names the candidates. A row freed by a removal is used again, a key never
is: it holds the row and a number that only grows, so that keys tell which vector is older.
"""

from __future__ import annotations

import contextlib

import faiss
import numpy as np

from instanceid_utils.gallery.inverted_file import GrowingCells

ROW_BITS = 26  # 67 million rows; with the rest, 10 vectors 30 times a second last 14 years
ROW_MASK = (1 << ROW_BITS) - 1
FREE = 0  # owner of a free row
NOBODY = -1  # owner of no row at all
FAR = 1e3  # coordinates of a free row: no unit vector is anywhere near
_MIN_ROWS = 1024
_BLOCK_BYTES = 2**25  # address space; memory is claimed when rows are first written
_MAX_SERIAL = 1 << (63 - ROW_BITS)
# FAISS subtracts in small searches; in large ones it multiplies, which rounds squared distances.
_DIRECT = 50_000  # queries x vectors
_BATCH_ERROR = 1e-5
_HALF_ERROR = 2e-3  # of a squared distance between unit vectors, one in half precision
_SPARE = 8  # more candidates from cells, as half precision may swap neighbours


class GrowingMatrix:
    """Rows of float32 in blocks of a power of two.

    A matrix of a million rows that is made larger holds everything up for as long as it takes
    to copy it; here a new block is added.

    Examples
    --------
    >>> rows = GrowingMatrix(dim=2, block_rows=4)
    >>> rows.reserve(6)
    >>> rows[np.array([1, 5])] = np.ones((2, 2))
    >>> rows[np.array([[0, 5]])].tolist()
    [[[0.0, 0.0], [1.0, 1.0]]]
    """

    def __init__(self, dim, block_rows=None):
        if block_rows is None:
            block_rows = 1 << max(10, (_BLOCK_BYTES // (4 * dim)).bit_length() - 1)
        self.dim = dim
        self._shift = block_rows.bit_length() - 1
        self._mask = block_rows - 1
        self._blocks = []
        self.reserve(1)

    def reserve(self, n_rows):
        """Make room for rows 0 to n_rows - 1; new ones are zero."""
        while len(self._blocks) <= max(n_rows - 1, 0) >> self._shift:
            self._blocks.append(np.zeros((1 << self._shift, self.dim), np.float32))

    def parts(self, n_rows):
        """Yield (first row, matrix) of each block up to n_rows, without a copy."""
        for first in range(0, n_rows, 1 << self._shift):
            yield first, self._blocks[first >> self._shift][: n_rows - first]

    def __getitem__(self, rows):
        """Copy rows out: an index array of any shape gives that shape and D."""
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        out = np.empty((*rows.shape, self.dim), np.float32)
        for block, here in self._split(rows):
            out[here] = block[rows[here] & self._mask]
        return out

    def __setitem__(self, rows, values):
        """Copy values in, broadcast where need be."""
        if len(self._blocks) == 1:
            self._blocks[0][rows] = values
            return
        values = np.broadcast_to(values, (*rows.shape, self.dim))
        for block, here in self._split(rows):
            block[rows[here] & self._mask] = values[here]

    def _split(self, rows):
        numbers = rows >> self._shift
        for number in np.unique(numbers):
            yield self._blocks[number], numbers == number


class VectorIndex:
    """Rows of unit vectors, each with an owner and a key.

    Parameters
    ----------
    dim : int
        Length D of the vectors.
    undo_log : UndoLog
        Records each write; the caller undoes or commits it, after `rollback` or `commit` here.
    exact_limit : int
        Most vectors that are searched one by one.
    n_probe : int or "all"
        Number of cells that a search looks into beyond that.
    n_threads : int
        Threads for a search.
    """

    def __init__(self, dim, undo_log, *, exact_limit=5_000, n_probe=24, n_threads=1):
        self.dim = dim
        self.n_probe = n_probe
        self.n_threads = n_threads
        self.n_rows = 0  # rows in use or free, below the capacity
        self.n_live = 0
        self.serial = 1
        self.free = []
        self.vectors = GrowingMatrix(dim)
        self.keys = np.zeros(_MIN_ROWS, np.int64)
        self.owners = np.zeros(_MIN_ROWS, np.int64)
        self.cells = GrowingCells(exact_limit)
        self.touched = []  # rows changed since the last commit
        self._log = undo_log

    def place(self, rows, vectors, owners):
        """Fill rows with vectors under new keys; a row of -1 stands for any free one.

        Parameters
        ----------
        rows : ndarray of shape (N,), int64
            Live rows of these owners, or -1.
        vectors : ndarray of shape (N, D), float32
        owners : ndarray of shape (N,), int64, positive

        Returns
        -------
        ndarray of shape (N,), int64
            The rows filled.
        """
        log = self._log
        missing = rows < 0
        n_missing = int(np.count_nonzero(missing))
        if n_missing:
            rows = rows.copy()
            rows[missing] = self._allocate(n_missing)
            log.set(self, n_live=self.n_live + n_missing)
            log.write(self.owners, rows, owners)
        self.touched.append(rows)
        log.write(self.vectors, rows, vectors)
        log.write(self.keys, rows, self._new_keys(rows))
        return rows

    def release(self, rows):
        """Free live rows."""
        log, n_free = self._log, len(self.free)
        self.touched.append(rows)
        log.write(self.vectors, rows, FAR)
        log.write(self.owners, rows, FREE)
        log.set(self, n_live=self.n_live - len(rows))
        log.on_undo(self.free.__delitem__, slice(n_free, None))
        self.free.extend(rows[::-1].tolist())

    def give(self, rows, owner):
        """Hand live rows over to another owner; their keys stay."""
        self._log.write(self.owners, rows, owner)

    def commit(self, n_updates):
        """Have the cells follow the rows, and do their share of work for an update of n vectors."""
        if self.cells.serving is not None or self.cells.next is not None:
            self.cells.sync(self, self._touched_rows())
        if self.n_live > self.cells.exact_limit or self.cells.serving is not None:
            self.cells.work(self, n_updates)
        if self.cells.serving is not None and self.cells.serving.n_live != self.n_live:
            raise RuntimeError("the cells do not hold all rows: this is a bug, nothing was changed")

    def rollback(self):
        """Have the cells follow the rows after the log has put them back."""
        self.cells.undo(self, self._touched_rows())

    @property
    def is_sparse(self):
        """Whether most rows are free, and nothing else knows the rows by number."""
        idle = self.cells.serving is None and not self.cells.is_making
        return idle and self.n_rows > 4 * self.n_live + _MIN_ROWS

    def repack(self):
        """Move the live rows together under new keys, oldest first.

        Returns
        -------
        ndarray of shape (n_rows + 1,), int64
            Where each row went; -1 for a free one, and for row -1.
        """
        old = np.flatnonzero(self.owners[: self.n_rows])
        old = old[self.keys[old].argsort()]
        new = np.arange(len(old))
        moved = np.full(self.n_rows + 1, -1)
        moved[old] = new
        vectors = GrowingMatrix(self.dim)
        vectors.reserve(len(old))
        vectors[new] = self.vectors[old]
        keys, owners = np.zeros((2, len(old) + _MIN_ROWS), np.int64)
        keys[new] = self._new_keys(new)
        owners[new] = self.owners[old]
        self._log.set(
            self, vectors=vectors, keys=keys.copy(), owners=owners.copy(), free=[], n_rows=len(old)
        )
        return moved

    def nearest(self, queries, n):
        """Find the owners of about the n nearest live rows.

        Parameters
        ----------
        queries : ndarray of shape (Q, D), float32
        n : int

        Returns
        -------
        owners : ndarray of shape (Q, M), int64
            -1 where fewer were found.
        squared_distances : ndarray of shape (Q, M), float32
            In increasing order; inf beside an owner of -1.
        error : float
            All that are nearer than the last one found, less this (squared), are there; among
            those in the cells looked into.
        """
        with _threads(self.n_threads):
            if self.cells.serving is None:
                rows, squared, error = self._scan(queries, min(n, self.n_live))
                return self.owners[rows], squared, error
            n = min(n + _SPARE, self.n_live)
            rows = self.cells.serving.search(queries, n, self.n_probe)
        rows, squared = self._measure(queries, rows)
        return np.where(rows < 0, NOBODY, self.owners[rows]), squared, _HALF_ERROR

    def _scan(self, queries, n):
        parts = list(self.vectors.parts(self.n_rows))
        found = [faiss.knn(queries, part, min(n, len(part))) for _, part in parts]
        if len(parts) == 1 and len(queries) * self.n_rows < _DIRECT:
            squared, rows = found[0]
            return rows, squared, 0
        squared = np.concatenate([squared for squared, _ in found], axis=1)
        rows = np.concatenate([r + first for (_, r), (first, _) in zip(found, parts)], axis=1)
        order = squared.argsort(axis=1, kind="stable")[:, :n]
        return (*self._measure(queries, np.take_along_axis(rows, order, axis=1)), _BATCH_ERROR)

    def _measure(self, queries, rows):
        """Sort rows by squared distance, computed by subtraction."""
        difference = self.vectors[np.maximum(rows, 0)]
        difference -= queries[:, None]
        squared = np.einsum("qnd,qnd->qn", difference, difference)
        squared[rows < 0] = np.inf
        order = squared.argsort(axis=1, kind="stable")
        return np.take_along_axis(rows, order, axis=1), np.take_along_axis(squared, order, axis=1)

    def _touched_rows(self):
        return np.unique(np.concatenate(self.touched)) if self.touched else np.empty(0, np.int64)

    def _new_keys(self, rows):
        """Return keys for rows, later and later; the row is in the low bits."""
        serials = np.arange(self.serial, self.serial + len(rows))
        if self.serial + len(rows) > _MAX_SERIAL:
            raise OverflowError("no key is left: save the vectors and start a new gallery")
        self._log.set(self, serial=self.serial + len(rows))
        return (serials << ROW_BITS) | rows

    def _allocate(self, n):
        log, free = self._log, self.free
        last = slice(max(0, len(free) - n), None)
        reused = free[last]
        n_new = n - len(reused)
        self._reserve(self.n_rows + n_new)
        log.on_undo(free.__setitem__, last, reused)
        del free[last]
        new = np.arange(self.n_rows, self.n_rows + n_new)
        log.set(self, n_rows=self.n_rows + n_new)
        return np.concatenate([np.array(reused[::-1], np.int64), new])

    def _reserve(self, n_rows):
        if n_rows > ROW_MASK:
            raise MemoryError(f"a gallery holds at most {ROW_MASK} vectors")
        self.vectors.reserve(n_rows)
        if n_rows > len(self.keys):
            capacity = n_rows + max(_MIN_ROWS, n_rows // 8)
            self.keys.resize(capacity, refcheck=False)
            self.owners.resize(capacity, refcheck=False)


@contextlib.contextmanager
def _threads(n):
    """Run FAISS with n threads, then restore what the caller had."""
    before = faiss.omp_get_max_threads()
    if before == n:
        yield
        return
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)

"""An inverted file: vectors sorted into cells, of which a search looks into the nearest few.

It holds half-precision copies of the rows of a `VectorIndex`, only to name candidates, whose
distances are then computed from the vectors themselves. FAISS keeps it, with a direct map from
each row to its place, so that a row moves to another cell at a cost that does not grow; rows that
are free lie in a cell of their own, into which no search looks.

It keeps up with a gallery as it grows, without a pause. The cells fit a certain number of
vectors. When there are twice as many, the next cells are made beside those in use: k-means on a
sample, then row by row the vectors are sorted in. Each update of the gallery does a share of that
work in proportion to its size, so that it is done before the gallery has grown by another
quarter. No thread is involved: the same calls give the same cells, and the same answers.
"""

from __future__ import annotations

import math

import faiss
import numpy as np

_CELLS_PER_ROOT = 4  # cells = 4 * sqrt(vectors), so that finding and reading cells cost alike
_SAMPLE_PER_CELL = 32
_CHUNK = 8192  # rows sorted in at a time


class Cells:
    """Rows 0, 1, 2 and so on in cells round given centroids.

    Parameters
    ----------
    centroids : ndarray of shape (C, D), float32
    n_built : int
        Number of vectors they were made for.
    """

    def __init__(self, centroids, n_built):
        self.free_cell, dim = centroids.shape  # the last of C + 1; it has no centroid
        self.centroids = centroids
        self.n_built = n_built
        self._quantizer = faiss.IndexFlatL2(dim)
        self._quantizer.add(centroids)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._quantizer,
            dim,
            self.free_cell + 1,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_L2,
            False,
        )
        self._index.is_trained = True  # half precision learns nothing
        self._index.set_direct_map_type(faiss.DirectMap.Array)

    def __len__(self):
        """Return the number of rows, free ones included."""
        return self._index.ntotal

    @property
    def n_live(self):
        """Number of rows that a search can find."""
        return self._index.ntotal - self._index.invlists.list_size(self.free_cell)

    def put(self, rows, vectors, live):
        """Write rows, each into the cell nearest to its vector, or of the free ones.

        Parameters
        ----------
        rows : ndarray of shape (N,), int64
            Increasing; those that are not here yet are the next ones.
        vectors : ndarray of shape (N, D), float32
        live : ndarray of shape (N,), bool
        """
        cells = np.full(len(rows), self.free_cell)
        if live.any():
            cells[live] = assign(vectors[live], self.centroids)
        n = int(rows.searchsorted(len(self)))
        if n:
            codes = vectors[:n].astype(np.float16).view(np.uint8)
            self._index.direct_map.update_codes(
                self._index.invlists, n, *map(faiss.swig_ptr, (rows[:n], cells[:n], codes))
            )
        if n < len(rows):
            vectors, cells = vectors[n:], cells[n:]
            self._index.add_core(len(cells), faiss.swig_ptr(vectors), None, faiss.swig_ptr(cells))

    def restore(self, rows, cells, vectors):
        """Fill empty cells with rows, in the order in which these once were in each."""
        self._index.set_direct_map_type(faiss.DirectMap.NoMap)
        for first in range(0, len(rows), _CHUNK):
            ids, into = rows[first : first + _CHUNK], cells[first : first + _CHUNK]
            held = vectors[ids]  # as long as FAISS reads it
            self._index.add_core(len(ids), *map(faiss.swig_ptr, (held, ids, into)))
        self._index.set_direct_map_type(faiss.DirectMap.Array)

    def search(self, queries, n, n_probe):
        """Return rows (Q, n) int64 by increasing (approximate) distance, -1 where none is left."""
        self._index.nprobe = len(self.centroids) if n_probe == "all" else n_probe
        return self._index.search(queries, n)[1]

    def content(self):
        """Return the live rows, cell by cell in the order they are held, and the number in each."""
        rows = [self.rows(cell) for cell in range(self.free_cell)]
        return np.concatenate(rows), np.array([len(r) for r in rows], np.int64)

    def rows(self, cell):
        """Return the rows (n,) in a cell."""
        n = self._index.invlists.list_size(cell)
        if n == 0:
            return np.empty(0, np.int64)
        return faiss.rev_swig_ptr(self._index.invlists.get_ids(cell), n).copy()

    def codes(self, cell):
        """Return the half-precision vectors (n, D) in a cell, as they are held."""
        n, dim = self._index.invlists.list_size(cell), self._index.d
        if n == 0:
            return np.empty((0, dim), np.float16)
        codes = faiss.rev_swig_ptr(self._index.invlists.get_codes(cell), n * 2 * dim)
        return codes.view(np.float16).reshape(n, dim)

    def places(self):
        """Return cell and position in it (N, 2) of every row, as the direct map has them."""
        places = faiss.vector_to_array(self._index.direct_map.array)
        return np.stack([places >> 32, places & (2**32 - 1)], axis=1)


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


class GrowingCells:
    """The cells in use and the next ones in the making.

    Parameters
    ----------
    exact_limit : int
        Up to this many vectors there are no cells.
    """

    def __init__(self, exact_limit):
        self.exact_limit = exact_limit
        self.discard()

    def discard(self):
        """Have no cells; they are made anew if there is need."""
        self.serving = None
        self.stop_making()

    def stop_making(self):
        """Give up the next cells."""
        self.kmeans = self.next = None
        self.pace = 0  # rows to work on for each vector of an update
        self._phase = ""

    @property
    def is_making(self):
        """Whether the next cells are in the making."""
        return self.kmeans is not None or self.next is not None

    def sync(self, store, rows):
        """Make the cells hold these rows, increasing, as the store has them."""
        self._phase = "sync"
        if self.serving is not None:
            self._put(self.serving, store, rows)
        if self.next is not None:  # what it does not have yet it comes to later
            self._put(self.next, store, rows[: rows.searchsorted(len(self.next))])
        self._phase = ""

    def work(self, store, n_updates):
        """Do the share of an update of n vectors in making the next cells."""
        self._phase = "work"
        self._review(store)
        n = n_updates * self.pace
        while n > 0 and self.is_making:
            n -= self._step(store, min(n, _CHUNK))
        self._phase = ""

    def undo(self, store, rows):
        """Follow the store after these rows were put back, wherever an update broke off."""
        if self._phase == "sync":
            self.discard()
        elif self._phase == "work":
            self.stop_making()
        self.sync(store, rows)

    def _review(self, store):
        n = store.n_live
        if n <= self.exact_limit // 2:
            self.discard()
        elif self.is_making or n <= self.exact_limit:
            return
        elif self.serving is None or not n / 2 <= self.serving.n_built <= 4 * n:
            self._start(store)

    def _start(self, store):
        n = store.n_live
        n_cells = max(1, int(_CELLS_PER_ROOT * math.sqrt(n)))
        rng = np.random.default_rng([0, store.serial])
        live = np.flatnonzero(store.owners[: store.n_rows])
        sample = rng.choice(live, min(n, _SAMPLE_PER_CELL * n_cells), replace=False)
        self.kmeans = StepwiseKMeans(sample, store.vectors[sample[:n_cells]])
        self.pace = math.ceil((self.kmeans.n_left + n) / max(1, n // 4))

    def _step(self, store, n):
        if self.kmeans is not None:
            n_done = self.kmeans.step(store.vectors, store.owners, n)
            if not self.kmeans.n_left:
                self.next, self.kmeans = Cells(self.kmeans.centroids, store.n_live), None
            return n_done
        first = len(self.next)
        rows = np.arange(first, min(first + n, store.n_rows))
        self._put(self.next, store, rows)
        if len(self.next) >= store.n_rows:
            self.serving = self.next
            self.stop_making()
        return len(rows)

    def _put(self, cells, store, rows):
        cells.put(rows, store.vectors[rows], store.owners[rows] > 0)

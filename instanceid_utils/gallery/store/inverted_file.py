"""An inverted file: vectors sorted into cells, of which a search looks into the nearest few.

It holds half-precision copies under the keys of a `VectorIndex`, only to name candidates, whose
distances are then computed from the vectors themselves. FAISS can remove from an inverted file
by reading all of it, or through a hash table of its own, which takes 140 bytes a vector and
stalls when it grows; the cell of each row is known here, so an entry is taken out directly.

It keeps up with a gallery as it grows, without a pause. The cells fit a certain number of
vectors. When there are twice as many, the next cells are made beside those in use: k-means on a
sample, then row by row the vectors are sorted in. Each update of the gallery does a share of that
work in proportion to its size, so that it is done before the gallery has grown by another
quarter; new vectors go into both. No thread is involved: the same calls give the same cells, and
the same answers.
"""

from __future__ import annotations

import math

import faiss
import numpy as np

ROW_BITS = 26  # 67 million rows; with the rest, 10 vectors 30 times a second last 14 years
ROW_MASK = (1 << ROW_BITS) - 1


class Cells:
    """Cells round given centroids.

    Parameters
    ----------
    centroids : ndarray of shape (C, D), float32
    n_built : int
        Number of vectors they were made for.
    """

    def __init__(self, centroids, n_built):
        n_cells, dim = centroids.shape
        self.centroids = centroids
        self.n_built = n_built
        self.cell_of_row = np.full(1024, -1, np.int32)
        self._quantizer = faiss.IndexFlatL2(dim)
        self._quantizer.add(centroids)
        self._index = faiss.IndexIVFScalarQuantizer(
            self._quantizer, dim, n_cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
        )
        self._index.is_trained = True  # half precision learns nothing
        self._lists = self._index.invlists

    def __len__(self):
        """Return the number of vectors."""
        return self._index.ntotal

    def has(self, rows):
        """Tell of each row whether it is here."""
        self._reserve(int(rows.max(initial=0)) + 1)
        return self.cell_of_row[rows] >= 0

    def put(self, rows, keys, vectors, cells=None):
        """Add rows that are not here; into the nearest cells unless told."""
        if not len(rows):
            return
        self._reserve(int(rows.max()) + 1)
        if cells is None:
            cells = assign(vectors, self.centroids)
        cells = np.ascontiguousarray(cells, np.int64)
        keys = np.ascontiguousarray(keys, np.int64)
        vectors = np.ascontiguousarray(vectors, np.float32)
        self._index.add_core(
            len(keys), faiss.swig_ptr(vectors), faiss.swig_ptr(keys), faiss.swig_ptr(cells)
        )
        self.cell_of_row[rows] = cells

    def drop(self, rows):
        """Take out rows that are here."""
        cells = self.cell_of_row[rows]
        self.cell_of_row[rows] = -1
        for cell, n in zip(*np.unique(cells, return_counts=True)):
            keys, codes = self._entries(int(cell))
            stays = self.cell_of_row[keys & ROW_MASK] == cell
            n_left = len(keys) - int(n)
            if np.count_nonzero(stays) != n_left:
                raise RuntimeError(f"cell {cell} does not hold what it should: this is a bug")
            keys[:n_left], codes[:n_left] = keys[stays], codes[stays]
            self._lists.resize(int(cell), n_left)
        self._index.ntotal -= len(rows)

    def search(self, queries, n, n_probe):
        """Return rows (Q, n) int64 by increasing (approximate) distance, -1 where none is left."""
        self._index.nprobe = len(self.centroids) if n_probe == "all" else n_probe
        _, keys = self._index.search(queries, n)
        return np.where(keys < 0, -1, keys & ROW_MASK)

    def content(self):
        """Return all keys, cell by cell in the order they are held, and the number in each."""
        keys = [self._entries(cell)[0].copy() for cell in range(len(self.centroids))]
        return np.concatenate(keys), np.array([len(k) for k in keys], np.int64)

    def codes(self, cell):
        """Return the half-precision vectors (n, D) of a cell."""
        return self._entries(cell)[1].view(np.float16)

    def _entries(self, cell):
        """Return views of the keys (n,) and half-precision codes (n, 2 D) of a cell."""
        n, size = self._lists.list_size(cell), self._index.code_size
        if n == 0:
            return np.empty(0, np.int64), np.empty((0, size), np.uint8)
        keys = faiss.rev_swig_ptr(self._lists.get_ids(cell), n)
        codes = faiss.rev_swig_ptr(self._lists.get_codes(cell), n * size)
        return keys, codes.reshape(n, size)

    def _reserve(self, n_rows):
        n = len(self.cell_of_row)
        if n_rows > n:
            self.cell_of_row.resize(n_rows + n_rows // 8, refcheck=False)
            self.cell_of_row[n:] = -1


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


_CELLS_PER_ROOT = 4  # cells = 4 * sqrt(vectors), so that finding and reading cells cost alike
_SAMPLE_PER_CELL = 32
_CHUNK = 8192


class GrowingCells:
    """The cells in use and the next ones in the making.

    Parameters
    ----------
    exact_limit : int
        Up to this many vectors there are no cells.
    seed : int
        For the sample that the cells are learned from.
    """

    def __init__(self, exact_limit, seed=0):
        self.exact_limit = exact_limit
        self.seed = seed
        self.serving = None
        self.discard()

    def discard(self):
        """Have no cells; they are made anew if there is need."""
        self.serving = None
        self._phase = ""
        self.stop_making()

    def stop_making(self):
        """Give up the next cells."""
        self.kmeans = self.next = None
        self.cursor = self.pace = 0

    @property
    def is_making(self):
        """Whether the next cells are in the making."""
        return self.kmeans is not None or self.next is not None

    def sync(self, store, rows):
        """Make the cells hold these rows as the store has them: not, or under the present key."""
        self._phase = "sync"
        for cells in (self.serving, self.next):
            if cells is not None:
                cells.drop(rows[cells.has(rows)])
                live = rows[store.owners[rows] > 0]
                cells.put(live, store.keys[live], store.vectors[live])
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
        rng = np.random.default_rng([self.seed, store.serial])
        live = np.flatnonzero(store.owners[: store.n_rows])
        sample = rng.choice(live, min(n, _SAMPLE_PER_CELL * n_cells), replace=False)
        self.cursor = 0
        self.kmeans = StepwiseKMeans(sample, store.vectors[sample[:n_cells]])
        self.pace = math.ceil((self.kmeans.n_left + n) / max(1, n // 4))

    def _step(self, store, n):
        if self.kmeans is not None:
            n_done = self.kmeans.step(store.vectors, store.owners, n)
            if not self.kmeans.n_left:
                self.next, self.kmeans = Cells(self.kmeans.centroids, store.n_live), None
            return n_done
        rows = np.arange(self.cursor, min(self.cursor + n, store.n_rows))
        new = rows[(store.owners[rows] > 0) & ~self.next.has(rows)]
        self.next.put(new, store.keys[new], store.vectors[new])
        self.cursor += len(rows)
        if self.cursor == store.n_rows:
            self.serving = self.next
            self.stop_making()
        return len(rows)

"""An inverted file: vectors sorted into cells, of which a search looks into the nearest few.

It holds half-precision copies under the keys of a `VectorIndex`, only to name candidates, whose
distances are then computed from the vectors themselves. FAISS can remove from an inverted file
by reading all of it, or through a hash table of its own, which takes 140 bytes a vector and
stalls when it grows; the cell of each row is known here, so an entry is taken out directly.
"""

from __future__ import annotations

import faiss
import numpy as np

from instanceid_utils.gallery.store.kmeans import assign

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

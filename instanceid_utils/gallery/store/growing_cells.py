"""An inverted file that keeps up with a gallery as it grows, without a pause.

The cells fit a certain number of vectors. When there are twice as many, the next cells are made
beside those in use: k-means on a sample, then row by row the vectors are sorted in. Each update
of the gallery does a share of that work in proportion to its size, so that it is done before the
gallery has grown by another quarter; new vectors go into both. No thread is involved: the same
calls give the same cells, and the same answers.
"""

from __future__ import annotations

import math

import numpy as np

from instanceid_utils.gallery.store.cells import Cells
from instanceid_utils.gallery.store.kmeans import StepwiseKMeans

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

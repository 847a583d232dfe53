"""The gallery: which ID looks how, found again by nearest-neighbour search.

An ID has a small, diverse set of exemplars, a moving average, or both. Distances are L2, not
squared, between unit vectors.
"""

from __future__ import annotations

import os
import threading

import numpy as np
import numpy.typing as npt

from instanceid_utils.gallery.store import checks
from instanceid_utils.gallery.store.audit import audit
from instanceid_utils.gallery.store.core import MEAN, GalleryCore
from instanceid_utils.gallery.store.file import GalleryFileError, read_arrays, write_arrays
from instanceid_utils.gallery.store.state import dump, restore


class Gallery:
    """IDs and what they look like.

    IDs are int64 from 1; an ID that was removed is never given out again. A call that raises
    changes nothing (interrupted, it has happened whole or not at all). All methods may be called
    from several threads: one lock lets each see and leave a whole state. The same calls give the
    same answers, also across `save` and `load`.

    Parameters
    ----------
    dim : int
        Length D of the vectors.
    max_exemplars : int
        Most exemplars an ID keeps.
    policy : {"exemplars", "mean", "both"}
        What stands for an ID in a search: its exemplars, its moving average, or all of these.
    momentum : float
        Weight of the past in the moving average, in [0, 1).
    min_novelty : float
        A vector nearer (L2, not squared) to a kept exemplar of its ID is not stored.
    exact_limit : int
        Up to this many vectors search is exact. Beyond, it looks into the nearest cells only (and
        may miss one neighbour in a hundred), at a cost that hardly grows any more.
    n_probe : int or "all"
        How many cells; "all" makes it exact again.
    n_threads : int
        Threads for a search; two pay from some 100,000 vectors.
    weights_sha256, threshold : optional
        Of the embedding that made the vectors; kept with the gallery.

    Examples
    --------
    >>> gallery = Gallery(dim=2)
    >>> gallery.add([gallery.new_id(), gallery.new_id()], np.eye(2, dtype=np.float32))
    >>> ids, distances = gallery.search(np.array([[0.6, 0.8]], np.float32), k=2)
    >>> ids, distances.round(3)
    (array([[2, 1]]), array([[0.632, 0.894]], dtype=float32))
    """

    def __init__(
        self,
        dim: int,
        *,
        max_exemplars: int = 8,
        policy: str = "exemplars",
        momentum: float = 0.9,
        min_novelty: float = 0.05,
        exact_limit: int = 5_000,
        n_probe=24,
        n_threads: int = 1,
        weights_sha256=None,
        threshold=None,
    ):
        self._core = GalleryCore(
            **checks.check_settings(
                dim, max_exemplars, policy, momentum, min_novelty, exact_limit, n_probe, n_threads
            )
        )
        self._lock = threading.RLock()
        self.dim = self._core.index.dim
        self.weights_sha256 = checks.check_weights(weights_sha256)
        self.threshold = None if threshold is None else checks.check_time(threshold, "threshold")

    def __len__(self):
        """Return the number of IDs."""
        with self._lock:
            return len(self._core.table.slot_of)

    def __contains__(self, id):
        """Tell whether an ID has vectors here."""
        with self._lock:
            return id in self._core.table.slot_of

    @property
    def ids(self):
        """All IDs in increasing order, int64."""
        with self._lock:
            return np.array(sorted(self._core.table.slot_of), np.int64)

    @property
    def n_vectors(self):
        """Number of vectors that a search looks at."""
        with self._lock:
            return self._core.index.n_live

    def new_id(self):
        """Return an ID that was never in use nor returned before: 1, 2, 3 and so on.

        Raises
        ------
        OverflowError
            If no ID up to 2**63 - 1 is left.
        """
        return self._change(0, self._core.table.new_id)

    def add(
        self,
        ids: npt.ArrayLike,
        vectors: np.ndarray,
        *,
        time: float | None = None,
        keep: npt.ArrayLike | None = None,
    ):
        """Add a view of each ID, all or none of them.

        Parameters
        ----------
        ids : array_like of shape (N,), integer
            Positive and different from each other. An ID may be new.
        vectors : ndarray of shape (N, D), float32
            Unit length.
        time : float, optional
            When they were seen, in any unit; the latest time so far plus 1 unless told.
        keep : array_like of shape (N,), bool, optional
            Which views to learn from; of the others only the time is noted. All by default.

        Raises
        ------
        ValueError
            For anything else, and for an ID that is new but has no view to keep; it says what
            was expected and where.
        """
        ids = checks.check_ids(ids)
        vectors = checks.check_vectors(vectors, self.dim, len(ids))
        time = None if time is None else checks.check_time(time)
        keep = None if keep is None else checks.check_keep(keep, len(ids))
        if len(ids):
            self._change(len(ids), self._core.add, ids, vectors, time, keep)

    def search(self, vectors: np.ndarray, k: int = 5) -> tuple:
        """Find the k nearest IDs of each vector.

        Parameters
        ----------
        vectors : ndarray of shape (N, D), float32
            Unit length.
        k : int

        Returns
        -------
        ids : ndarray of shape (N, k), int64
            Different IDs by increasing distance, the lower ID first where distances are equal;
            -1 where there are fewer than k.
        distances : ndarray of shape (N, k), float32
            L2, not squared, to the nearest vector of that ID; inf beside an ID of -1.
        """
        vectors = checks.check_vectors(vectors, self.dim)
        k = checks.check_count(k, "k")
        with self._lock:
            ids, squared = self._core.nearest_ids(vectors, k)
        return ids, np.sqrt(squared)

    def distances_to(self, ids: npt.ArrayLike, vectors: np.ndarray) -> np.ndarray:
        """Return L2 distances (not squared) of each vector to each of some IDs.

        Parameters
        ----------
        ids : array_like of shape (M,), integer
            Different from each other; or (N, M), for other IDs beside each vector, where a -1
            stands for none.
        vectors : ndarray of shape (N, D), float32

        Returns
        -------
        ndarray of shape (N, M), float32
            To the nearest vector of the ID; inf beside an ID of -1.

        Raises
        ------
        ValueError
            If an ID is not here.
        """
        vectors = checks.check_vectors(vectors, self.dim)
        ids = checks.check_id_rows(ids, len(vectors))
        with self._lock:
            return np.sqrt(self._core.squared_distances(ids, vectors))

    def remove(self, ids):
        """Forget one ID or several for good."""
        self._change(0, self._core.remove, checks.check_ids(np.atleast_1d(ids)))

    def expire(self, before):
        """Forget the IDs last seen before this time, and return them in increasing order."""
        return self._change(0, self._core.expire, checks.check_time(before, "before"))

    def merge(self, keep, other):
        """Hand all that is known of `other` to `keep`; `other` is gone."""
        self._change(0, self._core.merge, checks.check_ids([keep, other], "keep, other"))

    def split(self, id, keys):
        """Move the exemplars with these keys to a new ID, and return it.

        Raises
        ------
        ValueError
            If a key is not one of `exemplars(id)`, or none or all of them are chosen.
        """
        return self._change(0, self._core.split, checks.check_ids([id], "id"), keys)

    def exemplars(self, id):
        """Return keys (n,) int64 and vectors (n, D) float32 of an ID's exemplars, oldest first.

        The keys hold until the next update.
        """
        ids = checks.check_ids([id], "id")
        with self._lock:
            rows = self._core.exemplar_rows(self._core.known(ids))
            return self._core.index.keys[rows], self._core.index.vectors[rows]

    def mean(self, id):
        """Return the moving average (D,) float32 of an ID; None under policy "exemplars"."""
        ids = checks.check_ids([id], "id")
        with self._lock:
            row = self._core.table.rows[self._core.known(ids), MEAN]
            return self._core.index.vectors[row][0] if row >= 0 else None

    def n_exemplars(self, id):
        """Return the number of exemplars of an ID."""
        return len(self.exemplars(id)[0])

    def last_seen(self, id):
        """Return the time at which an ID was last added to."""
        ids = checks.check_ids([id], "id")
        with self._lock:
            return float(self._core.table.last_seen[self._core.known(ids)[0]])

    def check(self):
        """Look at everything that must hold; takes seconds for a million vectors.

        Raises
        ------
        GalleryCorruptError
            If the gallery contradicts itself.
        """
        with self._lock:
            audit(self._core)

    def save(self, path):
        """Write the gallery to one file, in one step: killed at any time, old or new is there.

        Raises
        ------
        OSError, GalleryFileError
            If it cannot be written, or somebody else is writing it.
        """
        threshold = None if self.threshold is None else float(self.threshold)
        with self._lock:
            notes, arrays = dump(self._core)
            notes.update(weights_sha256=self.weights_sha256, threshold=threshold)
            write_arrays(path, notes, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, *, weights_sha256: str | None = None):
        """Read a gallery that goes on as if it had never stopped.

        Parameters
        ----------
        path : path-like
        weights_sha256 : str, optional
            Refuse a gallery made with other weights.

        Raises
        ------
        GalleryFileError
            If the file is no gallery, damaged, or made with other weights.
        OSError
            If it cannot be read.
        """
        notes, arrays = read_arrays(path)
        theirs = notes.get("weights_sha256")
        if weights_sha256 not in (None, theirs):
            raise GalleryFileError(
                f"{path}: made with weights {theirs}, which cannot be compared with those of "
                f"weights {weights_sha256}"
            )
        try:
            core = restore(notes, arrays)
            gallery = cls(core.index.dim, weights_sha256=theirs, threshold=notes["threshold"])
        except (ValueError, KeyError) as error:
            raise GalleryFileError(f"{path}: {error}") from error
        gallery._core = core
        return gallery

    def __getstate__(self):
        """Return a copy of all that it holds, for `pickle` and `copy`."""
        with self._lock:
            notes, arrays = dump(self._core)
            arrays = {
                n: np.concatenate(a) if isinstance(a, list) else a.copy() for n, a in arrays.items()
            }
        return notes, arrays, self.weights_sha256, self.threshold

    def __setstate__(self, state):
        """Become the gallery that `__getstate__` was called on."""
        notes, arrays, self.weights_sha256, self.threshold = state
        self._core = restore(notes, arrays)
        self._lock = threading.RLock()
        self.dim = self._core.index.dim

    def _change(self, n_updates, change, *args):
        """Make a change, or be as before."""
        core = self._core
        with self._lock:
            core.index.touched.clear()
            try:
                result = change(*args)
                core.commit(n_updates)
                return result
            except BaseException:  # an interrupt too must leave a whole state
                core.rollback()
                raise

"""The gallery: which ID looks how, found again by nearest-neighbour search.

An ID has a small, diverse set of exemplars, a moving average, or both. Distances are L2, not
squared, between unit vectors.
"""

from __future__ import annotations

import os
import threading

import numpy as np
import numpy.typing as npt

from instanceid_utils.gallery import arguments
from instanceid_utils.gallery.audit import audit
from instanceid_utils.gallery.contents import MEAN, GalleryContents
from instanceid_utils.gallery.file_lock import refuse_if_locked
from instanceid_utils.gallery.gallery_file import (
    GalleryFileError,
    dump,
    read_arrays,
    restore,
    write_arrays,
)


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
        n_probe: int | str = 24,
        n_threads: int = 1,
        weights_sha256: str | None = None,
        threshold: float | None = None,
    ) -> None:
        self._contents = GalleryContents(
            **arguments.check_settings(
                dim, max_exemplars, policy, momentum, min_novelty, exact_limit, n_probe, n_threads
            )
        )
        self._lock = threading.RLock()
        self.dim = self._contents.index.dim
        self.weights_sha256 = arguments.check_weights(weights_sha256)
        self.threshold = None if threshold is None else arguments.check_time(threshold, "threshold")

    def __len__(self) -> int:
        """Return the number of IDs."""
        with self._lock:
            return len(self._contents.table.slot_of)

    def __contains__(self, id: object) -> bool:
        """Tell whether an ID has vectors here."""
        with self._lock:
            return id in self._contents.table.slot_of

    @property
    def ids(self) -> np.ndarray:
        """All IDs in increasing order, int64."""
        with self._lock:
            return np.array(sorted(self._contents.table.slot_of), np.int64)

    @property
    def n_vectors(self) -> int:
        """Number of vectors that a search looks at."""
        with self._lock:
            return self._contents.index.n_live

    def new_id(self) -> int:
        """Return an ID that was never in use nor returned before: 1, 2, 3 and so on.

        Raises
        ------
        OverflowError
            If no ID up to 2**63 - 1 is left.
        """
        return self._change(0, self._contents.table.new_id)

    def add(
        self,
        ids: npt.ArrayLike,
        vectors: np.ndarray,
        *,
        time: float | None = None,
        keep: npt.ArrayLike | None = None,
    ) -> None:
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
        ids = arguments.check_ids(ids)
        vectors = arguments.check_vectors(vectors, self.dim, len(ids))
        time = None if time is None else arguments.check_time(time)
        keep = None if keep is None else arguments.check_keep(keep, len(ids))
        if len(ids):
            self._change(len(ids), self._contents.add, ids, vectors, time, keep)

    def search(self, vectors: np.ndarray, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
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
        vectors = arguments.check_vectors(vectors, self.dim)
        k = arguments.check_count(k, "k")
        with self._lock:
            ids, squared = self._contents.nearest_ids(vectors, k)
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
        vectors = arguments.check_vectors(vectors, self.dim)
        ids = arguments.check_id_rows(ids, len(vectors))
        with self._lock:
            return np.sqrt(self._contents.squared_distances(ids, vectors))

    def remove(self, ids: npt.ArrayLike) -> None:
        """Forget one ID or several for good."""
        self._change(0, self._contents.remove, arguments.check_ids(np.atleast_1d(ids)))

    def expire(self, before: float) -> np.ndarray:
        """Forget the IDs last seen before this time, and return them in increasing order."""
        return self._change(0, self._contents.expire, arguments.check_time(before, "before"))

    def merge(self, keep: int, other: int) -> None:
        """Hand all that is known of `other` to `keep`; `other` is gone."""
        self._change(0, self._contents.merge, arguments.check_ids([keep, other], "keep, other"))

    def split(self, id: int, keys: npt.ArrayLike) -> int:
        """Move the exemplars with these keys to a new ID, and return it.

        Raises
        ------
        ValueError
            If a key is not one of `exemplars(id)`, or none or all of them are chosen.
        """
        return self._change(0, self._contents.split, arguments.check_ids([id], "id"), keys)

    def exemplars(self, id: int) -> tuple[np.ndarray, np.ndarray]:
        """Return keys (n,) int64 and vectors (n, D) float32 of an ID's exemplars, oldest first.

        The keys hold until the next update.
        """
        ids = arguments.check_ids([id], "id")
        with self._lock:
            rows = self._contents.exemplar_rows(self._contents.known(ids))
            return self._contents.index.keys[rows], self._contents.index.vectors[rows]

    def mean(self, id: int) -> np.ndarray | None:
        """Return the moving average (D,) float32 of an ID; None under policy "exemplars"."""
        ids = arguments.check_ids([id], "id")
        with self._lock:
            row = self._contents.table.rows[self._contents.known(ids), MEAN]
            return self._contents.index.vectors[row][0] if row >= 0 else None

    def n_exemplars(self, id: int) -> int:
        """Return the number of exemplars of an ID."""
        return len(self.exemplars(id)[0])

    def last_seen(self, id: int) -> float:
        """Return the time at which an ID was last added to."""
        ids = arguments.check_ids([id], "id")
        with self._lock:
            return float(self._contents.table.last_seen[self._contents.known(ids)[0]])

    def check(self) -> None:
        """Look at everything that must hold; takes seconds for a million vectors.

        Raises
        ------
        GalleryCorruptError
            If the gallery contradicts itself.
        """
        with self._lock:
            audit(self._contents)

    def save(self, path: str | os.PathLike) -> None:
        """Write the gallery to one file, in one step: killed at any time, old or new is there.

        Raises
        ------
        OSError, GalleryFileError
            If it cannot be written, or somebody else is writing it, or has it `locked`.
        """
        refuse_if_locked(path)
        threshold = None if self.threshold is None else float(self.threshold)
        with self._lock:
            notes, arrays = dump(self._contents)
            notes.update(weights_sha256=self.weights_sha256, threshold=threshold)
            write_arrays(path, notes, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, *, weights_sha256: str | None = None) -> Gallery:
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
                f"weights {weights_sha256}. Make one of those out of the results: instanceid "
                "re-embed RESULTS --gallery NEW"
            )
        try:
            contents = restore(notes, arrays)
            gallery = cls(contents.index.dim, weights_sha256=theirs, threshold=notes["threshold"])
        except (ValueError, KeyError) as error:
            raise GalleryFileError(f"{path}: {error}") from error
        gallery._contents = contents
        return gallery

    def __getstate__(self):
        """Return a copy of all that it holds, for `pickle` and `copy`."""
        with self._lock:
            notes, arrays = dump(self._contents)
            arrays = {
                n: np.concatenate(a) if isinstance(a, list) else a.copy() for n, a in arrays.items()
            }
        return notes, arrays, self.weights_sha256, self.threshold

    def __setstate__(self, state):
        """Become the gallery that `__getstate__` was called on."""
        notes, arrays, self.weights_sha256, self.threshold = state
        self._contents = restore(notes, arrays)
        self._lock = threading.RLock()
        self.dim = self._contents.index.dim

    def _change(self, n_updates, change, *args):
        """Make a change, or be as before."""
        contents = self._contents
        with self._lock:
            contents.index.touched.clear()
            try:
                result = change(*args)
                contents.commit(n_updates)
                return result
            except BaseException:  # an interrupt too must leave a whole state
                contents.rollback()
                raise

"""The gallery: which ID looks how, found again by nearest-neighbour search.

An ID has a small, diverse set of exemplars, a moving average, or both. Distances are L2, not
squared, between unit vectors.
"""

from __future__ import annotations

import contextlib
import threading

import numpy as np

from instanceid_utils import gallery_checks as checks
from instanceid_utils._journal import Journal
from instanceid_utils.exemplars import choose_columns, thin
from instanceid_utils.identity_table import IdentityTable
from instanceid_utils.vector_index import VectorIndex

NO_ID = -1
POLICIES = ("exemplars", "mean", "both")
_ROUNDING = 1e-5  # of squared distances, FAISS's against ours
_MEAN = 0  # column of the moving average; the exemplars' columns follow


class Gallery:
    """IDs and what they look like.

    IDs are int64 from 1; an ID that was removed is never given out again. A call that raises
    changes nothing. All methods may be called from several threads: one lock lets each see
    and leave a whole state.

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
    weights_sha256, threshold : optional
        Of the embedding that made the vectors; kept with the gallery.
    n_threads : int
        Threads for a search.

    Examples
    --------
    >>> gallery = Gallery(dim=2)
    >>> gallery.add([gallery.new_id(), gallery.new_id()], np.eye(2, dtype=np.float32))
    >>> ids, distances = gallery.search(np.array([[0.6, 0.8]], np.float32), k=2)
    >>> ids, distances.round(3)
    (array([[2, 1]]), array([[0.632, 0.894]], dtype=float32))
    """

    def __init__(self, dim, *, max_exemplars=8, policy="exemplars", momentum=0.9,
                 min_novelty=0.05, weights_sha256=None, threshold=None, n_threads=1):
        checks.check_settings(dim, max_exemplars, policy, POLICIES, momentum, min_novelty)
        self.dim = dim
        self.max_exemplars = max_exemplars
        self.policy = policy
        self.momentum = momentum
        self.min_novelty = min_novelty
        self.weights_sha256 = weights_sha256
        self.threshold = threshold
        self._lock = threading.RLock()
        self._journal = Journal()
        self._index = VectorIndex(dim, self._journal, n_threads=n_threads)
        self._table = IdentityTable(1 + max_exemplars, self._journal)

    def __len__(self):
        """Return the number of IDs."""
        return len(self._table.slot_of)

    def __contains__(self, id):
        """Tell whether an ID has vectors here."""
        return id in self._table.slot_of

    @property
    def ids(self):
        """All IDs in increasing order, int64."""
        with self._lock:
            return np.array(sorted(self._table.slot_of), np.int64)

    @property
    def n_vectors(self):
        """Number of vectors that a search looks at."""
        return self._index.n_live

    def new_id(self):
        """Return an ID that was never in use nor returned before.

        Raises
        ------
        OverflowError
            If no ID up to 2**63 - 1 is left.
        """
        with self._lock:
            return self._table.new_id()

    def add(self, ids, vectors, *, time=None):
        """Add a view of each ID, all or none of them.

        Parameters
        ----------
        ids : array_like of shape (N,), integer
            Positive and different from each other. An ID may be new.
        vectors : ndarray of shape (N, D), float32
            Unit length.
        time : float, optional
            When they were seen, in any unit; the latest time so far plus 1 unless told.

        Raises
        ------
        ValueError
            For anything else; it says what was expected and where.
        """
        ids = checks.check_ids(ids)
        vectors = checks.check_vectors(vectors, self.dim, len(ids))
        with self._update():
            time = checks.check_time(self._table.latest + 1 if time is None else time)
            if len(ids):
                self._add(ids, vectors, time)

    def search(self, vectors, k=5):
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
            ids, squared = self._nearest_ids(vectors, k)
        return ids, np.sqrt(squared)

    def remove(self, ids):
        """Forget one ID or several for good."""
        ids = checks.check_ids(np.atleast_1d(ids))
        with self._update():
            self._remove(ids, self._known(ids))

    def expire(self, before):
        """Forget the IDs last seen before this time, and return them in increasing order."""
        before = checks.check_time(before, "before")
        with self._update():
            table = self._table
            n = table.n_slots
            slots = np.flatnonzero((table.ids[:n] > 0) & (table.last_seen[:n] < before))
            ids = table.ids[slots]
            self._remove(ids, slots)
        return np.sort(ids)

    def merge(self, keep, other):
        """Hand all that is known of `other` to `keep`; `other` is gone."""
        pair = checks.check_ids([keep, other], "keep, other")
        with self._update():
            table, slots = self._table, self._known(pair)
            rows = self._exemplar_rows(slots)
            rows = rows[thin(self._index.vectors[rows], self.max_exemplars)]
            n_seen = table.n_seen[slots]
            last_seen = table.last_seen[slots].max()
            means = self._index.vectors[table.rows[slots, _MEAN]]
            mean = _unit(n_seen @ means, otherwise=means[0])
            self._deal(slots, [rows, rows[:0]], [mean, None])
            table.close(pair[1:].tolist(), slots[1:])
            table.saw(slots[:1], last_seen, n_seen.sum())

    def split(self, id, keys):
        """Move the exemplars with these keys to a new ID, and return it.

        Raises
        ------
        ValueError
            If a key is not one of `exemplars(id)`, or none or all of them are chosen.
        """
        ids = checks.check_ids([id], "id")
        with self._update():
            table, slot = self._table, self._known(ids)
            rows = self._exemplar_rows(slot)
            chosen = checks.check_keys(keys, self._index.keys[rows], id)
            new_id = table.new_id()
            slots = np.append(slot, table.open([new_id]))
            n_seen = int(table.n_seen[slot[0]])
            n_moved = max(1, n_seen * int(chosen.sum()) // len(rows))
            table.saw(slots, table.last_seen[slot[0]], [max(1, n_seen - n_moved), n_moved])
            parts = [rows[~chosen], rows[chosen]]
            vectors = [self._index.vectors[part] for part in parts]
            self._deal(slots, parts, [_unit(v.sum(0), otherwise=v[-1]) for v in vectors])
        return new_id

    def exemplars(self, id):
        """Return keys (n,) int64 and vectors (n, D) float32 of an ID's exemplars, oldest first."""
        ids = checks.check_ids([id], "id")
        with self._lock:
            rows = self._exemplar_rows(self._known(ids))
            return self._index.keys[rows], self._index.vectors[rows]

    def mean(self, id):
        """Return the moving average (D,) float32 of an ID; None under policy "exemplars"."""
        ids = checks.check_ids([id], "id")
        with self._lock:
            row = self._table.rows[self._known(ids)[0], _MEAN]
            return None if row < 0 else self._index.vectors[row].copy()

    def n_exemplars(self, id):
        """Return the number of exemplars of an ID."""
        return len(self.exemplars(id)[0])

    def last_seen(self, id):
        """Return the time at which an ID was last added to."""
        ids = checks.check_ids([id], "id")
        with self._lock:
            return float(self._table.last_seen[self._known(ids)[0]])

    def _add(self, ids, vectors, time):
        index, table = self._index, self._table
        slots = table.slots(ids.tolist())
        new = slots < 0
        if new.any():
            slots[new] = table.open(ids[new].tolist())
        table.saw(slots, time, table.n_seen[slots] + 1)
        if self.policy != "mean":
            rows = table.rows[slots, 1:]
            ages = np.where(rows < 0, 0, index.keys[rows])
            columns = choose_columns(index.vectors[rows], ages, vectors, self.min_novelty)
            stored = columns >= 0
            self._write(slots[stored], columns[stored] + 1, vectors[stored], ids[stored])
        if self.policy != "exemplars":
            means = index.vectors[table.rows[slots, _MEAN]]
            means = np.where(new[:, None], vectors, means)
            means = self.momentum * means + (1 - self.momentum) * vectors
            means = _unit(means.astype(np.float32), otherwise=vectors)
            self._write(slots, np.full(len(slots), _MEAN), means, ids)

    def _write(self, slots, columns, vectors, ids):
        rows = self._table.rows[slots, columns]
        self._table.list_rows(slots, columns, self._index.place(rows, vectors, ids))

    def _deal(self, slots, parts, means):
        """Deal the vectors of some IDs out anew: exemplar rows and a mean for each."""
        index, table = self._index, self._table
        before = table.rows[slots]
        index.release(np.setdiff1d(before[before >= 0], np.concatenate(parts)))
        columns = np.arange(1 + self.max_exemplars)
        for slot, rows, mean in zip(slots, parts, means):
            owner = table.ids[slot]
            index.give(rows, owner)
            listed = np.full(len(columns), -1)
            listed[1 : 1 + len(rows)] = rows
            if mean is not None and self.policy != "exemplars":
                listed[_MEAN] = index.place(np.array([-1]), mean[None], owner)[0]
            table.list_rows(np.full(len(columns), slot), columns, listed)

    def _remove(self, ids, slots):
        rows = self._table.rows[slots]
        self._index.release(rows[rows >= 0])
        self._table.close(ids.tolist(), slots)

    def _known(self, ids):
        slots = self._table.slots(ids.tolist())
        if (slots < 0).any():
            raise ValueError(f"ID {ids[slots.argmin()]} is not in the gallery")
        return slots

    def _exemplar_rows(self, slots):
        rows = self._table.rows[slots, 1:]
        rows = rows[rows >= 0]
        return rows[self._index.keys[rows].argsort()]

    def _nearest_ids(self, queries, k):
        """Nearest owners; asks for more rows until no tie is cut off."""
        index = self._index
        n = min(index.n_live, (k - 1) * self._table.most + 2)
        while n:
            rows, squared = index.nearest(queries, n)
            ids, squared, last = _distinct(index.owners[rows], squared, k)
            if n == index.n_live or (squared[:, -1] < last - _ROUNDING).all():
                return ids, squared
            n = min(index.n_live, 4 * n)
        return np.full((len(queries), k), NO_ID), np.full((len(queries), k), np.inf, np.float32)

    @contextlib.contextmanager
    def _update(self):
        with self._lock:
            try:
                yield
                self._check_counts()
            except BaseException:
                self._journal.rollback()
                raise
            self._journal.commit()

    def _check_counts(self):
        index, table = self._index, self._table
        n_slots = len(table.slot_of) + len(table.free)
        if index.n_live != table.n_listed or n_slots != table.n_slots:
            raise RuntimeError("the gallery's counts disagree: this is a bug, nothing was changed")


def _unit(vectors, otherwise):
    """Scale to unit length; a vector too short for that is replaced."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(norms > 1e-3, vectors / np.maximum(norms, 1e-3), otherwise).astype(np.float32)


def _distinct(ids, squared, k):
    """First k different IDs of each row by (distance, ID), and the last distance looked at."""
    order = np.lexsort((ids, squared), axis=-1)
    ids = np.take_along_axis(ids, order, axis=1)
    squared = np.take_along_axis(squared, order, axis=1)
    by_id = ids.argsort(axis=1, kind="stable")
    sorted_ids = np.take_along_axis(ids, by_id, axis=1)
    first = np.ones(ids.shape, bool)
    repeated = sorted_ids[:, 1:] == sorted_ids[:, :-1]
    np.put_along_axis(first, by_id[:, 1:], ~repeated, axis=1)
    rank = first.cumsum(axis=1) - 1
    query, column = np.nonzero(first & (rank < k))
    found = np.full((len(ids), k), NO_ID), np.full((len(ids), k), np.inf, np.float32)
    for target, values in zip(found, (ids, squared)):
        target[query, rank[query, column]] = values[query, column]
    return (*found, squared[:, -1])

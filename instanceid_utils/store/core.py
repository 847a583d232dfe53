"""What a gallery holds and how it changes; `Gallery` adds the checks, the lock and the undo.

Nothing here looks at its arguments twice, and every write goes through the journal.
"""

from __future__ import annotations

import numpy as np

from instanceid_utils.store.exemplars import choose_columns, thin
from instanceid_utils.store.identity_table import IdentityTable
from instanceid_utils.store.journal import Journal
from instanceid_utils.store.vector_index import NOBODY, VectorIndex

MEAN = 0  # column of the moving average; the exemplars' columns follow
_TOO_SHORT = 1e-3  # length of a sum that has no direction to speak of
_QUERIES = 1024  # searched at a time, to bound memory


class GalleryCore:
    """IDs, their vectors, and the rules by which both change.

    Takes the arguments of `Gallery`, checked.
    """

    def __init__(self, dim, *, max_exemplars, policy, momentum, min_novelty, **search_options):
        self.max_exemplars = max_exemplars
        self.policy = policy
        self.momentum = momentum
        self.min_novelty = min_novelty
        self.journal = Journal()
        self.index = VectorIndex(dim, self.journal, **search_options)
        self.table = IdentityTable(1 + max_exemplars, self.journal)

    def known(self, ids):
        """Return the slots of IDs (N,), or raise a ValueError that names an unknown one."""
        slots = self.table.slots(ids.tolist())
        if (slots < 0).any():
            raise ValueError(f"ID {ids[slots.argmin()]} is not in the gallery")
        return slots

    def exemplar_rows(self, slots):
        """Return the rows of all exemplars in these slots, oldest first."""
        rows = self.table.rows[slots, 1:]
        rows = rows[rows >= 0].astype(np.int64)
        return rows[self.index.keys[rows].argsort()]

    def add(self, ids, vectors, time):
        """Add a view of each ID, known or new."""
        index, table = self.index, self.table
        slots = table.slots(ids.tolist())
        new = slots < 0
        if new.any():
            slots[new] = table.open(ids[new].tolist())
        table.saw(slots, time, table.n_seen[slots] + 1)
        if self.policy != "mean":
            rows = table.rows[slots][:, 1:]
            there = np.maximum(rows, 0)
            ages = np.where(rows < 0, 0, index.keys[there])
            columns = choose_columns(index.vectors[there], ages, vectors, self.min_novelty)
            stored = np.flatnonzero(columns >= 0)
            if len(stored) == len(ids):
                self._write(slots, columns + 1, vectors, ids)
            else:
                self._write(slots[stored], columns[stored] + 1, vectors[stored], ids[stored])
        if self.policy != "exemplars":
            means = index.vectors[np.maximum(table.rows[slots, MEAN], 0)]
            means = self.momentum * means + (1 - self.momentum) * vectors
            means = np.where(new[:, None], vectors, _unit(means, otherwise=vectors))
            self._write(slots, np.full(len(slots), MEAN), means, ids)

    def shift_time(self, by):
        """Add to every time; `latest` follows, and is -1 again where nothing was seen."""
        table, journal = self.table, self.journal
        slots = np.flatnonzero(table.ids[: table.n_slots])
        times = table.last_seen[slots] + by
        journal.write(table.last_seen, slots, times)
        journal.set(table, latest=float(table.latest + by) if len(slots) else -1.0)

    def remove(self, ids, slots):
        """Forget IDs."""
        rows = self.table.rows[slots]
        self.index.release(rows[rows >= 0].astype(np.int64))
        self.table.close(ids.tolist(), slots)

    def merge(self, pair, slots):
        """Hand the vectors of the second ID to the first."""
        table, vectors = self.table, self.index.vectors
        rows = self.exemplar_rows(slots)
        rows = rows[thin(vectors[rows], self.max_exemplars)]
        n_seen, last_seen = table.n_seen[slots], table.last_seen[slots].max()
        mean = None
        if self.policy != "exemplars":
            means = vectors[table.rows[slots, MEAN]]
            mean = _unit(n_seen @ means, otherwise=means[0])
        self._deal(slots, [rows, rows[:0]], [mean, None])
        table.close(pair[1:].tolist(), slots[1:])
        table.saw(slots[:1], last_seen, n_seen.sum())

    def split(self, slot, rows, chosen):
        """Give the chosen ones of an ID's exemplar rows to a new ID, and return that."""
        table = self.table
        new_id = table.new_id()
        slots = np.append(slot, table.open([new_id]))
        n_seen = int(table.n_seen[slot[0]])
        n_moved = max(1, n_seen * int(chosen.sum()) // len(rows))
        table.saw(slots, table.last_seen[slot[0]], [max(1, n_seen - n_moved), n_moved])
        parts = [rows[~chosen], rows[chosen]]
        vectors = [self.index.vectors[part] for part in parts]
        self._deal(slots, parts, [_unit(v.sum(axis=0), otherwise=v[-1]) for v in vectors])
        return new_id

    def nearest_ids(self, queries, k):
        """Return IDs (Q, k) and squared distances (Q, k) as `Gallery.search` has them."""
        parts = [
            self._nearest_ids(queries[first : first + _QUERIES], k)
            for first in range(0, max(1, len(queries)), _QUERIES)
        ]
        return parts[0] if len(parts) == 1 else tuple(map(np.concatenate, zip(*parts)))

    def commit(self, n_updates):
        """Keep what was changed since the last commit, by an update of n vectors."""
        index, table = self.index, self.table
        n_slots = len(table.slot_of) + len(table.free)
        if index.n_live != table.n_listed or n_slots != table.n_slots:
            raise RuntimeError("the gallery's counts disagree: this is a bug, nothing was changed")
        index.commit(n_updates)
        if index.is_sparse:
            self.journal.set(table, rows=index.repack()[table.rows].astype(np.int32))
        self.journal.commit()

    def rollback(self):
        """Put back all that was changed since the last commit."""
        self.journal.rollback()
        self.index.rollback()

    def _nearest_ids(self, queries, k):
        index = self.index
        if not (len(queries) and index.n_live):
            shape = len(queries), k
            return np.full(shape, NOBODY), np.full(shape, np.inf, np.float32)
        n = (k - 1) * self.table.most + 2
        ids, squared, cut = self._look(queries, n, k)
        while cut.any():
            n *= 4
            ids[cut], squared[cut], cut[cut] = self._look(queries[cut], n, k)
        return ids, squared

    def _look(self, queries, n, k):
        """Look at n vectors: IDs, squared distances, and whether a tie may have been cut off."""
        owners, squared, reach = self.index.nearest(queries, n)
        ids, squared = _first_distinct(owners, squared, k, self.table.most)
        if reach is None:
            return ids, squared, np.zeros(len(ids), bool)
        return ids, squared, (squared[:, -1] >= reach) & (reach < np.inf)

    def _write(self, slots, columns, vectors, ids):
        before = self.table.rows[slots, columns].astype(np.int64)
        rows = self.index.place(before, vectors, ids)
        if rows is not before:
            self.table.list_rows(slots, columns, rows)

    def _deal(self, slots, parts, means):
        """Deal the vectors of some IDs out anew: exemplar rows and a mean for each."""
        index, table = self.index, self.table
        before = table.rows[slots]
        gone = np.setdiff1d(before[before >= 0], np.concatenate(parts))
        index.release(gone.astype(np.int64))
        columns = np.arange(1 + self.max_exemplars)
        for slot, rows, mean in zip(slots, parts, means):
            owner = table.ids[slot]
            index.give(rows, owner)
            listed = np.full(len(columns), -1)
            listed[1 : 1 + len(rows)] = rows
            if mean is not None and self.policy != "exemplars":
                listed[MEAN] = index.place(np.array([-1]), mean[None], owner)[0]
            table.list_rows(np.full(len(columns), slot), columns, listed)


def _unit(vectors, otherwise):
    """Scale to unit length, float32; a vector too short for that is replaced."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units = vectors / np.maximum(norms, _TOO_SHORT)
    return np.where(norms > _TOO_SHORT, units, otherwise).astype(np.float32)


def _first_distinct(ids, squared, k, most):
    """Keep the first k different IDs of each row, in order of (distance, ID).

    The squared distances come in increasing order.
    """
    if (squared[:, 1:] == squared[:, :-1]).any():
        order = np.lexsort((ids, squared), axis=-1)
        ids = np.take_along_axis(ids, order, axis=1)
        squared = np.take_along_axis(squared, order, axis=1)
    if most > 1:
        by_id = ids.argsort(axis=1, kind="stable")
        sorted_ids = np.take_along_axis(ids, by_id, axis=1)
        first = np.ones(ids.shape, bool)
        new = sorted_ids[:, 1:] != sorted_ids[:, :-1]
        np.put_along_axis(first, by_id[:, 1:], new, axis=1)
        # The first of each ID to the front, in the order they have.
        order = (~first).argsort(axis=1, kind="stable")
        squared = np.where(first, squared, np.inf)
        ids = np.where(first, ids, NOBODY)
        ids = np.take_along_axis(ids, order, axis=1)
        squared = np.take_along_axis(squared, order, axis=1)
    lacking = max(0, k - ids.shape[1])
    if lacking:
        ids = np.pad(ids, ((0, 0), (0, lacking)), constant_values=NOBODY)
        squared = np.pad(squared, ((0, 0), (0, lacking)), constant_values=np.inf)
    return ids[:, :k], squared[:, :k]

"""What a gallery holds and how it changes; `Gallery` adds the checks, the lock and the undo.

Nothing here looks at its arguments twice, and every write is noted in the undo log.
"""

from __future__ import annotations

import numpy as np

from instanceid_utils.gallery import arguments
from instanceid_utils.gallery.identities import IdentityTable, choose_columns, thin
from instanceid_utils.gallery.undo import UndoLog
from instanceid_utils.gallery.vector_index import NOBODY, VectorIndex

MEAN = 0  # column of the moving average; the exemplars' columns follow
_TOO_SHORT = 1e-3  # length of a sum that has no direction to speak of
_QUERIES = 1024  # searched at a time, to bound memory
_PAIRS = 4096  # measured at a time


class GalleryContents:
    """IDs, their vectors, and the rules by which both change.

    Takes the arguments of `Gallery`, checked.
    """

    def __init__(self, dim, *, max_exemplars, policy, momentum, min_novelty, **search_options):
        self.max_exemplars = max_exemplars
        self.policy = policy
        self.momentum = momentum
        self.min_novelty = min_novelty
        self.undo_log = UndoLog()
        self.index = VectorIndex(dim, self.undo_log, **search_options)
        self.table = IdentityTable(1 + max_exemplars, self.undo_log)

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

    def add(self, ids, vectors, time, keep=None):
        """Add a view of each ID, known or new; at the next time if that is None."""
        table = self.table
        slots = table.slots(ids.tolist())
        new = slots < 0
        if keep is not None and (new & ~keep).any():
            raise ValueError(f"keep: ID {ids[new & ~keep][0]} is new, its view must be kept")
        if new.any():
            slots[new] = table.open(ids[new].tolist())
        table.saw(slots, table.latest + 1 if time is None else time)
        if keep is not None:
            slots, ids, vectors, new = slots[keep], ids[keep], vectors[keep], new[keep]
            if not len(ids):
                return
        if self.policy != "mean":
            self._add_exemplars(slots, ids, vectors)
        if self.policy != "exemplars":
            self._add_to_means(slots, ids, vectors, new)

    def remove(self, ids, slots=None):
        """Forget IDs."""
        slots = self.known(ids) if slots is None else slots
        rows = self.table.rows[slots]
        self.index.release(rows[rows >= 0].astype(np.int64))
        self.table.close(ids.tolist(), slots)

    def expire(self, before):
        """Forget the IDs last seen before a time, and return them."""
        table = self.table
        ids = table.ids[: table.n_slots]
        slots = np.flatnonzero((ids > 0) & (table.last_seen[: len(ids)] < before))
        ids = ids[slots]
        self.remove(ids, slots)
        return np.sort(ids)

    def merge(self, pair):
        """Hand the vectors of the second ID to the first."""
        table, vectors, slots = self.table, self.index.vectors, self.known(pair)
        rows = self.exemplar_rows(slots)
        rows = rows[thin(vectors[rows], self.max_exemplars)]
        last_seen, n_averaged = table.last_seen[slots].max(), table.n_averaged[slots]
        mean = None
        if self.policy != "exemplars":
            means = vectors[table.rows[slots, MEAN]]
            mean = _unit(n_averaged @ means, otherwise=means[0])
        self._deal(slots, [rows, rows[:0]], [mean, None])
        table.close(pair[1:].tolist(), slots[1:])
        table.saw(slots[:1], last_seen)
        table.averaged(slots[:1], n_averaged.sum())

    def split(self, ids, keys):
        """Give the exemplars with these keys to a new ID, and return that."""
        table, slot = self.table, self.known(ids)
        rows = self.exemplar_rows(slot)
        chosen = arguments.check_keys(keys, self.index.keys[rows], ids[0])
        new_id = table.new_id()
        slots = np.append(slot, table.open([new_id]))
        n, n_moved = int(table.n_averaged[slot[0]]), int(chosen.sum())
        n_moved = max(1, n * n_moved // len(rows))
        table.averaged(slots, [max(1, n - n_moved), n_moved])
        table.saw(slots, table.last_seen[slot[0]])
        parts = [rows[~chosen], rows[chosen]]
        vectors = [self.index.vectors[part] for part in parts]
        self._deal(slots, parts, [_unit(v.sum(axis=0), otherwise=v[-1]) for v in vectors])
        return new_id

    def nearest_ids(self, queries, k):
        """Return IDs (Q, k) and squared distances (Q, k) as `Gallery.search` has them."""
        if len(queries) > _QUERIES:
            parts = [
                self.nearest_ids(queries[first : first + _QUERIES], k)
                for first in range(0, len(queries), _QUERIES)
            ]
            return tuple(map(np.concatenate, zip(*parts)))
        if not (len(queries) and self.index.n_live):
            shape = len(queries), k
            return np.full(shape, NOBODY), np.full(shape, np.inf, np.float32)
        n = (k - 1) * self.table.most + 2
        ids, squared, cut = self._look(queries, n, k)
        while cut is not None and cut.any():
            n *= 4
            ids[cut], squared[cut], again = self._look(queries[cut], n, k)
            cut[cut] = again if again is not None else False
        return ids, squared

    def squared_distances(self, ids, vectors):
        """Return squared distances (N, M) from each vector to the IDs in its row; inf beside -1."""
        squared = np.full(ids.shape, np.inf, np.float32)
        queries, columns = np.nonzero(ids != NOBODY)
        for first in range(0, len(queries), _PAIRS):
            pairs = queries[first : first + _PAIRS], columns[first : first + _PAIRS]
            rows = self.table.rows[self.known(ids[pairs])]
            pair, column = np.nonzero(rows >= 0)
            difference = self.index.vectors[rows[pair, column]]
            difference -= vectors[pairs[0][pair]]
            each = np.einsum("nd,nd->n", difference, difference)
            squared[pairs] = np.minimum.reduceat(each, pair.searchsorted(np.arange(len(rows))))
        return squared

    def commit(self, n_updates):
        """Keep what was changed since the last commit, by an update of n vectors."""
        index, table = self.index, self.table
        n_slots = len(table.slot_of) + len(table.free)
        if index.n_live != table.n_listed or n_slots != table.n_slots:
            raise RuntimeError("the gallery's counts disagree: this is a bug, nothing was changed")
        index.commit(n_updates)
        if index.is_sparse:
            self.undo_log.set(table, rows=index.repack()[table.rows].astype(np.int32))
        self.undo_log.commit()

    def rollback(self):
        """Put back all that was changed since the last commit."""
        self.undo_log.rollback()
        self.index.rollback()

    def _look(self, queries, n, k):
        """Look at n vectors: IDs, squared distances, and where a tie may have been cut off."""
        owners, squared, error = self.index.nearest(queries, n)
        n_found, tied = owners.shape[1], (squared[:, 1:] == squared[:, :-1]).any()
        if self.table.most == 1 and not tied and not error and n_found > k:
            return owners[:, :k], squared[:, :k], None
        ids, nearest = _first_distinct(owners, squared, k)
        if n_found == self.index.n_live:
            return ids, nearest, None
        reach = squared[:, -1] - error  # all that is nearer was looked at
        return ids, nearest, (nearest[:, -1] >= reach) & (reach < np.inf)

    def _add_exemplars(self, slots, ids, vectors):
        index = self.index
        rows = self.table.rows[slots][:, 1:]
        ages = index.keys[rows]
        ages[rows < 0] = 0
        columns = choose_columns(index.vectors[rows], ages, vectors, self.min_novelty)
        if columns.min() < 0:
            stored = columns >= 0
            slots, columns, vectors, ids = (a[stored] for a in (slots, columns, vectors, ids))
        self._write(slots, columns + 1, vectors, ids)

    def _add_to_means(self, slots, ids, vectors, new):
        table = self.table
        means = self.index.vectors[table.rows[slots, MEAN]]
        means = self.momentum * means + (1 - self.momentum) * vectors
        means = np.where(new[:, None], vectors, _unit(means, otherwise=vectors))
        self._write(slots, np.full(len(slots), MEAN), means, ids)
        table.averaged(slots, table.n_averaged[slots] + 1)

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


def _first_distinct(ids, squared, k):
    """Keep the first k different IDs of each row, in order of (distance, ID)."""
    each = np.arange(len(ids))[:, None]
    order = np.lexsort((ids, squared), axis=-1)
    ids, squared = ids[each, order], squared[each, order]
    by_id = ids.argsort(axis=1, kind="stable")
    sorted_ids = ids[each, by_id]
    again = np.zeros(ids.shape, bool)
    again[each, by_id[:, 1:]] = sorted_ids[:, 1:] == sorted_ids[:, :-1]
    order = again.argsort(axis=1, kind="stable")[:, :k]  # the first of each ID to the front
    first = ~again[each, order]
    nearest_ids = np.full((len(ids), k), NOBODY)
    nearest = np.full((len(ids), k), np.inf, np.float32)
    np.copyto(nearest_ids[:, : order.shape[1]], ids[each, order], where=first)
    np.copyto(nearest[:, : order.shape[1]], squared[each, order], where=first)
    return nearest_ids, nearest

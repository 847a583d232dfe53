"""Which ID owns which views, when it was last seen, and which views are worth keeping.

Of an instance few views are kept, unlike each other. An exemplar nearer than `min_novelty` to one
that is kept adds nothing and is not stored. When the set is full, the closest pair of all (the new
one included) loses its older member, so that the set spreads over what the instance has looked
like and its latest view is always in it.
"""

from __future__ import annotations

import functools

import numpy as np

from instanceid_utils.gallery.arguments import MAX_ID

_MIN_SLOTS = 1024


class IdentityTable:
    """IDs in slots; each slot lists the rows of its vectors in `width` columns, -1 if none.

    Parameters
    ----------
    width : int
        Most vectors an ID can have.
    undo_log : UndoLog
        Records each write, for the caller to undo or commit.
    """

    def __init__(self, width, undo_log):
        self.slot_of = {}
        self.next_id = 1
        self.taken = set()  # IDs above next_id that were in use at any time
        self.n_slots = 0
        self.n_listed = 0  # rows listed in all slots together
        self.most = 1  # most rows that any ID ever had
        self.latest = -1.0  # latest time that any ID was seen
        self.free = []
        self.ids = np.zeros(_MIN_SLOTS, np.int64)  # 0 in a free slot
        self.rows = np.full((_MIN_SLOTS, width), -1, np.int32)
        self.last_seen = np.zeros(_MIN_SLOTS, np.float64)
        self.n_averaged = np.zeros(_MIN_SLOTS, np.int64)
        self._log = undo_log

    def new_id(self):
        """Return the lowest ID above all it returned before that was never in use.

        Raises
        ------
        OverflowError
            If all IDs up to 2**63 - 1 are gone.
        """
        log, new = self._log, self.next_id
        while new in self.taken:
            log.on_undo(self.taken.add, new)
            self.taken.discard(new)
            new += 1
        if new > MAX_ID:
            raise OverflowError(f"no ID is left: {MAX_ID} (2**63 - 1) is the last one")
        log.set(self, next_id=new + 1)
        return new

    def slots(self, ids):
        """Slots of a list of IDs, -1 for an unknown one, as int64."""
        find = self.slot_of.get
        return np.array([find(i, -1) for i in ids], np.int64)

    def open(self, ids):
        """Give a slot without rows to each of a list of new IDs."""
        log = self._log
        last = slice(max(0, len(self.free) - len(ids)), None)
        reused = self.free[last]
        n_new = len(ids) - len(reused)
        self._reserve(self.n_slots + n_new)
        log.on_undo(self.free.__setitem__, last, reused)
        del self.free[last]
        slots = [*reused[::-1], *range(self.n_slots, self.n_slots + n_new)]
        log.set(self, n_slots=self.n_slots + n_new)
        log.on_undo(self._forget, ids)
        self.slot_of.update(zip(ids, slots))
        slots = np.array(slots, np.int64)
        log.write(self.ids, slots, ids)
        log.write(self.rows, slots, -1)
        log.write(self.n_averaged, slots, 0)
        self._take(ids)
        return slots

    def close(self, ids, slots):
        """Free the slots of a list of IDs."""
        log, n_free = self._log, len(self.free)
        log.set(self, n_listed=self.n_listed - int((self.rows[slots] >= 0).sum()))
        log.write(self.ids, slots, 0)
        log.write(self.rows, slots, -1)
        log.on_undo(self.slot_of.update, list(zip(ids, slots.tolist())))
        self._forget(ids)
        log.on_undo(self.free.__delitem__, slice(n_free, None))
        self.free.extend(slots[::-1].tolist())

    def saw(self, slots, time):
        """Note when IDs were last seen, all at one time."""
        self._log.write(self.last_seen, slots, time)
        self._log.set(self, latest=max(self.latest, float(time)))

    def averaged(self, slots, n):
        """Note how many vectors went into the moving averages."""
        self._log.write(self.n_averaged, slots, n)

    def list_rows(self, slots, columns, rows):
        """List rows, or -1 for none, in columns of slots."""
        before, after = self.rows[slots, columns] >= 0, rows >= 0
        gain = int(np.count_nonzero(after)) - int(np.count_nonzero(before))
        self._log.set(self, n_listed=self.n_listed + gain)
        self._log.write(self.rows, (slots, columns), rows)
        if gain > 0:
            most = int(np.count_nonzero(self.rows[slots] >= 0, axis=1).max())
            self._log.set(self, most=max(self.most, most))

    def _forget(self, ids):
        for i in ids:
            self.slot_of.pop(i, None)

    def _take(self, ids):
        next_id = self.next_id
        for i in sorted(ids):
            if i == next_id:
                next_id += 1
            elif i > next_id and i not in self.taken:
                self._log.on_undo(self.taken.discard, i)
                self.taken.add(i)
        self._log.set(self, next_id=next_id)

    def _reserve(self, n_slots):
        if n_slots > len(self.ids):
            capacity = n_slots + max(_MIN_SLOTS, n_slots // 8)
            for array in (self.ids, self.rows, self.last_seen, self.n_averaged):
                array.resize((capacity, *array.shape[1:]), refcheck=False)


def choose_columns(kept, ages, vectors, min_novelty):
    """Choose for each new vector the place in its instance's set, or none.

    Parameters
    ----------
    kept : ndarray of shape (N, E, D), float32
        Exemplars of each instance; anything where absent.
    ages : ndarray of shape (N, E), int64
        Their keys, which grow with time; 0 where absent.
    vectors : ndarray of shape (N, D), float32
        The new vectors, unit length.
    min_novelty : float
        L2 distance (not squared).

    Returns
    -------
    ndarray of shape (N,), int64
        Column to write, -1 for a vector that is not to be stored.
    """
    columns = ages.argmin(axis=1)  # the first absent one
    full = ages.all(axis=1)
    if ages.shape[1] > 1 and full.any():
        columns[full] = _most_redundant(kept[full], ages[full], vectors[full])
    if min_novelty > 0:
        cosines = np.einsum("ned,nd->ne", kept, vectors)
        known = cosines > 1 - min_novelty**2 / 2  # |a - b|^2 = 2 - 2 cos
        if known.any():
            columns[(known & (ages > 0)).any(axis=1)] = -1
    return columns


def thin(vectors, limit):
    """Keep at most `limit` vectors, dropping the older of the closest pair again and again.

    Parameters
    ----------
    vectors : ndarray of shape (N, D), float32
        Unit vectors, oldest first.
    limit : int

    Returns
    -------
    ndarray, int64
        Indices kept, in increasing order.
    """
    kept = np.arange(len(vectors))
    while len(kept) > limit:
        older, _ = _closest_pair(vectors[kept][None])
        kept = np.delete(kept, older[0])
    return kept


def _most_redundant(kept, ages, vectors):
    """Column of the older member of the closest pair; the new vector is the youngest."""
    together = np.concatenate([kept, vectors[:, None]], axis=1)
    first, second = _closest_pair(together)
    youngest = np.full((len(ages), 1), np.iinfo(np.int64).max)
    ages = np.concatenate([ages, youngest], axis=1)
    each = np.arange(len(ages))
    return np.where(ages[each, first] < ages[each, second], first, second)


def _closest_pair(vectors):
    first, second = _pairs(vectors.shape[1])
    cosines = vectors @ vectors.transpose(0, 2, 1)
    pair = cosines[:, first, second].argmax(axis=1)
    return first[pair], second[pair]


@functools.lru_cache(maxsize=64)
def _pairs(n):
    return np.triu_indices(n, 1)

"""The full check of a gallery: everything that must hold, looked at one by one."""

from __future__ import annotations

import numpy as np

from instanceid_utils.gallery.arguments import MAX_ID, UNIT_TOLERANCE
from instanceid_utils.gallery.contents import MEAN
from instanceid_utils.gallery.vector_index import FAR, FREE, ROW_BITS, ROW_MASK


class GalleryCorruptError(RuntimeError):
    """A gallery that contradicts itself; the message says where."""


def audit(contents):
    """Raise a GalleryCorruptError for the first thing in a `GalleryContents` that is not so."""
    _audit_rows(contents.index)
    _audit_table(contents.table, contents.index)
    _audit_policy(contents)
    for cells in (contents.index.cells.serving, contents.index.cells.next):
        if cells is not None:
            _audit_cells(cells, contents.index, complete=cells is contents.index.cells.serving)


def _must(condition, message):
    if not np.all(condition):
        raise GalleryCorruptError(message)


def _audit_rows(index):
    n = index.n_rows
    keys, owners = index.keys[:n], index.owners[:n]
    live, free = np.flatnonzero(owners != FREE), np.flatnonzero(owners == FREE)
    _must(0 <= n <= len(index.keys) and len(live) == index.n_live, "rows are miscounted")
    _must(np.array_equal(np.sort(np.array(index.free, np.int64)), free), "free rows are misnoted")
    _must((owners[live] > 0) & (owners[live] <= MAX_ID), "a row has an owner that is no ID")
    _must((keys[live] & ROW_MASK) == live, "a key does not name its row")
    _must(
        (keys[live] >> ROW_BITS > 0) & (keys[live] >> ROW_BITS < index.serial),
        "a key is not older than the next one",
    )
    for first, part in index.vectors.parts(n):
        here = owners[first : first + len(part)] != FREE
        lengths = np.sqrt(np.einsum("nd,nd->n", part, part))
        _must(np.abs(lengths[here] - 1) <= 2 * UNIT_TOLERANCE, "a vector is not of length 1")
        _must(part[~here] == FAR, "a free row holds a vector")


def _audit_table(table, index):
    n = table.n_slots
    ids, rows = table.ids[:n], table.rows[:n]
    used, free = np.flatnonzero(ids), np.flatnonzero(ids == 0)
    _must(np.array_equal(np.sort(np.array(table.free, np.int64)), free), "free slots are misnoted")
    _must(table.slot_of == dict(zip(ids[used].tolist(), used.tolist())), "IDs and slots disagree")
    _must(len(table.slot_of) == len(used), "an ID has two slots")
    _must((ids[used] > 0) & (ids[used] <= MAX_ID), "an ID is not positive")
    later = ids[used][ids[used] >= table.next_id].tolist()
    _must(table.taken.issuperset(later), "an ID in use could be given out again")
    _must(rows[free] == -1, "a free slot lists rows")
    _must((rows >= -1) & (rows < index.n_rows), "a row is listed that does not exist")
    slot, column = np.nonzero(rows >= 0)
    listed = rows[slot, column]
    _must(len(listed) == table.n_listed == index.n_live, "listed rows are miscounted")
    _must(len(np.unique(listed)) == len(listed), "a row is listed twice")
    _must(index.owners[listed] == ids[slot], "a row is listed by an ID that does not own it")
    counts = np.bincount(slot, minlength=n)
    _must(counts[used] >= 1, "an ID has no vector")
    _must(counts.max(initial=0) <= table.most <= table.rows.shape[1], "an ID has too many vectors")
    seen = table.last_seen[used]
    _must(np.isfinite(seen) & (seen <= table.latest), "a time is not finite, or after the latest")


def _audit_policy(contents):
    table, policy = contents.table, contents.policy
    used = np.flatnonzero(table.ids[: table.n_slots])
    has_mean = table.rows[used, MEAN] >= 0
    has_exemplars = (table.rows[used, 1:] >= 0).any(axis=1)
    _must(has_mean == (policy != "exemplars"), f'moving averages do not go with policy "{policy}"')
    _must(has_exemplars == (policy != "mean"), f'exemplars do not go with policy "{policy}"')
    _must(table.n_averaged[used] >= has_mean, "a moving average is of nothing")


def _audit_cells(cells, index, complete):
    places, n_found = cells.places(), 0
    for cell in range(cells.free_cell + 1):
        rows = cells.rows(cell)
        held = np.stack([np.full(len(rows), cell), np.arange(len(rows))], axis=1)
        _must((rows >= 0) & (rows < len(places)), "a cell holds a row that does not exist")
        _must(places[rows] == held, "a row is in another place than is noted, or twice")
        n_found += len(rows)
        live = rows[rows < index.n_rows]
        live = live[index.owners[live] != FREE]
        if cell == cells.free_cell:
            _must(len(live) == 0, "a vector is where no search looks")
            continue
        _must(len(live) == len(rows), "a cell holds a free row")
        difference = np.abs(cells.codes(cell) - index.vectors[rows])
        _must(difference < 1e-3, "a cell holds another vector than its row")
    _must(n_found == len(places) == len(cells), "cells are miscounted")
    _must(not complete or cells.n_live == index.n_live, "a vector is in no cell")

"""A gallery as notes and arrays, and back: all of it, so that who resumes sees no difference."""

from __future__ import annotations

import numpy as np

from instanceid_utils.gallery.store import checks
from instanceid_utils.gallery.store.audit import GalleryCorruptError, audit
from instanceid_utils.gallery.store.core import GalleryCore
from instanceid_utils.gallery.store.inverted_file import ROW_MASK, Cells, StepwiseKMeans

FORMAT = "instanceid gallery"
_SETTINGS = ("max_exemplars", "policy", "momentum", "min_novelty")
_SPARE_ROWS = 1024
_SEARCH = ("n_probe", "n_threads")


def dump(core):
    """Return notes (for JSON) and arrays that hold a `GalleryCore`."""
    index, table, cells = core.index, core.table, core.index.cells
    n, m = index.n_rows, table.n_slots
    notes = {
        "format": FORMAT,
        "settings": {
            "dim": index.dim,
            **{name: getattr(core, name) for name in _SETTINGS},
            "exact_limit": cells.exact_limit,
            **{name: getattr(index, name) for name in _SEARCH},
        },
        "serial": index.serial,
        "next_id": table.next_id,
        "most": table.most,
        "latest": table.latest,
        "making": [cells.cursor, cells.pace],
        "cells": {},
    }
    arrays = {
        "vectors": [part for _, part in index.vectors.parts(n)] or [index.vectors[np.arange(0)]],
        "keys": index.keys[:n],
        "owners": index.owners[:n],
        "free_rows": np.array(index.free, np.int64),
        "ids": table.ids[:m],
        "rows": table.rows[:m],
        "last_seen": table.last_seen[:m],
        "n_averaged": table.n_averaged[:m],
        "free_slots": np.array(table.free, np.int64),
        "taken": np.array(sorted(table.taken), np.int64),
    }
    for name in ("serving", "next"):
        if (one := getattr(cells, name)) is not None:
            notes["cells"][name] = one.n_built
            arrays[f"{name}.keys"], arrays[f"{name}.sizes"] = one.content()
            arrays[f"{name}.centroids"] = one.centroids
    if (kmeans := cells.kmeans) is not None:
        notes["cells"]["kmeans"] = [kmeans.n_iterations, kmeans.iteration, kmeans.position]
        for name in ("sample", "centroids", "sums", "counts"):
            arrays[f"kmeans.{name}"] = getattr(kmeans, name)
    return notes, arrays


def restore(notes, arrays):
    """Return the `GalleryCore` that `dump` was given.

    Raises
    ------
    ValueError
        If it is not one, or contradicts itself.
    """
    try:
        core = GalleryCore(**checks.check_settings(**notes["settings"]))
        _restore_index(core.index, notes, arrays)
        _restore_table(core.table, notes, arrays)
        _restore_cells(core.index, notes, arrays)
        audit(core)
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"what it holds makes no sense ({error!r})") from error
    except GalleryCorruptError as error:
        raise ValueError(f"what it holds contradicts itself: {error}") from error
    return core


def _restore_index(index, notes, arrays):
    vectors = _array(arrays, "vectors", np.float32, (None, index.dim))
    n = len(vectors)
    index.vectors.reserve(n)
    for first, part in index.vectors.parts(n):
        part[:] = vectors[first : first + len(part)]
    index.keys = _roomy(_array(arrays, "keys", np.int64, (n,)))
    index.owners = _roomy(_array(arrays, "owners", np.int64, (n,)))
    index.free = _array(arrays, "free_rows", np.int64, (None,)).tolist()
    index.n_rows, index.n_live = n, n - len(index.free)
    index.serial = checks.check_count(notes["serial"], "serial")


def _restore_table(table, notes, arrays):
    ids = _array(arrays, "ids", np.int64, (None,))
    n = table.n_slots = len(ids)
    table.ids = _roomy(ids)
    table.rows = _roomy(_array(arrays, "rows", np.int32, (n, table.rows.shape[1])))
    table.last_seen = _roomy(_array(arrays, "last_seen", np.float64, (n,)))
    table.n_averaged = _roomy(_array(arrays, "n_averaged", np.int64, (n,)))
    table.free = _array(arrays, "free_slots", np.int64, (None,)).tolist()
    table.taken = set(_array(arrays, "taken", np.int64, (None,)).tolist())
    used = np.flatnonzero(ids)
    table.slot_of = dict(zip(ids[used].tolist(), used.tolist()))
    table.n_listed = int(np.count_nonzero(table.rows[:n] >= 0))
    table.next_id = checks.check_count(notes["next_id"], "next_id")
    table.most = checks.check_count(notes["most"], "most")
    table.latest = checks.check_time(notes["latest"], "latest")


def _restore_cells(index, notes, arrays):
    cells = index.cells
    if not isinstance(notes["cells"], dict) or notes["format"] != FORMAT:
        raise ValueError("what it holds is no gallery")
    for name in ("serving", "next"):
        if name in notes["cells"]:
            setattr(cells, name, _restored_cells(index, name, notes, arrays))
    if "kmeans" in notes["cells"]:
        cells.kmeans = _restored_kmeans(index, notes, arrays)
    cursor, pace = notes["making"]
    cells.cursor = checks.check_count(cursor, "cursor", least=0)
    cells.pace = checks.check_count(pace, "pace", least=0)


def _restored_cells(index, name, notes, arrays):
    centroids = _centroids(arrays, name, index.dim)
    keys = _array(arrays, f"{name}.keys", np.int64, (None,))
    sizes = _array(arrays, f"{name}.sizes", np.int64, (len(centroids),))
    rows = keys & ROW_MASK
    if (sizes < 0).any() or sizes.sum() != len(keys) or (rows >= index.n_rows).any():
        raise ValueError(f"array '{name}.keys' does not fit the vectors")
    cells = Cells(centroids, checks.check_count(notes["cells"][name], "n_built"))
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    for first in range(0, len(rows), 65536):
        here = slice(first, first + 65536)
        cells.put(rows[here], keys[here], index.vectors[rows[here]], numbers[here])
    return cells


def _restored_kmeans(index, notes, arrays):
    centroids = _centroids(arrays, "kmeans", index.dim)
    sample = _array(arrays, "kmeans.sample", np.int64, (None,))
    if ((sample < 0) | (sample >= index.n_rows)).any():
        raise ValueError("array 'kmeans.sample' does not fit the vectors")
    kmeans = StepwiseKMeans(sample, centroids)
    kmeans.sums = _array(arrays, "kmeans.sums", np.float64, centroids.shape)
    kmeans.counts = _array(arrays, "kmeans.counts", np.int64, (len(centroids),))
    steps = [checks.check_count(n, "kmeans", least=0) for n in notes["cells"]["kmeans"]]
    kmeans.n_iterations, kmeans.iteration, kmeans.position = steps
    if not (kmeans.iteration < kmeans.n_iterations and kmeans.position < len(sample)):
        raise ValueError("the k-means under way is past its end")
    return kmeans


def _centroids(arrays, name, dim):
    centroids = _array(arrays, f"{name}.centroids", np.float32, (None, dim))
    if not len(centroids) or not np.isfinite(centroids).all():
        raise ValueError(f"array '{name}.centroids' is empty or not finite")
    return centroids


def _roomy(array):
    """Add spare rows, as arrays that grow always have some."""
    return np.concatenate([array, np.zeros((_SPARE_ROWS, *array.shape[1:]), array.dtype)])


def _array(arrays, name, dtype, shape):
    array = arrays[name]
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"array {name!r} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
        )
    return array

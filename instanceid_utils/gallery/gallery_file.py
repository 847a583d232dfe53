"""A gallery on the disk: all of it, so that who resumes sees no difference, or nothing at all.

`dump` and `restore` turn what a gallery holds into notes and arrays, and back; `write_arrays` and
`read_arrays` take these to a file and back.

Layout of the file: 8 bytes of magic, version and header length (two little-endian uint32), the
SHA-256 of the header, the header (JSON: what the caller notes, and name, type, shape and SHA-256
of each array), then the arrays as raw little-endian bytes, one after the other. Nothing in it is
code, and no memory is claimed for more than the file holds.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct

import numpy as np

from instanceid_utils.atomic_files import replacing
from instanceid_utils.gallery import arguments
from instanceid_utils.gallery.audit import GalleryCorruptError, audit
from instanceid_utils.gallery.contents import GalleryContents
from instanceid_utils.gallery.inverted_file import Cells, StepwiseKMeans
from instanceid_utils.gallery.vector_index import ROW_MASK

MAGIC = b"\x89IIDGAL\n"
VERSION = 1
_START = struct.Struct("<8sII32s")
_MAX_HEADER = 2**20
FORMAT = "instanceid gallery"
_SETTINGS = ("max_exemplars", "policy", "momentum", "min_novelty")
_SPARE_ROWS = 1024
_SEARCH = ("n_probe", "n_threads")
_OF_ROWS = ("keys", "owners")
_OF_SLOTS = ("ids", "rows", "last_seen", "n_averaged")
_COUNTS = ("next_id", "most")
_TYPES = ("<f4", "<f8", "<i4", "<i8")


class GalleryFileError(ValueError):
    """A file that is not a whole gallery; the message names it and says what is wrong."""


def write_arrays(path, notes, arrays):
    """Write notes and arrays to a file, replacing what was there in one step.

    At any instant, also when the process is killed, the path holds the old file or the new one.

    Parameters
    ----------
    path : path-like
    notes : dict
        Anything that JSON can hold.
    arrays : dict of str to ndarray or list of ndarray
        A list is written as one array, its parts joined along the first axis.

    Raises
    ------
    GalleryFileError
        If another process or thread is saving to the same path.
    OSError
        If it cannot be written.
    """
    parts = {name: a if isinstance(a, list) else [a] for name, a in arrays.items()}
    entries = [_describe(name, part) for name, part in parts.items()]
    header = json.dumps({"notes": notes, "arrays": entries}, allow_nan=False).encode()
    if len(header) > _MAX_HEADER:
        raise GalleryFileError(f"{path}: the header would take {len(header)} bytes")
    digest = hashlib.sha256(header).digest()
    try:
        with replacing(path) as file:
            file.write(_START.pack(MAGIC, VERSION, len(header), digest))
            file.write(header)
            for part in parts.values():
                for array in part:
                    file.write(np.ascontiguousarray(array))
    except BlockingIOError as error:
        raise GalleryFileError(f"{path}: {error.strerror}") from error


def read_arrays(path):
    """Read what `write_arrays` wrote.

    Returns
    -------
    notes : dict
    arrays : dict of str to ndarray

    Raises
    ------
    GalleryFileError
        If the file is something else, of another version, cut short or changed.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise GalleryFileError(f"{path}: expected a file")
        header = _read_header(file, path, status.st_size)
        arrays = {}
        for entry in header["arrays"]:
            array = np.empty(entry["shape"], entry["dtype"])
            data = memoryview(array).cast("B") if array.size else bytearray()
            if file.readinto(data) != array.nbytes or _sha256([array]) != entry["sha256"]:
                raise GalleryFileError(f"{path}: array {entry['name']!r} is damaged")
            arrays[entry["name"]] = array
    return header["notes"], arrays


def content_sha256(path) -> str:
    """Return the SHA-256 of a gallery's header, which holds those of all it contains."""
    with open(path, "rb") as file:
        start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(MAGIC):
        raise GalleryFileError(f"{path}: not a gallery file")
    return _START.unpack(start)[3].hex()


def _describe(name, parts):
    dtype = parts[0].dtype.newbyteorder("<").str
    if dtype not in _TYPES:
        raise TypeError(f"array {name!r}: expected one of {_TYPES}, got {dtype}")
    shape = [sum(len(part) for part in parts), *parts[0].shape[1:]]
    return {"name": name, "dtype": dtype, "shape": shape, "sha256": _sha256(parts)}


def _sha256(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()


def _read_header(file, path, size):
    start = file.read(_START.size)
    if len(start) < _START.size or not start.startswith(MAGIC):
        raise GalleryFileError(f"{path}: not a gallery file")
    _, version, length, digest = _START.unpack(start)
    if version != VERSION:
        raise GalleryFileError(
            f"{path}: written in version {version} of the format, this program reads {VERSION}"
        )
    if length > min(_MAX_HEADER, size - _START.size):
        raise GalleryFileError(f"{path}: the header is cut short or damaged")
    text = file.read(length)
    if hashlib.sha256(text).digest() != digest:
        raise GalleryFileError(f"{path}: the header is damaged")
    try:
        header = json.loads(text)
        n_bytes = sum(_n_bytes(entry) for entry in header["arrays"])
        header["notes"]["format"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GalleryFileError(f"{path}: the header makes no sense ({error})") from error
    expected = _START.size + length + n_bytes
    if expected != size:
        raise GalleryFileError(f"{path}: expected {expected} bytes, the file has {size}")
    return header


def _n_bytes(entry):
    shape = entry["shape"]
    if entry["dtype"] not in _TYPES or not isinstance(entry["name"], str):
        raise ValueError(f"array {entry['name']!r} of type {entry['dtype']!r}")
    if not 1 <= len(shape) <= 2 or not all(type(n) is int and 0 <= n < 2**48 for n in shape):
        raise ValueError(f"array {entry['name']!r} of shape {shape}")
    return math.prod(shape) * int(entry["dtype"][2:])


def dump(contents):
    """Return notes (for JSON) and arrays that hold a `GalleryContents`."""
    index, table, cells = contents.index, contents.table, contents.index.cells
    n, m = index.n_rows, table.n_slots
    notes = {
        "format": FORMAT,
        "settings": {
            "dim": index.dim,
            **{name: getattr(contents, name) for name in _SETTINGS},
            "exact_limit": cells.exact_limit,
            **{name: getattr(index, name) for name in _SEARCH},
        },
        "serial": index.serial,
        **{name: getattr(table, name) for name in _COUNTS},
        "latest": table.latest,
        "making": [0 if cells.next is None else len(cells.next), cells.pace],
        "cells": {},
    }
    arrays = {
        "vectors": [part for _, part in index.vectors.parts(n)] or [index.vectors[np.arange(0)]],
        **{name: getattr(index, name)[:n] for name in _OF_ROWS},
        "free_rows": np.array(index.free, np.int64),
        **{name: getattr(table, name)[:m] for name in _OF_SLOTS},
        "free_slots": np.array(table.free, np.int64),
        "taken": np.array(sorted(table.taken), np.int64),
    }
    for name in ("serving", "next"):
        if (one := getattr(cells, name)) is not None:
            notes["cells"][name] = one.n_built
            rows, arrays[f"{name}.sizes"] = one.content()
            arrays[f"{name}.keys"] = index.keys[rows]
            arrays[f"{name}.centroids"] = one.centroids
    if (kmeans := cells.kmeans) is not None:
        notes["cells"]["kmeans"] = [kmeans.n_iterations, kmeans.iteration, kmeans.position]
        for name in ("sample", "centroids", "sums", "counts"):
            arrays[f"kmeans.{name}"] = getattr(kmeans, name)
    return notes, arrays


def restore(notes, arrays):
    """Return the `GalleryContents` that `dump` was given.

    Raises
    ------
    ValueError
        If it is not one, or contradicts itself.
    """
    try:
        if notes["format"] != FORMAT or not isinstance(notes["cells"], dict):
            raise ValueError("what it holds is no gallery")
        contents = GalleryContents(**arguments.check_settings(**notes["settings"]))
        _restore_index(contents.index, notes, arrays)
        _restore_table(contents.table, notes, arrays)
        _restore_cells(contents.index, notes, arrays)
        audit(contents)
    except (KeyError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"what it holds makes no sense ({error!r})") from error
    except GalleryCorruptError as error:
        raise ValueError(f"what it holds contradicts itself: {error}") from error
    return contents


def _restore_index(index, notes, arrays):
    vectors = _array(arrays, "vectors", np.float32, (None, index.dim))
    n = index.n_rows = len(vectors)
    index.vectors.reserve(n)
    for first, part in index.vectors.parts(n):
        part[:] = vectors[first : first + len(part)]
    _restore_columns(index, _OF_ROWS, n, arrays)
    index.free = _array(arrays, "free_rows", np.int64, (None,)).tolist()
    index.n_live = n - len(index.free)
    index.serial = arguments.check_count(notes["serial"], "serial")


def _restore_table(table, notes, arrays):
    ids = _array(arrays, "ids", np.int64, (None,))
    n = table.n_slots = len(ids)
    _restore_columns(table, _OF_SLOTS, n, arrays)
    table.free = _array(arrays, "free_slots", np.int64, (None,)).tolist()
    table.taken = set(_array(arrays, "taken", np.int64, (None,)).tolist())
    used = np.flatnonzero(ids)
    table.slot_of = dict(zip(ids[used].tolist(), used.tolist()))
    table.n_listed = int(np.count_nonzero(table.rows[:n] >= 0))
    for name in _COUNTS:
        setattr(table, name, arguments.check_count(notes[name], name))
    table.latest = arguments.check_time(notes["latest"], "latest")


def _restore_columns(owner, names, n, arrays):
    for name in names:
        like = getattr(owner, name)
        array = _array(arrays, name, like.dtype, (n, *like.shape[1:]))
        spare = np.zeros((_SPARE_ROWS, *array.shape[1:]), array.dtype)
        setattr(owner, name, np.concatenate([array, spare]))


def _restore_cells(index, notes, arrays):
    cells = index.cells
    n_sorted, pace = (arguments.check_count(n, "making", least=0) for n in notes["making"])
    if "serving" in notes["cells"]:
        cells.serving = _restored_cells(index, "serving", index.n_rows, notes, arrays)
    if "next" in notes["cells"]:
        cells.next = _restored_cells(index, "next", min(n_sorted, index.n_rows), notes, arrays)
    if "kmeans" in notes["cells"]:
        cells.kmeans = _restored_kmeans(index, notes, arrays)
    cells.pace = pace


def _restored_cells(index, name, n_sorted, notes, arrays):
    """Make cells of the first rows; those that are in no cell are free."""
    centroids = _centroids(arrays, name, index.dim)
    keys = _array(arrays, f"{name}.keys", np.int64, (None,))
    sizes = _array(arrays, f"{name}.sizes", np.int64, (len(centroids),))
    rows = keys & ROW_MASK
    if (rows >= index.n_rows).any() or (index.keys[rows] != keys).any():
        raise ValueError(f"array '{name}.keys' does not fit the vectors")
    if (sizes < 0).any() or sizes.sum() != len(keys):
        raise ValueError(f"array '{name}.sizes' does not fit the keys")
    numbers = np.repeat(np.arange(len(sizes)), sizes)
    here = rows < n_sorted  # version 1.0 put new vectors into the next cells at once
    rows, numbers = rows[here], numbers[here]
    free = np.setdiff1d(np.arange(n_sorted), rows)
    cells = Cells(centroids, arguments.check_count(notes["cells"][name], "n_built"))
    numbers = np.concatenate([numbers, np.full(len(free), cells.free_cell)])
    cells.restore(np.concatenate([rows, free]), numbers, index.vectors)
    return cells


def _restored_kmeans(index, notes, arrays):
    centroids = _centroids(arrays, "kmeans", index.dim)
    sample = _array(arrays, "kmeans.sample", np.int64, (None,))
    if ((sample < 0) | (sample >= index.n_rows)).any():
        raise ValueError("array 'kmeans.sample' does not fit the vectors")
    kmeans = StepwiseKMeans(sample, centroids)
    kmeans.sums = _array(arrays, "kmeans.sums", np.float64, centroids.shape)
    kmeans.counts = _array(arrays, "kmeans.counts", np.int64, (len(centroids),))
    steps = [arguments.check_count(n, "kmeans", least=0) for n in notes["cells"]["kmeans"]]
    kmeans.n_iterations, kmeans.iteration, kmeans.position = steps
    if not (kmeans.iteration < kmeans.n_iterations and kmeans.position < len(sample)):
        raise ValueError("the k-means under way is past its end")
    return kmeans


def _centroids(arrays, name, dim):
    centroids = _array(arrays, f"{name}.centroids", np.float32, (None, dim))
    if not len(centroids) or not np.isfinite(centroids).all():
        raise ValueError(f"array '{name}.centroids' is empty or not finite")
    return centroids


def _array(arrays, name, dtype, shape):
    array = arrays[name]
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape))
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"array {name!r} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
        )
    return array

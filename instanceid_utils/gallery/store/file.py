"""One file of named arrays that is either there whole or not at all.

Layout: 8 bytes of magic, version and header length (two little-endian uint32), the SHA-256 of
the header, the header (JSON: what the caller notes, and name, type, shape and SHA-256 of each
array), then the arrays as raw little-endian bytes, one after the other. Nothing in it is code,
and no memory is claimed for more than the file holds.
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

MAGIC = b"\x89IIDGAL\n"
VERSION = 1
_START = struct.Struct("<8sII32s")
_MAX_HEADER = 2**20
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

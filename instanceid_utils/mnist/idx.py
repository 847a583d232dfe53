"""IDX files, the format of MNIST: whole arrays, or streams with `IdxReader` and `IdxWriter`.

Two zero bytes, a type, the number of dimensions, each dimension as 32-bit big-endian, then the
values, big-endian, last dimension fastest. A name ending in ``.gz`` means gzip.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file into memory.

    Parameters
    ----------
    path : path-like
        Ending in ``.gz`` if compressed.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64, in native byte order.

    Raises
    ------
    ValueError
        If the file is not IDX, is cut short, or has bytes left over. Memory is only claimed for
        bytes that are there, whatever the header says.
    OSError
        If it cannot be opened.
    """
    return IdxReader(path).read()


def write_idx(path: str | os.PathLike, array: np.ndarray):
    """Write an array as an IDX file; it appears under its name only when it is whole.

    Parameters
    ----------
    path : path-like
        Ending in ``.gz`` for compression, which is deterministic: no time, no name inside.
    array : ndarray
        uint8, int8, int16, int32, float32 or float64, with at least one dimension, each at most
        ``2**32 - 1``.

    Raises
    ------
    ValueError
        If IDX has no such type or shape.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> write_idx(f"{folder.name}/x.gz", np.arange(6, dtype=np.int16).reshape(2, 3))
    >>> read_idx(f"{folder.name}/x.gz")
    array([[0, 1, 2],
           [3, 4, 5]], dtype=int16)
    """
    array = np.asarray(array)
    if not array.ndim:
        raise ValueError(f"{path}: expected an array of at least one dimension, got a scalar")
    with IdxWriter(path, array.shape[1:], array.dtype, count=len(array)) as writer:
        writer.append(array)


_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
_CHUNK = 2**18  # bytes; small enough for the processor's cache
_MAX_DIMENSION = 2**32 - 1
_MAX_INFLATION = 1032  # no deflate stream can expand more


class IdxReader:
    """Read an IDX file in batches, or (uncompressed) any part of it.

    Parameters
    ----------
    path : path-like

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype

    Raises
    ------
    ValueError
        If the file is not IDX, or its size is not what its header says. In a compressed file
        that can show only while it is read.

    Examples
    --------
    ``for batch in IdxReader("train-images-idx3-ubyte.gz").batches(1000): ...``
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.compressed = self.path.suffix == ".gz"
        with _open(self.path) as file, _clear_errors(self.path):
            magic = file.read(4)
            if magic[:2] == b"\x1f\x8b":
                raise ValueError("it is gzip data, which needs a name ending in .gz")
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
                raise ValueError(f"expected an IDX file, its first bytes are {magic!r}")
            n_dimensions = magic[3]
            if not 1 <= n_dimensions <= 32:
                raise ValueError(f"expected 1 to 32 dimensions, the header says {n_dimensions}")
            dimensions = file.read(4 * n_dimensions)
            if len(dimensions) < 4 * n_dimensions:
                raise ValueError("the file is cut short in its header")
        self.shape = struct.unpack(f">{n_dimensions}I", dimensions)
        self.stored_dtype = np.dtype(_TYPES[magic[2]])
        self.dtype = self.stored_dtype.newbyteorder("=")
        self.offset = 4 + len(dimensions)
        self.item_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.n_bytes = self.shape[0] * self.item_bytes
        self._check_size(self.path.stat().st_size)

    def _check_size(self, size):
        there = size - self.offset
        if self.compressed:
            there = "fewer" if self.n_bytes > _MAX_INFLATION * size else self.n_bytes
        if there != self.n_bytes:
            raise ValueError(
                f"{self.path}: expected {self.n_bytes:,} bytes for shape {self.shape} "
                f"of {self.dtype}, there are {there if there == 'fewer' else f'{there:,}'}"
            )

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """Items at ``index`` (a number, a slice, an array), read from their place in the file."""
        if self.compressed:
            raise ValueError(f"{self.path}: random access needs an uncompressed file")
        if not self.n_bytes:
            return np.empty(self.shape, self.dtype)[index]
        stored = np.memmap(self.path, self.stored_dtype, "r", self.offset, self.shape)
        return np.array(stored[index], self.dtype)

    def read(self):
        """Read all items; see `instanceid_utils.mnist.idx.read_idx`."""
        with _open(self.path) as file:
            file.seek(self.offset)
            items = self._items(file, len(self))
            self._check_end(file)
        return items

    def batches(self, batch_size: int):
        """Read the file from start to end.

        Parameters
        ----------
        batch_size : int

        Yields
        ------
        ndarray of shape (batch_size, ...)
            The last one may be shorter.

        Raises
        ------
        ValueError
            If a compressed file is cut short, damaged, or has bytes left over.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        with _open(self.path) as file:
            file.seek(self.offset)
            for start in range(0, len(self), batch_size):
                yield self._items(file, min(batch_size, len(self) - start))
            self._check_end(file)

    def _items(self, file, n_items):
        n_bytes = n_items * self.item_bytes
        with _clear_errors(self.path):
            if self.compressed:
                values = np.frombuffer(self._inflate(file, n_bytes), self.stored_dtype)
            else:
                values = np.fromfile(file, self.stored_dtype, n_bytes // self.dtype.itemsize)
            if not self.stored_dtype.isnative:
                values = values.byteswap(inplace=True).view(self.dtype)
            return values.reshape(n_items, *self.shape[1:])

    def _inflate(self, file, n_bytes):
        # Piece by piece: memory follows the bytes that are there, not those a header promises.
        data = bytearray()
        while len(data) < n_bytes:
            piece = file.read(min(n_bytes - len(data), _CHUNK))
            if not piece:
                raise ValueError(f"the file is cut short, shape {self.shape} needs more")
            data += piece
        return data

    def _check_end(self, file):
        with _clear_errors(self.path):
            if file.read(1):
                raise ValueError(f"there are bytes left over after shape {self.shape}")


class IdxWriter:
    """Write an IDX file batch by batch.

    The file is made beside its place and moved there by `close`; after an error in the ``with``
    block nothing is left of it, and an older file of that name stays.

    Parameters
    ----------
    path : path-like
        Ending in ``.gz`` for compression.
    item_shape : tuple of int
        Shape of one item, () for labels.
    dtype : numpy.dtype
        uint8, int8, int16, int32, float32 or float64.
    count : int, optional
        Number of items that will come. A compressed file needs it, because its head cannot be
        rewritten at the end; any other gets its count from what was appended.
    level : int
        Of compression, 1 (fast) to 9, which gains little on pictures.

    Raises
    ------
    ValueError
        If IDX has no such type or shape, or ``count`` is needed and not given.

    Examples
    --------
    ``with IdxWriter("labels", (), np.uint8) as writer: writer.append(np.arange(10, dtype="u1"))``
    """

    def __init__(
        self,
        path: str | os.PathLike,
        item_shape: tuple,
        dtype,
        count: int | None = None,
        level: int = 1,
    ):
        self.path = Path(path)
        self.item_shape = tuple(int(n) for n in item_shape)
        self.dtype = np.dtype(dtype).newbyteorder("=")
        if self.dtype not in _CODES:
            names = ", ".join(map(str, _CODES))
            raise ValueError(f"{path}: expected one of {names}, IDX has no {self.dtype}")
        self._stored_dtype = np.dtype(_TYPES[_CODES[self.dtype]])
        self.compressed = self.path.suffix == ".gz"
        if self.compressed and count is None:
            raise ValueError(f"{path}: a compressed file needs its count= at the start")
        self.count, self.n_written = count, 0
        head = self._header(count or 0)
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._raw = open(self._part, "wb")
        self._file: BinaryIO | gzip.GzipFile = self._raw
        if self.compressed:
            self._file = gzip.GzipFile("", "wb", level, self._raw, mtime=0)
        self._file.write(head)

    def _header(self, count):
        shape = (count, *self.item_shape)
        if max(shape) > _MAX_DIMENSION or min(shape) < 0 or len(shape) > 32:
            raise ValueError(
                f"{self.path}: expected at most 32 dimensions in [0, 2**32 - 1], got {shape}"
            )
        return struct.pack(f">BBBB{len(shape)}I", 0, 0, _CODES[self.dtype], len(shape), *shape)

    def append(self, batch: np.ndarray):
        """Append items.

        Parameters
        ----------
        batch : ndarray of shape ``(n, *item_shape)``

        Raises
        ------
        ValueError
            If its shape or type is another, or more items come than announced.
        """
        batch = np.asarray(batch)
        if batch.dtype.newbyteorder("=") != self.dtype or batch.shape[1:] != self.item_shape:
            raise ValueError(
                f"{self.path}: expected {self.dtype} of shape (n, "
                f"{', '.join(map(str, self.item_shape))}), got {batch.dtype} of {batch.shape}"
            )
        n_written = self.n_written + len(batch)
        if n_written > (_MAX_DIMENSION if self.count is None else self.count):
            raise ValueError(f"{self.path}: expected {self.count} items, there are more")
        values = np.ascontiguousarray(batch).reshape(-1)
        buffer = np.empty(min(_CHUNK // self.dtype.itemsize, len(values)), self._stored_dtype)
        for start in range(0, len(values), len(buffer) or 1):
            piece = values[start : start + len(buffer)]
            if piece.dtype != buffer.dtype:
                buffer[: len(piece)] = piece
                piece = buffer[: len(piece)]
            self._file.write(piece.data)
        self.n_written = n_written

    def close(self):
        """Fix the count and move the file to its place."""
        if self._raw.closed:
            return
        if self.count is not None and self.n_written != self.count:
            self.discard()
            raise ValueError(f"{self.path}: expected {self.count} items, got {self.n_written}")
        if self.count is None:
            self._raw.seek(0)
            self._raw.write(self._header(self.n_written))
        self._file.close()
        self._raw.close()
        os.replace(self._part, self.path)

    def discard(self):
        """Give up: remove what was written so far."""
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close() if kind is None else self.discard()


def _open(path):
    return gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")


@contextlib.contextmanager
def _clear_errors(path):
    try:
        yield
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error

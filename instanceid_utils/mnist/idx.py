"""IDX files, the format of MNIST: whole arrays here, streams in `IdxReader` and `IdxWriter`.

Two zero bytes, a type, the number of dimensions, each dimension as 32-bit big-endian, then the
values, big-endian, last dimension fastest. A name ending in ``.gz`` means gzip.
"""

from __future__ import annotations

import numpy as np

from instanceid_utils.mnist.idx_streams import IdxReader, IdxWriter

__all__ = ["IdxReader", "IdxWriter", "read_idx", "write_idx"]


def read_idx(path):
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


def write_idx(path, array):
    """Write an array as an IDX file; it appears under its name only when it is whole.

    Parameters
    ----------
    path : path-like
        Ending in ``.gz`` for compression, which is deterministic: no time, no name inside.
    array : ndarray
        uint8, int8, int16, int32, float32 or float64, with at least one dimension, each at most
        2**32 - 1.

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

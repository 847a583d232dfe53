"""Folders with one ``.npz`` a frame: ``masks``, and if wanted ``scores``, ``classes``, ``ids``.

``masks`` is a bool or 0/1 stack (N, H, W) or an integer label map (H, W). Nothing is unpickled,
and an array's size is compared with the bytes that are there before memory is claimed.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_lengths,
    check_size,
    files_by_number,
)
from instanceid_utils.segments.segments import find_segments

MAX_BYTES = 2**32


def read(path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None) -> MaskReader:
    """Read a folder of npz files; see `instanceid_utils.formats.read_masks`."""
    files, names = files_by_number(path, ".npz")

    def decode(number, file):
        frame = read_frame(file, number)
        shape = frame.masks.shape[-2:]
        if frame_shape is not None and shape != tuple(frame_shape):
            raise FormatError(
                f"{file}: expected masks of the frame's size "
                f"{frame_shape[1]}x{frame_shape[0]}, got {shape[1]}x{shape[0]}"
            )
        return frame

    return MaskReader(path, files, decode, names)


def read_frame(file: Path, number: int = 0) -> FrameMasks:
    """Read the masks of one frame from an npz file.

    Raises
    ------
    FormatError
        If the file is damaged, holds objects, or its arrays do not fit each other.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = {
                name: _read_array(archive, f"{name}.npy", file)
                for name in ("masks", "scores", "classes", "ids")
                if f"{name}.npy" in archive.namelist()
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"{file}: expected an .npz file ({error})") from error
    if "masks" not in arrays:
        raise FormatError(f"{file}: expected an array 'masks' in it")
    frame = FrameMasks(
        number,
        _masks(arrays["masks"], file),
        scores=_numbers(arrays, "scores", "fiu", np.float32, file),
        classes=None if "classes" not in arrays else tuple(arrays["classes"].tolist()),
        ids=_numbers(arrays, "ids", "iu", np.int64, file),
        name=file.stem,
    )
    try:
        n = len(frame.masks) if frame.masks.ndim == 3 else len(find_segments(frame.masks))
        check_lengths(frame, n)
    except ValueError as error:
        raise FormatError(f"{file}: {error}") from error
    return frame


def _read_array(archive, member, file):
    where = f"{file}: {member}"
    info = archive.getinfo(member)
    with archive.open(info) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read_header(stream)
        except (ValueError, KeyError, EOFError) as error:
            raise FormatError(f"{where}: expected a NumPy array ({error})") from error
        if dtype.hasobject:
            raise FormatError(f"{where}: refused, it holds pickled Python objects")
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if size != info.file_size - stream.tell() or size > MAX_BYTES:
            raise FormatError(
                f"{where}: says {dtype} of shape {shape}, {size:,} bytes, "
                f"but {info.file_size - stream.tell():,} follow"
            )
        data = stream.read(size)
    if len(data) != size:
        raise FormatError(f"{where}: cut short")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _masks(masks, file):
    where = f"{file}: masks"
    if masks.ndim not in (2, 3) or masks.dtype.kind not in "biu":
        raise FormatError(
            f"{where}: expected a label map (H, W) of integers or a stack (N, H, W) "
            f"of bool, got {masks.dtype} of shape {masks.shape}"
        )
    check_size(*masks.shape[-2:], where)
    if masks.ndim == 3 and len(masks) > MAX_SEGMENTS:
        raise FormatError(f"{where}: expected at most {MAX_SEGMENTS:,} masks, got {len(masks):,}")
    if masks.dtype == bool:
        return masks if masks.ndim == 3 else masks[np.newaxis]
    if masks.ndim == 3:
        if masks.size and masks.max() > 1:
            raise FormatError(f"{where}: expected a stack of 0 and 1, got {masks.max()}")
        return masks.astype(bool)
    if masks.min() < 0:
        raise FormatError(f"{where}: expected labels >= 0, got {masks.min()}")
    return masks


def _numbers(arrays, name, kinds, dtype, file):
    if name not in arrays:
        return None
    array = arrays[name]
    if array.dtype.kind not in kinds or array.ndim != 1 or not np.isfinite(array).all():
        raise FormatError(
            f"{file}: {name}: expected finite numbers of shape (N,), got "
            f"{array.dtype} of shape {array.shape}"
        )
    return array.astype(dtype)

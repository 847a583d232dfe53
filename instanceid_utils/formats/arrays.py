"""NumPy files: a folder with one ``.npz`` a frame, or one ``.npz`` or ``.npy`` for a whole video.

A frame's file holds ``masks``, and if wanted ``scores``, ``classes``, ``ids``. ``masks`` is a bool
or 0/1 stack (N, H, W) or an integer label map (H, W). A video's file holds label maps (T, H, W), in
an ``.npz`` under any one name. Nothing is unpickled, and an array's size is compared with the bytes
that are there before memory is claimed.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_frame_shape,
    check_lengths,
    check_size,
    files_by_number,
)
from instanceid_utils.segments.segments import find_segments

MAX_BYTES = 2**32


def read(path, *, frame_shape=None):
    """Read a folder of npz files, or a video's file; see `instanceid_utils.formats.read_masks`."""
    if not Path(path).is_dir():
        return _read_video(Path(path), frame_shape)
    files, names = files_by_number(path, ".npz")

    def decode(number, file):
        frame = read_frame(file, number)
        check_frame_shape(frame.masks.shape[-2:], frame_shape, str(file), "masks")
        return frame

    return MaskReader(path, files, decode, names)


def _read_video(path, frame_shape):
    if path.suffix.lower() == ".npy":
        with open(path, "rb") as stream:
            maps = _read_stream(stream, path.stat().st_size, str(path))
    else:
        arrays = _read_archive(path, None)
        if len(arrays) != 1:
            raise FormatError(
                f"{path}: expected one array with the label maps of a video, it holds "
                f"{', '.join(arrays) or 'none'}"
            )
        maps = next(iter(arrays.values()))
    if maps.ndim != 3 or maps.dtype.kind not in "biu":
        raise FormatError(
            f"{path}: expected label maps (T, H, W) of integers, got {maps.dtype} of shape "
            f"{maps.shape}"
        )
    check_size(*maps.shape[1:], str(path))
    check_frame_shape(maps.shape[1:], frame_shape, str(path), "masks")
    maps = maps.astype(np.uint8) if maps.dtype == bool else maps

    def decode(number, _):
        label_map = _masks(maps[number], path)
        ids = np.unique(label_map)
        return FrameMasks(number, label_map, ids=ids[ids > 0].astype(np.int64))

    return MaskReader(path, dict.fromkeys(range(len(maps))), decode)


def read_frame(file, number=0):
    """Read the masks of one frame from an npz file.

    Raises
    ------
    FormatError
        If the file is damaged, holds objects, or its arrays do not fit each other.
    """
    arrays = _read_archive(file, ("masks", "scores", "classes", "ids"))
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


def _read_archive(file, wanted):
    """Return the arrays of an npz file by name: those wanted, or all."""
    arrays = {}
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                name, dot, suffix = info.filename.rpartition(".")
                if suffix == "npy" and (wanted is None or name in wanted):
                    with archive.open(info) as stream:
                        arrays[name] = _read_stream(
                            stream, info.file_size, f"{file}: {info.filename}"
                        )
    except FormatError:
        raise
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive raises whatever zipfile stumbles over
        raise FormatError(f"{file}: expected an .npz file ({error!r:.100})") from error
    return arrays


def _read_stream(stream, n_bytes, where):
    """Read an array, once its header and the bytes that follow agree."""
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(stream)
    except Exception as error:  # NumPy parses the header as Python, and raises as Python does
        raise FormatError(f"{where}: expected a NumPy array ({error!r:.100})") from error
    if dtype.hasobject:
        raise FormatError(f"{where}: refused, it holds pickled Python objects")
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    if size != n_bytes - stream.tell() or size > MAX_BYTES:
        raise FormatError(
            f"{where}: says {dtype} of shape {shape}, {size:,} bytes, "
            f"but {n_bytes - stream.tell():,} follow"
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

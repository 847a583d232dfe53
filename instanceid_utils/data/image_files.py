"""Read frames and label maps from files; write label maps as DAVIS palette PNGs.

Files come from anywhere, so the size in a header is checked before a pixel is decoded, and a
file that was cut short is an error instead of a half-grey picture.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

TIFF_SUFFIXES = (".tif", ".tiff")
VOID = 255  # of a palette PNG: not to be judged
MAX_PIXELS = 2**26  # 8192 x 8192; a larger header is refused before memory is claimed

_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_RGB, _PALETTE = 2, 3  # colour types of PNG; RGB is a bit of all but grey
_JPEG, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def read_image(path: str | os.PathLike, bits: int = 16) -> np.ndarray:
    """Read a JPEG, PNG or WebP picture, whatever its name ends in.

    Parameters
    ----------
    path : path-like
    bits : int
        How many of the 16 bits of a 16-bit picture its values have; cameras often give 12.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    ValueError
        If the file is not JPEG, PNG or WebP, broken, cut short or over `MAX_PIXELS`; it is named.
    OSError
        If it cannot be opened.
    """
    return to_rgb(read_bgr(path), bits)


def read_bgr(path: str | os.PathLike) -> np.ndarray:
    """Read a picture as `read_image` does, but as OpenCV has it: BGR, uint8 or uint16."""
    return _decode(path, _checked_bytes(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)


def to_rgb(image, bits=16):
    """Make 8-bit RGB of what `read_bgr` reads.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8 or uint16
        BGR.
    bits : int
        How many bits the values of a uint16 image have.
    """
    if image.dtype == np.uint16:
        image = np.minimum(image >> (bits - 8), 255).astype(np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def read_rgba(path: str | os.PathLike) -> np.ndarray:
    """Read a PNG, WebP or JPEG picture with its alpha channel, which is 255 where it has none.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    ndarray of shape (H, W, 4), uint8

    Raises
    ------
    ValueError, OSError
        As `read_image`.
    """
    data = _checked_bytes(path)
    image = _decode(path, data, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] == 4 and image.dtype == np.uint8:
        return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    return cv2.cvtColor(_decode(path, data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGBA)


def write_rgba(path: str | os.PathLike, image: np.ndarray):
    """Write a picture with alpha as PNG, quickly: areas of one colour shrink, the rest does not.

    Parameters
    ----------
    path : path-like
    image : ndarray of shape (H, W, 4), uint8
    """
    runs = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA), runs)[1]
    with open(path, "wb") as file:
        file.write(data.tobytes())


def read_label_map(
    path: str | os.PathLike, colour: str = "auto", keep_void: bool = False
) -> np.ndarray:
    """Read a label map from a PNG or TIFF file.

    Palette: the index is the label, whatever colours the palette holds. Grey: the value is the
    label. Colour: where every colour in the file is one of `davis_palette`, its index is the
    label, else R + 256 G + 65536 B is. What is wholly transparent is background.

    Parameters
    ----------
    path : path-like
    colour : {"auto", "palette", "rgb"}
        For colour PNGs: the rule above, or one of its two halves. Label 32 is (32, 0, 0), which
        is in the palette too: say "rgb" where all labels may be multiples of 32.
    keep_void : bool
        In palette PNGs 255 means "not to be judged" (DAVIS, YouTube-VOS, VOC), and is read as
        background unless told.

    Returns
    -------
    ndarray of shape (H, W)
        uint8, uint16 (16-bit grey) or int32 (colour as R + 256 G + 65536 B, 32-bit TIFF).

    Raises
    ------
    ValueError
        If the file is not such a PNG, broken, cut short or over `MAX_PIXELS`; it is named.
    OSError
        If it cannot be opened.
    """
    if colour not in ("auto", "palette", "rgb"):
        raise ValueError(f'colour: expected "auto", "palette" or "rgb", got {colour!r}')
    if Path(path).suffix.lower() in TIFF_SUFFIXES:
        return read_tiff(path)
    data = _checked_bytes(path)
    if not data.startswith(_PNG):
        raise ValueError(
            f"{path}: expected a PNG label map, got JPEG or WebP, which change the labels"
        )
    depth, colour_type = data[24], data[25]
    if colour_type == _PALETTE:
        indices = _decode_indices(path, data)  # OpenCV would give their colours
        if not keep_void:
            indices[indices == VOID] = 0
        return indices
    image = _decode(path, data, cv2.IMREAD_UNCHANGED)
    if colour_type & _RGB:
        if depth != 8:
            raise ValueError(f"{path}: expected 8 bits per channel in a colour PNG, got {depth}")
        return _labels_from_bgr(path, image, colour)
    grey = image if image.ndim == 2 else np.ascontiguousarray(image[..., 0])
    return grey if depth >= 8 else grey // (255 // (2**depth - 1))  # OpenCV stretches to 0-255


def read_tiff(path: str | os.PathLike, page: int = 0) -> np.ndarray:
    """Read one page of a TIFF file as a label map (H, W) of uint8, uint16 or int32.

    Raises
    ------
    ValueError
        If it is no such file, damaged, or over `MAX_PIXELS`; it is named.
    """
    try:
        with Image.open(path, formats=["TIFF"]) as picture:
            picture.seek(page)
            (width, height), mode = picture.size, picture.mode
            if width * height > MAX_PIXELS:
                raise ValueError(f"expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
            if mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
                raise ValueError(f"expected whole numbers, one a pixel, its mode is {mode}")
            labels = np.array(picture)
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(f"{path}: cannot be read as a TIFF label map ({error})") from error
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    return labels.astype(labels.dtype.newbyteorder("="))


def write_label_map(path: str | os.PathLike, label_map: np.ndarray):
    """Write a label map as PNG: DAVIS palette up to label 254, 16-bit grey up to 65,535.

    Parameters
    ----------
    path : path-like
    label_map : ndarray of shape (H, W), int
        0 = background.

    Raises
    ------
    ValueError
        If it is not an integer map, or a label is negative or over 65,535.
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.dtype.kind not in "iu" or not label_map.size:
        raise ValueError(
            f"label_map: expected integers of shape (H, W), got {label_map.dtype} "
            f"of shape {label_map.shape}"
        )
    low, high = label_map.min(), label_map.max()
    if low < 0 or high > 65535:
        raise ValueError(f"label_map: expected labels in [0, 65535], got {low} to {high}")
    picture = Image.fromarray(label_map.astype(np.uint8 if high < VOID else np.uint16))
    if high < VOID:
        picture.putpalette(davis_palette().tobytes())
    # Label maps are runs: coding only those is fastest, and not larger.
    picture.save(path, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)


def davis_palette() -> np.ndarray:
    """Return the colours of DAVIS (and PASCAL VOC) label maps.

    Returns
    -------
    ndarray of shape (256, 3), uint8
        RGB of each label: its bits dealt to red, green and blue in turn, highest bit first.

    Examples
    --------
    >>> davis_palette()[:4].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    label = np.arange(256)[:, np.newaxis]
    channel = np.arange(3)
    bits = [((label >> (3 * i + channel)) & 1) << (7 - i) for i in range(3)]
    return np.bitwise_or.reduce(bits).astype(np.uint8)


def _checked_bytes(path):
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) >= 33:
        width, height = struct.unpack(">II", data[16:24])
        whole = _PNG_END in data
    elif data.startswith(_JPEG):
        width, height = _jpeg_size(data)
        end = data.rfind(_JPEG_END)  # a thumbnail has one, too, but a scan comes after that
        whole = width > 0 and end > 0 and data.find(_JPEG_SCAN, end) < 0
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        width, height = _webp_size(data)
        whole = width > 0 and len(data) >= 8 + int.from_bytes(data[4:8], "little")
    else:
        raise ValueError(
            f"{path}: expected a JPEG, PNG or WebP file, its first bytes are {data[:8]!r}"
        )
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path}: expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
    if not whole:
        raise ValueError(f"{path}: expected a whole picture, the file is cut short or damaged")
    return data


def _webp_size(data):
    """Read the size from the first chunk; (0, 0) where there is none."""
    kind, head = data[12:16], data[20:30]
    if len(head) < 10:
        return 0, 0
    if kind == b"VP8X":
        sides = int.from_bytes(head[4:7], "little"), int.from_bytes(head[7:10], "little")
        return sides[0] + 1, sides[1] + 1
    if kind == b"VP8L":
        packed = int.from_bytes(head[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        sides = struct.unpack("<HH", head[6:10])
        return sides[0] & 0x3FFF, sides[1] & 0x3FFF
    return 0, 0


def _jpeg_size(data):
    """Walk the segments up to the frame header; (0, 0) where there is none."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0


def _decode(path, data, flags):
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be decoded ({error.err})") from error
    if image is None:
        raise ValueError(f"{path}: cannot be decoded, the file is damaged")
    return image


def _decode_indices(path, data):
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            return np.array(picture)
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise ValueError(f"{path}: cannot be decoded, the file is damaged ({error})") from error


def _codes(rgba):
    return np.ascontiguousarray(rgba).view("<u4")[..., 0] & 0xFFFFFF  # R + 256 G + 65536 B


def _labels_from_bgr(path, image, colour):
    to_rgba = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
    codes = _codes(cv2.cvtColor(image, to_rgba))
    if image.shape[2] == 4 and image[..., 3].any():
        codes[image[..., 3] == 0] = 0
    if colour == "rgb":
        return codes.astype(np.int32)
    starts = np.flatnonzero(np.diff(codes.ravel(), prepend=codes[0, 0] ^ 1))
    values = codes.ravel()[starts]  # of the runs of equal pixels
    palette = _codes(np.pad(davis_palette(), ((0, 0), (0, 1))))
    order = np.argsort(palette)
    at = np.searchsorted(palette, values, sorter=order).clip(max=255)
    foreign = palette[order[at]] != values
    if foreign.any() and colour == "palette":
        r, g, b = (int(values[foreign][0]) >> shift & 255 for shift in (0, 8, 16))
        raise ValueError(f"{path}: expected colours of the DAVIS palette, got ({r}, {g}, {b})")
    if foreign.any():
        return codes.astype(np.int32)
    lengths = np.diff(starts, append=codes.size)
    return np.repeat(order[at].astype(np.uint8), lengths).reshape(codes.shape)

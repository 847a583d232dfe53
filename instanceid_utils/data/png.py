"""PNG files from the inside: what OpenCV cannot do with them."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"IEND\xaeB`\x82"
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6  # colour types; RGB is a bit of all but grey


def without_palette(data):
    """Make a palette PNG a grey one, so that OpenCV gives the indices and not their colours."""
    header = bytearray(data[16:29])
    header[9] = GREY
    chunks, at = [_chunk(b"IHDR", bytes(header))], 33
    while at + 8 < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"IEND"):
            chunks.append(data[at : at + 12 + length])
        at += 12 + length
    return SIGNATURE + b"".join(chunks)


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode(rows, width, depth, colour_type, palette=b""):
    """Encode filtered rows as a PNG file.

    Parameters
    ----------
    rows : ndarray of shape (H, 1 + bytes), uint8
        Each row with the number of its filter in front, 16-bit values big-endian.
    width, depth, colour_type : int
        For the header.
    palette : bytes
        RGB of each index.

    Returns
    -------
    bytes
    """
    # Label maps and filled backgrounds are runs: coding only those is fastest, and not larger.
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), _chunk(b"PLTE", palette) if palette else b""]
    chunks += [_chunk(b"IDAT", deflate.compress(rows) + deflate.flush()), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)

"""Decode the video stream of a container (a file or a stream) with PyAV, packet by packet."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import numpy as np

from instanceid_utils.video.writer import VideoError, file_url

logger = logging.getLogger(__name__)

# ITU-T H.273 matrix codes, as numbers of swscale; what is not said counts as BT.601.
BT601 = 5
MATRICES = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}
MAX_BAD_PACKETS = 100  # in a row: beyond it the file is broken, not scratched


def open_container(source):
    """Open a file or a stream for reading, or raise a VideoError that names it."""
    import av

    try:
        # Seconds to connect and to read: a dead stream must not hang for ever.
        live = "://" in str(source) and not Path(source).exists()
        container = av.open(
            str(source) if live else file_url(source), timeout=(10.0, 30.0) if live else None
        )
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{source}: cannot be opened as a video ({reason})") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{source}: holds no video stream")
    return container


def read_container(source, start, stop):
    """Yield (index, time in seconds from the first frame, upright RGB image)."""
    with open_container(source) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = frame_rate(stream)
        index, clock = -1, Clock(1 / rate)
        for index, frame in enumerate(_decode(container, stream, source)):
            if stop is not None and index >= stop:
                return
            at = clock.shown(index / rate if frame.time is None else float(frame.time))
            if index >= start:
                yield index, at, _upright(_rgb(frame), frame)
        if index < 0:
            raise VideoError(f"{source}: no frame of its video stream could be decoded")
        if index + 1 < stream.frames:
            logger.warning(
                "%s: ends after %d of its %d frames; was it cut short?",
                source,
                index + 1,
                stream.frames,
            )


class Clock:
    """Time from the first frame on, which never goes back.

    Where the timestamps do (a stream of several recordings, a counter that ran over), time goes
    on by the length of a frame from the one before.
    """

    def __init__(self, frame_length):
        self._length, self._shift, self._last = frame_length, None, 0.0

    def shown(self, timestamp):
        """Return when a frame with this timestamp (seconds) is shown, in seconds."""
        if self._shift is None:
            self._shift = -timestamp
        if timestamp + self._shift < self._last:
            self._shift = self._last + self._length - timestamp
        self._last = timestamp + self._shift
        return self._last


def frame_rate(stream):
    """Return frames per second; 24 where the file says nothing."""
    return float(stream.average_rate or stream.guessed_rate or 24)


def pixel_aspect(stream, turned):
    """Return width / height of a pixel of the upright frame; 1 where the file says nothing."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = Fraction(aspect) if aspect else Fraction(1)
    return 1 / aspect if turned else aspect


def _decode(container, stream, source):
    """Yield decoded frames, stepping over damaged packets."""
    import av

    packets = container.demux(stream)
    n_bad = 0
    while True:
        try:
            packet = next(packets, None)
            frames = [] if packet is None else packet.decode()
        except (av.error.InvalidDataError, av.error.UnknownError) as error:
            n_bad += 1
            logger.warning("%s: skipped a damaged packet (%s)", source, error.strerror)
            if n_bad > MAX_BAD_PACKETS:
                raise VideoError(f"{source}: {n_bad} damaged packets in a row") from error
            continue
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(f"{source}: reading failed ({error})") from error
        if packet is None:
            return
        n_bad = 0 if frames else n_bad
        yield from frames


def _rgb(frame) -> np.ndarray:
    # Both said outright: PyAV 15 looks at neither unless they differ.
    matrix = MATRICES.get(int(frame.colorspace), BT601)
    return frame.reformat(format="rgb24", src_colorspace=matrix, dst_colorspace=BT601).to_ndarray()


def _upright(image: np.ndarray, frame) -> np.ndarray:
    """Apply the display matrix (x' = a x + c y, y' = b x + d y, in 16.16 fixed point)."""
    try:
        side_data = frame.side_data.get("DISPLAYMATRIX")
    except (ValueError, KeyError):  # there is other side data (EXIF), which PyAV does not know
        turns = round(getattr(frame, "rotation", 0) / 90)  # counterclockwise
        return np.ascontiguousarray(np.rot90(image, turns))
    if side_data is None:
        return image
    matrix = np.frombuffer(bytes(side_data), dtype=np.int32)[:9].reshape(3, 3)
    (a, b), (c, d) = matrix[:2, :2]
    if abs(int(b)) > abs(int(a)):  # a quarter turn: x' follows y, and y' follows x
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])

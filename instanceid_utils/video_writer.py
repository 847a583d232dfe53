"""Write frames as an MP4 that browsers play.

The MP4 is first written in fragments under ``<name>.partial.mp4``, which plays even if the
process is killed, and takes its name, with its index in front, once closed.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox")
TIME_BASE = Fraction(1, 90000)
BT709 = 1  # ITU-T H.273 code, for primaries, transfer and matrix; untagged files shift colours
LIMITED_RANGE = 1


class VideoError(OSError):
    """A video that cannot be read or written; the message names it."""


class VideoWriter:
    """Write RGB frames to an H.264, yuv420p MP4 file.

    Used as a context manager. When the block is left by an exception (Ctrl-C included) the
    frames written so far are still finished into a valid file under the final name.

    Parameters
    ----------
    path : str or Path
        Ends in ``.mp4``.
    fps : float
        Frames per second, for frames written without a time of their own.
    size : tuple of int, optional
        Width and height in pixels; those of the first frame unless told. Odd sizes are padded
        by one repeated column or row, since yuv420p needs even ones.
    crf : int
        Quality, 0 (lossless) to 51; 20 looks like the source.
    fit : bool
        Scale frames of any other size into ``size``, with black bars. Else they are an error.
    append : bool
        Go on after what ``path`` already holds.

    Raises
    ------
    VideoError
        If no H.264 encoder is there, or the file cannot be written.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "grey.mp4"
    >>> with VideoWriter(path, fps=24) as writer:
    ...     for _ in range(3):
    ...         writer.write(np.full((48, 64, 3), 128, np.uint8))
    >>> path.exists(), writer.n_frames
    (True, 3)
    """

    def __init__(self, path, fps, size=None, *, crf=20, fit=False, append=False):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{self.path}: expected a name that ends in .mp4")
        if not 0 < fps <= 1000:
            raise ValueError(f"{self.path}: expected 0 < fps <= 1000, got {fps}")
        self.fps = float(fps)
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.fit = fit
        self.n_frames = 0
        self.partial_path = self.path.with_suffix(".partial.mp4")
        self._crf = crf
        self._container = self._stream = None
        self._append = append and self.path.exists()
        self._base_pts = _end_pts(self.path) if self._append else 0
        self._first_pts = self._last_pts = None

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Write one frame, uint8 RGB (H, W, 3), shown at ``time`` (seconds, increasing).

        A new file starts with its first frame, whatever the time of that; what is appended
        keeps its time, but for starting after the end of what is there.

        Raises
        ------
        ValueError
            If the frame is not such an array, or of another size (and not ``fit``).
        """
        import av

        frame = self._checked(frame)
        if self._container is None:
            self._open()
        picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
        picture = picture.reformat(
            format="yuv420p", src_colorspace="ITU601", dst_colorspace="ITU709"
        )
        at = self.n_frames / self.fps if time is None else float(time)
        pts = round(at / TIME_BASE) + (self._base_pts if time is None else 0)
        if self._first_pts is None:
            self._first_pts = self._last_pts = max(pts, self._base_pts)
        else:
            self._last_pts = max(pts, self._last_pts + 1)
        picture.pts, picture.time_base = self._last_pts, TIME_BASE
        self._encode(picture)
        self.n_frames += 1

    def close(self) -> None:
        """Finish the file under its final name; without a frame nothing is left behind."""
        if self._container is None:
            return
        try:
            self._encode(None)
        finally:
            self._container.close()
            self._container = None
        # A fragmented file starts at zero whatever the first timestamp is.
        parts = {self.path: 0, self.partial_path: self._first_pts} if self._append else {
            self.partial_path: 0}
        _join(parts, self.path, 1 / self.fps)
        self.partial_path.unlink()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _checked(self, frame):
        if (not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3
                or frame.shape[2] != 3):
            got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame)
            raise ValueError(f"{self.path}: expected a uint8 frame (H, W, 3), got {got}")
        if self.size is None:
            self.size = frame.shape[1], frame.shape[0]
        if frame.shape[1::-1] == self.size:
            return frame
        if not self.fit:
            raise ValueError(
                f"{self.path}: frame {self.n_frames} is {frame.shape[1]}x{frame.shape[0]}, "
                f"the video is {self.size[0]}x{self.size[1]}"
            )
        return letterbox(frame, self.size)

    def _open(self):
        import av

        name = next((name for name in ENCODERS if name in av.codecs_available), None)
        if name is None:
            raise VideoError(f"{self.path}: PyAV has no H.264 encoder ({', '.join(ENCODERS)})")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._container = av.open(
                str(self.partial_path), "w", format="mp4",
                options={"movflags": "frag_keyframe+empty_moov+default_base_moof",
                         "flush_packets": "1"},
            )
        except OSError as error:
            reason = error.strerror
            raise VideoError(f"{self.partial_path}: cannot be written ({reason})") from error
        stream = self._container.add_stream(name, rate=Fraction(self.fps).limit_denominator(1001))
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.gop_size = max(1, round(2 * self.fps))  # a viewer can jump to any two seconds
        context.max_b_frames = 0  # timestamps stay as given, and parts can be joined
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        if name == "libx264":
            stream.options = {"crf": str(self._crf), "preset": "veryfast"}
        self._stream = stream

    def _encode(self, picture):
        for packet in self._stream.encode(picture):
            self._container.mux(packet)


def letterbox(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a frame into ``size`` (width, height), black bars where the shapes differ."""
    width, height = size
    scale = min(width / frame.shape[1], height / frame.shape[0])
    w, h = (max(1, round(side * scale)) for side in frame.shape[1::-1])
    inside = cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else
                        cv2.INTER_LINEAR)
    out = np.zeros((height, width, 3), np.uint8)
    left, top = (width - w) // 2, (height - h) // 2
    out[top : top + h, left : left + w] = inside
    return out


def _even(frame):
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(frame)


def _end_pts(path) -> int:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return round(stream.duration * stream.time_base / TIME_BASE)
    except (av.error.FFmpegError, IndexError, TypeError) as error:
        raise VideoError(f"{path}: not a video that can be gone on with ({error})") from error


def _join(parts: dict, path: Path, duration: float) -> None:
    """Copy the packets of ``parts`` (path: shift of its time) into one file, index in front."""
    import av

    joined = path.with_suffix(".joined.mp4")
    with av.open(str(joined), "w", format="mp4", options={"movflags": "faststart"}) as output:
        target = None
        for part, shift in parts.items():
            with av.open(str(part)) as source:
                stream = source.streams.video[0]
                if target is None:
                    target = _copy_of(output, stream)
                    extradata = stream.codec_context.extradata
                elif stream.codec_context.extradata != extradata:
                    raise VideoError(f"{part}: encoded unlike {path}, so it was left beside it")
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        ticks = round(shift * TIME_BASE / packet.time_base)
                        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                        # Without one, the last frame lasts no time and some readers drop it.
                        packet.duration = packet.duration or round(duration / packet.time_base)
                        packet.stream = target
                        output.mux(packet)
    os.replace(joined, path)


def _copy_of(output, stream):
    if hasattr(output, "add_stream_from_template"):
        return output.add_stream_from_template(stream)
    return output.add_stream(template=stream)

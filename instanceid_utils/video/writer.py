"""Write frames as an MP4 that browsers play.

The MP4 is first written in fragments under ``<name>.partial-0.mp4``, which plays even if the
process is killed. Once closed it takes its name, with its index in front. A long video can be
cut into several such parts, each of which is whole, to go on from there in another process.
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


def file_url(path) -> str:
    """Name a file so that FFmpeg takes it for one, even ``12:30:00.mp4``."""
    return f"file:{os.fspath(path)}"


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
    pixel_aspect : Fraction or float
        Width / height of a pixel as it is to be shown.
    state : dict, optional
        Go on after the parts of another writer, from its `cut`.

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

    def __init__(
        self,
        path,
        fps: float,
        size: tuple | None = None,
        *,
        crf: int = 20,
        fit: bool = False,
        pixel_aspect=1,
        state: dict | None = None,
    ):
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"{self.path}: expected a name that ends in .mp4")
        if not 0 < fps <= 1000:
            raise ValueError(f"{self.path}: expected 0 < fps <= 1000, got {fps}")
        self.fps = float(fps)
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.fit = fit
        state = state or {"n_frames": 0, "starts": [], "last": None, "size": self.size}
        self.n_frames, self._last_pts = state["n_frames"], state["last"]
        self._starts = list(state["starts"])  # first timestamp of each part
        if state["size"] is not None:
            self.size = tuple(state["size"])
        self._crf, self._pixel_aspect = crf, Fraction(pixel_aspect)
        self._container = self._stream = None

    def write(self, frame: np.ndarray, time: float | None = None) -> None:
        """Write one frame, uint8 RGB (H, W, 3), shown at ``time`` (seconds, increasing).

        The video starts with its first frame, whatever the time of that.

        Raises
        ------
        ValueError
            If the frame is not such an array, or of another size (and not ``fit``).
        """
        import av

        frame = self._checked(frame)
        picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
        picture = picture.reformat(
            format="yuv420p", src_colorspace="ITU601", dst_colorspace="ITU709"
        )
        pts = round((self.n_frames / self.fps if time is None else float(time)) / TIME_BASE)
        self._last_pts = pts if self._last_pts is None else max(pts, self._last_pts + 1)
        if self._container is None:
            self._open()
        picture.pts, picture.time_base = self._last_pts, TIME_BASE
        self._encode(picture)
        self.n_frames += 1

    def cut(self) -> dict:
        """End the part that is being written, and give what a writer needs to go on after it.

        Returns
        -------
        dict
            For ``state``, in types that JSON has. The parts stay until a writer is closed.
        """
        if self._container is not None:
            try:
                self._encode(None)
            finally:
                self._container.close()
                self._container = None
        return {
            "n_frames": self.n_frames,
            "starts": list(self._starts),
            "last": self._last_pts,
            "size": self.size,
        }

    def close(self, keep_parts=False) -> None:
        """Finish the file under its final name; without a frame nothing is left behind.

        With ``keep_parts``, another writer may still go on after what is there.
        """
        self.cut()
        if not self._starts:
            return
        # A fragmented file starts at zero whatever its first timestamp is.
        parts = {self.part_path(k): start - self._starts[0] for k, start in enumerate(self._starts)}
        _join(parts, self.path, 1 / self.fps)
        if not keep_parts:
            k = 0  # one more than is known of, where a writer was killed
            while self.part_path(k).exists():
                self.part_path(k).unlink()
                k += 1
            self._starts = []

    def part_path(self, number) -> Path:
        """Return the path of a part, counted from 0."""
        return self.path.with_suffix(f".partial-{number}.mp4")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def _checked(self, frame):
        if (
            not isinstance(frame, np.ndarray)
            or frame.dtype != np.uint8
            or frame.ndim != 3
            or frame.shape[2] != 3
        ):
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
        part = self.part_path(len(self._starts))
        part.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._container = av.open(
                file_url(part),
                "w",
                format="mp4",
                options={
                    "movflags": "frag_keyframe+empty_moov+default_base_moof",
                    "flush_packets": "1",
                },
            )
        except OSError as error:
            raise VideoError(f"{part}: cannot be written ({error.strerror})") from error
        self._starts.append(self._last_pts)
        stream = self._container.add_stream(name, rate=Fraction(self.fps).limit_denominator(1001))
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.gop_size = max(1, round(2 * self.fps))  # a viewer can jump to any two seconds
        context.max_b_frames = 0  # timestamps stay as given, and parts can be joined
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        if self._pixel_aspect != 1:
            context.sample_aspect_ratio = self._pixel_aspect
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
    inside = cv2.resize(
        frame, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    out = np.zeros((height, width, 3), np.uint8)
    left, top = (width - w) // 2, (height - h) // 2
    out[top : top + h, left : left + w] = inside
    return out


def _even(frame):
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        return cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(frame)


def _join(parts: dict, path: Path, duration: float) -> None:
    """Copy the packets of ``parts`` (path: shift of its time) into one file, index in front."""
    import av

    joined = path.with_suffix(".joined.mp4")
    with av.open(file_url(joined), "w", format="mp4", options={"movflags": "faststart"}) as output:
        target = None
        for part, shift in parts.items():
            with av.open(file_url(part)) as source:
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

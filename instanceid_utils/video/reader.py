"""Frames from a video file, a folder of images, a stream or a camera, one at a time.

Whatever the source, :func:`read_video` yields upright RGB frames with the time at which each
is shown, and holds one frame in memory. A damaged packet is skipped with a warning, as a
player does; a source in which nothing can be decoded is an error that names it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Union

import cv2
import numpy as np

from instanceid_utils.data.davis import natural_key
from instanceid_utils.data.image_files import read_bgr, to_rgb
from instanceid_utils.video.container import (
    frame_rate,
    open_container,
    pixel_aspect,
    read_container,
)
from instanceid_utils.video.writer import VideoError

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
FOLDER_FPS = 24.0  # a folder of images says nothing about time; DAVIS was shown at 24

Source = Union[str, Path, int, list]


@dataclass(frozen=True)
class VideoFrame:
    """One frame: ``image`` is uint8 RGB (H, W, 3), ``time`` is in seconds from the first."""

    index: int
    time: float
    image: np.ndarray
    name: str


@dataclass(frozen=True)
class VideoInfo:
    """What a source says about itself; ``n_frames`` is None where it does not say.

    ``n_frames`` is ``counted`` by the source, or follows from the duration. ``pixel_aspect`` is
    width / height of a pixel of the upright frame.
    """

    width: int
    height: int
    fps: float
    n_frames: int | None
    pixel_aspect: Fraction = Fraction(1)
    counted: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as :class:`VideoWriter` takes them."""
        return self.width, self.height


def read_video(
    source: Source, *, start: int = 0, stop: int | None = None, fps: float | None = None
) -> Iterator[VideoFrame]:
    """Yield the frames of ``source`` in order, holding one at a time.

    Parameters
    ----------
    source : str, Path, int or list of Path
        A video file (MP4, AVI, MOV, WebM, ...), a folder of images in natural order, a list of
        images, the URL of a stream (``rtsp://...``), or the index of a camera (``0`` or
        ``"0"``).
    start, stop : int
        Yield the frames ``start <= index < stop``. Earlier frames are decoded and dropped, so
        that the index is exact whatever the file's keyframes.
    fps : float, optional
        Frame rate of a folder of images; 24 unless told.

    Yields
    ------
    VideoFrame
        Turned upright by the rotation the file carries. ``time`` follows the file's own
        timestamps (the rate may vary) and never goes back.

    Raises
    ------
    VideoError
        If the source does not exist, holds no video, or cannot be decoded.
    """
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"expected 0 <= start <= stop, got start={start}, stop={stop}")
    kind, place = _kind(source)
    if kind == "folder":
        return _read_images(image_files(place), start, stop, fps or FOLDER_FPS)
    if kind == "camera":
        return _read_camera(place, start, stop)
    return (
        VideoFrame(index, at, image, f"{index:06d}")
        for index, at, image in read_container(place, start, stop)
    )


def video_info(source: Source, *, fps: float | None = None) -> VideoInfo:
    """Return size, frame rate and (where known) number of frames, decoding one frame.

    The size is that of the upright frame. For files that do not count their frames the
    number follows from the duration, so use it for progress, not for bounds.
    """
    kind, place = _kind(source)
    if kind == "folder":
        files = image_files(place)
        height, width = _read_bgr(files[0]).shape[:2]
        return VideoInfo(width, height, fps or FOLDER_FPS, len(files))
    if kind == "camera":
        capture = _open_camera(place)
        rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
        width, height = (
            int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        capture.release()
        return VideoInfo(width, height, rate, None)
    _, _, image = next(read_container(place, 0, 1))
    height, width = image.shape[:2]
    with open_container(place) as container:
        stream = container.streams.video[0]
        rate = frame_rate(stream)
        turned = width != height and (stream.width > stream.height) != (width > height)
        aspect = pixel_aspect(stream, turned)
        n_frames = stream.frames or None
        counted = n_frames is not None
        if not counted and container.duration:
            n_frames = round(container.duration / 1e6 * rate) or None
    return VideoInfo(width, height, rate, n_frames, aspect, counted)


def image_files(folder) -> list[Path]:
    """Return the images of ``folder`` in natural order (``frame10`` after ``frame9``).

    A list of images is returned as it is.
    """
    if isinstance(folder, list):
        return folder
    folder = Path(folder)
    files = [
        f
        for f in folder.iterdir()
        if f.suffix.lower() in IMAGE_SUFFIXES and not f.name.startswith(".")
    ]
    if not files:
        raise VideoError(f"{folder}: no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in it")
    return sorted(files, key=lambda file: natural_key(file.stem))


def _kind(source: Source) -> tuple[str, Any]:
    if isinstance(source, list):
        return "folder", source
    if isinstance(source, (int, np.integer)) or str(source).isdecimal() and len(str(source)) < 3:
        if not Path(str(source)).exists():
            return "camera", int(str(source))
    path = Path(str(source))
    if "://" in str(source) and not path.exists():
        return "stream", str(source)
    if not path.exists():
        raise VideoError(f"{path}: no such file or folder")
    return ("folder" if path.is_dir() else "file"), path


def _read_bgr(path: Path) -> np.ndarray:
    try:
        return read_bgr(path)  # checks sizes before it claims memory
    except ValueError as error:
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            raise VideoError(str(error)) from error
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise VideoError(f"{path}: not an image that OpenCV can read ({error.err})") from error
    if image is None:
        raise VideoError(f"{path}: not an image that OpenCV can read")
    if image.dtype not in (np.uint8, np.uint16):
        raise VideoError(f"{path}: expected a picture of 8 or 16 bits, got {image.dtype}")
    return image


def _read_images(files, start, stop, fps):
    """Read images; how many of 16 bits count is told by the first, and then stays so."""
    bits = _n_bits(files[0])
    for index, path in enumerate(files[start:stop], start):
        yield VideoFrame(index, index / fps, to_rgb(_read_bgr(path), bits), path.name)


def _n_bits(path):
    """Return how many bits the values of a 16-bit picture have, of 10, 12, 14 or 16."""
    image = _read_bgr(path)
    if image.dtype != np.uint16:
        return 16
    bits = next(bits for bits in (10, 12, 14, 16) if image.max() < 2**bits)
    if bits < 16:
        logger.warning(
            "%s: 16-bit picture with values up to %d: taken for %d bits, all frames are made "
            "brighter by that",
            path,
            image.max(),
            bits,
        )
    return bits


def _open_camera(index: int) -> cv2.VideoCapture:
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # type: ignore[attr-defined]
    level = set_level(0)  # the error below says it in one line
    capture = cv2.VideoCapture(index)
    set_level(level)
    if not capture.isOpened():
        raise VideoError(f"camera {index}: cannot be opened (is it plugged in, or in use?)")
    return capture


def _read_camera(index, start, stop):
    capture = _open_camera(index)
    begin = None
    count = 0
    try:
        while stop is None or count < stop:
            ok, image = capture.read()
            if not ok:
                return
            now = time.monotonic()
            begin = now if begin is None else begin
            if count >= start:
                yield VideoFrame(
                    count, now - begin, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), f"{count:06d}"
                )
            count += 1
    finally:
        capture.release()

"""Bring the frames of a video and their masks together, wherever the masks come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from instanceid_utils.formats import FormatError, clean_masks, from_model, read_masks
from instanceid_utils.formats.frame_masks import number_names
from instanceid_utils.video.reader import image_files, read_video
from instanceid_utils.video.segmenters import BackgroundSegmenter


class MaskFeed:
    """Frames with their cleaned masks.

    Parameters
    ----------
    source, info, fps
        The video, what `video.video_info` says of it, the frame rate of a folder.
    masks : path-like, mapping or None
        None: the segmenter finds them.
    format, sequence, first_number, segmenter
        See `app.track_video`.
    clean : dict
        Options of `formats.clean_masks`; None stands for its default.

    Raises
    ------
    FormatError
        If the masks cannot be read, or no frame of the video has any.
    """

    def __init__(
        self,
        source,
        info,
        masks=None,
        *,
        format=None,
        sequence=None,
        fps=None,
        first_number=0,
        segmenter=None,
        clean: dict | None = None,
    ):
        self.source, self.info, self.fps = source, info, fps
        self._clean = {k: v for k, v in (clean or {}).items() if v is not None}
        self.reader, self.segmenter = None, None
        if masks is None:
            self.segmenter = segmenter or BackgroundSegmenter()
            self.description = type(self.segmenter).__name__
            return
        if segmenter is not None:
            raise ValueError("expected masks or a segmenter, got both")
        if isinstance(masks, Mapping):
            self.reader, self.description = masks, type(masks).__name__
        else:
            shape = info.height, info.width
            self.reader = read_masks(masks, format, frame_shape=shape, sequence=sequence)
            self.description = str(masks)
        self._numbers = _numbers_of_folder(source, self.reader, first_number)
        self._first_number = first_number
        self._n_used = 0
        self._check_overlap()

    def frames(self, start=0):
        """Yield frames from ``start`` on, each with its `FrameMasks` or None where it has none.

        A segmenter that is ``stateful`` is shown the frames before ``start``, too.
        """
        stateful = getattr(self.segmenter, "stateful", False)
        for frame in read_video(self.source, start=0 if stateful else start, fps=self.fps):
            shape = frame.image.shape[:2]
            if self.segmenter is not None:
                found = self.segmenter.segment(frame.image)
            else:
                found = self._read(self._number(frame.index))
            if frame.index < start:
                continue
            if found is None:
                yield frame, None
                continue
            try:
                masks = clean_masks(from_model(found, frame.index, shape), shape, **self._clean)
            except ValueError as error:
                raise FormatError(f"{self.description}: frame {frame.index}: {error}") from error
            yield frame, masks

    def check_used(self):
        """Raise FormatError if no frame had masks: the numbers do not go together."""
        if self.reader is not None and not self._n_used:
            self._fail()

    def _read(self, number):
        if number not in self.reader:
            return None
        self._n_used += 1
        return self.reader[number]

    def _number(self, index):
        return index + self._first_number if self._numbers is None else self._numbers[index]

    def _check_overlap(self):
        n_frames = len(self._numbers) if self._numbers is not None else self.info.n_frames
        if n_frames and not any(self._number(i) in self.reader for i in range(n_frames)):
            self._fail()

    def _fail(self):
        there = list(self.reader)[:3]
        raise FormatError(
            f"{self.description}: no frame of {self.source} has masks in it; its "
            f"first frames are {there}"
        )


def _numbers_of_folder(source, reader, first_number):
    """Find the mask number of each frame of a folder: by name, else by the digits that end it."""
    if isinstance(source, int) or not Path(str(source)).is_dir():
        return None
    stems = [file.stem for file in image_files(source)]
    names = getattr(reader, "names", {})
    if names and not set(stems).isdisjoint(names):
        return [names.get(stem, -1) for stem in stems]
    numbers = number_names(stems)
    by_name = [numbers[stem] for stem in stems]
    if set(by_name).isdisjoint(reader):
        return [i + first_number for i in range(len(stems))]
    return by_name

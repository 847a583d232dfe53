"""Bring the frames of a video and their masks together, wherever the masks come from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from instanceid_utils.app.frame_matching import Matching, divide
from instanceid_utils.formats import FormatError, FrameMasks, clean_masks, from_model, read_masks
from instanceid_utils.video.reader import image_files, read_video
from instanceid_utils.video.segmenters import BackgroundSegmenter

logger = logging.getLogger(__name__)


class MaskFeed:
    """Frames with their cleaned masks.

    Parameters
    ----------
    source, info, fps
        The video, what `video.video_info` says of it, the frame rate of a folder.
    masks : path-like, mapping or None
        None: the segmenter finds them. The folder of the frames itself may hold them, too.
    format, sequence, keep_void, first_number, segmenter
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
        keep_void=False,
        fps=None,
        first_number=None,
        segmenter=None,
        clean: dict | None = None,
    ):
        self.source, self.info, self.fps = source, info, fps
        self._clean = {k: v for k, v in (clean or {}).items() if v is not None}
        self.reader, self.segmenter = None, None
        self._files, beside = files_of_folder(source, masks)
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
            self.reader = read_masks(
                masks, format, frame_shape=shape, sequence=sequence, keep_void=keep_void
            )
            self.description = str(masks)
        self._match(first_number, beside)

    def _match(self, first_number, beside):
        names = getattr(self.reader, "names", {})
        name_of = {number: name for name, number in names.items()}
        masks = {number: name_of.get(number) for number in self.reader}
        if beside:
            masks = {number: name for number, name in masks.items() if name in beside}
        one_file = not Path(self.description).is_dir()
        stems = None if self._files is None else [path.stem for path in self._files]
        n_frames = len(stems) if stems else self.info.n_frames if self.info.counted else None
        if first_number is None and stems is None:
            first_number = getattr(self.reader, "first_number", None)
        self.matching = Matching(masks, stems, n_frames, first_number, in_order=one_file)
        self._told = None
        if n_frames:
            self._tell(n_frames)

    def frames(self, start=0):
        """Yield frames from ``start`` on, each with its `FrameMasks` or None where it has none.

        A segmenter that is ``stateful`` is shown the frames before ``start``, too.
        """
        stateful = getattr(self.segmenter, "stateful", False)
        source = self.source if self._files is None else self._files
        for frame in read_video(source, start=0 if stateful else start, fps=self.fps):
            shape = frame.image.shape[:2]
            if self.segmenter is not None:
                found = self.segmenter.segment(frame.image)
            else:
                found = self._read(frame.index, shape)
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

    def pictures(self):
        """Yield the frames once more, without masks."""
        return read_video(self.source if self._files is None else self._files, fps=self.fps)

    def check_used(self, n_frames):
        """Say what has no counterpart, now that the number of frames is known.

        Raises
        ------
        FormatError
            If no frame had masks: the numbers do not go together.
        """
        if self.reader is not None:
            self._tell(n_frames)

    def counts(self, n_frames):
        """Return what the summary says of the first ``n_frames`` frames, by name."""
        if self.reader is None:
            return {"n_frames_with_masks": n_frames}
        names = "n_frames_with_masks", "n_masks_used", "n_masks_left_over"
        return dict(zip(names, self.matching.counts(n_frames)))

    def first_number(self):
        """Return the number that masks and frames have for the first frame; 0 if none is known."""
        if self.reader is not None:
            return self.matching.first_number()
        stems = [] if self._files is None else [path.stem for path in self._files]
        return Matching({}, stems).first_number()

    def _read(self, index, shape):
        keys = self.matching.keys(index)
        if not keys:
            return None
        if len(keys) == 1:
            return self.reader[keys[0]]
        return _together(index, [from_model(self.reader[key], index, shape) for key in keys], shape)

    def _tell(self, n_frames):
        if not self.matching.counts(n_frames)[1]:
            there = [self.matching.mask_name(key) for key in list(self.matching.names)[:3]]
            first = self.matching.proposal(n_frames)
            hint = "" if first is None else f"; --first-number {first} would fit all"
            raise FormatError(
                f"{self.description}: no frame of {self.source} has masks in it; its "
                f"first frames are {', '.join(there)}{hint}"
            )
        problem = self.matching.problem(n_frames)
        if problem and problem != self._told:
            logger.warning("%s: %s", self.description, problem)
        self._told = problem


def files_of_folder(source, masks):
    """Return the frames of a folder (None for other sources), and the names of masks in it."""
    if isinstance(source, (int, np.integer)) or not Path(str(source)).is_dir():
        return None, set()
    files = image_files(source)
    frames, others = divide(files)
    if not others or not frames:
        return files, set()
    if masks is None:
        raise FormatError(
            f"{source}: {len(others)} of its {len(files)} images look like masks of the others "
            f"({others[0].name}); say --masks {source} to use them, or move them away"
        )
    if isinstance(masks, Mapping) or Path(masks).resolve() != Path(source).resolve():
        logger.warning(
            "%s: %d of its %d images look like masks of the others (%s) and are left out",
            source,
            len(others),
            len(files),
            others[0].name,
        )
        return frames, set()
    return frames, {path.stem for path in others}


def _together(number, parts, shape):
    """Make one of the masks of a frame that come in a file for each object."""
    stacks = []
    for part in parts:
        segments = part.find_segments(shape)
        stack = np.zeros((len(segments), *segments.frame_shape), bool)
        for mask, patch, (left, top, right, bottom) in zip(
            stack, segments.patches, segments.boxes_tlbr.tolist()
        ):
            mask[top:bottom, left:right] = patch
        stacks.append(stack)
    together = FrameMasks(number, np.concatenate(stacks))
    if all(part.scores is not None for part in parts):
        together = replace(together, scores=np.concatenate([part.scores for part in parts]))
    if all(part.classes is not None for part in parts):
        together = replace(together, classes=sum((tuple(part.classes) for part in parts), ()))
    return together

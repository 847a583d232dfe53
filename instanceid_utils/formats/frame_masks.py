"""What all mask formats share: the masks of one frame, a lazy reader, the rule of cleaning."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.data.davis import natural_key
from instanceid_utils.data.image_files import MAX_PIXELS
from instanceid_utils.segments.segments import Segments, box_segments, find_segments

MAX_SEGMENTS = 10_000  # in one frame; more is a damaged or hostile file

MIN_SCORE = 0.5
MIN_AREA = 16
MIN_VISIBLE = 0.5


class FormatError(ValueError):
    """A file that does not hold what its format says; the message names file and place."""


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """The masks of one frame, as a segmentation model gave them.

    Attributes
    ----------
    number : int
        Of the frame, as the file counts.
    masks : ndarray or None
        Label map (H, W), int; or bool stack (N, H, W), which may overlap. None where a detector
        gave boxes only.
    scores : ndarray of shape (N,), float32, or None
    classes : tuple of length N (int or str), or None
    ids : ndarray of shape (N,), int64, or None
        Track IDs that the file brings along. The tracker does not look at them.
    name : str or None
        Of the frame, such as "00012", where the file gives one.
    segments : Segments or None
        What `find_segments` finds in the masks, if somebody has looked already.
    boxes : ndarray of shape (N, 4), float64, or None
        left, top, right, bottom in pixels, where there are no masks.
    """

    number: int
    masks: Any  # ndarray; None beside boxes
    scores: np.ndarray | None = None
    classes: tuple | None = None
    ids: np.ndarray | None = None
    name: str | None = None
    segments: Segments | None = None
    boxes: np.ndarray | None = None

    def find_segments(self, frame_shape: tuple[int, int] | None = None) -> Segments:
        """Find the segments of the masks, or stand-ins for them in the boxes."""
        if self.segments is not None:
            return self.segments
        if self.boxes is not None:
            if frame_shape is None:
                raise ValueError("boxes: they do not tell the size of the frame; give frame_shape")
            return box_segments(self.boxes, frame_shape)
        return find_segments(self.masks)

    def select(self, index: np.ndarray) -> FrameMasks:
        """Pick values that go with the segments at ``index`` (not the masks themselves)."""
        return replace(
            self,
            scores=None if self.scores is None else self.scores[index],
            classes=None if self.classes is None else tuple(self.classes[i] for i in index),
            ids=None if self.ids is None else self.ids[index],
            boxes=None if self.boxes is None else self.boxes[index],
            segments=None,
        )


class MaskReader(Mapping):
    """Masks of a video by frame number, each decoded when it is asked for.

    A mapping from frame number to `FrameMasks`; ``reader.values()`` is the stream in order.
    Numbers may have gaps: a frame without an entry was not annotated, which is not the same as
    a frame with no segments.

    Parameters
    ----------
    path : path-like
        Named in errors.
    entries : dict of int to object
        What ``decode`` needs for each frame.
    decode : callable
        ``decode(number, entry) -> FrameMasks``.
    names : dict of str to int, optional
        Frame numbers by the frames' own names.
    first_number : int, optional
        Number of the first frame of a video, where the format says it.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        entries: dict,
        decode: Callable,
        names: dict | None = None,
        first_number: int | None = None,
    ):
        self.path = Path(path)
        self.names, self.first_number = dict(names or {}), first_number
        self._entries = dict(sorted(entries.items()))
        self._decode = decode

    def __getitem__(self, number: int) -> FrameMasks:
        return self._decode(number, self._entries[number])

    def __contains__(self, number: object) -> bool:
        return number in self._entries

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self):
        return f"{type(self).__name__}({str(self.path)!r}, {len(self)} frames)"


def clean_masks(
    frame: FrameMasks,
    frame_shape: tuple[int, int] | None = None,
    *,
    min_score: float = MIN_SCORE,
    min_area: int = MIN_AREA,
    min_visible: float = MIN_VISIBLE,
) -> FrameMasks:
    """Turn the masks of a frame into a label map: overlaps resolved, tiny segments dropped.

    Where the masks carry scores, those below ``min_score`` go. Then from the highest score down
    (without scores, or for equal ones, the smaller mask first) each mask takes those of its
    pixels that are still free. It is dropped, and leaves them free, if they are fewer than
    ``min_area``, or less than ``min_visible`` of the mask: such a remainder is the rim of
    something that was found twice.

    Parameters
    ----------
    frame : FrameMasks
        Boxes stay boxes, and may overlap.
    frame_shape : tuple of int, optional
        (H, W); needed for boxes.
    min_score, min_visible : float
        In [0, 1].
    min_area : int
        Pixels.

    Returns
    -------
    FrameMasks
        With a label map. Labels 1 to N stand for the masks kept, in their order; those of a
        label map stay as they are. Scores, classes and IDs follow increasing label.

    Examples
    --------
    >>> stack = np.zeros((2, 4, 8), bool)
    >>> stack[0, :, :6], stack[1, :, 4:] = True, True
    >>> frame = FrameMasks(0, stack, scores=np.array([0.6, 0.9], np.float32))
    >>> clean_masks(frame, min_area=1).masks[0].tolist()
    [1, 1, 1, 1, 2, 2, 2, 2]
    """
    segments = frame.find_segments(frame_shape)
    n = len(segments)
    check_lengths(frame, n)
    scores = np.zeros(n) if frame.scores is None else frame.scores
    wanted = np.ones(n, bool) if frame.scores is None else scores >= min_score
    if frame.masks is None:
        kept = np.flatnonzero(wanted & (segments.areas >= min_area))
        return replace(frame.select(kept), segments=segments.select(kept))
    if frame.masks.ndim == 2:  # nothing overlaps
        return _without(frame, segments, wanted & (segments.areas >= min_area))
    free = np.ones(segments.frame_shape, bool)
    visible = {}
    for i in np.lexsort((segments.areas, -scores)):
        left, top, right, bottom = segments.boxes_tlbr[i]
        here = free[top:bottom, left:right]
        patch = segments.patches[i] & here
        area = np.count_nonzero(patch)
        if wanted[i] and area and area >= min_area and area >= min_visible * segments.areas[i]:
            here[patch] = False
            visible[i] = patch
    label_map = np.zeros(segments.frame_shape, np.int32)
    kept = np.array(sorted(visible), np.int64)
    for label, i in enumerate(kept, 1):
        left, top, right, bottom = segments.boxes_tlbr[i]
        label_map[top:bottom, left:right][visible[i]] = label
    return replace(frame.select(kept), masks=label_map, segments=find_segments(label_map))


def _without(frame, segments, keep):
    """Return a label map without the segments that are not kept."""
    if keep.all():
        return replace(frame, segments=segments)
    label_map = frame.masks.copy()
    for i in np.flatnonzero(~keep):
        left, top, right, bottom = segments.boxes_tlbr[i]
        label_map[top:bottom, left:right][segments.patches[i]] = 0
    kept = frame.select(np.flatnonzero(keep))
    return replace(kept, masks=label_map, segments=segments.select(keep))


def check_lengths(frame: FrameMasks, n: int) -> None:
    """Raise ValueError unless scores, classes and IDs are as many as the segments."""
    for what in ("scores", "classes", "ids"):
        value = getattr(frame, what)
        if value is not None and len(value) != n:
            raise ValueError(f"{what}: expected one for each of {n} masks, got {len(value)}")


def check_size(height: Any, width: Any, where: str) -> None:
    """Raise FormatError unless (height, width) is the size of a picture that fits in memory."""
    whole = all(isinstance(side, (int, np.integer)) and side > 0 for side in (height, width))
    if not whole or int(height) * int(width) > MAX_PIXELS:
        raise FormatError(
            f"{where}: expected a size of at most {MAX_PIXELS:,} pixels, got {width!r}x{height!r}"
        )


def check_frame_shape(
    shape: Sequence[int], frame_shape: Sequence[int] | None, where: str, what: str = "a mask"
) -> None:
    """Raise FormatError unless masks (H, W) are of the frame's size, where that is told."""
    if frame_shape is not None and tuple(shape) != tuple(frame_shape):
        (height, width), (h, w) = frame_shape, shape
        raise FormatError(
            f"{where}: expected {what} of the frame's size {width}x{height}, got {w}x{h}"
        )


def safe_name(name: Any, where: str) -> str:
    """Return the stem of a frame's file name, or refuse a path that leads out of its folder."""
    text = str(name).replace("\\", "/")
    if text.startswith("/") or re.match(r"^[A-Za-z]:", text) or ".." in text.split("/"):
        raise FormatError(f"{where}: refused the path {name!r}, which leads out of its folder")
    return Path(text).stem


def number_names(names: Sequence[str]) -> dict[str, int]:
    """Give frames the number in their names that tells them apart, or else their place in order.

    The last such number counts, whatever follows it; the order is the natural one.

    Examples
    --------
    >>> number_names(["00005", "00010"]), number_names(["b", "a"])
    ({'00005': 5, '00010': 10}, {'a': 0, 'b': 1})
    >>> number_names(["img_007_mask_v2", "img_012_mask_v2"])
    {'img_007_mask_v2': 7, 'img_012_mask_v2': 12}
    """
    runs = [re.findall(r"\d{1,18}", name)[::-1] for name in names]
    for digits in zip(*runs):
        numbers = [int(number) for number in digits]
        if len(set(numbers)) == len(names):
            return dict(zip(names, numbers))
    return {name: i for i, name in enumerate(sorted(names, key=natural_key))}


def files_by_number(
    folder: str | os.PathLike, suffix: str | tuple[str, ...]
) -> tuple[dict[int, Path], dict[str, int]]:
    """Find the files of a folder by frame number, with their names: ({number: path}, names).

    ``suffix`` is one, or a tuple of several.
    """
    folder = Path(folder)
    suffixes = (suffix,) if isinstance(suffix, str) else suffix
    files = {
        path.stem: path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(".")
    }
    if not files:
        raise FormatError(
            f"{folder}: expected files that end in {' or '.join(suffixes)}, there are none"
        )
    names = number_names(list(files))
    return {names[stem]: path for stem, path in files.items()}, names

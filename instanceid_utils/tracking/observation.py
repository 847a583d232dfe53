"""What passes through the tracker: what a frame shows, what that says, what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from instanceid_utils.formats import FrameMasks, from_model
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import Segments, check_frame, find_segments, shared_shares
from instanceid_utils.tracking.candidates import Candidates
from instanceid_utils.tracking.decision import EMPTY, LOW_SCORE, USED, Choice
from instanceid_utils.tracking.shots import FrameChange, signature


class Update(NamedTuple):
    """What `InstanceID.update` found in one frame."""

    ids: np.ndarray  # (N,) int64, in the order of what was given; -1 for what was dropped
    decisions: tuple  # of Decision, in the same order
    shot_cut: bool  # the frame starts a new shot, or has a new size
    relabelled: dict  # provisional ID -> the ID it turned out to be
    split: Mapping = MappingProxyType({})  # new ID -> the ID that was two instances, see `healing`

    def apply(self, detections: Any) -> Any:
        """Write the IDs into the output of a model, where its library has a place for them.

        Parameters
        ----------
        detections : object
            What the update was given: a ``supervision.Detections`` (``tracker_id``), Ultralytics
            ``Results`` (``boxes.id``), Detectron2 ``Instances`` (``track_ids``), a dict of
            torchvision (``ids``), or SAM's list of dicts (``id``).

        Returns
        -------
        object
            The same object.

        Raises
        ------
        ValueError
            If it has another number of objects, or no place for IDs.
        """
        n = _count(detections)
        if n is not None and n != len(self.ids):
            raise ValueError(f"detections: expected {len(self.ids)} objects as updated, got {n}")
        if hasattr(detections, "tracker_id"):
            detections.tracker_id = self.ids.copy()
        elif hasattr(detections, "orig_shape") and getattr(detections, "boxes", None) is not None:
            detections.update(boxes=_with_ids(detections.boxes.data, self.ids))
        elif hasattr(detections, "pred_classes") and hasattr(detections, "set"):
            detections.set("track_ids", self.ids.copy())
        elif isinstance(detections, dict):
            detections["ids"] = self.ids.copy()
        elif isinstance(detections, list) and all(isinstance(d, dict) for d in detections):
            for one, id_ in zip(detections, self.ids.tolist()):
                one["id"] = id_
        else:
            raise ValueError(f"detections: {type(detections).__name__} has no place for IDs")
        return detections


def _count(detections):
    if isinstance(detections, dict):
        return next((len(value) for value in detections.values()), 0)
    return len(detections) if hasattr(detections, "__len__") else None


def _with_ids(data, ids):
    """Put a column of IDs where Ultralytics has it: (N, 7), box, ID, score, class."""
    out = data[:, [0, 1, 2, 3, 4, -2, -1]]  # a copy
    out[:, 4] = data.new_tensor(ids.tolist()) if hasattr(data, "detach") else ids
    return out


class Observation(NamedTuple):
    """What a frame shows, before any decision; without its pixels, so that many can be kept."""

    every: Segments  # without patches
    segments: Segments  # those that are used: with pixels, and a score that is high enough
    vectors: np.ndarray  # (N, D) float32, unit length, one for each of `segments`
    signature: tuple  # of the frame as a whole, see `shots`
    dropped: np.ndarray  # (M,) str, for each of `every`: why it is not used, "" where it is
    scores: np.ndarray | None = None  # (M,) float32
    classes: tuple | None = None  # of length M
    shared: np.ndarray | None = None  # (N,) share of pixels that others hold too; None is 0

    def of_segments(self, values):
        """Pick those of M values that go with `segments`; None stays None."""
        if values is None:
            return None
        return [value for value, why in zip(values, self.dropped) if why == USED]


class View(NamedTuple):
    """All that an update learns from a frame before it changes anything."""

    seen: Observation
    change: FrameChange
    cut: bool
    found: Candidates
    choice: Choice
    provisional: np.ndarray  # (N,) bool
    known: np.ndarray  # (N,) int64, the IDs that are reused, -1 for the others
    merged: np.ndarray  # (N,) bool, see `meetings`
    fragment: np.ndarray  # (N,) bool
    threshold: float  # the one in force

    @property
    def segments(self):
        """The segments that are decided on."""
        return self.seen.segments

    @property
    def shared(self):
        """Share of the pixels of each that other segments hold too, (N,) float64."""
        return np.zeros(len(self.known)) if self.seen.shared is None else self.seen.shared

    @property
    def sure(self):
        """Whose looks alone are below the threshold, (N,) bool."""
        row, column = np.arange(len(self.known)), self.choice.column
        return (column >= 0) & (self.found.distances[row, column] < self.threshold)


def observe(embedder: Any, frame: np.ndarray, masks: Any, min_score: float = 0.0) -> Observation:
    """Find and embed the segments of a frame.

    Parameters
    ----------
    embedder : embedding.Embedder
    frame : ndarray of shape (H, W, 3), uint8
    masks : object
        Integer label map (H, W), bool stack (N, H, W), `Segments`, or whatever else
        `formats.from_model` takes.
    min_score : float
        Objects with a lower score are dropped.

    Returns
    -------
    Observation
    """
    return observe_together(embedder, [(frame, masks)], min_score)[0]


def observe_together(embedder: Any, frames: Sequence, min_score: float = 0.0) -> list:
    """Observe several frames, with all their segments in one batch: less time for each.

    Parameters
    ----------
    embedder : embedding.Embedder
    frames : sequence of (ndarray (H, W, 3) uint8, object)
        Frame and masks, as for `observe`.
    min_score : float

    Returns
    -------
    list of Observation
    """
    found, crops = [], []
    for frame, masks in frames:
        given, every = _find(frame, masks)
        check_frame(frame, every.frame_shape)
        dropped = np.where(every.areas > 0, USED, EMPTY).astype("<U9")
        if given.scores is not None:
            dropped[(given.scores < min_score) & (every.areas > 0)] = LOW_SCORE
        segments = every.select(np.flatnonzero(dropped == USED))
        crops.append(cut_crops(frame, segments, embedder.crop_size, embedder.margin))
        bare = (replace(part, patches=()) for part in (every, segments))
        # Segments of a label map share no pixels.
        shared = None if np.ndim(given.masks) == 2 else shared_shares(segments)
        found.append((*bare, signature(frame), dropped, given.scores, given.classes, shared))
    vectors = np.zeros((0, embedder.dim), np.float32)
    if any(map(len, crops)):
        vectors = embedder.embed_crops(np.concatenate(crops))
    ends = np.cumsum([len(part) for part in crops])
    parts = np.split(vectors, ends[:-1])
    return [
        Observation(every, segments, part, *rest)
        for (every, segments, *rest), part in zip(found, parts)
    ]


def _find(frame, masks):
    """Return what was given as `FrameMasks`, and its segments."""
    if isinstance(masks, Segments):
        return FrameMasks(0, None), masks
    if _is_plain(frame, masks):
        return FrameMasks(0, masks), find_segments(masks)
    if not isinstance(masks, FrameMasks) or masks.segments is None:
        check_frame(frame)
        masks = from_model(masks, 0, frame.shape[:2])
    return masks, masks.find_segments(frame.shape[:2])


def _is_plain(frame, masks):
    """Whether it is an array that `find_segments` takes as it is: the way of most updates."""
    if not isinstance(masks, np.ndarray):
        return False
    if masks.ndim == 2 and masks.dtype.kind in "iu":
        boxes = masks.shape[1] == 4 and np.ndim(frame) == 3 and frame.shape[1] != 4
        return not boxes
    return masks.ndim == 3 and masks.dtype == bool and masks.shape[1:] == np.shape(frame)[:2]

"""What passes through the tracker: what a frame shows, what that says, what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import Segments, check_frame, find_segments
from instanceid_utils.tracking.candidates import Candidates
from instanceid_utils.tracking.decision import Choice
from instanceid_utils.tracking.shots import FrameChange, signature


class Update(NamedTuple):
    """What `InstanceID.update` found in one frame."""

    ids: np.ndarray  # (N,) int64, in order of increasing label or of the mask stack
    decisions: tuple  # of Decision, in the same order
    shot_cut: bool  # the frame starts a new shot, or has a new size
    relabelled: dict  # provisional ID -> the ID it turned out to be


class Observation(NamedTuple):
    """What a frame shows, before any decision; without its pixels, so that many can be kept."""

    every: Segments  # without patches
    segments: Segments  # those that have pixels
    vectors: np.ndarray  # (N, D) float32, unit length, one for each of `segments`
    signature: tuple  # of the frame as a whole, see `shots`


class View(NamedTuple):
    """All that an update learns from a frame before it changes anything."""

    every: Segments
    segments: Segments  # without those that have no pixels
    vectors: np.ndarray
    change: FrameChange
    cut: bool
    found: Candidates
    choice: Choice
    provisional: np.ndarray  # (N,) bool


def observe(embedder: Any, frame: np.ndarray, masks: np.ndarray | Segments) -> Observation:
    """Find and embed the segments of a frame.

    Parameters
    ----------
    embedder : embedding.Embedder
    frame : ndarray of shape (H, W, 3), uint8
    masks : ndarray
        Integer label map (H, W) or bool stack (N, H, W).

    Returns
    -------
    Observation
    """
    return observe_together(embedder, [(frame, masks)])[0]


def observe_together(embedder: Any, frames: Sequence) -> list:
    """Observe several frames, with all their segments in one batch: less time for each.

    Parameters
    ----------
    embedder : embedding.Embedder
    frames : sequence of (ndarray (H, W, 3) uint8, ndarray)
        Frame and masks, as for `observe`.

    Returns
    -------
    list of Observation
    """
    found, crops = [], []
    for frame, masks in frames:
        every = find_segments(masks)
        check_frame(frame, every.frame_shape)
        segments = every.select(np.flatnonzero(every.areas))
        crops.append(cut_crops(frame, segments, embedder.crop_size, embedder.margin))
        found.append((replace(every, patches=()), replace(segments, patches=()), signature(frame)))
    vectors = np.zeros((0, embedder.dim), np.float32)
    if any(map(len, crops)):
        vectors = embedder.embed_crops(np.concatenate(crops))
    ends = np.cumsum([len(part) for part in crops])
    parts = np.split(vectors, ends[:-1])
    return [
        Observation(every, segments, part, look)
        for (every, segments, look), part in zip(found, parts)
    ]

"""What passes through the tracker: what a frame shows, what that says, what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from instanceid_utils.candidates import Candidates
from instanceid_utils.decision import Choice
from instanceid_utils.segments import Segments, check_frame, cut_crops, find_segments
from instanceid_utils.shots import Look, signature


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
    look: Look
    cut: bool
    found: Candidates
    choice: Choice
    provisional: np.ndarray  # (N,) bool


def observe(embedder, frame, masks):
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
    every = find_segments(masks)
    check_frame(frame, every.frame_shape)
    segments = every.select(np.flatnonzero(every.areas))
    vectors = np.zeros((0, embedder.dim), np.float32)
    if len(segments):
        crops = cut_crops(frame, segments, embedder.crop_size, embedder.margin)
        vectors = embedder.embed_crops(crops)
    bare = (replace(part, patches=()) for part in (every, segments))
    return Observation(*bare, vectors, signature(frame))

"""Track what a model found, and judge the IDs by what it should have found.

The detections come from the simulated model of `mask_faults`, or from files: the boxes that a
detector found in a real video. Either way a video is observed once; each tracker then decides on
the same observations, and is scored by the overlaps of its detections with the true objects.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from instanceid_utils.evaluation.identity import IdentityScorer
from instanceid_utils.evaluation.mask_faults import MaskFaults, simulate
from instanceid_utils.evaluation.overlaps import Overlaps, box_overlaps, mask_overlaps
from instanceid_utils.evaluation.repeated_decisions import replay
from instanceid_utils.evaluation.whole_boxes import WholeBoxes
from instanceid_utils.formats import FormatError, FrameMasks, read_masks
from instanceid_utils.formats.frame_masks import MIN_SCORE
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.abstention import final_id
from instanceid_utils.tracking.observation import Observation, observe
from instanceid_utils.tracking.second_look.joining import look_again
from instanceid_utils.tracking.second_look.sightings import make_sightings
from instanceid_utils.tracking.second_look.whole_video import deal
from instanceid_utils.video.reader import read_video


class Watched(NamedTuple):
    """A frame as a model saw it, and how far that is true."""

    observation: Observation
    overlaps: Overlaps | None  # None where nobody knows the truth


def watch(embedder, stream: Iterable, faults: MaskFaults, rng: np.random.Generator) -> list:
    """Observe a video of a regime through a model that errs.

    Parameters
    ----------
    embedder : embedding.Embedder
    stream : iterable of (ndarray (H, W, 3) uint8, ndarray (H, W) int)
        Frames, and label maps of the true identities.
    faults : MaskFaults
        Boxes are judged by the IoU with those of the whole objects, masks by that of masks.
    rng : numpy.random.Generator

    Returns
    -------
    list of Watched
    """
    watched, whole = [], WholeBoxes()
    for frame, label_map, found in simulate(stream, faults, rng):
        if faults.boxes:
            truth, _ = whole.observe(find_segments(label_map))
            overlaps = box_overlaps(truth.labels, truth.boxes_tlbr, found.boxes_tlbr)
        else:
            overlaps = mask_overlaps(label_map, found)
        watched.append(Watched(observe(embedder, frame, found), overlaps))
    return watched


def watch_boxes(
    embedder,
    video,
    detections: str | os.PathLike,
    truth: str | os.PathLike,
    *,
    first: int = 1,
    last: int | None = None,
    min_score: float = MIN_SCORE,
) -> list:
    """Observe a video through the boxes that a detector found in it.

    Parameters
    ----------
    embedder : embedding.Embedder
    video : path-like
        See `video.read_video`.
    detections, truth : path-like
        MOT-Challenge text, see `formats.mot`: boxes with scores, and boxes with IDs. Frames that
        do not stand in ``truth`` are tracked, not judged.
    first, last : int
        Frames to watch, counted from 1 as in the files; to the end by default.
    min_score : float
        Boxes with a lower score are left out.

    Returns
    -------
    list of Watched

    Raises
    ------
    FormatError
        If a file is damaged, or ``truth`` says nothing about these frames.
    """
    found, known = read_masks(detections, "mot"), read_masks(truth, "mot")
    watched = []
    for frame in read_video(video, start=first - 1, stop=last):
        number = frame.index + 1
        boxes = found.get(number) or FrameMasks(number, None, boxes=np.zeros((0, 4)))
        if boxes.scores is not None:
            boxes = boxes.select(np.flatnonzero(boxes.scores >= min_score))
        overlaps = _compare(known[number], boxes, truth) if number in known else None
        watched.append(Watched(observe(embedder, frame.image, boxes), overlaps))
    if all(one.overlaps is None for one in watched):
        raise FormatError(f"{Path(truth)}: expected lines for frames from {first} on")
    return watched


def _compare(truth, boxes, path):
    if truth.ids is None:
        raise FormatError(f"{path}: frame {truth.number}: expected IDs of 1 or more")
    return box_overlaps(truth.ids, truth.boxes, boxes.boxes)


def final_ids(tracker, observations: Iterable) -> list:
    """Let a tracker decide on what was observed; return the IDs of each frame when all is over.

    Parameters
    ----------
    tracker : tracking.InstanceID or iou_tracker.IouTracker
    observations : iterable of tracking.Observation

    Returns
    -------
    list of ndarray (N,), int64
    """
    updates = replay(tracker, observations)
    renamed = tracker.settle() if hasattr(tracker, "settle") else {}
    return [rename(update.ids, renamed) for update in updates]


def rename(ids: np.ndarray, renamed: dict) -> np.ndarray:
    """Replace provisional IDs by what they turned out to be."""
    return np.array([final_id(i, renamed) for i in ids.tolist()], np.int64)


def refined_ids(tracker, observations: Sequence) -> list:
    """Let a tracker decide on what was observed, and look at it all a second time.

    Parameters
    ----------
    tracker : tracking.InstanceID
    observations : sequence of tracking.Observation

    Returns
    -------
    list of ndarray (N,), int64
    """
    updates = replay(tracker, observations)
    renamed = tracker.settle()
    ids = [rename(update.ids, renamed) for update in updates]
    shots = np.cumsum([update.shot_cut for update in updates])
    sightings = np.concatenate(
        [make_sightings(i, *seen) for i, seen in enumerate(zip(shots, ids, observations))]
    )
    found = look_again(sightings, tracker.threshold, evidence=tracker.evidence)
    return deal(ids, found.ids)


def score_watched(answer: Callable, videos: Iterable[Sequence], scorer=None) -> IdentityScorer:
    """Score the IDs given to what was watched.

    Parameters
    ----------
    answer : callable
        ``answer(observations)`` returns the IDs of each frame, as `final_ids` of a new tracker.
    videos : iterable of list of Watched
    scorer : IdentityScorer, optional
        Where to add the frames.

    Returns
    -------
    IdentityScorer
        Which also knows purity and the bound.
    """
    scorer = scorer or IdentityScorer()
    for watched in videos:
        scorer.new_video()
        ids = answer([one.observation for one in watched])
        for one, given in zip(watched, ids):
            if one.overlaps is not None:
                scorer.add_overlaps(one.overlaps, given)
    return scorer

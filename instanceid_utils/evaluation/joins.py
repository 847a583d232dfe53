"""How right the identities of many videos are, taken together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from instanceid_utils.evaluation.identity import assigned_idf1
from instanceid_utils.formats import read_masks


class JoinScores(NamedTuple):
    """What `score_joins` counts.

    A sighting is an ID in a video; its true identity is the one that it shows in most frames.
    """

    IDF1: float  # over all frames of all videos
    n_ids: int
    n_true: int
    false_joins: int  # pairs of sightings with one ID that are two identities
    false_splits: int  # pairs of sightings with two IDs that are one identity
    true_of: dict  # (video, ID) -> true identity, 0 for none


def score_joins(
    given: Mapping[str, str | os.PathLike],
    truth: Mapping[str, str | os.PathLike],
    *,
    joined: bool = True,
) -> JoinScores:
    """Compare the masks that trackers wrote of many videos with the true ones.

    Parameters
    ----------
    given, truth : mapping of str to path-like
        Masks of each video (see `formats.read_masks`), of equal pixels but for what was left out.
        True labels are the same in all videos.
    joined : bool
        Whether an ID means the same in all videos; False takes those of each for others.

    Raises
    ------
    ValueError
        If the videos differ.
    """
    if set(given) != set(truth):
        raise ValueError(
            f"expected masks and truth of the same videos: {sorted(given)}, {sorted(truth)}"
        )
    both: Counter = Counter()  # (video, ID, true identity) -> frames
    n_true_frames: Counter = Counter()
    for video in given:
        masks, right = read_masks(given[video]), read_masks(truth[video])
        for frame, true in right.items():
            labels = true.masks
            n_true_frames.update(np.unique(labels[labels > 0]).tolist())
            if frame in masks:
                both.update((video, *pair) for pair in _shown(masks[frame].masks, labels))
    true_of = _majority(both)
    called = {end: end[1] if joined else end for end in true_of}
    pairs = [
        (called[a] == called[b], true_of[a] == true_of[b] != 0)
        for a, b in combinations(sorted(true_of), 2)
    ]
    shared: Counter = Counter()
    for (video, id_, true), n in both.items():
        if true:
            shared[true, called[video, id_]] += n
    return JoinScores(
        assigned_idf1(shared, sum(n_true_frames.values()), sum(both.values())),
        len(set(called.values())),
        len(n_true_frames),
        sum(joined_ and not same for joined_, same in pairs),
        sum(same and not joined_ for joined_, same in pairs),
        true_of,
    )


def _shown(ids, labels):
    """Yield each ID of a frame with the label that most of its pixels have."""
    for id_ in np.unique(ids[ids > 0]).tolist():
        yield id_, int(np.bincount(labels[ids == id_]).argmax())


def _majority(both):
    true_of: dict = {}
    for (video, id_, true), n in both.items():
        end = video, id_
        if end not in true_of or (n, -true) > (both[(*end, true_of[end])], -true_of[end]):
            true_of[end] = true
    return true_of

"""Observe a video once, then decide on it as often as you like.

To decode and embed a frame costs far more than to decide on it. What was observed holds no
pixels, so whole videos can be kept and tracked again: with another threshold, another rule, or
by another tracker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from instanceid_utils.evaluation.identity import IdentityScorer, score_table
from instanceid_utils.tracking.abstention import final_id
from instanceid_utils.tracking.observation import observe
from instanceid_utils.tracking.tracker import InstanceID


def record(embedder, stream: Iterable) -> list:
    """Observe every frame of a stream.

    Parameters
    ----------
    embedder : embedding.Embedder
    stream : iterable of (ndarray (H, W, 3) uint8, ndarray)
        Frame, and masks as `tracking.InstanceID.update` takes them.

    Returns
    -------
    list of tracking.Observation
        A few kilobytes each.
    """
    return [observe(embedder, frame, masks) for frame, masks in stream]


def replay(tracker, observations: Iterable) -> list:
    """Let a tracker decide on what was observed, frame by frame.

    Parameters
    ----------
    tracker : tracking.InstanceID or iou_tracker.IouTracker
        Goes on from where it stands.
    observations : iterable of tracking.Observation

    Returns
    -------
    list of tracking.Update or iou_tracker.IouUpdate
        With the final IDs: what was provisional in a frame and is settled later (abstention)
        has its later value.
    """
    updates, renamed = [], {}
    for observation in observations:
        updates.append(tracker.decide(observation))
        renamed.update(getattr(updates[-1], "relabelled", {}))
    if not renamed:
        return updates
    for update in updates:  # arrays of their own, nobody else holds them
        update.ids[:] = [final_id(i, renamed) for i in update.ids.tolist()]
    return updates


def score_updates(observations: Sequence, updates: Sequence, scorer=None):
    """Compare the IDs given with the labels of the masks, taken as true identities.

    Parameters
    ----------
    observations : sequence of tracking.Observation
    updates : sequence of tracking.Update or iou_tracker.IouUpdate
        From `replay`.
    scorer : evaluation.IdentityScorer, optional
        Where to add the frames.

    Returns
    -------
    evaluation.IdentityScorer
    """
    scorer = scorer or IdentityScorer()
    for observation, update in zip(observations, updates):
        scorer.add_ids(observation.every.labels, update.ids)
    return scorer


def mistakes(observations, updates) -> dict:
    """Count what a threshold trades: new IDs for known instances, known IDs for others.

    An ID belongs to the instance that it was given to first.

    Parameters
    ----------
    observations, updates
        As for `score_updates`.

    Returns
    -------
    dict of str to int
        ``newcomers``: instances seen for the first time, of which ``false_reuse`` got the ID of
        another one. ``known``: segments of instances seen before, of which ``false_new`` got a
        new ID and ``wrong_id`` that of another instance.
    """
    counts = dict.fromkeys(("newcomers", "false_reuse", "known", "false_new", "wrong_id"), 0)
    seen, owner = set(), {}
    for observation, update in zip(observations, updates):
        pairs = zip(observation.every.labels.tolist(), update.ids.tolist())
        for truth, given in [(t, g) for t, g in pairs if g > 0]:
            new_id = given not in owner
            wrong = owner.setdefault(given, truth) != truth
            if truth in seen:
                counts["known"] += 1
                counts["false_new"] += new_id
                counts["wrong_id"] += wrong
            else:
                counts["newcomers"] += 1
                counts["false_reuse"] += wrong
            seen.add(truth)
    return counts


def contest(observations: Sequence, make_trackers: dict) -> pd.DataFrame:
    """Let several trackers decide on the same observations, and put their scores side by side.

    Parameters
    ----------
    observations : sequence of tracking.Observation
    make_trackers : dict of str to callable
        Each makes a new tracker.

    Returns
    -------
    pandas.DataFrame
        One row a tracker, see `evaluation.score_table`.
    """
    return score_table(
        {
            name: score_updates(observations, replay(make(), observations))
            for name, make in make_trackers.items()
        }
    )


def sweep(observations: Sequence, embedder, thresholds: Iterable, **settings) -> pd.DataFrame:
    """Track again with one threshold after the other, and count the mistakes.

    Parameters
    ----------
    observations : sequence of tracking.Observation
    embedder : embedding.Embedder
    thresholds : iterable of float
        L2, not squared.
    **settings
        As for `tracking.InstanceID`.

    Returns
    -------
    pandas.DataFrame
        One row a threshold, with the counts of `mistakes` and as shares ``false_reuse_rate`` (of
        newcomers), ``false_new_rate`` and ``wrong_id_rate`` (of known ones).
    """
    rows = {
        at: mistakes(
            observations, replay(InstanceID(embedder, threshold=at, **settings), observations)
        )
        for at in thresholds
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("threshold")
    table["false_reuse_rate"] = table.false_reuse / table.newcomers
    table["false_new_rate"] = table.false_new / table.known
    table["wrong_id_rate"] = table.wrong_id / table.known
    return table

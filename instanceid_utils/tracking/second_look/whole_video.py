"""A whole video in one call: tracked, looked at again, and told by its final IDs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from instanceid_utils.tracking.abstention import final_id
from instanceid_utils.tracking.second_look.joining import look_again
from instanceid_utils.tracking.second_look.regrouping import regroup
from instanceid_utils.tracking.second_look.sightings import make_sightings, sighting_dtype
from instanceid_utils.tracking.tracker import InstanceID


@dataclass(frozen=True, eq=False)
class TrackedVideo:
    """What `track` found; lists have an entry for each frame, in the order given.

    Attributes
    ----------
    ids : list of ndarray of shape (N,), int64
        Final IDs of what was given; -1 for what was dropped.
    decisions : list of tuple of Decision
        Why, in the same order. ``id`` is the final one; distances and neighbours are those that
        the first look saw.
    first_ids : list of ndarray of shape (N,), int64
        IDs of the first look; ``ids`` itself where there was no second one.
    shot_cuts : list of int
        Frames that start a new shot.
    n_cuts, n_joined : int
        How many times the second look parted an ID in two, and how many IDs are now part of
        another one.
    tracker : InstanceID
        As it stands after the video, to go on with the next one; its gallery has the final IDs.
    """

    ids: list
    decisions: list
    first_ids: list
    shot_cuts: list
    n_cuts: int
    n_joined: int
    tracker: InstanceID

    @property
    def changed(self) -> list:
        """What the second look changed in each frame: dict of first to final ID."""
        return [
            {a: b for a, b in zip(before.tolist(), after.tolist()) if a != b}
            for before, after in zip(self.first_ids, self.ids)
        ]

    def __len__(self) -> int:
        return len(self.ids)


def track(
    frames_and_masks: Iterable, embedder: Any = None, *, refine: bool = True, **options: Any
) -> TrackedVideo:
    """Give every object of a video its ID, in the light of the whole video.

    Parameters
    ----------
    frames_and_masks : iterable of (ndarray (H, W, 3) uint8, object)
        RGB frames, each with its masks or boxes in any form that `InstanceID.update` takes. It
        is gone through once; of each object some 600 bytes are kept, and no pixels.
    embedder : embedding.Embedder, optional
        The shipped one by default.
    refine : bool
        Look again at the end: part IDs whose looks change for good, join those that are one; see
        `second_look`. False leaves what each frame gave.
    **options
        Of `InstanceID`: ``threshold``, ``gallery``, ``place_cue``, ``abstain`` and so on.

    Returns
    -------
    TrackedVideo

    Raises
    ------
    ValueError
        For a frame or masks of another form; it says which frame.

    Examples
    --------
    >>> found = track(your_segmented_video)                                    # doctest: +SKIP
    >>> for (frame, masks), ids in zip(your_segmented_video, found.ids): ...   # doctest: +SKIP
    """
    if embedder is None:
        from instanceid_utils.embedding.embedder import Embedder

        embedder = Embedder.pretrained()
    tracker = InstanceID(embedder, **options)
    known = tracker.gallery.ids
    updates, sightings = _first_look(tracker, frames_and_masks, refine)
    ids = [update.ids for update in updates]
    first, n_cuts, n_joined = ids, 0, 0
    if refine:
        found = look_again(
            sightings,
            tracker.threshold,
            new_id=tracker.gallery.new_id,
            known=known,
            evidence=tracker.evidence,
        )
        n_cuts, n_joined = found.n_cuts, found.n_joined
        ids = deal(ids, found.ids)
        regroup(tracker, sightings, found.ids)
    decisions = [
        tuple(replace(d, id=i, provisional=False) for d, i in zip(update.decisions, now.tolist()))
        for update, now in zip(updates, ids)
    ]
    cuts = [t for t, update in enumerate(updates) if update.shot_cut]
    return TrackedVideo(ids, decisions, first, cuts, n_cuts, n_joined, tracker)


def _first_look(tracker, frames_and_masks, refine):
    """Return the updates with settled IDs, and the sightings."""
    updates, sightings, renamed, shot = [], [], {}, 0
    for t, pair in enumerate(frames_and_masks):
        try:
            frame, masks = pair
            seen = tracker.observe(frame, masks)
            tracker._channel_order.look(frame, masks, seen.vectors, tracker)
            update = tracker.decide(seen)
        except (ValueError, TypeError) as error:
            raise ValueError(f"frame {t} (from 0): {error}") from error
        renamed.update(update.relabelled)
        shot += bool(update.shot_cut)
        updates.append(update)
        if refine:
            sightings.append(make_sightings(t, shot, update.ids, seen))
    renamed.update(tracker.settle())
    together = np.concatenate([np.zeros(0, sighting_dtype(tracker.embedder.dim)), *sightings])
    if renamed:
        for ids in (*(update.ids for update in updates), together["id"]):
            ids[:] = [final_id(i, renamed) for i in ids.tolist()]
    return updates, together


def deal(ids: Iterable, final: np.ndarray) -> list:
    """Deal the final IDs of all sightings to the frames that they are in."""
    out, start = [], 0
    for given in ids:
        now, start = deal_one(given, final, start)
        out.append(now)
    return out


def deal_one(ids: np.ndarray, final: np.ndarray, start: int) -> tuple[np.ndarray, int]:
    """Give a frame its final IDs, the ``start``-th and on of all; and where the next begin."""
    now, seen = ids.copy(), ids > 0
    stop = start + int(seen.sum())
    now[seen] = final[start:stop]
    return now, stop

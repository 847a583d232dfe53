"""Tracks: what the archive keeps of each local ID of a video, to join it with those of others."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from instanceid_utils.atomic_files import replacing
from instanceid_utils.tracking.second_look.joining import N_VIEWS
from instanceid_utils.tracking.second_look.sightings import good_views, spread


@dataclass(frozen=True, eq=False)
class Tracks:
    """The local IDs of one video, n of them, by increasing ID.

    Attributes
    ----------
    local_id : ndarray of shape (n,), int64
    kind : ndarray of shape (n,), int64
        Stands for the class; 0 for none.
    confirmed : ndarray of shape (n,), bool
        Whether it was seen well enough to be found again; see `app.outputs`.
    n_frames, first_frame, last_frame : ndarray of shape (n,), int64
    first_time, last_time : ndarray of shape (n,), float64
        Seconds in the video.
    runs : ndarray of shape (r, 3), int64
        Row, first and last frame (both included) of every stretch in which it is seen.
    view_row, view_frame : ndarray of shape (v,), int64
        Whose each view is, and when.
    view_box_tlbr : ndarray of shape (v, 4), int32
    views : ndarray of shape (v, D), float16
        Of unit length, by row and then time.
    best_view : ndarray of shape (n,), int64
        The largest good one of each.
    """

    local_id: np.ndarray
    kind: np.ndarray
    confirmed: np.ndarray
    n_frames: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    first_time: np.ndarray
    last_time: np.ndarray
    runs: np.ndarray
    view_row: np.ndarray
    view_frame: np.ndarray
    view_box_tlbr: np.ndarray
    views: np.ndarray
    best_view: np.ndarray

    def __len__(self) -> int:
        return len(self.local_id)

    @classmethod
    def of(
        cls, sightings: np.ndarray, ids: np.ndarray, fps: float, unconfirmed: Collection = ()
    ) -> Tracks:
        """Sum up a tracked video.

        Parameters
        ----------
        sightings : ndarray of shape (n,), of `tracking.sighting_dtype`
            In the order of the video; may be a memory map.
        ids : ndarray of shape (n,), int64
            Final IDs.
        fps : float
        unconfirmed : collection of int
            IDs that are not confirmed.
        """
        order = np.argsort(ids, kind="stable")
        local_id, starts = np.unique(ids[order], return_index=True)
        parts = [
            _summed_up(sightings, rows)
            for rows in (np.split(order, starts[1:]) if len(ids) else [])
        ]
        counts = np.array([len(part.chosen) for part in parts], np.int64)
        numbers = np.array([part.numbers for part in parts], np.int64).reshape(-1, 5)
        kind, n_frames, first_frame, last_frame, best = numbers.T
        chosen = np.concatenate([np.zeros(0, np.int64), *(part.chosen for part in parts)])
        runs = [(row, *run) for row, part in enumerate(parts) for run in part.runs]
        seen = sightings[chosen]
        views = seen["vector"].astype(np.float32)
        views /= np.maximum(np.linalg.norm(views, axis=1, keepdims=True), 1e-9)
        return cls(
            local_id=local_id.astype(np.int64),
            kind=kind,
            confirmed=~np.isin(local_id, list(unconfirmed)),
            n_frames=n_frames,
            first_frame=first_frame,
            last_frame=last_frame,
            first_time=first_frame / fps,
            last_time=last_frame / fps,
            runs=np.array(runs, np.int64).reshape(-1, 3),
            view_row=np.repeat(np.arange(len(parts)), counts),
            view_frame=seen["frame"].astype(np.int64),
            view_box_tlbr=seen["box_tlbr"].astype(np.int32),
            views=views.astype(np.float16),
            best_view=np.cumsum(counts) - counts + best,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Write them to a file, whole or not at all."""
        with replacing(path) as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tracks:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is damaged, or another one.
        OSError
            If it cannot be read.
        """
        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                return cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: no tracks of a video, or damaged ({error})") from error


class _Summary(NamedTuple):
    chosen: np.ndarray  # rows of the sightings whose views are kept
    numbers: tuple  # kind, n_frames, first and last frame, which of the chosen is the best
    runs: list  # first and last frame of each stretch


def _summed_up(sightings, rows):
    track = sightings[rows]
    frames = np.unique(track["frame"].astype(np.int64))
    kinds, counts = np.unique(track["kind"], return_counts=True)
    good = np.flatnonzero(good_views(track))
    good = good if len(good) else np.arange(len(rows))
    best = good[track["area"][good].argmax()]
    chosen = np.union1d(spread(good, N_VIEWS), best)
    breaks = np.flatnonzero(np.diff(frames) > 1)
    runs = zip(frames[np.append(0, breaks + 1)], frames[np.append(breaks, len(frames) - 1)])
    numbers = kinds[counts.argmax()], len(frames), frames[0], frames[-1]
    return _Summary(rows[chosen], (*numbers, np.searchsorted(chosen, best)), list(runs))

"""A population of generated identities: crops of each from several shots, kept in a cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from instanceid_utils.atomic_files import replacing
from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.synthetic.crowd_views import draw_crowd_views
from instanceid_utils.synthetic.parallel import in_processes
from instanceid_utils.synthetic.tracklets import draw_tracklets

_STREET = 12  # outfits
BLOCK = 400  # identities in a file of the cache
GAP = 20  # frames between two views of a tracklet, as the retrieval rule counts them


def population(
    n_identities: int,
    n_views: int,
    seed: int,
    cache: str | os.PathLike,
    *,
    workers=2,
    progress=True,
    keep_background=False,
):
    """Draw a population of generated identities, or read what an earlier call drew.

    Parameters
    ----------
    n_identities, n_views, seed : int
        See ``synthetic.tracklets.draw_tracklets``.
    cache : path
        Folder for the crops, in blocks, each written whole.
    workers, progress, keep_background
        See ``synthetic.tracklets``.

    Returns
    -------
    SegmentSet
        Each shot of an identity is a sequence.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, n_identities, BLOCK):
        count = min(BLOCK, n_identities - first)
        kind = "kept" if keep_background else "population"
        path = cache / f"{kind}-{seed}-{first}-{count}x{n_views}.npz"
        if not path.exists():
            crops, clips = draw_tracklets(
                count,
                n_views,
                seed,
                first=first,
                workers=workers,
                progress=progress,
                keep_background=keep_background,
            )
            with replacing(path) as file:
                np.savez(file, crops=crops, clips=clips)
        with np.load(path, allow_pickle=False) as block:
            parts.append((block["crops"], block["clips"]))
    crops = np.concatenate([c for c, _ in parts])
    clips = np.concatenate([k for _, k in parts])
    identities = np.repeat(np.arange(n_identities) + seed * 1_000_000, n_views)
    return SegmentSet(
        crops=crops.reshape(-1, *crops.shape[2:]),
        identities=identities,
        sequences=identities * 16 + clips.ravel(),
        frames=np.tile(np.arange(n_views) * GAP, n_identities),
    )


def crowd_population(
    n_crowds: int,
    n_views: int,
    seed: int,
    cache: str | os.PathLike,
    *,
    workers: int = 2,
    progress: bool = True,
) -> SegmentSet:
    """Draw the walkers of crowds as detectors box them, or read what an earlier call drew.

    Parameters
    ----------
    n_crowds, n_views, seed : int
        Every second crowd is dressed in teams, the others as in a street; see
        `crowd_views.draw_crowd_views`.
    cache : path
        Folder for the crops, all in one file, written whole.
    workers : int
        Processes.
    progress : bool
        Show a bar.

    Returns
    -------
    SegmentSet
        Each walker is a sequence; those of one crowd are numbered side by side.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"crowds-{seed}-{n_crowds}x{n_views}.npy"
    if not path.exists():
        jobs = [(seed, number, n_views) for number in range(n_crowds)]
        drawn = list(in_processes(_crowd, jobs, workers, "crowds", progress))
        with replacing(path) as file:
            np.save(file, np.concatenate(drawn))
    crops = np.load(path, allow_pickle=False)
    identities = np.repeat(np.arange(len(crops)) + seed * 1_000_000 + 500_000, n_views)
    return SegmentSet(
        crops=crops.reshape(-1, *crops.shape[2:]),
        identities=identities,
        sequences=identities * 16,
        frames=np.tile(np.arange(n_views) * GAP, len(crops)),
    )


def _crowd(job):
    seed, number, n_views = job
    return draw_crowd_views([seed, number], n_views, n_outfits=None if number % 2 else _STREET)

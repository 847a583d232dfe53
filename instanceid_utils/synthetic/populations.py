"""A population of generated identities: crops of each from several shots, kept in a cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from instanceid_utils.atomic_files import replacing
from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.synthetic.tracklets import draw_tracklets

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

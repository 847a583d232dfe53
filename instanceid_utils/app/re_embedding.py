"""Carry the IDs of tracked videos over to other weights: a gallery made anew of their results.

Vectors of different weights cannot be compared, so a gallery ends with its weights. What it knew
is still in the results: who is where in which frame. Those masks and the video give new vectors.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.app.mask_feed import MaskFeed
from instanceid_utils.app.outputs import SUMMARY
from instanceid_utils.formats import FormatError
from instanceid_utils.gallery.file_lock import locked
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.json_files import read_json
from instanceid_utils.tracking.observation import observe
from instanceid_utils.tracking.second_look.sightings import (
    good_views,
    make_sightings,
    sighting_dtype,
)
from instanceid_utils.video.reader import video_info

_WITH_IDS = ("masks", "mots.txt", "youtube_vis.json", "mot.txt")  # the best first


def re_embed(
    results: str | os.PathLike,
    gallery: str | os.PathLike,
    *,
    embedder: Any,
    video: str | os.PathLike | None = None,
    progress: bool = True,
) -> Gallery:
    """Put the IDs of a tracked video into a gallery of other weights.

    Parameters
    ----------
    results : path-like
        Folder of `track_video`, with at least one of ``masks/``, ``mots.txt``,
        ``youtube_vis.json`` and ``mot.txt``.
    gallery : path-like
        File to write. One that is there and was made with the embedder's weights is gone on
        with: several videos can be put into one.
    embedder : embedding.Embedder
        The new weights.
    video : path-like, optional
        Where the video is now; by default where it was.
    progress : bool
        Show a bar.

    Returns
    -------
    Gallery
        With the views of each ID that show it as it mostly is; unconfirmed IDs are left out.

    Raises
    ------
    FileNotFoundError
        If the results are not there.
    FormatError, VideoError, ValueError
        If they hold no IDs, the video cannot be read, or the gallery was made with other
        weights. The gallery's
        file is as it was then.
    """
    results = Path(results)
    summary = _summary(results)
    masks = next((results / name for name in _WITH_IDS if (results / name).exists()), None)
    if masks is None:
        raise FormatError(
            f"{results}: expected one of {', '.join(_WITH_IDS)}, to know who is where"
        )
    source = str(summary["source"] if video is None else video)
    with locked(gallery):
        known = _opened(gallery, embedder)
        feed = MaskFeed(source, video_info(source), masks, clean={"min_area": 1, "min_score": 0.0})
        bar = tqdm(feed.frames(), desc=results.name, unit="frame", disable=not progress)
        sightings = [_sightings(embedder, frame, found, masks) for frame, found in bar]
        left_out = set(summary.get("unconfirmed", ()))
        for id_, vectors in _good(np.concatenate(sightings)) if sightings else ():
            if id_ not in left_out:
                for vector in vectors:
                    known.add([id_], vector[np.newaxis])
        if not len(known):
            raise FormatError(f"{masks}: expected IDs, none is there")
        known.save(gallery)
    return known


def _summary(results):
    try:
        summary = read_json(results / SUMMARY)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{results}: expected a folder of results, with {SUMMARY}"
        ) from None
    if not isinstance(summary, dict) or not isinstance(summary.get("source"), str):
        raise FormatError(f"{results / SUMMARY}: expected to find the video's name as 'source'")
    return summary


def _opened(path, embedder):
    if Path(path).exists():
        return Gallery.load(path, weights_sha256=embedder.weights_sha256)
    return Gallery(
        embedder.dim, weights_sha256=embedder.weights_sha256, threshold=embedder.threshold
    )


def _sightings(embedder, frame, found, path):
    """Note what a frame shows of whom."""
    segments = () if found is None else found.find_segments(frame.image.shape[:2])
    if not len(segments):
        return np.zeros(0, sighting_dtype(embedder.dim))
    ids = found.ids
    if ids is None and np.ndim(found.masks) == 2 and found.boxes is None:
        ids = segments.labels
    if ids is None:
        raise FormatError(f"{path}: frame {found.number}: expected IDs")
    return make_sightings(frame.index, 0, ids, observe(embedder, frame.image, segments))


def _good(sightings) -> Iterable:
    """Yield each ID with those of its vectors that show it well; with all if none does."""
    for id_ in np.unique(sightings["id"]).tolist():
        track = sightings[sightings["id"] == id_]
        good = good_views(track)
        vectors = track["vector"][good if good.any() else slice(None)].astype(np.float32)
        yield id_, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

"""Tracklets for training: many crops of one identity, each from another moment of its clips."""

from __future__ import annotations

from typing import Any

import numpy as np

from instanceid_utils.segments.crops import cut_crops, with_background
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.synthetic.bodies import draw_body, identity_body
from instanceid_utils.synthetic.optics import imperfect_mask
from instanceid_utils.synthetic.parallel import in_processes
from instanceid_utils.synthetic.scenes import Actor, draw_path, draw_scene

_SPAN = 90  # frames of a clip
_MIN_AREA = 60  # pixels; smaller segments are not worth learning from


def _draw_clip(body, rng, side):
    """One shot of the body alone, sometimes with a stranger before it or occluders in front."""
    path = draw_path(rng, size=(0.55, 0.95), aspect=1.0, travel=0.003, span=_SPAN)
    path.place[0] = 0.5 - path.place[1] * _SPAN / 2 + rng.normal(0, 0.06, 2)
    vigour = rng.choice([0.4, 1.0, 1.8], p=(0.3, 0.5, 0.2))
    ragged = rng.uniform(0, 0.4)
    actors = [Actor(1, body, path, float(vigour), float(ragged))]
    if rng.random() < 0.15:
        actors.append(Actor(2, draw_body(rng), draw_path(rng, size=(0.3, 0.7), aspect=1.0)))
    n_occluders = int(rng.choice([0, 1, 2], p=(0.7, 0.2, 0.1)))
    return draw_scene(actors, side, side, rng, n_occluders=n_occluders)


def draw_tracklet(
    body,
    n_views: int,
    rng: np.random.Generator,
    *,
    size: int = 64,
    margin: float = 0.1,
    n_clips: int | None = None,
    keep_background: bool = False,
) -> tuple:
    """Crops of one identity.

    Parameters
    ----------
    body : Body
    n_views : int
    rng : numpy.random.Generator
    size, margin : int, float
        As for ``segments.cut_crops``.
    n_clips : int, optional
        Shots the views are spread over; drawn (mostly 1) unless given.
    keep_background : bool
        Leave what surrounds the segment in its bounding box, instead of grey. For comparison.

    Returns
    -------
    crops : ndarray of shape (n_views, size, size, 4), uint8
        RGBA, see ``segments.cut_crops``.
    clips : ndarray of shape (n_views,), int64
        The shot each crop is from.
    """
    if n_clips is None:
        n_clips = int(rng.choice([1, 2, 3], p=(0.55, 0.3, 0.15)))
    clips = np.sort(np.arange(n_views) % n_clips)
    crops = np.empty((n_views, size, size, 4), np.uint8)
    scene: Any = None
    drawn_for = -1
    for i, clip in enumerate(clips):
        segments: Any = ()
        for attempt in range(20):
            if clip != drawn_for or attempt == 10:
                scene, drawn_for = _draw_clip(body, rng, int(rng.integers(96, 160))), clip
            image, labels = scene.frame(rng.uniform(0, _SPAN), rng)
            mask = imperfect_mask(labels == 1, rng, float(rng.choice([0.0, 0.5, 1.0])))
            if mask.sum() >= _MIN_AREA:
                segments = find_segments(mask.astype(np.uint8))
                break
        if not len(segments):
            raise RuntimeError("a body stayed out of sight in twenty views of two shots")
        crop = cut_crops(image, segments, size, margin)
        if keep_background:
            crop = with_background(crop, image, segments, margin)
        crops[i] = crop[0]
    return crops, clips


def _block(job):
    seed, first, count, n_views, options = job
    crops, clips = [], []
    for identity in range(first, first + count):
        rng = np.random.default_rng([seed, identity])
        body = identity_body(identity, seed)
        c, k = draw_tracklet(body, n_views, rng, **options)
        crops.append(c)
        clips.append(k)
    return np.stack(crops), np.stack(clips)


def draw_tracklets(
    n_identities: int,
    n_views: int,
    seed: int,
    *,
    first: int = 0,
    workers: int = 2,
    progress: bool = True,
    size=64,
    **options,
) -> tuple:
    """Crops of a population of identities, the same for the same seed however many workers.

    Parameters
    ----------
    n_identities, n_views : int
    seed : int
        Names the population: other seeds share no identity with it.
    first : int
        Number of the first identity in the population.
    workers : int
        Processes.
    progress : bool
        Show a bar.
    size, **options
        Of ``draw_tracklet``.

    Returns
    -------
    crops : ndarray of shape (n_identities, n_views, size, size, 4), uint8
    clips : ndarray of shape (n_identities, n_views), int64
    """
    step = 16
    jobs = [
        (seed, first + start, min(step, n_identities - start), n_views, {"size": size, **options})
        for start in range(0, n_identities, step)
    ]
    crops = np.empty((n_identities, n_views, size, size, 4), np.uint8)
    clips = np.empty((n_identities, n_views), np.int64)
    blocks = in_processes(_block, jobs, workers, "tracklets", progress)
    for (_, number, count, *_), (c, k) in zip(jobs, blocks):
        here = slice(number - first, number - first + count)
        crops[here], clips[here] = c, k
    return crops, clips

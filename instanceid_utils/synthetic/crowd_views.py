"""Views of the walkers of a crowd as a detector boxes them: whole, with whoever stands before."""

from __future__ import annotations

import numpy as np

from instanceid_utils.segments.crops import MARGIN, cut_crops
from instanceid_utils.segments.segments import Segments
from instanceid_utils.synthetic.crowd import N_FRAMES, crowd_scene

MIN_VISIBLE = 0.35  # share of a walker below which a detector misses it
_MIN_HEIGHT = 20  # pixels


def draw_crowd_views(
    seed, n_views: int, *, n_times: int = 30, n_outfits: int | None = None, size: int = 64
) -> np.ndarray:
    """Crops of the walkers of one crowd, each from several moments.

    Parameters
    ----------
    seed : int or sequence of int
    n_views : int
        Of each walker; who is seen less often is left out.
    n_times : int
        Moments of the video that are looked at, evenly spread.
    n_outfits : int, optional
        See `crowd.draw_crowd`.
    size : int
        Side of a crop in pixels.

    Returns
    -------
    ndarray of shape (n_walkers, n_views, size, size, 4), uint8
        RGB as it is in the box of the whole walker, hidden parts and all. The fourth channel is
        255 where it is seen, 1 elsewhere in that box, and 0 outside.
    """
    scene, rng = crowd_scene(seed, N_FRAMES, None, n_outfits)
    views: dict[int, list] = {}
    for time in np.linspace(0, N_FRAMES - 1, n_times):
        image, labels = scene.frame(time, rng)
        for actor in scene.actors:
            if any(start <= time < end for start, end in actor.absent):
                continue
            crop = _view(image, labels == actor.label, scene.silhouette(actor, time), size)
            if crop is not None:
                views.setdefault(actor.label, []).append(crop)
    often = [np.stack(crops) for _, crops in sorted(views.items()) if len(crops) >= n_views]
    spread = [c[np.linspace(0, len(c) - 1, n_views).round().astype(int)] for c in often]
    return np.stack(spread) if spread else np.zeros((0, n_views, size, size, 4), np.uint8)


def _view(image, seen, whole, size):
    rows, columns = np.flatnonzero(whole.any(1)), np.flatnonzero(whole.any(0))
    if not len(rows) or rows[-1] - rows[0] < _MIN_HEIGHT:
        return None
    if seen.sum() < MIN_VISIBLE * whole.sum():
        return None
    box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.int32)
    left, top, right, bottom = box[0]

    def cut(mask):
        patch = np.ascontiguousarray(mask[top:bottom, left:right])
        area = np.array([patch.sum()], np.int64)
        segments = Segments(image.shape[:2], np.array([1]), box, area, (patch,))
        return cut_crops(image, segments, size, MARGIN)[0]

    crop = cut(np.ones_like(whole))
    crop[..., 3] = np.maximum(cut(seen)[..., 3], (crop[..., 3] > 0).astype(np.uint8))
    return crop

"""Sightings: what a second look at a video needs to know of each segment; no pixels.

A sighting is one segment in one frame: the ID that it was given, its box, its vector in half
precision. Sightings are records of a fixed size, in the order of the video, so they can be kept in
memory or in a file that is looked into like an array.
"""

from __future__ import annotations

import zlib

import numpy as np
from scipy.ndimage import median_filter

from instanceid_utils.tracking.habits import at_border, covered_share
from instanceid_utils.tracking.observation import Observation

_HABIT = 15  # sightings before and after one that say what is usual for its instance
_MIN_AREA, _MIN_AREA_AT_BORDER, _MAX_COVERED = 0.5, 0.8, 0.3  # as `habits.Habits` has them


def sighting_dtype(dim: int) -> np.dtype:
    """Return the type of a record, for vectors of length ``dim``."""
    return np.dtype(
        [
            ("frame", "<i4"),
            ("shot", "<i4"),  # counts up with every cut
            ("id", "<i8"),
            ("box_tlbr", "<i4", 4),
            ("area", "<i8"),  # pixels
            ("covered", "<f4"),  # share of the box that other boxes cover
            ("at_border", "?"),
            ("kind", "<u4"),  # stands for the class; 0 for none
            ("vector", "<f2", dim),
        ]
    )


def make_sightings(frame: int, shot: int, ids: np.ndarray, observation: Observation) -> np.ndarray:
    """Note what was seen in a frame.

    Parameters
    ----------
    frame : int
        Its number in the video.
    shot : int
        Number of the shot that it belongs to.
    ids : ndarray of shape (M,), int64
        From `tracking.Update`: one for each segment that was given, -1 for what was dropped.
    observation : Observation

    Returns
    -------
    ndarray of shape (N,), of `sighting_dtype`
        Of the segments with an ID, in their order.
    """
    segments, vectors = observation.segments, observation.vectors
    given = np.asarray(ids, np.int64)[observation.dropped == ""]
    kinds = observation.of_segments(observation.classes) or [None] * len(given)
    out = np.zeros(len(given), sighting_dtype(vectors.shape[1]))
    out["frame"], out["shot"], out["id"] = frame, shot, given
    out["box_tlbr"], out["area"], out["vector"] = segments.boxes_tlbr, segments.areas, vectors
    out["covered"] = covered_share(segments.boxes_tlbr)
    out["at_border"] = at_border(segments.boxes_tlbr, segments.frame_shape)
    out["kind"] = [0 if kind is None else zlib.crc32(repr(kind).encode()) | 1 for kind in kinds]
    return out[given > 0]


def spread(values: np.ndarray, n: int) -> np.ndarray:
    """Return at most n of some values, evenly spread over them, with the first and the last.

    Examples
    --------
    >>> spread(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    if len(values) <= n:
        return values
    return values[np.linspace(0, len(values) - 1, n).round().astype(np.int64)]


def good_views(track: np.ndarray) -> np.ndarray:
    """Tell which sightings of one ID show it as it mostly is: not cut off, not covered.

    Parameters
    ----------
    track : ndarray of shape (n,), of `sighting_dtype`
        All sightings of an ID, in the order of the video.

    Returns
    -------
    ndarray of shape (n,), bool
        By the rule of `evidence.Evidence`, with what is usual before and after.
    """
    width = min(2 * _HABIT + 1, 2 * len(track) - 1)
    usual_area, usual_cover = (
        median_filter(track[name].astype(np.float32), width, mode="nearest")
        for name in ("area", "covered")
    )
    least = np.where(track["at_border"], _MIN_AREA_AT_BORDER, _MIN_AREA) * usual_area
    return (track["area"] >= least) & (track["covered"] <= usual_cover + _MAX_COVERED)

"""The gallery follows the final IDs: exemplars go with the sighting they came from."""

from __future__ import annotations

import numpy as np

from instanceid_utils.tracking.second_look.regrouping import regroup
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, RED, ColourEmbedder, show
from tests.tracking.second_look.test_tracklets import track_of


def seen_by(tracker):
    """Show red under ID 1 and blue under 2; return sightings that hold their exemplars."""
    for t in range(6):
        show(tracker, (1, RED, 10 + t, 10, 30, 40), (2, BLUE, 100 + t, 10, 30, 40))
    rows = []
    for id_ in (1, 2):
        for vector in tracker.gallery.exemplars(id_)[1]:
            row = np.zeros(1, [*[(n, t) for n, t in _fields()], ("vector", "<f2", 3)])
            row["id"], row["vector"], row["area"] = id_, vector, 1200
            rows.append(row)
    return np.concatenate(rows)


def _fields():
    dtype = track_of((0, 1)).dtype
    return [(name, dtype[name]) for name in dtype.names if name != "vector"]


def test_swapped_ids_swap_their_exemplars():
    tracker = InstanceID(ColourEmbedder())
    sightings = seen_by(tracker)
    red = tracker.gallery.exemplars(1)[1]
    regroup(tracker, sightings, 3 - sightings["id"])
    assert tracker.gallery.ids.tolist() == [1, 2]
    assert np.array_equal(tracker.gallery.exemplars(2)[1], red)
    tracker.gallery.check()


def test_a_joined_id_is_gone_and_its_views_are_not():
    tracker = InstanceID(ColourEmbedder())
    sightings = seen_by(tracker)
    n = tracker.gallery.n_vectors
    regroup(tracker, sightings, np.ones(len(sightings), np.int64))
    assert tracker.gallery.ids.tolist() == [1] and tracker.gallery.n_vectors == n


def test_nothing_changed_is_nothing_touched():
    tracker = InstanceID(ColourEmbedder())
    sightings = seen_by(tracker)
    keys = tracker.gallery.exemplars(1)[0].tolist()
    regroup(tracker, sightings, sightings["id"].astype(np.int64))
    assert tracker.gallery.exemplars(1)[0].tolist() == keys and tracker._frame_shape is not None

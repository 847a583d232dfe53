"""After a second look: what the tracker knows of each ID is put under the final IDs."""

from __future__ import annotations

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.second_look.sightings import good_views

_N_VIEWS = 8  # given to an ID that has no exemplar of its own left
_CHUNK = 4096


def regroup(tracker, sightings: np.ndarray, ids: np.ndarray) -> None:
    """Let a tracker go on from the final IDs of a video that it has seen to the end.

    Exemplars go with the sighting they came from; those from before the video stay where they
    are. An ID that is no longer in use is forgotten. Where nothing has changed, the tracker is
    left as it is; else places are forgotten, as before another video.

    Parameters
    ----------
    tracker : tracking.InstanceID
    sightings : ndarray of shape (n,), of `sightings.sighting_dtype`
        With the IDs of the first look.
    ids : ndarray of shape (n,), int64
        Final IDs, as from `second_look.look_again`.
    """
    old = np.asarray(sightings["id"], np.int64)
    changed = old != ids
    if not changed.any():
        return
    sources = {}  # final ID -> IDs of the first look that are part of it
    for before, after in sorted(set(zip(old.tolist(), ids.tolist()))):
        sources.setdefault(after, []).append(before)
    moved = np.unique(old[changed])
    touched = np.unique(ids[np.isin(old, moved) | changed])
    _regroup_gallery(tracker.gallery, sightings, ids, moved, touched, sources)
    kinds = dict(tracker._classes.state())
    tracker._classes.forget(moved)
    for after in touched.tolist():
        tracker._classes.observe([after], [kinds.get(before) for before in sources[after]][:1])
    tracker.new_video()


def _regroup_gallery(gallery: Gallery, sightings, ids, moved, touched, sources):
    """Take the exemplars of the IDs that lost something out, and add them where they belong."""
    latest = {
        after: max((gallery.last_seen(b) for b in sources[after] if b in gallery), default=None)
        for after in touched.tolist()
    }
    owner = _owners(sightings, ids, moved)
    exemplars = {}
    for before in [i for i in moved.tolist() if i in gallery]:
        for vector in gallery.exemplars(before)[1]:
            after = owner.get(vector.astype(np.float16).tobytes(), before)
            exemplars.setdefault(after, []).append(vector)
            latest.setdefault(after, gallery.last_seen(before))
    gallery.remove(np.array([i for i in moved.tolist() if i in gallery], np.int64))
    for after, time in latest.items():
        if time is None:
            continue
        vectors = exemplars.get(after)
        if vectors is None and after not in gallery:
            vectors = _views(sightings, ids, after)
        for vector in [] if vectors is None else vectors:
            gallery.add([after], vector[None], time=time)


def _owners(sightings, ids, moved):
    """Map the vector of each sighting, as bytes, to its final ID; of the IDs that changed."""
    owner = {}
    for start in range(0, len(sightings), _CHUNK):
        part = sightings[start : start + _CHUNK]
        rows = np.flatnonzero(np.isin(part["id"], moved))
        for vector, after in zip(part["vector"][rows], ids[start + rows].tolist()):
            owner[vector.tobytes()] = after
    return owner


def _views(sightings, ids, id_):
    """Return good views of an ID, evenly spread over the video."""
    track = sightings[np.flatnonzero(ids == id_)]
    at = np.flatnonzero(good_views(track))
    at = at if len(at) else np.arange(len(track))
    at = at[np.unique(np.linspace(0, len(at) - 1, min(len(at), _N_VIEWS)).astype(np.int64))]
    vectors = track["vector"][at].astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

"""What the archive says of all videos together: two tables and a gallery, each replaced whole."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from pathlib import Path

import numpy as np

from instanceid_utils.archive.folder import GALLERY, IDENTITIES, RENUMBERED, SIGHTINGS
from instanceid_utils.archive.tracks import Tracks
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.gallery.gallery import Gallery

_OF_IDENTITIES = (
    "identity",
    "n_videos",
    "n_sightings",
    "n_frames",
    "first_video",
    "first_local_id",
)
_OF_SIGHTINGS = (
    "identity",
    "video",
    "local_id",
    "first_frame",
    "last_frame",
    "first_time",
    "last_time",
    "n_frames",
    "confidence",
)


def write_records(
    folder: Path,
    tracks: dict[str, Tracks],
    identity: np.ndarray,
    confidence: np.ndarray,
    **gallery_notes,
) -> None:
    """Write who was seen where.

    Parameters
    ----------
    folder : pathlib.Path
        Of the archive.
    tracks : dict of str to Tracks
        Of each video, in the archive's order.
    identity : ndarray of shape (n,), int64
        Of all their local IDs, one after the other.
    confidence : ndarray of shape (n,), float64
        NaN for one that is alone.
    **gallery_notes
        ``weights_sha256`` and ``threshold`` of the gallery.
    """
    rows = sighting_rows(tracks, identity, confidence)
    before = {(row["video"], row["local_id"]): row["identity"] for row in _old_rows(folder)}
    _write_csv(folder / SIGHTINGS, _OF_SIGHTINGS, rows)
    _write_csv(folder / IDENTITIES, _OF_IDENTITIES, _identity_rows(rows))
    now = {(row[1], str(row[2])): str(row[0]) for row in rows}
    changed = {(old, now[k]) for k, old in before.items() if k in now and now[k] != old}
    if changed:
        pairs = sorted((int(old), int(new)) for old, new in changed)
        _write_csv(folder / RENUMBERED, ("old", "new"), pairs)
    else:
        (folder / RENUMBERED).unlink(missing_ok=True)
    make_gallery(tracks, identity, **gallery_notes).save(folder / GALLERY)


def sighting_rows(tracks, identity, confidence) -> list:
    """Return the rows of ``sightings.csv``, by identity, video and local ID."""
    rows, at = [], 0
    for key, of_video in tracks.items():
        for row in range(len(of_video)):
            sure = confidence[at]
            rows.append(
                (
                    int(identity[at]),
                    key,
                    int(of_video.local_id[row]),
                    int(of_video.first_frame[row]),
                    int(of_video.last_frame[row]),
                    f"{of_video.first_time[row]:.3f}",
                    f"{of_video.last_time[row]:.3f}",
                    int(of_video.n_frames[row]),
                    "" if math.isnan(sure) else f"{sure:.4f}",
                )
            )
            at += 1
    order = {key: number for number, key in enumerate(tracks)}
    return sorted(rows, key=lambda row: (row[0], order[row[1]], row[2]))


def _identity_rows(rows):
    first, videos, sightings, frames = {}, {}, Counter(), Counter()
    for number, key, local_id, *_, n_frames, _ in rows:
        first.setdefault(number, (key, local_id))
        videos.setdefault(number, set()).add(key)
        sightings[number] += 1
        frames[number] += n_frames
    return [(i, len(videos[i]), sightings[i], frames[i], *first[i]) for i in first]


def make_gallery(tracks, identity, **notes) -> Gallery:
    """Make a gallery that knows all identities by their views."""
    dim = next((t.views.shape[1] for t in tracks.values() if len(t)), 1)
    gallery, round_of, at = Gallery(dim, **notes), {}, 0
    for of_video in tracks.values():
        owners = identity[at + of_video.view_row].tolist()
        for owner, vector in zip(owners, of_video.views):
            round_of.setdefault(owner, []).append(vector)
        at += len(of_video)
    for number in range(max(map(len, round_of.values()), default=0)):
        ids = sorted(i for i, views in round_of.items() if len(views) > number)
        vectors = np.stack([round_of[i][number] for i in ids]).astype(np.float32)
        gallery.add(ids, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return gallery


def _old_rows(folder):
    path = folder / SIGHTINGS
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write_csv(path, names, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    write_atomically(path, text.getvalue())

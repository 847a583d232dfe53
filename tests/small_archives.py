"""Archives made by hand for tests: who is who is known, and nothing is tracked."""

import json
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils.archive.folder import FORMAT, VERSION
from instanceid_utils.archive.records import write_records
from instanceid_utils.archive.tracks import Tracks

DIM = 16
FPS = 10.0


def make_tracks(who, rng, looks, n_views=5, noise=0.05, first_local=1):
    """Return tracks of local IDs 1, 2, ... that are these identities, one after the other in time.

    ``looks`` (n_identities, DIM) are unit vectors; ``who`` names a row of it for each local ID.
    """
    n = len(who)
    views = np.repeat(looks[np.array(who, int)], n_views, axis=0)
    views = views + rng.normal(0, noise / np.sqrt(looks.shape[1]), views.shape)
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    first = np.arange(n) * 20
    rows = np.repeat(np.arange(n), n_views)
    return Tracks(
        local_id=np.arange(n) + first_local,
        kind=np.zeros(n, np.int64),
        confirmed=np.ones(n, bool),
        n_frames=np.full(n, 15),
        first_frame=first,
        last_frame=first + 14,
        first_time=first / FPS,
        last_time=(first + 14) / FPS,
        runs=np.stack([np.arange(n), first, first + 14], axis=1),
        view_row=rows,
        view_frame=first[rows] + np.tile(np.arange(n_views) * 3, n),
        view_box_tlbr=np.tile(np.array([[10, 10, 40, 50]], np.int32), (len(rows), 1)),
        views=views.astype(np.float16),
        best_view=np.arange(n) * n_views,
    )


def random_looks(n, rng, dim=DIM):
    """Unit vectors (n, dim)."""
    looks = rng.normal(size=(n, dim))
    return (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)


def make_archive(folder, videos=None, seed=0, threshold=0.5):
    """Write a whole archive of videos that are not there; ``videos`` is {key: [identity, ...]}.

    Identities count from 1. Pictures have the colour of their identity.
    """
    folder, rng = Path(folder), np.random.default_rng(seed)
    videos = videos or {
        "gate-000000000001": [1, 2, 3],
        "hall-000000000002": [2, 4],
        "yard-000000000003": [3, 1],
    }
    looks = random_looks(max(max(who) for who in videos.values()), rng)
    colours = rng.integers(30, 226, (len(looks), 3))
    tracks = {
        key: make_tracks([i - 1 for i in who], rng, looks) for key, who in sorted(videos.items())
    }
    for key, who in videos.items():
        pictures = folder / "tracks" / key / "pictures"
        pictures.mkdir(parents=True)
        tracks[key].save(folder / "tracks" / key / "tracks.npz")
        for local, identity in enumerate(who, 1):
            for k in range(3):
                picture = np.full((96, 96, 3), colours[identity - 1], np.uint8)
                cv2.imwrite(str(pictures / f"{local}_{k}.jpg"), picture)
    identity = np.concatenate([np.array(videos[key], np.int64) for key in tracks])
    alone = np.bincount(identity)[identity] == 1
    confidence = np.where(alone, np.nan, 0.99)
    write_records(folder, tracks, identity, confidence, threshold=threshold)
    index = {
        "format": FORMAT,
        "version": VERSION,
        "complete": True,
        "weights_sha256": None,
        "threshold": threshold,
        "settings": {},
        "videos": [
            {
                "key": key,
                "source": f"{key.split('-')[0]}.mp4",
                "masks": None,
                "sha256": key.split("-")[1] * 6,
                "n_frames": 20 * len(who),
                "fps": FPS,
                "error": None,
            }
            for key, who in sorted(videos.items())
        ],
    }
    (folder / "archive.json").write_text(json.dumps(index), encoding="utf-8")
    return folder

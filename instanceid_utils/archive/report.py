"""The report: one HTML file that shows who was seen where, and asks no network for anything.

Pictures lie in it, small; names of files are data and never markup. However large the archive, the
page stays one that a browser can open: it shows the identities that are seen most, and says so.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils.archive.folder import REPORT, Archive
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.image_files import read_image
from instanceid_utils.video.overlay import id_colour

MAX_IDENTITIES, MAX_SIGHTINGS = 2_000, 50  # shown, and of each of them
MAX_PICTURE_BYTES = 16 * 2**20  # of all pictures together, as text
N_VIEWS = 6  # of an identity at most
_SIDE, _QUALITY = 110, 80


def write_report(archive: Archive) -> Path:
    """Write ``report.html`` into an archive, and return its path.

    Parameters
    ----------
    archive : Archive
    """
    shown, n_identities, n_sightings = _most_seen(archive)
    numbers = {key: n for n, key in enumerate(archive.videos)}
    data = {
        "n_identities": n_identities,
        "videos": [_video(video) for video in archive.videos.values()],
        "identities": [
            {
                "id": identity,
                "colour": "#{:02x}{:02x}{:02x}".format(*map(int, id_colour(identity))),
                "n_sightings": n_sightings[identity],
                "sightings": [_sighting(s, numbers) for s in sightings],
                "views": [],
            }
            for identity, sightings in shown.items()
        ],
    }
    _add_views(archive, shown, data["identities"])
    path = archive.folder / REPORT
    write_atomically(path, _page(data))
    return path


def _most_seen(archive):
    """Return the sightings of the identities seen in most frames, and how many there are in all."""
    frames: Counter = Counter()
    n_sightings: Counter = Counter()
    for sighting in archive.sightings():
        frames[sighting.identity] += sighting.n_frames
        n_sightings[sighting.identity] += 1
    most = heapq.nlargest(MAX_IDENTITIES, frames, key=lambda i: (frames[i], -i))
    shown: dict[int, list] = {identity: [] for identity in sorted(most)}
    for sighting in archive.sightings():
        if len(shown.get(sighting.identity, [None] * MAX_SIGHTINGS)) < MAX_SIGHTINGS:
            shown[sighting.identity].append(sighting)
    return shown, len(frames), n_sightings


def _video(video):
    seconds = video["n_frames"] / video["fps"] if video["fps"] else 0.0
    return {"key": video["key"], "name": Path(video["source"]).name, "seconds": round(seconds, 3)}


def _sighting(sighting, numbers):
    return {
        "video": numbers[sighting.video],
        "local": sighting.local_id,
        "from": sighting.first_time,
        "to": sighting.last_time,
        "frames": sighting.n_frames,
        "sure": sighting.confidence,
    }


def _add_views(archive, shown, entries):
    """Give each identity its best view, then a second one where there is room, and so on."""
    left = MAX_PICTURE_BYTES
    coming = [(entry["views"], _pictures(archive, shown[entry["id"]])) for entry in entries]
    for _ in range(N_VIEWS):
        for views, pictures in coming:
            path = next(pictures, None)
            if path is None:
                continue
            text = _as_text(path)
            left -= len(text)
            if left < 0:
                return
            views.append(text)


def _pictures(archive, sightings) -> Iterator[Path]:
    """Yield paths of pictures: the best of each sighting, the longest first, then the second."""
    longest = sorted(sightings, key=lambda s: -s.n_frames)[:N_VIEWS]
    of_each = [archive.pictures(s.video, s.local_id) for s in longest]
    for n in range(max(map(len, of_each), default=0)):
        yield from (paths[n] for paths in of_each if len(paths) > n)


def _as_text(path):
    picture = read_image(path)
    scale = min(1.0, _SIDE / max(picture.shape[:2]))
    size = [max(1, round(n * scale)) for n in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[..., ::-1]
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    data = cv2.imencode(".jpg", np.ascontiguousarray(small), options)[1]
    return base64.b64encode(data.tobytes()).decode("ascii")


def _page(data):
    """Fill the page; in the JSON no name can end the element that it stands in."""
    here = Path(__file__).parent
    script = (here / "report.js").read_text(encoding="utf-8")
    text = json.dumps(data, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = (here / "report.html").read_text(encoding="utf-8")
    before, _, after = page.replace("{{script_sha256}}", digest).partition("{{data}}")
    return before + text + after.replace("{{script}}", script)

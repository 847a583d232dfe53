"""The folder of an archive, as it lies on disk; what is in it is read here and nowhere else."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from instanceid_utils.archive.tracks import Tracks
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.json_files import read_json

FORMAT, VERSION = "instanceid archive", 1
INDEX, IDENTITIES, SIGHTINGS = "archive.json", "identities.csv", "sightings.csv"
GALLERY, FIXES, RENUMBERED = "archive.gallery", "fixes.json", "renumbered.csv"
REPORT = "report.html"


class Sighting(NamedTuple):
    """One local ID in one video, and whose it is."""

    identity: int
    video: str  # a key
    local_id: int
    first_frame: int
    last_frame: int
    first_time: float  # seconds in the video
    last_time: float
    n_frames: int
    confidence: float | None  # that it is one with the rest of its identity; None if alone


class Archive:
    """An archive that was built, to be read.

    Parameters
    ----------
    folder : path-like

    Attributes
    ----------
    folder : pathlib.Path
    index : dict
        ``archive.json``: "weights_sha256", "threshold", "settings", and "videos", a list of
        dicts with "key", "source", "masks", "sha256", "n_frames", "fps", "error" (None if it
        was tracked).

    Raises
    ------
    FileNotFoundError
        If there is no archive.
    ValueError
        If it is damaged, of another version, or not finished.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.index = read_index(self.folder)
        if not self.index["complete"]:
            raise ValueError(
                f"{folder}: this archive is not finished; `archive build --resume` finishes it"
            )

    @property
    def videos(self) -> dict:
        """Entries of the index by key, of the videos that were tracked."""
        return {v["key"]: v for v in self.index["videos"] if v["error"] is None}

    def key(self, name: str) -> str:
        """Return the key of a video: the one with this key, else whose file is called so.

        Raises
        ------
        ValueError
            If there is none, or several; they are listed.
        """
        videos, name = self.videos, str(name)
        found = [name] if name in videos else []
        for same in (
            lambda key, source: name in (str(source), source.name, source.stem),
            lambda key, source: key.startswith(name),
        ):
            found = found or [k for k, v in videos.items() if same(k, Path(v["source"]))]
        if len(found) != 1:
            known = ", ".join(sorted(found or videos)[:10])
            raise ValueError(f"{name}: expected one video of this archive, such as {known}")
        return found[0]

    def sightings(self) -> Iterator[Sighting]:
        """Yield all sightings, by identity, video and local ID."""
        path = self.folder / SIGHTINGS
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                try:
                    yield _sighting(row)
                except (KeyError, ValueError, TypeError) as error:
                    raise ValueError(f"{path}: no sightings, or damaged ({error!r})") from error

    def tracks(self, key: str) -> Tracks:
        """Return the local IDs of a video."""
        return Tracks.load(self.folder / "tracks" / key / "tracks.npz")

    def pictures(self, key: str, local_id: int) -> list:
        """Return the paths of the crops (JPEG) of a local ID, the best first."""
        folder = self.folder / "tracks" / key / "pictures"
        return sorted(folder.glob(f"{int(local_id)}_[0-9].jpg"))

    def gallery(self) -> Gallery:
        """Return the gallery of all identities."""
        return Gallery.load(
            self.folder / GALLERY, weights_sha256=self.index["weights_sha256"] or None
        )


def _sighting(row):
    return Sighting(
        int(row["identity"]),
        row["video"],
        int(row["local_id"]),
        int(row["first_frame"]),
        int(row["last_frame"]),
        float(row["first_time"]),
        float(row["last_time"]),
        int(row["n_frames"]),
        float(row["confidence"]) if row["confidence"] else None,
    )


def read_index(folder: Path) -> dict:
    """Read ``archive.json``."""
    path = Path(folder) / INDEX
    if not path.exists():
        raise FileNotFoundError(f"{folder}: there is no archive")
    content = read_json(path)
    head = (content.get("format"), content.get("version")) if isinstance(content, dict) else None
    if head != (FORMAT, VERSION):
        raise ValueError(f"{path}: expected {FORMAT} version {VERSION}, got {head}")
    names = {"complete", "weights_sha256", "threshold", "settings", "videos"}
    if names - content.keys() or not isinstance(content["videos"], list):
        raise ValueError(f"{path}: damaged, {sorted(names - content.keys())} missing")
    return content


def read_video(folder: Path) -> dict:
    """Read what ``tracks/KEY`` says of its video: "n_frames", "fps", "size" and so on."""
    path = Path(folder) / "job.json"
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("video"), dict):
        raise ValueError(f"{path}: damaged, it says nothing of a video")
    return content["video"]

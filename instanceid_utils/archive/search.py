"""Search: which identities of an archive look most like a picture, or like one of themselves."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from instanceid_utils.archive.folder import Archive
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.image_files import read_image
from instanceid_utils.embedding import weights
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import box_segments, check_frame
from instanceid_utils.tracking.second_look.sightings import spread

COLUMNS = ("rank", "identity", "distance", "error_rate", "n_sightings", "videos")
_SIDE, _N_PICTURES, _TEXT = 96, 6, 250  # of the sheet, in pixels
_PAPER, _INK = 255, (40, 40, 40)


@dataclass(frozen=True)
class Match:
    """An identity that was found.

    Attributes
    ----------
    identity : int
    distance : float
        L2, not squared, to its nearest view.
    error_rate : float or None
        How often somebody who is not in the archive at all would find an identity as near as
        this, or nearer, among as many as there are; None without a calibration.
    sightings : tuple of Sighting
        All of it.
    """

    identity: int
    distance: float
    error_rate: float | None
    sightings: tuple

    @property
    def videos(self) -> list[str]:
        """Keys of the videos in which it is seen."""
        return sorted({s.video for s in self.sightings})


@dataclass(frozen=True)
class Found:
    """What `find` has found.

    Attributes
    ----------
    archive : Archive
    matches : tuple of Match
        The nearest first.
    picture : ndarray of shape (S, S, 3), uint8
        RGB, what was looked for.
    asked : Match or None
        The identity that was looked for; it is not among the matches. None for a picture.
    """

    archive: Archive
    matches: tuple
    picture: np.ndarray
    asked: Match | None = None

    def rows(self) -> list[tuple]:
        """Return a row of `COLUMNS` for each match."""
        return [
            (rank, m.identity, m.distance, m.error_rate, len(m.sightings), m.videos)
            for rank, m in enumerate(self.matches, 1)
        ]

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table; videos are separated by blanks."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, identity, distance, rate, n, videos in self.rows():
            rate = "" if rate is None else f"{rate:.4f}"
            writer.writerow((rank, identity, f"{distance:.4f}", rate, n, " ".join(videos)))
        write_atomically(path, text.getvalue())

    def sheet(self) -> np.ndarray:
        """Draw a row for what was looked for and one for each match, (H, W, 3) uint8 RGB."""
        first = ["looked for"] if self.asked is None else ["looked for", _called(self.asked)]
        rows = [_drawn(first, [self.picture])]
        for match in self.matches:
            rate = "" if match.error_rate is None else f"error rate {match.error_rate:.3f}"
            said = [_called(match), f"distance {match.distance:.3f}", rate, _seen(match)]
            rows.append(_drawn(said, self._pictures(match)))
        return np.concatenate(rows)

    def save_sheet(self, path: str | os.PathLike) -> None:
        """Write the sheet as a PNG."""
        data = cv2.imencode(".png", cv2.cvtColor(self.sheet(), cv2.COLOR_RGB2BGR))[1]
        write_atomically(path, data.tobytes())

    def _pictures(self, match):
        """Return crops of it, from as many sightings as there is room for."""
        paths = [
            path
            for n in spread(np.arange(len(match.sightings)), _N_PICTURES)
            for path in self.archive.pictures(*match.sightings[n][1:3])[:1]
        ]
        return [read_image(path) for path in paths]


def find(
    archive: Archive | str | os.PathLike,
    query: str | os.PathLike | np.ndarray,
    *,
    box: Any = None,
    k: int = 10,
    embedder: Any = None,
) -> Found:
    """Find the identities that look most like a picture, or like one in the archive.

    Parameters
    ----------
    archive : Archive or path-like
    query : path-like, str or ndarray of shape (H, W, 3), uint8
        A picture (RGB), or ``"VIDEO:FRAME:ID"``: the identity with this number in the archive, as
        it looks in this video about this frame (the nearest view that is kept). A video is named
        by its key, or by as much of its file's name as no other has.
    box : sequence of 4 numbers, optional
        left, top, width and height of the object in the picture, in pixels; all of it by default.
    k : int
        How many to find.
    embedder : embedding.Embedder, optional
        The one that the archive was built with; loaded by default.

    Returns
    -------
    Found

    Raises
    ------
    ValueError
        If the archive knows no such video, identity or sighting, the box lies outside, or the
        weights are others than the archive's.
    OSError
        If a file cannot be read.
    """
    archive = archive if isinstance(archive, Archive) else Archive(archive)
    if int(k) < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    gallery, own = archive.gallery(), None
    named = None if isinstance(query, np.ndarray) or Path(query).exists() else str(query)
    if named is not None and named.count(":") >= 2:
        own, vector, picture = _of_archive(archive, named, box)
    else:
        vector, picture = _of_picture(archive, query, box, embedder)
    ids, distances = gallery.search(vector[None], k=int(k) + (own is not None))
    near = {i: d for i, d in zip(ids[0].tolist(), distances[0].tolist()) if i not in (-1, own)}
    near = dict(list(near.items())[: int(k)])
    seen: dict[int, list] = {i: [] for i in (*near, *([] if own is None else [own]))}
    for sighting in archive.sightings():
        if sighting.identity in seen:
            seen[sighting.identity].append(sighting)
    rate = _error_rates(archive, embedder, len(gallery))
    matches = tuple(Match(i, d, rate(d), tuple(seen[i])) for i, d in near.items())
    asked = None if own is None else Match(own, 0.0, None, tuple(seen[own]))
    return Found(archive, matches, picture, asked)


def error_rate(calibration: Calibration, distance: float, n_identities: int) -> float:
    """Return how often a stranger finds one of n identities as near as this, or nearer.

    The calibration has the whole curve among ``n_others``, and for larger galleries the distance
    at which the rate is 1 %: by as much as that falls, the curve moves in. Where it was not
    measured for them, each of more identities counts as another chance.
    """
    curves, n_others = calibration.curves, calibration.n_others
    chances = n_identities / n_others
    if calibration.galleries is not None and chances > 1:
        distance *= calibration.threshold_for(n_others, 0) / calibration.threshold_for(
            min(n_identities, calibration.galleries["identities"][-1]), 0
        )
        chances = max(1.0, n_identities / calibration.galleries["identities"][-1])
    among = np.interp(distance, curves["thresholds"], curves["false_reuse"])
    return float(1 - (1 - among) ** chances)


def _error_rates(archive, embedder, n_identities):
    """Return a function of a distance; of None where the weights have no calibration."""
    card_path = archive.index["settings"].get("weights") or weights.shipped()
    card_path = getattr(embedder, "_card_path", None) or card_path
    card = weights.read_card(card_path) if Path(card_path).exists() else {"sha256": None}
    calibration = None
    if card["sha256"] is not None and card["sha256"] == archive.index["weights_sha256"]:
        calibration = weights.read_calibration(card_path, card)
    if calibration is None:
        return lambda distance: None
    return lambda distance: error_rate(calibration, distance, n_identities)


def _of_archive(archive, named, box):
    """Return number, vector and picture of ``VIDEO:FRAME:ID``."""
    if box is not None:
        raise ValueError(f"{named}: is an identity of the archive, and needs no box")
    name, frame, identity = named.rsplit(":", 2)
    if not (frame.isdecimal() and identity.isdecimal()):
        raise ValueError(f"{named}: expected a picture, or VIDEO:FRAME:ID with two numbers")
    key, frame, identity = archive.key(name), int(frame), int(identity)
    there = [s for s in archive.sightings() if (s.identity, s.video) == (identity, key)]
    if not there:
        raise ValueError(f"{named}: identity {identity} is not seen in {key}")
    tracks = archive.tracks(key)
    rows = np.flatnonzero(np.isin(tracks.local_id, [s.local_id for s in there]))
    views = np.flatnonzero(np.isin(tracks.view_row, rows))
    view = views[np.abs(tracks.view_frame[views] - frame).argmin()]
    vector = tracks.views[view].astype(np.float32)
    pictures = archive.pictures(key, int(tracks.local_id[tracks.view_row[view]]))
    picture = read_image(pictures[0]) if pictures else np.full((_SIDE, _SIDE, 3), 128, np.uint8)
    return identity, vector / np.linalg.norm(vector), picture


def _of_picture(archive, query, box, embedder):
    """Return vector and crop of the object in a picture."""
    if isinstance(query, np.ndarray):
        frame, name = query, "picture"
        check_frame(frame)
    else:
        frame, name = read_image(query), str(query)
    left, top, width, height = (0, 0, *frame.shape[1::-1]) if box is None else _checked(box, name)
    corners = np.array([[left, top, left + width, top + height]], float)
    segments = box_segments(corners, frame.shape[:2])
    if not segments.areas[0]:
        raise ValueError(f"{name}: the box {box} lies outside the picture, {frame.shape[1::-1]}")
    if embedder is None:
        from instanceid_utils.embedding.embedder import Embedder

        embedder = Embedder.pretrained(archive.index["settings"].get("weights"))
    if archive.index["weights_sha256"] not in (None, embedder.weights_sha256):
        raise ValueError(f"{archive.folder}: was built with other weights than those given")
    crops = cut_crops(frame, segments, embedder.crop_size, embedder.margin)
    left, top, right, bottom = segments.boxes_tlbr[0].tolist()
    return embedder.embed_crops(crops)[0], frame[top:bottom, left:right]


def _checked(box, name):
    box = np.asarray(box, float)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise ValueError(f"{name}: box: expected left, top, width, height, got {box.tolist()}")
    return box.tolist()


def _called(match):
    return f"identity {match.identity}"


def _seen(match):
    n, m = len(match.sightings), len(match.videos)
    return f"{n} sighting{'s' * (n > 1)}, {m} video{'s' * (m > 1)}"


def _drawn(lines, pictures):
    """Draw text with pictures beside it."""
    row = np.full((_SIDE + 8, _TEXT + _N_PICTURES * (_SIDE + 4), 3), _PAPER, np.uint8)
    for n, line in enumerate(line for line in lines if line):
        scale = 0.6 if n == 0 else 0.45
        at = (12, 24 + 22 * n)
        cv2.putText(row, line, at, cv2.FONT_HERSHEY_SIMPLEX, scale, _INK, 1, cv2.LINE_AA)
    for n, picture in enumerate(pictures[:_N_PICTURES]):
        height, width = picture.shape[:2]
        scale = _SIDE / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        left = _TEXT + n * (_SIDE + 4)
        row[4 : 4 + size[1], left : left + size[0]] = small
    return row

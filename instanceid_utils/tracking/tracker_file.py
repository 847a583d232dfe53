"""Save a tracker whole: stop here, go on in another process, get the same IDs.

A folder holds the gallery, and ``tracker.json`` with the places, the habits and the open cases,
which names the gallery that belongs to it. A save writes a new gallery beside the old one and
then replaces ``tracker.json``; that one rename is the moment of change, so a process killed at
any instant leaves the old state or the new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.gallery.file_lock import refuse_if_locked
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.gallery_file import GalleryFileError
from instanceid_utils.json_files import read_json

if TYPE_CHECKING:
    from instanceid_utils.tracking.tracker import InstanceID

FORMAT, VERSION = "instanceid tracker", 1
_SETTINGS = (
    "threshold",
    "place_cue",
    "place_weight",
    "assignment",
    "clear_margin",
    "confirm",
    "n_neighbours",
    "across_classes",
)
_PARTS = ("_places", "_shots", "_habits", "_abstention", "_classes", "_probation", "_strains")
_NAMED_BEFORE = {"_habits": "_evidence"}  # before 1.1
_SINCE_1_1 = {"_classes", "_probation", "_strains"}  # trackers saved before have none


def save(tracker: InstanceID, folder: str | os.PathLike) -> None:
    """Write a tracker into a folder, in place of the one that was there.

    Parameters
    ----------
    tracker : tracking.InstanceID
    folder : path-like
        Made if it is not there. A save that fails leaves it as it was, as does one while another
        process has the folder `gallery.locked`.
    """
    folder = Path(folder)
    refuse_if_locked(folder)
    old = {int(path.stem[8:]): path for path in folder.glob("gallery-[0-9]*.bin")}
    gallery = folder / f"gallery-{max(old, default=0) + 1}.bin"
    state = {
        "gallery": gallery.name,
        "settings": {name: getattr(tracker, name) for name in _SETTINGS},
        "abstain": [tracker._abstention.n_updates, tracker._abstention.band],
        "by_size": tracker._by_size,
        "time": tracker._time,
        "frame_shape": tracker._frame_shape,
        "parts": {part: getattr(tracker, part).state() for part in _PARTS},
    }
    state = json.loads(json.dumps(state, default=_plain))  # fails before anything is written
    head = {"format": FORMAT, "version": VERSION, "sha256": _sha256(state)}
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        tracker.gallery.save(gallery)
        write_atomically(folder / "tracker.json", json.dumps({**head, "state": state}))
    except BaseException:
        if not _names(folder / "tracker.json", gallery):  # else the new state is there already
            with contextlib.suppress(OSError):
                gallery.unlink(missing_ok=True)
                if made:
                    folder.rmdir()
        raise
    for path in old.values():
        path.unlink()


def _names(path, gallery):
    """Whether a saved state is the one that belongs to a gallery's file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["state"]["gallery"] == gallery.name
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _plain(value):
    """Turn a NumPy number, from whoever set it on the tracker, into Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"expected a number or text to save, got {type(value).__name__}")


def load(cls: type[InstanceID], folder: str | os.PathLike, embedder: Any) -> InstanceID:
    """Read the tracker in a folder.

    Parameters
    ----------
    cls : type
        `tracking.InstanceID`.
    folder : path-like
    embedder : embedding.Embedder
        With the weights that the gallery was made with.

    Returns
    -------
    tracking.InstanceID

    Raises
    ------
    FileNotFoundError
        If nothing was saved there.
    ValueError
        If a file is damaged or of another kind, or was made with other weights; it is named.
    """
    path = Path(folder) / "tracker.json"
    state = _read(path)
    try:
        return _restored(cls, path.parent, state, embedder)
    except GalleryFileError:
        raise  # it names the gallery's file
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: its content makes no sense ({error!r})") from error


def _restored(cls, folder, state, embedder):
    if not re.fullmatch(r"gallery-\d+\.bin", state["gallery"]):
        raise ValueError(f"no gallery is named {state['gallery']!r}")
    n_updates, band = state["abstain"]
    tracker = cls(
        embedder,
        gallery=Gallery.load(folder / state["gallery"]),
        abstain=n_updates,
        abstain_band=band,
        **state["settings"],
    )
    by_size = state.get("by_size", False)  # not saved before 1.2
    tracker._by_size = bool(by_size) and getattr(embedder, "calibration", None) is not None
    tracker._time = state["time"]
    shape = state["frame_shape"]
    tracker._frame_shape = None if shape is None else tuple(shape)
    for part in _PARTS:
        name = part if part in state["parts"] else _NAMED_BEFORE.get(part, part)
        if name in state["parts"] or part not in _SINCE_1_1:
            getattr(tracker, part).restore(state["parts"][name])
    return tracker


def _read(path):
    try:
        content = read_json(path)
        head = content["format"], content["version"]
        state, sha256 = content["state"], content["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no saved tracker, or damaged ({error!r})") from error
    if head != (FORMAT, VERSION):
        raise ValueError(f"{path}: expected {FORMAT} version {VERSION}, got {head[0]} {head[1]}")
    if _sha256(state) != sha256:
        raise ValueError(f"{path}: damaged, its content does not match its SHA-256")
    return state


def _sha256(state):
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()

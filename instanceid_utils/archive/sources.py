"""Which videos, with which masks: from what a user names to a list of jobs with hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.davis import natural_key
from instanceid_utils.json_files import read_json
from instanceid_utils.video.reader import IMAGE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".wmv"}
)
_BLOCK = 2**22
HASHES = "hashes.json"


class Video(NamedTuple):
    """A video of an archive."""

    source: str
    pattern: str | None  # that found its masks
    masks: str | None
    sha256: str  # of the content of both; empty if they cannot be read
    error: str | None  # why not

    @property
    def key(self) -> str:
        """Its name in the archive."""
        stem = re.sub(r"[^\w.-]+", "_", Path(self.source).stem).strip("._") or "video"
        return f"{stem[:60]}-{self.sha256[:12] or 'unread'}"


def find_videos(named: Sequence[str]) -> list[str]:
    """Find the videos that are meant by some names.

    Parameters
    ----------
    named : sequence of str
        Videos; folders of images, which are a video each; folders with videos in them, at any
        depth; patterns with ``*``; text files (``.txt``, ``.lst``) with one of these in each line,
        seen from the folder that they are in.

    Returns
    -------
    list of str
        Each once, from the root, in natural order.

    Raises
    ------
    FileNotFoundError, ValueError
        If a name stands for nothing; it is told.
    """
    found: dict[str, str] = {}
    for name in named:
        for path in _meant(str(name)):
            found.setdefault(os.path.realpath(path), os.path.abspath(path))
    return sorted(found.values(), key=natural_key)


def _meant(name, depth=0):
    if has_magic(name) and not os.path.exists(name):
        paths = glob(name, recursive=True)
        if not paths:
            raise FileNotFoundError(f"{name}: no file is named like that")
        return [found for path in paths for found in _meant(path, depth)]
    path = Path(name)
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no such video, folder or list")
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() in (".txt", ".lst"):
        if depth:
            raise ValueError(f"{name}: a list that stands in another list is not read")
        return _in_list(path)
    return [name]


def _in_folder(folder):
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if any(path.suffix.lower() in IMAGE_SUFFIXES for path in inside):
        return [str(folder)]
    found = []
    for path in inside:
        if path.is_dir():
            found += _in_folder(path) if any(path.iterdir()) else []
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            found.append(str(path))
    if not found:
        raise FileNotFoundError(f"{folder}: there are no videos in it, and no images")
    return found


def _in_list(path):
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a list of videos in UTF-8 ({error})") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found += _meant(str(path.parent / line.strip()), depth=1)
            except (OSError, ValueError) as error:
                raise type(error)(f"{path}: line {number}: {error}") from error
    if not found:
        raise ValueError(f"{path}: expected a video in each line, there is none")
    return found


def masks_of(source: str, pattern: str | None) -> str | None:
    """Return the masks of a video by a pattern.

    Parameters
    ----------
    source : str
    pattern : str or None
        With ``{stem}`` (name without suffix), ``{name}`` and ``{folder}`` (of the video); a
        relative one that does not begin with ``{folder}`` is looked for beside the video, then
        from here.

    Raises
    ------
    ValueError
        If the pattern has other fields.
    FileNotFoundError
        If there are none.
    """
    if pattern is None:
        return None
    path = Path(source)
    fields = {"stem": path.stem, "name": path.name, "folder": str(path.parent)}
    try:
        name = pattern.format(**fields)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(
            f"--masks {pattern}: expected a path with {{stem}}, {{name}} or {{folder}} ({error!r})"
        ) from error
    for candidate in (path.parent / name, Path(name)):
        if candidate.exists():
            return os.path.abspath(candidate)
    raise FileNotFoundError(f"{source}: no masks for it, there is no {path.parent / name}")


def look_at(named: Iterable[tuple[str, str | None]], folder: Path) -> list[Video]:
    """Find the masks of videos, by a pattern each, and the hashes of both.

    What cannot be read says so.

    Hashes are kept in the archive's folder, and a file is read again only if its size or the time
    of its last change are others.
    """
    cache = _Hashes(folder / HASHES)
    found = []
    for source, pattern in named:
        masks, digest, problem = None, "", None
        try:
            masks = masks_of(source, pattern)
            parts = [cache.of(Path(source)), "" if masks is None else cache.of(Path(masks))]
            digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        except OSError as error:
            problem = str(error)
        found.append(Video(source, pattern, masks, digest, problem))
    cache.save()
    return found


class _Hashes:
    """SHA-256 of files and folders, by path, size and time of the last change."""

    def __init__(self, path):
        self._path, self._changed = path, False
        try:
            self._known = dict(read_json(path))
        except (OSError, ValueError, TypeError):
            self._known = {}  # nothing is lost: they are computed anew

    def of(self, path):
        if not path.is_dir():
            return self._of_file(path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        parts = [(p.relative_to(path).as_posix(), self._of_file(p)) for p in files]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _of_file(self, path):
        status = path.stat()
        name, state = os.path.realpath(path), [status.st_size, status.st_mtime_ns]
        known = self._known.get(name)
        if known and known[:2] == state:
            return known[2]
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        self._known[name] = [*state, digest.hexdigest()]
        self._changed = True
        return self._known[name][2]

    def save(self):
        if self._changed:
            write_atomically(self._path, json.dumps(self._known, indent=0))

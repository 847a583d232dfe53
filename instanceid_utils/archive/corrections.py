"""Corrections: two identities made one by hand, or one made two, for good.

A decision is noted by sightings, not by numbers of identities, and every joining obeys it: the one
that follows at once, and those of all videos that are added later. The last decision counts: a
merge takes back what an earlier split said of the same sightings, and the other way round.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import product
from typing import Any

from instanceid_utils.archive.build import build_archive
from instanceid_utils.archive.fixes import read_fixes, write_fixes
from instanceid_utils.archive.folder import FIXES, Archive
from instanceid_utils.archive.joining import check_decisions
from instanceid_utils.gallery.file_lock import locked


def merge(folder: str | os.PathLike, identities: Iterable[int], **options: Any) -> int:
    """Make several identities one.

    Parameters
    ----------
    folder : path-like
        Of an archive.
    identities : iterable of int
        Two or more.
    **options
        Of `build_archive`, which joins and writes anew: ``workers``, ``scheduler``, ``progress``,
        ``wait``.

    Returns
    -------
    int
        The number of the one that they are now.

    Raises
    ------
    ValueError
        If one of them is not in the archive, or two are seen at one time in one video; nothing
        has changed.
    """
    numbers = list(dict.fromkeys(int(i) for i in identities))
    if len(numbers) < 2:
        raise ValueError(f"expected two identities or more to merge, got {numbers}")

    def decide(archive, same, different):
        parts = [_sightings(archive, number) for number in numbers]
        names = [_name(max(part, key=lambda s: s.n_frames)) for part in parts]
        all_of_them = {_name(s) for part in parts for s in part}
        different = [pair for pair in different if not all_of_them.issuperset(pair)]
        return [*same, *((names[0], other) for other in names[1:])], different, names[0]

    return _decided(folder, decide, options)


def split(
    folder: str | os.PathLike, identity: int, sightings: Iterable[tuple[str, int]], **options: Any
) -> int:
    """Make some sightings of an identity another one.

    Parameters
    ----------
    folder : path-like
        Of an archive.
    identity : int
    sightings : iterable of (str, int)
        Name of a video (see `Archive.key`) and local ID in it: those that are somebody else.
    **options
        As of `merge`.

    Returns
    -------
    int
        The number of the other one.

    Raises
    ------
    ValueError
        If one of them is no sighting of this identity, or they are all; nothing has changed.
    """

    def decide(archive, same, different):
        known = [_name(s) for s in _sightings(archive, int(identity))]
        out = list(dict.fromkeys((archive.key(video), int(local)) for video, local in sightings))
        for name in out:
            if name not in known:
                there = ", ".join(f"{key}:{local}" for key, local in known[:10])
                raise ValueError(
                    f"{name[0]}:{name[1]}: is no sighting of identity {identity}: {there}"
                )
        rest = [name for name in known if name not in out]
        if not out or not rest:
            raise ValueError(f"identity {identity}: expected some of its sightings, not all")
        across = {frozenset(pair) for pair in product(out, rest)}
        same = [pair for pair in same if frozenset(pair) not in across]
        together = [(out[0], other) for other in out[1:]]
        return [*same, *together], [*different, *product(out, rest)], out[0]

    return _decided(folder, decide, options)


def _decided(folder, decide, options):
    """Note a decision if all of them can be obeyed, and build by it."""
    with locked(Archive(folder).folder / FIXES, wait=options.get("wait", False)):
        archive = Archive(folder)
        same, different, name = decide(archive, *read_fixes(folder))
        same, different = _once(same), _once(different)
        tracks = {key: archive.tracks(key) for key in archive.videos}
        check_decisions(tracks, same, different)
        write_fixes(folder, same, different)
    build_archive([], folder, resume=True, **options)
    return next(s.identity for s in Archive(folder).sightings() if _name(s) == name)


def _once(pairs):
    return sorted({tuple(sorted(map(tuple, pair))) for pair in pairs})


def _sightings(archive, identity):
    found = [s for s in archive.sightings() if s.identity == identity]
    if not found:
        raise ValueError(f"{archive.folder}: knows no identity {identity}")
    return found


def _name(sighting):
    return sighting.video, sighting.local_id

"""What a person has decided: which local IDs are the same, and which are not.

Kept in ``fixes.json`` by ``(key, local ID)``, and never by a number of an identity, so that it
outlives whatever is built anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from instanceid_utils.archive.folder import FIXES
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.json_files import read_json

FORMAT, VERSION = "instanceid archive fixes", 1


def read_fixes(folder: str | os.PathLike) -> tuple[list, list]:
    """Read what was decided.

    Returns
    -------
    same, different : list of ((str, int), (str, int))
        Pairs of (key, local ID); empty where nothing was decided.

    Raises
    ------
    ValueError
        If the file is damaged, or another one.
    """
    path = Path(folder) / FIXES
    if not path.exists():
        return [], []
    content = read_json(path)
    try:
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise ValueError(f"expected {FORMAT} version {VERSION}")
        same, different = (
            [tuple(_track(end) for end in pair) for pair in content[name]]
            for name in ("same", "different")
        )
        if any(len(pair) != 2 for pair in (*same, *different)):
            raise ValueError("expected pairs")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no fixes of an archive, or damaged ({error})") from error
    return same, different


def write_fixes(folder: str | os.PathLike, same: list, different: list) -> None:
    """Replace what was decided."""
    content = {"format": FORMAT, "version": VERSION, "same": same, "different": different}
    write_atomically(Path(folder) / FIXES, json.dumps(content, indent=1) + "\n")


def _track(end):
    key, local_id = end
    if not isinstance(key, str) or type(local_id) is not int:
        raise ValueError(f"expected [video, local ID], got {end!r:.60}")
    return key, local_id

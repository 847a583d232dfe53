"""The texts among the results of a tracked video: a line for each segment, as it comes."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np

from instanceid_utils.formats import mot, mots
from instanceid_utils.tracking.decision import write_jsonl

logger = logging.getLogger(__name__)

TEXTS = {"mot": "mot.txt", "mots": "mots.txt", "decisions": "decisions.jsonl"}


class TrackTexts:
    """Write those of `TEXTS` that are wanted.

    Parameters
    ----------
    folder : path-like
    keys : collection of str
        Others than those of `TEXTS` are passed over.
    first_frame : int
        Number of the first frame in the MOTS file.
    offsets : dict of str to int, optional
        What is there up to these bytes stays, from `offsets` of another object.
    categories : dict of str to int, optional
        Numbers of class names so far.
    """

    def __init__(self, folder, keys, first_frame=0, offsets=None, categories=None):
        self._first_frame, self._told = first_frame, False
        self.categories = dict(categories or {})
        self.paths = {key: Path(folder) / name for key, name in TEXTS.items() if key in keys}
        self._files = {}
        for key, path in self.paths.items():
            self._files[key] = open(path, "ab")
            self._files[key].truncate((offsets or {}).get(key, 0))

    def write(self, number, frame, alone):
        """Write the lines of an `app.TrackedFrame`, the ``number``-th from 0.

        ``alone`` are its segments with each pixel in one of them.
        """
        segments, ids = frame.segments, frame.ids
        if "mot" in self.paths:
            self._write("mot", mot.format_lines(number, segments, ids, frame.scores))
        if "mots" in self.paths:
            self._tell_ignored(ids)
            number += self._first_frame
            classes = [self._number(kind) for kind in frame.classes or ()]
            self._write("mots", mots.format_lines(number, alone, ids, classes))
        if "decisions" in self.paths:
            lines = io.StringIO()
            write_jsonl(lines, frame.index, frame.decisions)
            self._write("decisions", _with_first_ids(lines.getvalue(), frame))

    def _number(self, kind):
        """Return a class as a number: names are numbered as they come, from 1 on."""
        if isinstance(kind, str):
            return self.categories.setdefault(kind, len(self.categories) + 1)
        return kind

    def _tell_ignored(self, ids):
        if mots.IGNORE in ids and not self._told:
            self._told = True
            logger.warning(
                "%s: ID %d is left out, as it means 'ignore' in this format",
                self.paths["mots"],
                mots.IGNORE,
            )

    def _write(self, key, text):
        self._files[key].write(text.encode())

    def offsets(self):
        """Give the length of each file in bytes, all of which are written."""
        for file in self._files.values():
            file.flush()
        return {key: file.tell() for key, file in self._files.items()}

    def close(self):
        """Close the files; return their paths."""
        for file in self._files.values():
            file.close()
        return dict(self.paths)


def _with_first_ids(lines, frame):
    """Add to the lines of those whose ID a second look has changed what it was before."""
    if frame.first_ids is None or np.array_equal(frame.first_ids, frame.ids):
        return lines
    changed = zip(lines.splitlines(), frame.first_ids.tolist(), frame.ids.tolist())
    return "".join(
        (line if first == now else f'{line[:-1]}, "first_id": {first}}}') + "\n"
        for line, first, now in changed
    )

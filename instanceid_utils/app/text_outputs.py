"""The text files of `export`, which grow line by line and can be cut back to a checkpoint."""

from __future__ import annotations

import io
from pathlib import Path

from instanceid_utils.formats import mot, mots
from instanceid_utils.tracking.decision import write_jsonl

TEXTS = {"mot": "mot.txt", "mots": "mots.txt", "decisions": "decisions.jsonl"}


class TrackTexts:
    """Write those of `TEXTS` that are wanted.

    Parameters
    ----------
    folder : path-like
    keys : collection of str
        Others than those of `TEXTS` are passed over.
    offsets : dict of str to int, optional
        What is there up to these bytes stays, from `offsets` of another object.
    """

    def __init__(self, folder, keys, offsets=None):
        self.paths = {key: Path(folder) / name for key, name in TEXTS.items() if key in keys}
        self._files = {}
        for key, path in self.paths.items():
            self._files[key] = open(path, "ab")
            self._files[key].truncate((offsets or {}).get(key, 0))

    def write(self, number, frame):
        """Write the lines of an `app.TrackedFrame`, the ``number``-th from 0."""
        segments, ids = frame.segments, frame.ids
        if "mot" in self.paths:
            self._write("mot", mot.format_lines(number, segments, ids, frame.scores))
        if "mots" in self.paths:
            self._write("mots", mots.format_lines(number, segments, ids, frame.classes))
        if "decisions" in self.paths:
            lines = io.StringIO()
            write_jsonl(lines, frame.index, frame.decisions)
            self._write("decisions", lines.getvalue())

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

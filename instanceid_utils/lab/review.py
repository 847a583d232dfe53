"""A tracked video under review: decide again, merge and name IDs by hand, save and go on.

Edits are noted by the segments they were made on, not by numbers, so they still mean the same
objects when another threshold has given everything other IDs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.evaluation.repeated_decisions import replay as track
from instanceid_utils.json_files import read_json
from instanceid_utils.pictures.explanations import first_sightings
from instanceid_utils.tracking.abstention import final_id
from instanceid_utils.tracking.tracker import InstanceID

EDITS = "edits.json"


class Review:
    """IDs of a recorded video, which can be decided anew and corrected by hand.

    Parameters
    ----------
    observations : sequence of tracking.Observation
        From `evaluation.record`.
    embedder : embedding.Embedder
        The one they were made with.
    threshold : float, optional
        L2, not squared; the embedder's calibrated one by default.
    **settings
        As for `tracking.InstanceID`, a gallery excepted: each decision starts from nothing.

    Attributes
    ----------
    ids : list of ndarray of shape (n_t,), int64
        The IDs of each frame, with all edits.
    names : dict of int to str
    tracker : tracking.InstanceID
        As it stands after the last frame, merged IDs included.
    edits : list
        What was done by hand, in order; JSON values.
    """

    def __init__(
        self, observations: Sequence, embedder, *, threshold: float | None = None, **settings
    ):
        if "gallery" in settings:
            raise ValueError("gallery: a review decides from an empty one, again and again")
        self.observations, self.embedder = list(observations), embedder
        self._settings = settings
        self.edits = []
        self.decide(embedder.threshold if threshold is None else threshold)

    def __len__(self):
        """Return the number of frames."""
        return len(self.observations)

    @property
    def threshold(self):
        """The L2 threshold in force, not squared."""
        return self.tracker.threshold

    @property
    def all_ids(self):
        """All IDs in use, in increasing order."""
        return sorted(first_sightings(self.ids))

    def decide(self, threshold):
        """Track the whole video with this threshold, then repeat the edits.

        Nothing is decoded or embedded.
        """
        # Nobody is forgotten whom a hand may still merge or name.
        settings = {"confirm": 0, **self._settings}
        tracker = InstanceID(self.embedder, threshold=threshold, **settings)
        self._updates = track(tracker, self.observations)
        self.tracker, self.names, self._merged = tracker, {}, {}
        self.ids = [update.ids.copy() for update in self._updates]
        for edit in self.edits:
            self._apply(edit)

    def decision(self, frame, row):
        """Return the `tracking.Decision` on a segment, its IDs called as they are called now."""
        made, near = self._updates[frame].decisions[row], {}
        for id_, distance in made.neighbours:
            near.setdefault(final_id(id_, self._merged), distance)
        return replace(made, id=int(self.ids[frame][row]), neighbours=tuple(near.items()))

    @property
    def cuts(self):
        """Frames that start a new shot."""
        return [t for t, update in enumerate(self._updates) if update.shot_cut]

    def merge(self, keep, other):
        """Make two IDs one: ``other`` becomes ``keep`` in all frames and in the gallery.

        Raises
        ------
        ValueError
            If one of them is not in use, or both are seen in one frame.
        """
        self._require(keep, other)
        if keep == other:
            raise ValueError(f"expected two different IDs, got {keep} twice")
        both = self._frame_with_both(keep, other)
        if both is not None:
            raise ValueError(f"{keep} and {other} are both seen in frame {both}: two objects")
        self._do(["merge", self._anchor(keep), self._anchor(other)])

    def rename(self, id, name):
        """Call an ID by a name; an empty one takes its name away."""
        self._require(id)
        self._do(["name", self._anchor(id), str(name).strip()])

    def undo(self):
        """Take back the last edit, if there is one, and return it."""
        if not self.edits:
            return None
        undone = self.edits.pop()
        self.decide(self.threshold)
        return undone

    def save(self, folder):
        """Write the edits, a table of all IDs, and the tracker with its gallery into a folder.

        ``edits.json`` is what `load` needs, ``ids.csv`` has a line for each segment, and
        ``tracker`` is for `tracking.InstanceID.load`, to go on with the next video.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.tracker.save(folder / "tracker")
        write_atomically(folder / "ids.csv", self._table())
        notes = {"threshold": self.threshold, "names": self.names, "edits": self.edits}
        write_atomically(folder / EDITS, json.dumps(notes, indent=1) + "\n")

    def load(self, folder):
        """Take threshold and edits over from a folder of `save`, for the same video.

        Raises
        ------
        ValueError
            If the file is none of ours, or was made for another video; nothing changes then.
        """
        path = Path(folder) / EDITS
        try:
            notes = read_json(path)
            threshold, edits = float(notes["threshold"]), list(notes["edits"])
            for kind, (frame, row), value in edits:
                segments = [[frame, row]] if kind == "name" else [[frame, row], value]
                for t, n in segments:
                    self._updates[t].ids[n]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path}: no edits for this video ({error!r})") from error
        before, self.edits = self.edits, edits
        try:
            self.decide(threshold)
        except ValueError:
            self.edits = before
            raise

    def _do(self, edit):
        self._apply(edit)
        self.edits.append(edit)

    def _apply(self, edit):
        kind, (frame, row), value = edit
        id_ = int(self.ids[frame][row])
        if kind == "name":
            self.names.pop(id_, None)
            if value:
                self.names[id_] = value
            return
        other = int(self.ids[value[0]][value[1]])
        # With another threshold they may be one already, or seen side by side.
        if id_ != other and self._frame_with_both(id_, other) is None:
            self.tracker.merge(id_, other)
            self._merged[other] = id_
            for given in self.ids:
                given[given == other] = id_
            name = self.names.pop(other, None)
            if name is not None:
                self.names.setdefault(id_, name)

    def _anchor(self, id_):
        return list(first_sightings(self.ids)[id_])

    def _frame_with_both(self, one, other):
        for t, given in enumerate(self.ids):
            if one in given and other in given:
                return t
        return None

    def _require(self, *ids):
        known = self.all_ids
        for i in ids:
            if i not in known:
                raise ValueError(f"expected one of the IDs {known}, got {i}")

    def _table(self):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("frame", "label", "id", "name", "reason", "distance"))
        for t, given in enumerate(self.ids):
            for i, d in zip(given.tolist(), self._updates[t].decisions):
                away = "" if d.distance is None else f"{d.distance:.4f}"
                writer.writerow((t, d.label, i, self.names.get(i, ""), d.reason, away))
        return text.getvalue()

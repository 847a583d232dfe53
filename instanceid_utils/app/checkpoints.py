"""Where a run stands, written so that another process goes on as if nothing had happened.

Each checkpoint is a folder of its own, filled under another name and renamed; then the one
before it goes. Killed at any instant, one of the two is there and whole.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from instanceid_utils.json_files import read_json
from instanceid_utils.tracking.decision import Decision
from instanceid_utils.tracking.tracker import InstanceID


@dataclass
class State:
    """What a run needs to go on."""

    tracker: InstanceID
    next_index: int  # first frame that the tracker has not seen
    waiting: dict  # frame index -> (ids, decisions, shot_cut): decided on, but not written
    outputs: tuple  # of `app.TrackOutputs.checkpoint`


class Checkpoints:
    """The checkpoints of one run.

    Parameters
    ----------
    folder : path-like
    facts : dict
        What the run depends on; only a run with equal facts goes on.
    """

    def __init__(self, folder, facts):
        self.folder = Path(folder)
        self.facts = json.loads(json.dumps(facts, default=str))

    def save(self, tracker, next_index, waiting, outputs):
        """Write a checkpoint in place of the one before; see `State`."""
        notes, arrays = outputs
        older = self._all()
        serial = int(older[-1].name) + 1 if older else 1
        beside, final = self.folder / ".part", self.folder / f"{serial:06d}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        tracker.save(beside / "tracker")
        np.savez_compressed(beside / "outputs.npz", **arrays)
        waiting = [
            [index, ids, [asdict(d) for d in decisions], cut]
            for index, (ids, decisions, cut) in waiting.items()
        ]
        content = {
            "facts": self.facts,
            "next_index": next_index,
            "waiting": waiting,
            "outputs": notes,
        }
        (beside / "run.json").write_text(json.dumps(content), encoding="utf-8")
        _sync(beside)
        os.replace(beside, final)
        for path in older:
            shutil.rmtree(path)

    def load(self, embedder):
        """Read the newest checkpoint.

        Returns
        -------
        State

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is of a run with other facts, or damaged.
        """
        there = self._all()
        if not there:
            raise FileNotFoundError(f"{self.folder.parent}: holds no unfinished run to go on with")
        path = there[-1] / "run.json"
        try:
            content = read_json(path)
            facts, notes = content["facts"], content["outputs"]
            waiting = {
                index: (np.array(ids, np.int64), tuple(map(read_decision, decisions)), cut)
                for index, ids, decisions, cut in content["waiting"]
            }
            with np.load(there[-1] / "outputs.npz", allow_pickle=False) as arrays:
                outputs = notes, dict(arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: damaged ({error!r})") from error
        for key, value in self.facts.items():
            if facts.get(key) != value:
                raise ValueError(
                    f"{self.folder.parent}: the run to go on with had "
                    f"{key} {facts.get(key)!r}, not {value!r}"
                )
        tracker = InstanceID.load(there[-1] / "tracker", embedder)
        return State(tracker, content["next_index"], waiting, outputs)

    def clear(self):
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _all(self):
        return sorted(path for path in self.folder.glob("[0-9]*") if (path / "run.json").exists())


def read_decision(fields):
    """Make a `Decision` of what JSON has kept of one."""
    return Decision(**{**fields, "neighbours": tuple(map(tuple, fields["neighbours"]))})


def _sync(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())

"""The spool of a run: what the second look needs of each frame, on disk and without its picture.

Two files grow with the video: ``sightings`` has a record of fixed size for each segment, which is
looked into like an array; ``frames`` holds masks and decisions, read once more from beginning to
end. Neither is held in memory.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from instanceid_utils.app.checkpoints import read_decision
from instanceid_utils.app.outputs import TrackedFrame
from instanceid_utils.segments.segments import Segments
from instanceid_utils.tracking.second_look.sightings import make_sightings, sighting_dtype

_LENGTHS = struct.Struct("<QQ")  # of the text and of the masks of a frame


class Spool:
    """Write what was tracked, and read it again.

    Parameters
    ----------
    folder : path-like
    dim : int
        Length of the vectors.
    known : ndarray of int64
        IDs of the gallery before the video; what was noted by the first object counts.
    state : dict, optional
        Go on after what another object wrote, from its `checkpoint`.
    """

    def __init__(self, folder, dim: int, known=(), state: dict | None = None):
        self.folder, self._dtype = Path(folder), sighting_dtype(dim)
        self.folder.mkdir(parents=True, exist_ok=True)
        state = state or {"frames": 0, "sightings": 0, "shot": 0}
        if not state["frames"]:
            np.save(self.folder / "known.npy", np.asarray(known, np.int64))
        self.known = np.load(self.folder / "known.npy", allow_pickle=False)
        self._files, self._shot = {}, state["shot"]
        for name in ("frames", "sightings"):
            self._files[name] = open(self.folder / name, "ab")
            self._files[name].truncate(state[name])

    def write(self, frame: TrackedFrame) -> None:
        """Note a frame, after those before it."""
        self._shot += frame.shot_cut
        if frame.observation is not None:
            seen = make_sightings(frame.index, self._shot, frame.ids, frame.observation)
            self._files["sightings"].write(seen.tobytes())
        text, masks = _packed(frame)
        self._files["frames"].write(_LENGTHS.pack(len(text), len(masks)) + text + masks)

    def checkpoint(self) -> dict:
        """Return what another object needs to go on after what is written so far."""
        for file in self._files.values():
            file.flush()
        return {**{name: file.tell() for name, file in self._files.items()}, "shot": self._shot}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def move_to(self, folder, ids: np.ndarray | None = None) -> None:
        """Leave all in another folder on the same disk, with the final IDs, for `kept`.

        Parameters
        ----------
        folder : path-like
            Made, in one step.
        ids : ndarray of int64, optional
            One for each sighting; those that were noted by default.
        """
        ids = np.array(self.sightings()["id"]) if ids is None else ids
        self.close()
        np.save(self.folder / "ids.npy", ids)
        os.replace(self.folder, folder)

    @classmethod
    def kept(cls, folder, dim: int) -> tuple[Spool, np.ndarray]:
        """Open what `move_to` left.

        Returns
        -------
        spool : Spool
            To be read.
        ids : ndarray of int64
            The final ID of each of its sightings.

        Raises
        ------
        ValueError, OSError
            If it is not there, or not whole.
        """
        folder = Path(folder)
        ids = np.load(folder / "ids.npy", allow_pickle=False)
        sizes = {name: (folder / name).stat().st_size for name in ("frames", "sightings")}
        if sizes["sightings"] != len(ids) * sighting_dtype(dim).itemsize:
            raise ValueError(f"{folder}: expected sightings of {len(ids)} segments, it has others")
        return cls(folder, dim, state={**sizes, "shot": 0}), ids

    def sightings(self) -> np.ndarray:
        """Return all sightings, as a memory map."""
        self.checkpoint()
        if not (self.folder / "sightings").stat().st_size:
            return np.zeros(0, self._dtype)
        return np.memmap(self.folder / "sightings", self._dtype, "r")

    def frames(self) -> Iterator[TrackedFrame]:
        """Yield all frames in order; their image is None."""
        self.checkpoint()
        with open(self.folder / "frames", "rb") as file:
            while True:
                lengths = file.read(_LENGTHS.size)
                if not lengths:
                    return
                n_text, n_masks = _LENGTHS.unpack(lengths)
                yield _unpacked(file.read(n_text), file.read(n_masks))


def _packed(frame):
    """Return the text and the masks of a frame as bytes."""
    notes = {
        "index": frame.index,
        "time": frame.time,
        "name": frame.name,
        "shot_cut": bool(frame.shot_cut),
    }
    if frame.segments is None:
        return json.dumps(notes).encode(), b""
    segments = frame.segments
    notes.update(
        frame_shape=list(map(int, segments.frame_shape)),
        labels=segments.labels.tolist(),
        boxes=segments.boxes_tlbr.tolist(),
        ids=frame.ids.tolist(),
        decisions=[asdict(d) for d in frame.decisions],
        scores=None if frame.scores is None else np.asarray(frame.scores).tolist(),
        classes=None if frame.classes is None else list(frame.classes),
        overlapping=bool(frame.overlapping),
    )
    patches = [np.packbits(patch) for patch in segments.patches]
    masks = np.concatenate(patches) if patches else np.zeros(0, np.uint8)
    return json.dumps(notes).encode(), zlib.compress(masks.tobytes(), 1)


def _unpacked(text, masks):
    notes = json.loads(text)
    head = notes["index"], notes["time"], notes["name"], None
    if "labels" not in notes:
        return TrackedFrame(*head, None, np.zeros(0, np.int64), shot_cut=notes["shot_cut"])
    bits, start, patches = np.frombuffer(zlib.decompress(masks), np.uint8), 0, []
    for left, top, right, bottom in notes["boxes"]:
        n = (right - left) * (bottom - top)
        stop = start + -(-n // 8)
        patch = np.unpackbits(bits[start:stop], count=n).astype(bool)
        patches.append(patch.reshape(bottom - top, right - left))
        start = stop
    segments = Segments(
        tuple(notes["frame_shape"]),
        np.array(notes["labels"], np.int64),
        np.array(notes["boxes"], np.int32).reshape(-1, 4),
        np.array([np.count_nonzero(patch) for patch in patches], np.int64),
        tuple(patches),
    )
    return TrackedFrame(
        *head,
        segments,
        np.array(notes["ids"], np.int64),
        tuple(map(read_decision, notes["decisions"])),
        None if notes["scores"] is None else np.array(notes["scores"], np.float32),
        None if notes["classes"] is None else tuple(notes["classes"]),
        notes["shot_cut"],
        notes["overlapping"],
    )

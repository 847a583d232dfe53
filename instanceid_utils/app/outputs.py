"""Everything that a tracked video leaves behind, written frame by frame into one folder.

=====================  ====================================================================
``tracked.mp4``        the video with masks, IDs and tails
``masks/``             palette PNGs with lasting IDs (16-bit grey beyond ID 255)
``mot.txt``            MOT-Challenge boxes; frames count from 1
``mots.txt``           MOTS masks; frames count as the masks or names that came in, or from 0
``youtube_vis.json``   YouTube-VIS (COCO-VIS) masks, one entry per ID
``decisions.jsonl``    why each segment got its ID, one JSON line each; with ``first_id``, where
                       a second look changed it
``contact_sheet.png``  one row per ID: first seen, last seen, crops (``_2`` and on for more)
``timeline.png``       who is seen when
``summary.json``       what was done, whether it is complete, and which IDs are ``unconfirmed``:
                       seen too seldom, or too badly, to be found again
=====================  ====================================================================

What is written is valid whenever writing stops; ``summary.json`` says if it is all.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils.app.texts import TEXTS, TrackTexts
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.davis import natural_key
from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.formats import FormatError, youtube_vis
from instanceid_utils.formats.palette import MAX_ID, id_map
from instanceid_utils.pictures.contact_sheet import ContactSheet
from instanceid_utils.pictures.timeline import IdRuns, draw_runs
from instanceid_utils.segments.segments import Segments, apart
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.observation import Observation
from instanceid_utils.video.overlay import Overlay
from instanceid_utils.video.writer import VideoWriter

logger = logging.getLogger(__name__)

OUTPUTS = ("video", "masks", "mot", "mots", "youtube-vis", "decisions", "contact-sheet", "timeline")
SUMMARY = "summary.json"


@dataclass
class TrackedFrame:
    """One frame with its IDs, ready to be written.

    Attributes
    ----------
    index, time, name, image
        As of `video.VideoFrame`.
    segments : Segments or None
        None where the frame has no masks, which is not the same as no segments.
    ids : ndarray of shape (N,), int64
    decisions : tuple of Decision
    scores : ndarray of shape (N,), float32, or None
    classes : tuple of length N, or None
    shot_cut : bool
    overlapping : bool
        Segments may share pixels, as those of boxes do. In masks and MOTS each pixel is one's.
    observation : Observation or None
        What was seen, for a second look.
    first_ids : ndarray of shape (N,), int64, or None
        IDs of the first look, where there was a second.
    """

    index: int
    time: float
    name: str
    image: np.ndarray
    segments: Segments | None
    ids: np.ndarray
    decisions: tuple = ()
    scores: np.ndarray | None = None
    classes: tuple | None = None
    shot_cut: bool = False
    overlapping: bool = False
    observation: Observation | None = None
    first_ids: np.ndarray | None = None

    def select(self, keep: np.ndarray) -> TrackedFrame:
        """Leave out some of the segments: ``keep`` is a bool for each."""
        at = np.flatnonzero(keep)
        return replace(
            self,
            segments=None if self.segments is None else self.segments.select(keep),
            ids=self.ids[at],
            decisions=tuple(self.decisions[i] for i in at),
            scores=None if self.scores is None else np.asarray(self.scores)[at],
            classes=None if self.classes is None else tuple(self.classes[i] for i in at),
            first_ids=None if self.first_ids is None else self.first_ids[at],
        )


class TrackOutputs:
    """Write a tracked video in all the forms of this module.

    Parameters
    ----------
    out_dir : path-like
        Made if it is not there. What an earlier run left in it is removed; anything else that
        is in the way is an error.
    size : tuple of int
        Width and height of the video.
    fps : float
    outputs : sequence of str
        Of `OUTPUTS`.
    tail : int
        Length of the tails in frames.
    pixel_aspect : Fraction or float
        See `video.VideoWriter`.
    first_frame : int
        Number of the first frame in ``mots.txt``.
    confirmed_only : bool
        Leave out segments whose ID is not confirmed.
    state : tuple, optional
        Go on after what another object wrote, from its `checkpoint`.

    Raises
    ------
    FileExistsError
        If something in the folder is in the way and is not from here.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike,
        size: tuple,
        fps: float,
        *,
        outputs: Sequence = OUTPUTS,
        tail: int = 20,
        pixel_aspect=1,
        first_frame: int = 0,
        confirmed_only: bool = False,
        state: tuple | None = None,
    ):
        unknown = set(outputs) - set(OUTPUTS)
        if unknown:
            raise ValueError(f"outputs: expected some of {OUTPUTS}, got {sorted(unknown)}")
        self.out_dir, self.size, self.fps = Path(out_dir), tuple(size), float(fps)
        self.outputs = {name for name in OUTPUTS if name in outputs}
        if "youtube-vis" in self.outputs:
            self.outputs.add("mots")  # it is made from it
        self._overlay, self._sheet, self._runs = Overlay(tail=tail), ContactSheet(), IdRuns()
        self._names, self._cuts, self._last_ids = [], [], ()
        self._prepare(state is not None)
        notes, arrays = state or ({}, None)
        self.n_frames = notes.get("n_frames", 0)
        self.confirmed_only, self.confirmed = confirmed_only, set(notes.get("confirmed", ()))
        self._given = {*notes.get("given", ()), *self.confirmed}
        self._video = VideoWriter(
            self.out_dir / "tracked.mp4",
            fps,
            size,
            fit=True,
            pixel_aspect=pixel_aspect,
            state=notes.get("video"),
        )
        if state is not None:
            self._names, self._cuts, self._last_ids = (notes[k] for k in ("names", "cuts", "ids"))
            self._runs.restore(notes["runs"])
            self._overlay.restore(notes["overlay"])
            self._sheet.restore(arrays)
        self._texts = TrackTexts(
            self.out_dir, self.outputs, first_frame, notes.get("offsets"), notes.get("categories")
        )
        self._first_frame, self._told = first_frame, False

    def _prepare(self, goes_on):
        ours = (self.out_dir / SUMMARY).exists()
        masks = self.out_dir / "masks"
        if not ours and not goes_on:
            in_the_way = [
                path
                for name in ("tracked.mp4", "masks", *TEXTS.values())
                for path in [self.out_dir / name]
                if path.exists() and not (path.is_dir() and not any(path.iterdir()))
            ]
            if in_the_way:
                raise FileExistsError(f"{in_the_way[0]}: in the way, and not from an earlier run")
        (masks if "masks" in self.outputs else self.out_dir).mkdir(parents=True, exist_ok=True)
        if goes_on:
            return
        for path in [
            *masks.glob("*.png"),
            *self.out_dir.glob("contact_sheet*.png"),
            *self.out_dir.glob("tracked*.mp4"),
            self.out_dir / "timeline.png",
            self.out_dir / "youtube_vis.json",
            self.out_dir / SUMMARY,
        ]:
            path.unlink(missing_ok=True)
        # From here on the folder is known as ours, even if the process is killed.
        write_atomically(self.out_dir / SUMMARY, json.dumps({"complete": False}))

    def write(self, frame: TrackedFrame) -> None:
        """Write one frame, after those before it."""
        stem = Path(frame.name).stem
        self._names.append(frame.name if Path(frame.name).suffix else f"{frame.name}.jpg")
        if frame.shot_cut and self.n_frames:
            self._cuts.append(self.n_frames)
            self._overlay.clear()
        if frame.segments is None:
            self._runs.add(self._last_ids)
            if "video" in self.outputs:
                self._video.write(frame.image, frame.time)
        else:
            frame = self._noted(frame)
            self._last_ids = frame.ids.tolist()
            self._runs.add(self._last_ids)
            self._write_frame(frame, stem)
        self.n_frames += 1

    def _noted(self, frame):
        """Note whose ID is confirmed; the frame without the others, if they are to be left out."""
        ids = frame.ids.tolist()
        sure = np.array([d.confirmed for d in frame.decisions] or [True] * len(ids), bool)
        self._given.update(i for i in ids if i != NO_ID)
        self.confirmed.update(i for i, s in zip(ids, sure) if s and i != NO_ID)
        return frame.select(sure) if self.confirmed_only and not sure.all() else frame

    def _write_frame(self, frame, stem):
        segments, ids = frame.segments, frame.ids
        alone = apart(segments) if frame.overlapping else segments
        if "video" in self.outputs:
            self._video.write(self._overlay.draw(frame.image, segments, ids), frame.time)
        if "masks" in self.outputs:
            self._tell_left_out(ids)
            write_label_map(self.out_dir / "masks" / f"{stem}.png", id_map(alone, ids))
        if "contact-sheet" in self.outputs:
            self._sheet.add(frame.index, frame.image, segments, ids)
        self._texts.write(self.n_frames, frame, alone)

    def _tell_left_out(self, ids):
        if ids.max(initial=0) > MAX_ID and not self._told:
            self._told = True
            logger.warning(
                "%s: IDs above %d are left out, a PNG cannot hold them",
                self.out_dir / "masks",
                MAX_ID,
            )

    def checkpoint(self) -> tuple:
        """End what is written so far so that another object can go on after it.

        Returns
        -------
        notes : dict
            In types that JSON has.
        arrays : dict of ndarray
        """
        notes = {
            "n_frames": self.n_frames,
            "names": list(self._names),
            "cuts": list(self._cuts),
            "ids": list(self._last_ids),
            "runs": self._runs.state(),
            "video": self._video.cut(),
            "overlay": self._overlay.state(),
            "offsets": self._texts.offsets(),
            "categories": self._texts.categories,
            "given": sorted(self._given),
            "confirmed": sorted(self.confirmed),
        }
        return notes, self._sheet.state()

    def close(self, complete: bool = True, **facts) -> dict:
        """Finish all files.

        Parameters
        ----------
        complete : bool
            Whether the whole video was tracked; if not, another object may go on.
        **facts
            Added to the summary.

        Returns
        -------
        dict of str to pathlib.Path
            The files and folders written, by output.
        """
        files = self._texts.close()
        self._video.close(keep_parts=not complete)
        if "video" in self.outputs and self.n_frames:
            files["video"] = self._video.path
        if "masks" in self.outputs:
            self._remove_masks_after(self._names[-1] if self._names else "")
            files["masks"] = self.out_dir / "masks"
        if "youtube-vis" in self.outputs:
            self._write_youtube_vis(files)
        if "contact-sheet" in self.outputs:
            self._write_sheet(files)
        if "timeline" in self.outputs:
            files["timeline"] = self._write_timeline()
        summary = {
            "complete": complete,
            "n_frames": self.n_frames,
            "n_ids": len(self.ids),
            "unconfirmed": sorted(self._given - self.confirmed),
            "size": self.size,
            "fps": self.fps,
            "first_frame": self._first_frame,
            "shot_cuts": self._cuts,
            **facts,
            "files": {key: str(path.relative_to(self.out_dir)) for key, path in files.items()},
        }
        write_atomically(self.out_dir / SUMMARY, json.dumps(summary, indent=1))
        return {**files, "summary": self.out_dir / SUMMARY}

    @property
    def ids(self):
        """All IDs given, sorted."""
        return sorted({id_ for _, id_, _, _ in self._runs.sorted()})

    def _remove_masks_after(self, last):
        for path in (self.out_dir / "masks").glob("*.png"):  # of a run that was killed later on
            if natural_key(path.stem) > natural_key(Path(last).stem):
                path.unlink()

    def _write_youtube_vis(self, files):
        path = self.out_dir / "youtube_vis.json"
        try:
            youtube_vis.write(
                path,
                files["mots"],
                frame_names=self._names,
                size=self.size,
                fps=self.fps,
                first_frame=self._first_frame,
                categories={n: name for name, n in self._texts.categories.items()} or None,
            )
            files["youtube-vis"] = path
        except FormatError as error:  # it has one size for all frames
            logger.warning("%s: left out (%s)", path, error)
            path.unlink()

    def _write_sheet(self, files):
        for k, page in enumerate(self._sheet.pages(), 1):
            path = self.out_dir / f"contact_sheet{f'_{k}' if k > 1 else ''}.png"
            cv2.imwrite(str(path), page[..., ::-1])
            files.setdefault("contact-sheet", path)

    def _write_timeline(self):
        picture = draw_runs(self._runs.sorted(), self._runs.n_frames, cuts=self._cuts)
        path = self.out_dir / "timeline.png"
        cv2.imwrite(str(path), picture[..., ::-1])
        return path

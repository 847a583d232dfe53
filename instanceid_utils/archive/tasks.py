"""The two tasks of a video: to be tracked, and to have its results written by the archive's IDs.

Either runs anywhere the video and the archive's folder can be reached, more than once if need be:
what it makes is filled under another name and renamed, and whoever comes second leaves what is
there. Nothing else is written by a task.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from instanceid_utils.app.mask_feed import files_of_folder
from instanceid_utils.app.outputs import TrackOutputs
from instanceid_utils.app.second_pass import write_again
from instanceid_utils.app.spool import Spool
from instanceid_utils.app.video_tracking import track_video
from instanceid_utils.archive.tracks import Tracks
from instanceid_utils.atomic_files import sync_folder, write_atomically
from instanceid_utils.json_files import read_json
from instanceid_utils.tracking.second_look.sightings import spread
from instanceid_utils.video.reader import read_video, video_info
from instanceid_utils.video.segmenters import make_segmenter

JOB, WRITTEN = "job.json", "written.json"
PART = ".part"
N_PICTURES = 4  # of each local ID
_SIDE, _MARGIN = 128, 0.15  # pixels of a picture; round the box, as a part of it


class Job(NamedTuple):
    """A video to be tracked; all of it goes through JSON."""

    key: str
    source: str
    masks: str | None
    sha256: str  # of video and masks
    settings: dict  # of the tracking, see `build.TRACK_SETTINGS`

    @property
    def facts(self) -> dict:
        """What its tracks depend on."""
        return {"sha256": self.sha256, "settings": self.settings}


def is_tracked(folder: Path, job: Job) -> bool:
    """Tell whether a video is tracked already, from the same content by the same settings."""
    try:
        return read_json(Path(folder) / "tracks" / job.key / JOB)["facts"] == job.facts
    except (OSError, ValueError, KeyError, TypeError):
        return False


def track_task(folder: str, job: Job) -> None:
    """Track a video into ``tracks/KEY``.

    Raises
    ------
    ValueError, OSError
        If it cannot be tracked; nothing is left.
    """
    settings, final = dict(job.settings), Path(folder) / "tracks" / job.key
    if is_tracked(Path(folder), job):
        return
    embedder = _embedder(settings.pop("weights"))
    settings.pop("weights_sha256")
    named = settings.pop("segmenter"), settings.pop("sensitivity")
    segmenter = make_segmenter(*named) if job.masks is None else None
    with _made_whole(final, lambda: is_tracked(Path(folder), job)) as part:
        result = track_video(
            job.source,
            part / "run",
            embedder=embedder,
            masks=job.masks,
            segmenter=segmenter,
            outputs=(),
            keep=part / "spool",
            progress=False,
            checkpoint_every=10**9,
            **settings,
        )
        summary = read_json(result.files["summary"])
        shutil.rmtree(part / "run")
        spool, ids = Spool.kept(part / "spool", embedder.dim)
        tracks = Tracks.of(spool.sightings(), ids, summary["fps"], summary["unconfirmed"])
        spool.close()
        tracks.save(part / "tracks.npz")
        _write_pictures(part / "pictures", job, tracks)
        kept = ("n_frames", "n_ids", "fps", "size", "first_frame", "shot_cuts")
        told = {name: summary[name] for name in kept}
        told.update({name: n for name, n in summary.items() if name.startswith("n_masks")})
        notes = {"facts": job.facts, "source": job.source, "masks": job.masks, "video": told}
        write_atomically(part / JOB, json.dumps(notes, indent=1))


def write_task(folder: str, job: Job, ids: dict, options: dict) -> None:
    """Write the results of a tracked video into ``videos/KEY``.

    Parameters
    ----------
    folder : str
        Of the archive.
    job : Job
    ids : dict of int to int
        Local ID -> identity.
    options : dict
        ``outputs``, ``tail`` and ``confirmed_only`` of `app.track_video`, ``threshold`` for the
        summary.
    """
    tracked, final = Path(folder) / "tracks" / job.key, Path(folder) / "videos" / job.key
    if is_written(Path(folder), job, ids, options):
        return
    shutil.rmtree(final, ignore_errors=True)  # of other IDs: no longer true
    told = read_json(tracked / JOB)["video"]
    pictures = _Pictures(job)
    info = video_info(job.source, fps=job.settings["fps"]) if _shown(options) else None
    tracks = Tracks.load(tracked / "tracks.npz")
    confirmed = {ids[i] for i in tracks.local_id[tracks.confirmed].tolist()}
    spool, local = Spool.kept(tracked / "spool", tracks.views.shape[1])
    try:
        with _made_whole(final, lambda: is_written(Path(folder), job, ids, options)) as part:
            sink = TrackOutputs(
                part,
                told["size"],
                told["fps"],
                outputs=options["outputs"],
                tail=options["tail"],
                pixel_aspect=1 if info is None else info.pixel_aspect,
                first_frame=told["first_frame"],
                confirmed_only=options["confirmed_only"],
            )
            whose = np.array([ids[i] for i in local.tolist()], np.int64)
            write_again(spool, whose, confirmed, pictures, sink, _Never(), _Never())
            n_masks = {name: n for name, n in told.items() if name.startswith("n_masks")}
            facts = {"source": job.source, "masks": job.masks, **n_masks}
            sink.close(True, **facts, threshold=options["threshold"], error=None)
            notes = {"facts": _written_facts(job, ids, options)}
            write_atomically(part / WRITTEN, json.dumps(notes))
    finally:
        spool.close()


def is_written(folder: Path, job: Job, ids: dict, options: dict) -> bool:
    """Tell whether the results of a video are there, with these IDs."""
    try:
        notes = read_json(Path(folder) / "videos" / job.key / WRITTEN)
        return notes["facts"] == _written_facts(job, ids, options)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _written_facts(job, ids, options):
    return json.loads(json.dumps({**job.facts, "ids": sorted(ids.items()), "options": options}))


def _shown(options):
    return bool({"video", "contact-sheet"} & set(options["outputs"]))


class _Pictures:
    """The pictures of a video, as `second_pass.write_again` asks a `MaskFeed` for them."""

    def __init__(self, job):
        self.source, self._fps = job.source, job.settings["fps"]
        self._masks = job.masks

    def pictures(self):
        files, _ = files_of_folder(self.source, self._masks)
        return read_video(self.source if files is None else files, fps=self._fps)


class _Never:
    """A stop that does not come, and a bar that does not show."""

    def is_set(self):
        return False

    def update(self):
        pass


def _write_pictures(folder, job, tracks):
    """Cut out some views of every local ID, the best one first; the video is read once more."""
    folder.mkdir()
    wanted: dict[int, list] = {}
    for row, best in enumerate(tracks.best_view.tolist()):
        views = np.flatnonzero(tracks.view_row == row)
        views = [best, *spread(views[views != best], N_PICTURES - 1).tolist()]
        for number, view in enumerate(views):
            name = f"{tracks.local_id[row]}_{number}.jpg"
            box = tracks.view_box_tlbr[view]
            wanted.setdefault(int(tracks.view_frame[view]), []).append((name, box))
    last = max(wanted, default=-1)
    frames = _Pictures(job).pictures() if wanted else iter(())
    for frame in frames:
        for name, box in wanted.get(frame.index, ()):
            crop = _cut(frame.image, box)
            done, content = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
            if not done:
                raise ValueError(f"{job.source}: frame {frame.index}: cannot be made a picture")
            (folder / name).write_bytes(content.tobytes())
        if frame.index >= last:
            break


def _cut(image, box_tlbr):
    """Return the box with what is round it, its longer side `_SIDE` or less."""
    left, top, right, bottom = box_tlbr.tolist()
    x, y = round(_MARGIN * (right - left)) + 2, round(_MARGIN * (bottom - top)) + 2
    crop = image[max(top - y, 0) : bottom + y, max(left - x, 0) : right + x]
    scale = _SIDE / max(crop.shape[:2])
    if scale >= 1:
        return crop
    size = [max(1, round(scale * side)) for side in crop.shape[1::-1]]
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA)


@contextmanager
def _made_whole(final: Path, is_there: Callable) -> Iterator[Path]:
    """Make a folder: what is put in the one that is yielded is there in the end, all or nothing.

    If ``is_there()`` by then, another worker was given the same and was faster.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.name}.{uuid.uuid4().hex[:12]}{PART}")
    part.mkdir()
    try:
        yield part
        if not is_there():
            shutil.rmtree(final, ignore_errors=True)
            try:
                os.replace(part, final)
            except OSError:
                if not is_there():
                    raise
            sync_folder(final.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what tasks that were killed have left."""
    for kind in ("tracks", "videos"):
        for part in (Path(folder) / kind).glob(f".*{PART}"):
            shutil.rmtree(part, ignore_errors=True)


@lru_cache(maxsize=1)
def _embedder(card: str | None) -> Any:
    from instanceid_utils.embedding.embedder import Embedder

    cv2.setNumThreads(1)  # there is a worker for every core
    return Embedder.pretrained(card, threads=1)

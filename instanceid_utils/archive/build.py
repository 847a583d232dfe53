"""Build an archive: track every video, join what they show, write it by the joined IDs.

Whatever breaks off leaves whole files: videos that are tracked stay so, and what is joined is
marked as unfinished until all of it is written. Built again, the same comes out as if nothing had
happened; so it does when videos are added, since the joining always begins from all tracks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from instanceid_utils.app.outputs import OUTPUTS
from instanceid_utils.archive import folder as layout
from instanceid_utils.archive.fixes import read_fixes
from instanceid_utils.archive.joining import join
from instanceid_utils.archive.records import write_records
from instanceid_utils.archive.report import write_report
from instanceid_utils.archive.sources import HASHES, find_videos, look_at
from instanceid_utils.archive.tasks import (
    Job,
    is_tracked,
    is_written,
    sweep,
    track_task,
    write_task,
)
from instanceid_utils.archive.tracks import Tracks
from instanceid_utils.archive.workers import Workers
from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.gallery.file_lock import locked
from instanceid_utils.tracking.evidence import Evidence

# What `track_video` is given for every video, with its defaults.
TRACK_SETTINGS = {
    "weights": None,
    "format": None,
    "sequence": None,
    "keep_void": False,
    "first_number": None,
    "first_frame": None,
    "segmenter": "mog2",
    "sensitivity": 1.0,
    "min_area": None,
    "min_score": None,
    "fps": None,
    "refine": True,
    "threshold": None,
    "place_cue": True,
    "assignment": "optimal",
    "abstain": 0,
    "across_classes": False,
}
WRITE_SETTINGS = {"outputs": tuple(OUTPUTS), "tail": 20, "confirmed_only": False}


class Stopped(KeyboardInterrupt):
    """Building was stopped; what is done is whole, and `build_archive(resume=True)` goes on."""


@dataclass(frozen=True)
class BuildResult:
    """What `build_archive` has done.

    Attributes
    ----------
    folder : pathlib.Path
    n_videos, n_tracked : int
        In the archive; tracked by this call.
    n_identities, n_sightings : int
    failed : dict of str to str
        Why, by source.
    seconds : dict of str to float
        Of this call: ``track``, ``join``, ``write``.
    """

    folder: Path
    n_videos: int
    n_tracked: int
    n_identities: int
    n_sightings: int
    failed: dict
    seconds: dict


def build_archive(
    videos: Sequence[str],
    out: str | os.PathLike,
    *,
    masks: str | None = None,
    resume: bool = False,
    add: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    wait: bool | float = False,
    progress: bool = True,
    say: Callable = print,
    **settings: Any,
) -> BuildResult:
    """Build an archive, go on with one, or add videos to one.

    Parameters
    ----------
    videos : sequence of str
        See `sources.find_videos`.
    out : path-like
        Folder of the archive; what it holds says `instanceid_utils.archive`.
    masks : str, optional
        Pattern, see `sources.masks_of`.
    resume : bool
        Go on where a build was stopped or killed. Videos that are tracked are not tracked again,
        those that failed are tried again. Settings and videos may be left out: they are the
        archive's.
    add : bool
        Add videos to those that are there.
    workers, scheduler
        See `workers.run_tasks`.
    wait : bool or float
        If another process builds this archive: wait, see `gallery.locked`.
    progress : bool
    say : callable
        Called with a line for the user.
    **settings
        Of `TRACK_SETTINGS` and `WRITE_SETTINGS`, as `app.track_video` has them; ``weights`` is the
        path of a card. An archive has one set of them; those of writing may change later.

    Returns
    -------
    BuildResult

    Raises
    ------
    FileExistsError
        If there is an archive already, and it is not to be gone on with.
    ValueError
        If settings are not those of the archive, or a video cannot be told.
    Stopped
        On Ctrl-C.
    """
    folder = Path(out).absolute()  # workers may stand elsewhere
    named = find_videos(videos) if videos else []
    _begun(folder, resume, add)  # before anything is made
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / layout.INDEX, wait=wait):
        begun = _begun(folder, resume, add)
        facts, evidence = _settings(settings, begun)
        entries = _entries(begun, named, masks, folder, add, say)
        if not entries:
            raise ValueError("expected the names of videos")
        runner = _Runner(folder, facts, evidence, progress, say)
        try:
            with Workers(workers, scheduler, runner.tell) as runner.workers:
                return runner.run(entries)
        except KeyboardInterrupt as stop:
            n = sum(is_tracked(folder, job) for job in runner.jobs.values())
            raise Stopped(
                f"stopped; {n} of {len(entries)} videos are tracked, and the same command with "
                "--resume goes on"
            ) from stop


def _begun(folder, resume, add):
    """Return the index of an archive that is gone on with, or None."""
    if not (folder / layout.INDEX).exists():
        if add:
            raise FileNotFoundError(f"{folder}: there is no archive to add to")
        if folder.exists() and not resume and not _is_ours(folder):
            raise FileExistsError(f"{folder}: in the way, and not an archive")
        return None
    if not (resume or add):
        raise FileExistsError(
            f"{folder}: there is an archive already; --resume goes on with it, --add adds to it"
        )
    return layout.read_index(folder)


def _is_ours(folder):
    """Tell whether a folder holds nothing but what a build begins with."""
    return all(p.name in (HASHES, "tracks") or p.name.startswith(".") for p in folder.iterdir())


def _settings(given, begun):
    """Return all settings, those of the archive where there is one, and the weights' evidence."""
    known = {**TRACK_SETTINGS, **WRITE_SETTINGS}
    unknown = set(given) - set(known)
    if unknown:
        raise TypeError(f"settings: expected some of {sorted(known)}, got {sorted(unknown)}")
    before = known if begun is None else begun["settings"]
    facts = json.loads(json.dumps({**before, **given}))
    from instanceid_utils.embedding.embedder import Embedder

    embedder = Embedder.pretrained(facts["weights"], threads=1)
    facts["weights_sha256"] = embedder.weights_sha256
    if facts["threshold"] is None:
        facts["threshold"] = embedder.threshold
    for name, value in facts.items():
        if (
            begun is not None
            and name not in WRITE_SETTINGS
            and begun["settings"].get(name) != value
        ):
            raise ValueError(
                f"{name}: this archive was built with {begun['settings'].get(name)!r}, not with "
                f"{value!r}; what is tracked in one way cannot be joined with the other"
            )
    if facts["threshold"] is None:
        raise ValueError(f"{facts['weights']}: has no calibrated threshold; give --threshold")
    return facts, Evidence.of(embedder)


def _entries(begun, named, masks, folder, add, say):
    """Return the entries of the index, by key and in order of it."""
    before = [] if begun is None else begun["videos"]
    known = {os.path.realpath(entry["source"]) for entry in before}
    strange = [source for source in named if os.path.realpath(source) not in known]
    if begun is not None and strange and not add:
        raise ValueError(f"{strange[0]}: not in this archive; --add brings it in")
    again = [(e["source"], e["pattern"]) for e in before if e["error"] and e["source"] not in named]
    found = look_at([(source, masks) for source in named] + again, folder)
    anew = {os.path.realpath(video.source) for video in found}
    entries = {e["key"]: e for e in before if os.path.realpath(e["source"]) not in anew}
    by_content = {e["sha256"]: e for e in before if e["key"] in entries}
    for video in found:
        same = by_content.get(video.sha256) if video.sha256 else None
        if same is not None and os.path.exists(same["source"]):
            say(f"{video.source}: the same as {same['source']}, left out")
            continue
        if same is not None:  # it was moved
            del entries[same["key"]]
        entry = {**video._asdict(), "key": video.key, "n_frames": 0, "fps": None}
        entries[video.key] = by_content[video.sha256] = entry
    return {key: entries[key] for key in sorted(entries)}


class _Runner:
    """One run of `build_archive`, step by step."""

    def __init__(self, folder, facts, evidence, progress, say):
        self.folder, self.facts, self.evidence = folder, facts, evidence
        self.progress, self.say = progress, say
        self.jobs, self.entries, self.workers = {}, {}, None

    def tell(self, line):
        """Say something beside a bar."""
        tqdm.write(line) if self.progress else self.say(line)

    def run(self, entries):
        self.entries = entries
        tracking = {k: v for k, v in self.facts.items() if k not in WRITE_SETTINGS}
        self.jobs = {
            key: Job(key, entry["source"], entry["masks"], entry["sha256"], tracking)
            for key, entry in entries.items()
            if entry["sha256"]
        }
        self._save_index(False)
        sweep(self.folder)
        clock = [time.perf_counter()]
        left = {key: job for key, job in self.jobs.items() if not is_tracked(self.folder, job)}
        self._run(track_task, {key: (str(self.folder), job) for key, job in left.items()}, "track")
        clock.append(time.perf_counter())
        tracks, joined = self._join()
        clock.append(time.perf_counter())
        self._write(tracks, joined)
        clock.append(time.perf_counter())
        self._save_index(True)
        write_report(layout.Archive(self.folder))
        failed = {e["source"]: e["error"] for e in self.entries.values() if e["error"]}
        spent = [round(b - a, 3) for a, b in zip(clock, clock[1:])]
        return BuildResult(
            self.folder,
            len(self.entries),
            len(left) - sum(self.entries[key]["error"] is not None for key in left),
            int(joined.identity.max(initial=0)),
            len(joined.identity),
            failed,
            dict(zip(("track", "join", "write"), spent)),
        )

    def _run(self, function, jobs, what):
        """Run a task for each job with a bar; note what went wrong in the entries."""
        begin, n = time.monotonic(), 0
        with tqdm(total=len(jobs), desc=what, unit=" videos", disable=not self.progress) as bar:

            def done(key, error):
                nonlocal n
                n += 1
                hours = (time.monotonic() - begin) / 3600
                bar.set_postfix_str(f"{n / max(hours, 1e-9):.0f} videos/h", refresh=False)
                bar.update()

            errors = self.workers.run(function, jobs, done)
        for key in jobs:
            error = errors.get(key)
            self.entries[key]["error"] = None if error is None else _one_line(error)

    def _join(self):
        tracks = {}
        for key, job in self.jobs.items():
            if is_tracked(self.folder, job):
                path = self.folder / "tracks" / key
                tracks[key] = Tracks.load(path / "tracks.npz")
                told = layout.read_video(path)
                self.entries[key].update(n_frames=told["n_frames"], fps=told["fps"], error=None)
        self._drop_others(tracks)
        same, different = read_fixes(self.folder)
        joined = join(
            tracks, self.facts["threshold"], evidence=self.evidence, same=same, different=different
        )
        write_records(
            self.folder,
            tracks,
            joined.identity,
            joined.confidence,
            weights_sha256=self.facts["weights_sha256"],
            threshold=self.facts["threshold"],
        )
        return tracks, joined

    def _write(self, tracks, joined):
        """Write the results of the videos whose IDs are others than before."""
        options = {name: self.facts[name] for name in (*WRITE_SETTINGS, "threshold")}
        jobs, at = {}, 0
        for key, of_video in tracks.items():
            whose = joined.identity[at : at + len(of_video)].tolist()
            at += len(of_video)
            ids = dict(zip(of_video.local_id.tolist(), whose))
            if not is_written(self.folder, self.jobs[key], ids, options):
                jobs[key] = (str(self.folder), self.jobs[key], ids, options)
        self._run(write_task, jobs, "write")

    def _drop_others(self, tracks):
        """Remove what is left of videos that are no longer in the archive, or failed."""
        import shutil

        for kind in ("tracks", "videos"):
            for path in (self.folder / kind).glob("*"):
                if path.name not in tracks:
                    shutil.rmtree(path, ignore_errors=True)

    def _save_index(self, complete):
        index = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "complete": complete,
            "weights_sha256": self.facts["weights_sha256"],
            "threshold": self.facts["threshold"],
            "settings": self.facts,
            "videos": list(self.entries.values()),
        }
        write_atomically(self.folder / layout.INDEX, json.dumps(index, indent=1) + "\n")


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__

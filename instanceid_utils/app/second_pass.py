"""After the last frame: look at the whole video again, and write its results by the final IDs.

The results of the first pass are whole and stay until those of the second are; they are written
beside them and then put in their place. Stopped or killed before that, the second pass begins
anew when the run is gone on with, and comes to the same.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from instanceid_utils.app.outputs import SUMMARY
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.second_look.joining import SecondLook, look_again
from instanceid_utils.tracking.second_look.regrouping import regroup
from instanceid_utils.tracking.second_look.whole_video import deal_one


class Ending(NamedTuple):
    """How a run ended."""

    files: dict  # results by name
    ids: list  # all that were given
    changes: dict | None  # what a second look changed
    complete: bool
    error: Exception | None
    final: np.ndarray | None = None  # ID of each sighting; None if they are those of the spool


def second_pass(loop, beside, told, stopped, new_bar) -> Ending:
    """Look again at what a loop has tracked to the end, and leave results with final IDs.

    Parameters
    ----------
    loop : track_loop.TrackLoop
        With a spool; its sink is closed here.
    beside : tuple of (callable, pathlib.Path)
        Makes a `TrackOutputs` in a folder; a folder on the same disk.
    told : dict
        What the summary says of the run.
    stopped : threading.Event
    new_bar : callable

    Returns
    -------
    Ending
        Stopped, or with an error, the results are those of the first pass.
    """
    tracker, first, spool = loop.tracker, loop.sink, loop.spool
    found = look(tracker, spool)
    n_changed = int(np.count_nonzero(found.ids != spool.sightings()["id"]))
    changes = {"n_cuts": found.n_cuts, "n_joined": found.n_joined, "n_changed": n_changed}
    if not n_changed and not first.confirmed_only:
        files = first.close(True, **told, second_look=changes, error=None)
        return Ending(files, first.ids, changes, True, None)
    loop.save()  # from here on only what follows is done anew
    files = first.close(False, **told, second_look=None, error=None)
    make_sink, folder = beside
    shutil.rmtree(folder, ignore_errors=True)
    ids, sink = with_new_ids(found.ids, tracker.gallery), make_sink(folder)
    complete, error = False, None
    with new_bar(total=first.n_frames, desc="final IDs") as bar:
        try:
            confirmed = _confirmed(first.confirmed, spool.sightings()["id"], ids)
            complete = write_again(spool, ids, confirmed, loop.feed, sink, stopped, bar)
        except Exception as problem:  # raised again, with the results of the first pass in place
            error = problem
    written = sink.close(complete, **told, second_look=changes, error=None)
    if not complete:
        return Ending(files, first.ids, None, False, error)
    regroup(tracker, spool.sightings(), ids)
    publish(folder, first.out_dir)
    files = {name: first.out_dir / path.relative_to(folder) for name, path in written.items()}
    return Ending(files, sink.ids, changes, True, None, ids)


def look(tracker, spool) -> SecondLook:
    """Look again at all sightings; IDs that are to be new are -2, -3 and so on for now."""
    numbers = count(2)
    return look_again(
        spool.sightings(),
        tracker.threshold,
        new_id=lambda: -next(numbers),
        known=spool.known,
        evidence=tracker.evidence,
    )


def with_new_ids(ids: np.ndarray, gallery) -> np.ndarray:
    """Put IDs that were never in use in place of the negative ones."""
    ids = ids.copy()
    for placeholder in sorted(set(ids[ids < 0].tolist()), reverse=True):
        ids[ids == placeholder] = gallery.new_id()
    return ids


def _confirmed(first, before, after):
    """Return the final IDs of which a part had a confirmed ID at first."""
    return set(after[np.isin(before, sorted(first))].tolist())


def write_again(spool, ids, confirmed, feed, sink, stopped, bar) -> bool:
    """Write all frames with their final IDs.

    Parameters
    ----------
    spool : spool.Spool
    ids : ndarray of int64
        One for each of its sightings.
    confirmed : set of int
        Which of them are confirmed, as is known now.
    feed : mask_feed.MaskFeed
        Where the pictures come from, if the results show any.
    sink : outputs.TrackOutputs
    stopped : threading.Event
    bar : tqdm

    Returns
    -------
    bool
        Whether it came to the end.
    """
    shown = {"video", "contact-sheet"} & set(sink.outputs)
    pictures = feed.pictures() if shown else None
    start = 0
    try:
        for item in spool.frames():
            if stopped.is_set():
                return False
            if pictures is not None:
                picture = next(pictures, None)
                if picture is None or picture.index != item.index:
                    raise ValueError(f"{feed.source}: frame {item.index} is not there any more")
                item.image = picture.image
            item.first_ids = item.ids
            item.ids, start = deal_one(item.ids, ids, start)
            item.decisions = tuple(
                replace(d, id=i, confirmed=i == NO_ID or i in confirmed)
                for d, i in zip(item.decisions, item.ids.tolist())
            )
            sink.write(item)
            bar.update()
    finally:
        if pictures is not None:
            pictures.close()
    return True


def publish(beside: Path, out_dir: Path) -> None:
    """Put the results in one folder in place of those in another, the summary last."""
    for path in [
        *out_dir.glob("contact_sheet*.png"),
        *out_dir.glob("tracked*.mp4"),
        out_dir / "youtube_vis.json",
    ]:
        path.unlink(missing_ok=True)
    for path in sorted(beside.iterdir(), key=lambda path: path.name == SUMMARY):
        if path.is_dir():
            shutil.rmtree(out_dir / path.name, ignore_errors=True)
        os.replace(path, out_dir / path.name)

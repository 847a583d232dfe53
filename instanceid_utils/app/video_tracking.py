"""Track a video from a file to a folder of results: the whole way in one call."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.app.checkpoints import Checkpoints
from instanceid_utils.app.mask_feed import MaskFeed
from instanceid_utils.app.outputs import OUTPUTS, TrackOutputs
from instanceid_utils.app.second_pass import Ending, second_pass
from instanceid_utils.app.spool import Spool
from instanceid_utils.app.track_loop import TrackLoop, stop_signals
from instanceid_utils.gallery.file_lock import locked
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.gallery_file import content_sha256
from instanceid_utils.tracking.tracker import InstanceID
from instanceid_utils.video.reader import video_info


class Interrupted(KeyboardInterrupt):
    """Tracking was stopped; what is written is valid.

    ``result`` is the `TrackResult` so far. Unless it is ``complete``, as that of a live source
    is, ``track_video(resume=True)`` goes on.
    """

    def __init__(self, result):
        super().__init__(f"stopped after {result.n_frames} frames")
        self.result = result


@dataclass(frozen=True)
class TrackResult:
    """What `track_video` has done.

    Attributes
    ----------
    out_dir : pathlib.Path
    files : dict of str to pathlib.Path
        Results by name: those of `app.OUTPUTS` that were asked for, "summary", "gallery".
    n_frames, n_ids : int
    masks : dict of str to int
        ``n_frames_with_masks``, and of masks from a file or mapping ``n_masks_used`` and
        ``n_masks_left_over``.
    complete : bool
        False if it was interrupted.
    seconds : float
        Of this call.
    tracker : InstanceID
    second_look : dict or None
        What it changed, as in the summary: ``n_cuts``, ``n_joined``, ``n_changed`` (segments).
        None without one.
    """

    out_dir: Path
    files: dict
    n_frames: int
    n_ids: int
    masks: dict
    complete: bool
    seconds: float
    tracker: InstanceID
    second_look: dict | None = None


def track_video(
    source,
    out_dir: str | os.PathLike,
    *,
    embedder=None,
    masks=None,
    format: str | None = None,
    sequence: str | None = None,
    keep_void: bool = False,
    first_number: int | None = None,
    first_frame: int | None = None,
    segmenter=None,
    min_area=None,
    min_score=None,
    gallery: str | os.PathLike | None = None,
    wait: bool | float = False,
    fps: float | None = None,
    outputs: Sequence = OUTPUTS,
    tail: int = 20,
    refine: bool | None = None,
    confirmed_only: bool = False,
    resume: bool = False,
    checkpoint_every: int = 500,
    keep: str | os.PathLike | None = None,
    progress: bool = True,
    **tracker_options,
):
    """Track every object of a video and write the results into a folder.

    Parameters
    ----------
    source : path-like, str or int
        Video file, folder of images, stream or camera, see `video.read_video`.
    out_dir : path-like
        See `outputs` for what it holds in the end.
    embedder : embedding.Embedder, optional
        The shipped one by default.
    masks : path-like or mapping, optional
        File or folder in one of `formats.FORMATS`, or frame number -> `formats.FrameMasks`.
        Without it the segmenter finds the masks.
    format, sequence, keep_void : optional
        Of the masks, see `formats.read_masks`.
    first_number : int, optional
        Number that the masks have for the first frame. Unless told, masks go to the frames by
        their names, else by the numbers in them, from 0 in a video file; see `frame_matching`.
    first_frame : int, optional
        Number of the first frame in ``mots.txt``; that of its masks or of its name by default,
        or 0.
    segmenter : video.Segmenter, optional
        `video.BackgroundSegmenter` by default.
    min_area, min_score : optional
        See `formats.clean_masks`.
    gallery : path-like, optional
        A gallery file: continued if it is there, and written at the end. Meanwhile nobody else
        may update it.
    wait : bool or float
        Whether, or for how many seconds, to wait for a gallery that somebody else updates.
    fps : float, optional
        Frame rate of a folder of images.
    outputs : sequence of str
        Of `app.OUTPUTS`.
    tail : int
        Length of the tails in the video, in frames.
    refine : bool, optional
        Look at all views again after the last frame, and write the results anew where an ID
        changes; see `tracking.second_look`. By default for all that can be read twice, which is
        not a camera or a stream.
    confirmed_only : bool
        Leave objects out of the results whose ID was not confirmed, as it was seen too seldom or
        too badly to be found again: crumbs of background, mostly. Without a second look they are
        left out until their ID is confirmed.
    resume : bool
        Go on where a run with the same arguments was stopped or killed.
    checkpoint_every : int
        Frames after which a killed run can be gone on with.
    keep : path-like, optional
        A folder, on the same disk, to be made in the end: it holds all that the results are
        written from but the pictures, see `spool.Spool.kept`.
    progress : bool
        Show a progress bar.
    **tracker_options
        Of `tracking.InstanceID`: ``threshold``, ``place_cue``, ``abstain`` and so on.

    Returns
    -------
    TrackResult

    Raises
    ------
    Interrupted
        On Ctrl-C or SIGTERM, once the results so far are finished. For a camera or a stream that
        is the end: the gallery is saved, too.
    BlockingIOError
        If somebody else updates the gallery; nothing has changed.
    ValueError, OSError
        For a video or masks that cannot be read, with the file's name; what was written before
        is finished, too.
    """
    begin = time.perf_counter()
    out_dir = Path(out_dir)
    refine = not _is_live(source) if refine is None else bool(refine)
    _check_paths(source, masks, out_dir, resume, gallery, refine)
    _check_numbers(fps, tail, min_area, min_score, checkpoint_every, first_frame)
    info = video_info(source, fps=fps)
    feed = MaskFeed(
        source,
        info,
        masks,
        format=format,
        sequence=sequence,
        keep_void=keep_void,
        fps=fps,
        first_number=first_number,
        segmenter=segmenter,
        clean={"min_area": min_area, "min_score": min_score},
    )
    first_frame = feed.first_number() if first_frame is None else int(first_frame)
    if embedder is None:
        from instanceid_utils.embedding.embedder import Embedder

        embedder = Embedder.pretrained()
    facts = {
        "source": str(source),
        "masks": feed.description,
        "first_number": first_number,
        "keep_void": keep_void,
        "first_frame": first_frame,
        "fps": info.fps,
        "min_area": min_area,
        "min_score": min_score,
        "tail": tail,
        "weights_sha256": embedder.weights_sha256,
        "tracker": dict(tracker_options),
        "gallery": None if gallery is None else str(gallery),
        "outputs": sorted(outputs),
        "refine": refine,
        "confirmed_only": bool(confirmed_only),
    }
    with nullcontext() if gallery is None else locked(gallery, wait=wait):
        facts["gallery_sha256"] = _content_of(gallery)
        checkpoints = Checkpoints(out_dir / "resume", facts)
        state = checkpoints.load(embedder) if resume else None
        if state is None:
            tracker = InstanceID(
                embedder, gallery=_open_gallery(gallery, embedder), **tracker_options
            )
        else:
            tracker = state.tracker
        make_sink = partial(
            TrackOutputs,
            size=info.size,
            fps=info.fps,
            outputs=outputs,
            tail=tail,
            pixel_aspect=info.pixel_aspect,
            first_frame=first_frame,
            confirmed_only=bool(confirmed_only),
        )
        sink = make_sink(out_dir, state=None if state is None else state.outputs)
        if state is None:
            checkpoints.clear()  # of an unfinished run that is started anew
        spool = None
        if refine or keep is not None:
            noted = None if state is None else state.outputs[0]["spool"]
            spool = Spool(out_dir / "resume" / "spool", embedder.dim, tracker.gallery.ids, noted)
        loop = TrackLoop(
            tracker,
            feed,
            sink,
            checkpoints,
            checkpoint_every,
            state,
            delay=tracker_options.get("abstain", 0),
            live=_is_live(source),
            spool=spool,
        )
        new_bar = partial(tqdm, unit=" frames", disable=not progress)
        with stop_signals() as stopped:
            error = loop.go(stopped, new_bar(total=info.n_frames, initial=loop.next_index))
            told = {
                "source": str(source),
                "masks": feed.description,
                "threshold": float(tracker.threshold),
                **feed.counts(sink.n_frames),
            }
            if loop.finished and refine:
                beside = make_sink, out_dir / "resume" / "second"
                ending = second_pass(loop, beside, told, stopped, new_bar)
            else:
                files = sink.close(loop.finished, **told, second_look=None, error=_text(error))
                ending = Ending(files, sink.ids, None, loop.finished, error)
        files, ids, changes, complete, error, final = ending
        if spool is not None and complete and keep is not None:
            spool.move_to(keep, final)
        elif spool is not None:
            spool.close()
        if complete:
            checkpoints.clear()
        if gallery is not None and (complete or (_is_live(source) and sink.n_frames)):
            tracker.gallery.save(gallery)
            files["gallery"] = Path(gallery)
        result = TrackResult(
            out_dir,
            files,
            sink.n_frames,
            len(ids),
            feed.counts(sink.n_frames),
            complete,
            time.perf_counter() - begin,
            tracker,
            changes,
        )
        if error is not None:
            raise error
        if not complete or stopped.is_set() and _is_live(source):
            raise Interrupted(result)
        return result


def _is_live(source):
    """Tell whether a source is a camera or a stream, which cannot be gone on with."""
    return not isinstance(source, list) and not Path(str(source)).exists()


def _text(error):
    return str(error) if error else None


def _check_paths(source, masks, out_dir, resume, gallery, refine):
    for path in (source, masks):
        if isinstance(path, (str, Path)) and Path(path).exists():
            if out_dir.resolve() in [Path(path).resolve(), *Path(path).resolve().parents]:
                raise ValueError(f"{path}: lies in {out_dir}, where results would replace it")
    if resume and _is_live(source):
        raise ValueError(f"{source}: a live source cannot be gone on with")
    if refine and _is_live(source):
        raise ValueError(f"{source}: a live source cannot be looked at again; refine=False")
    if gallery is not None and not Path(gallery).absolute().parent.is_dir():
        raise FileNotFoundError(f"{gallery}: there is no such folder to save it in")


def _check_numbers(fps, tail, min_area, min_score, checkpoint_every, first_frame):
    """Refuse what would be found out only once the results of an earlier run are gone."""
    for name, value, low, high in (
        ("fps", fps, 0.001, 1000),
        ("tail", tail, 0, np.inf),
        ("min_area", min_area, 0, np.inf),
        ("min_score", min_score, 0, 1),
        ("checkpoint_every", checkpoint_every, 1, np.inf),
        ("first_frame", first_frame, 0, np.inf),
    ):
        if value is not None and not low <= value <= high:
            limit = f"to {high}" if high < np.inf else "or more"
            raise ValueError(f"{name}: expected {low} {limit}, got {value}")


def _content_of(gallery):
    """Return what tells a resumed run that another one has updated the gallery meanwhile."""
    return None if gallery is None or not Path(gallery).exists() else content_sha256(gallery)


def _open_gallery(path, embedder):
    if path is None or not Path(path).exists():
        return None
    return Gallery.load(path, weights_sha256=embedder.weights_sha256)

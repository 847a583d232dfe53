"""Track a video from a file to a folder of results: the whole way in one call.

Four things go on at once: the next frames are decoded and their masks found, one is embedded,
the one before it is decided on, those before that are drawn and written. Memory holds some ten
frames.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils._ahead import Ahead, Behind
from instanceid_utils.checkpoints import Checkpoints
from instanceid_utils.export import OUTPUTS, TrackedFrame, TrackOutputs
from instanceid_utils.gallery import Gallery
from instanceid_utils.mask_feed import MaskFeed
from instanceid_utils.regimes import final_id
from instanceid_utils.tracking import InstanceID
from instanceid_utils.video import video_info

logger = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Tracking was stopped; what is written is valid, and ``track_video(resume=True)`` goes on.

    ``result`` is the `TrackResult` so far.
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
        Results by name: those of `export.OUTPUTS` that were asked for, "summary", "gallery".
    n_frames, n_ids : int
    complete : bool
        False if it was interrupted.
    seconds : float
        Of this call.
    tracker : InstanceID
    """

    out_dir: Path
    files: dict
    n_frames: int
    n_ids: int
    complete: bool
    seconds: float
    tracker: InstanceID


def track_video(
    source, out_dir, *, embedder=None, masks=None, format=None, sequence=None, first_number=0,
    segmenter=None, min_area=None, min_score=None, gallery=None, fps=None, outputs=OUTPUTS,
    tail=20, resume=False, checkpoint_every=500, progress=True, **tracker_options,
):  # fmt: skip
    """Track every object of a video and write the results into a folder.

    Parameters
    ----------
    source : path-like, str or int
        Video file, folder of images, stream or camera, see `video.read_video`.
    out_dir : path-like
        See `export` for what it holds in the end.
    embedder : embedding.Embedder, optional
        The shipped one by default.
    masks : path-like or mapping, optional
        File or folder in one of `formats.FORMATS`, or frame number -> `formats.FrameMasks`.
        Without it the segmenter finds the masks.
    format, sequence : str, optional
        Of the masks, see `formats.read_masks`.
    first_number : int
        Number that the masks have for the first frame of a video file (0 or 1). The frames of a
        folder go by their names.
    segmenter : segmenters.Segmenter, optional
        `segmenters.BackgroundSegmenter` by default.
    min_area, min_score : optional
        See `formats.clean_masks`.
    gallery : path-like, optional
        A gallery file: continued if it is there, and written at the end.
    fps : float, optional
        Frame rate of a folder of images.
    outputs : sequence of str
        Of `export.OUTPUTS`.
    tail : int
        Length of the tails in the video, in frames.
    resume : bool
        Go on where a run with the same arguments was stopped or killed.
    checkpoint_every : int
        Frames after which a killed run can be gone on with.
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
        On Ctrl-C or SIGTERM, once the results so far are finished.
    ValueError, OSError
        For a video or masks that cannot be read, with the file's name; what was written before
        is finished, too.
    """
    begin = time.perf_counter()
    out_dir = Path(out_dir)
    _check_paths(source, masks, out_dir, resume)
    info = video_info(source, fps=fps)
    feed = MaskFeed(source, info, masks, format=format, sequence=sequence, fps=fps,
                    first_number=first_number, segmenter=segmenter,
                    clean={"min_area": min_area, "min_score": min_score})  # fmt: skip
    if embedder is None:
        from instanceid_utils.embedding import Embedder

        embedder = Embedder.pretrained()
    facts = {
        "source": str(source), "masks": feed.description, "first_number": first_number,
        "fps": info.fps, "min_area": min_area, "min_score": min_score, "tail": tail,
        "weights_sha256": embedder.weights_sha256, "tracker": dict(tracker_options),
        "gallery": None if gallery is None else str(gallery), "outputs": sorted(outputs),
    }  # fmt: skip
    checkpoints = Checkpoints(out_dir / "resume", facts)
    state = checkpoints.load(embedder) if resume else None
    if state is None:
        tracker = InstanceID(embedder, gallery=_open_gallery(gallery, embedder), **tracker_options)
        sink = TrackOutputs(out_dir, info.size, info.fps, outputs=outputs, tail=tail)
        checkpoints.clear()  # of an unfinished run that is started anew
    else:
        tracker = state.tracker
        sink = TrackOutputs(out_dir, info.size, info.fps, outputs=outputs, tail=tail,
                            state=state.outputs)
    run = _Run(tracker, feed, sink, checkpoints, checkpoint_every, state,
               delay=tracker_options.get("abstain", 0))  # fmt: skip
    with _stop_signals() as stopped:
        error = run.go(stopped, tqdm(total=info.n_frames, initial=run.next_index, unit=" frames",
                                     disable=not progress))
    complete = run.finished
    if complete:
        checkpoints.clear()
    files = sink.close(complete, source=str(source), masks=feed.description,
                       threshold=float(tracker.threshold), error=str(error) if error else None)
    if complete and gallery is not None:
        tracker.gallery.save(gallery)
        files["gallery"] = Path(gallery)
    result = TrackResult(out_dir, files, sink.n_frames, len(sink.ids), complete,
                         time.perf_counter() - begin, tracker)
    if error is not None:
        raise error
    if not complete:
        raise Interrupted(result)
    return result


class _Run:
    """The loop, with the frames that wait until none of their IDs is provisional."""

    def __init__(self, tracker, feed, sink, checkpoints, checkpoint_every, state, delay):
        self.tracker, self.feed, self.sink = tracker, feed, sink
        self.checkpoints, self.checkpoint_every = checkpoints, checkpoint_every
        self.delay, self.waiting = delay, deque()
        self.decided = dict(state.waiting) if state else {}  # index -> (ids, decisions, cut)
        self.next_index = state.next_index if state else 0
        self.finished = False

    def go(self, stopped, bar):
        """Track to the end, or until ``stopped`` is set; return the error that ended it."""
        first = self.sink.n_frames
        frames = Ahead(self.feed.frames(start=first))
        observed, writer = Ahead(map(self._observe, frames), n=2), Behind(self.sink.write)
        error = None
        try:
            for frame, masks, observation in observed:
                if stopped.is_set():
                    break
                self._track(frame, masks, observation)
                while len(self.waiting) > self.delay:
                    writer.put(self.waiting.popleft())
                bar.update(frame.index >= self.next_index)
                self.next_index = max(self.next_index, frame.index + 1)
                if self.next_index % self.checkpoint_every == 0:
                    self._checkpoint(writer)
            else:
                if first == 0:
                    self.feed.check_used()
                self._relabel(self.tracker.settle())
                while self.waiting:
                    writer.put(self.waiting.popleft())
                writer.wait()
                self.finished = True
        except Exception as problem:  # raised again once the results so far are finished
            error = problem
        finally:
            bar.close()
            observed.close()
            frames.close()
        # A frame that was written in part cannot be gone on from: the checkpoint before it can.
        if not self.finished and not writer.failed:
            self._checkpoint(writer)
        writer.close()
        return error

    def _observe(self, item):
        """Embed the segments of a frame, which changes nothing in the tracker."""
        frame, masks = item
        if masks is None or frame.index in self.decided:
            return frame, masks, None
        return frame, masks, self.tracker.observe(frame.image, masks.segments)

    def _track(self, frame, masks, observation):
        if masks is None:
            self.waiting.append(TrackedFrame(frame.index, frame.time, frame.name, frame.image,
                                             None, np.zeros(0, np.int64)))
            return
        if frame.index in self.decided:
            ids, decisions, cut = self.decided[frame.index]
        else:
            update = self.tracker.decide(observation)
            ids, decisions, cut = update.ids, update.decisions, update.shot_cut
            self._relabel(update.relabelled)
        self.waiting.append(TrackedFrame(
            frame.index, frame.time, frame.name, frame.image, masks.segments, ids,
            decisions, masks.scores, masks.classes, cut))  # fmt: skip

    def _relabel(self, relabelled):
        if not relabelled:
            return
        for item in self.waiting:
            item.ids = np.array([final_id(i, relabelled) for i in item.ids.tolist()], np.int64)
            item.decisions = tuple(replace(d, id=final_id(d.id, relabelled), provisional=False)
                                   if d.id in relabelled else d for d in item.decisions)

    def _checkpoint(self, writer):
        writer.wait()
        waiting = {item.index: (item.ids.tolist(), item.decisions, item.shot_cut)
                   for item in self.waiting if item.segments is not None}
        self.checkpoints.save(self.tracker, self.next_index, waiting, self.sink.checkpoint())


def _check_paths(source, masks, out_dir, resume):
    for path in (source, masks):
        if isinstance(path, (str, Path)) and Path(path).exists():
            if out_dir.resolve() in [Path(path).resolve(), *Path(path).resolve().parents]:
                raise ValueError(f"{path}: lies in {out_dir}, where results would replace it")
    if resume and not Path(str(source)).exists():
        raise ValueError(f"{source}: a live source cannot be gone on with")


def _open_gallery(path, embedder):
    if path is None or not Path(path).exists():
        return None
    return Gallery.load(path, weights_sha256=embedder.weights_sha256)


@contextmanager
def _stop_signals():
    """Note Ctrl-C and SIGTERM instead of breaking off; a second one breaks off."""
    stopped, previous = threading.Event(), {}

    def note(number, frame):
        stopped.set()
        for signal_number, handler in previous.items():
            signal.signal(signal_number, handler)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, note)
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

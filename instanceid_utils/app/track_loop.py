"""The loop of `video_tracking`: from frames with masks to results, until the end or a stop.

Three things go on at once: the next frames are decoded and their masks found, some are embedded
and decided on, those before them are drawn and written. Memory holds some fifteen frames. (To
embed in a fourth thread is slower: it waits for the decision's hold on Python, not for the
processor.) Frames are embedded in blocks, which begin at multiples of the block's length, so that
a resumed run puts the same segments together as one that never stopped.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from instanceid_utils.app.outputs import TrackedFrame
from instanceid_utils.app.threads import Ahead, Behind
from instanceid_utils.tracking.abstention import final_id
from instanceid_utils.tracking.observation import observe_together

BLOCK = 4  # frames embedded together


class TrackLoop:
    """The loop, with the frames that wait until none of their IDs is provisional.

    Parameters
    ----------
    tracker : tracking.InstanceID
    feed : mask_feed.MaskFeed
    sink : outputs.TrackOutputs
    checkpoints : checkpoints.Checkpoints
    checkpoint_every : int
        Frames.
    state : checkpoints.State or None
        Where to go on.
    delay : int
        Frames for which an ID may be provisional.
    spool : spool.Spool or None
        Where to note what a second look needs.
    live : bool
        A source that cannot be read again: a stop is its end, and all is finished then.
    """

    def __init__(
        self, tracker, feed, sink, checkpoints, checkpoint_every, state, delay, live, spool=None
    ):
        self.tracker, self.feed, self.sink, self.spool = tracker, feed, sink, spool
        self.checkpoints, self.checkpoint_every = checkpoints, checkpoint_every
        self.delay, self.live, self.waiting = delay, live, deque()
        self.decided = dict(state.waiting) if state else {}  # index -> (ids, decisions, cut)
        self.next_index = state.next_index if state else 0
        self.finished = False

    def go(self, stopped, bar):
        """Track to the end, or until ``stopped`` is set; return the error that ended it."""
        first = self.sink.n_frames
        frames = Ahead(self.feed.frames(start=first - first % BLOCK), n=BLOCK)
        writer = Behind(self._write)
        error, stopped_early = None, False
        try:
            for frame, masks, observation in self._observe(frames):
                if stopped.is_set():
                    stopped_early = True
                    break
                if frame.index < first:
                    continue
                self._track(frame, masks, observation)
                while len(self.waiting) > self.delay:
                    writer.put(self.waiting.popleft())
                bar.update(frame.index >= self.next_index)
                self.next_index = max(self.next_index, frame.index + 1)
                if self.next_index % self.checkpoint_every == 0:
                    self._checkpoint(writer)
            if self.live or not stopped_early:
                if not stopped_early:
                    self.feed.check_used(self.next_index)
                self._relabel(self.tracker.settle())
                while self.waiting:
                    writer.put(self.waiting.popleft())
                writer.wait()
                self.finished = True
        except Exception as problem:  # raised again once the results so far are finished
            error = problem
        finally:
            bar.close()
            frames.close()
        # A frame that was written in part cannot be gone on from: the checkpoint before it can.
        if not self.finished and not writer.failed:
            self._checkpoint(writer)
        writer.close()
        return error

    def _write(self, item):
        self.sink.write(item)
        if self.spool is not None:
            self.spool.write(item)

    def _observe(self, frames):
        """Yield frames and masks with their observations, block by block."""
        for block, error in _blocks(frames):
            seen = [(frame.image, masks) for frame, masks in block if masks is not None]
            observations = iter(observe_together(self.tracker.embedder, seen))
            for frame, masks in block:
                yield frame, masks, None if masks is None else next(observations)
            if error is not None:
                raise error

    def _track(self, frame, masks, observation):
        if masks is None:
            self.waiting.append(
                TrackedFrame(
                    frame.index, frame.time, frame.name, frame.image, None, np.zeros(0, np.int64)
                )
            )
            return
        if frame.index in self.decided:
            ids, decisions, cut = self.decided.pop(frame.index)
        else:
            update = self.tracker.decide(observation)
            ids, decisions, cut = update.ids, update.decisions, update.shot_cut
            self._relabel(update.relabelled)
        self.waiting.append(
            TrackedFrame(
                frame.index,
                frame.time,
                frame.name,
                frame.image,
                masks.segments,
                ids,
                decisions,
                masks.scores,
                masks.classes,
                cut,
                masks.masks is None,
                None if self.spool is None else observation,
            )
        )

    def _relabel(self, relabelled):
        if not relabelled:
            return
        for item in self.waiting:
            item.ids = np.array([final_id(i, relabelled) for i in item.ids.tolist()], np.int64)
            item.decisions = tuple(
                replace(d, id=final_id(d.id, relabelled), provisional=False)
                if d.id in relabelled
                else d
                for d in item.decisions
            )

    def _checkpoint(self, writer):
        writer.wait()
        self.save()

    def save(self):
        """Write a checkpoint of all that is written so far."""
        waiting = {
            item.index: (item.ids.tolist(), item.decisions, item.shot_cut)
            for item in self.waiting
            if item.segments is not None
        }
        notes, arrays = self.sink.checkpoint()
        if self.spool is not None:
            notes["spool"] = self.spool.checkpoint()
        self.checkpoints.save(self.tracker, self.next_index, waiting, (notes, arrays))


def _blocks(frames):
    """Yield lists of frames and masks, and what broke off the last one; that is tracked first."""
    block, error = [], None
    try:
        for frame, masks in frames:
            block.append((frame, masks))
            if (frame.index + 1) % BLOCK == 0:
                yield block, None
                block = []
    except Exception as problem:
        error = problem
    yield block, error


@contextmanager
def stop_signals():
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

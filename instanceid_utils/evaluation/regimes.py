"""The identity benchmark: the same annotated videos, made hard in five ways.

A tracker that follows places is good at every frame; frames dropped, objects out of sight and
shot cuts show whether it knows its objects by their looks. Every regime is a stream of
``(frame, label_map)`` whose labels are true identities, unique over the whole data set, so a
tracker gets perfect masks and is judged on identity alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import cv2
import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.evaluation.identity import IdentityScorer
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.abstention import final_id

_LABELS = 1000  # identity = 1000 * number of the sequence (from 1) + label


def every(dataset, step=1, sequences=None):
    """Every sequence on its own, keeping each ``step``-th frame.

    Parameters
    ----------
    dataset : data.DavisDataset
    step : int
        1 keeps all frames.
    sequences : sequence of str, optional
        All by default.

    Yields
    ------
    name : str
        Of the sequence.
    stream : iterator of (ndarray (H, W, 3) uint8, ndarray (H, W) int32)
        Frames without annotation are left out.
    """
    if step < 1:
        raise ValueError(f"step: expected at least 1, got {step}")
    for name in sequences or dataset.sequences():
        yield name, _stream(dataset, name, range(0, len(dataset.frame_names(name)), step))


def hidden(dataset, n_frames=20, sequences=None):
    """Every sequence on its own, each object out of sight for ``n_frames`` about its middle.

    The objects of a sequence vanish one after the other, 5 frames apart; each has at least 5
    frames before and after. A sequence too short for that is shown as it is. What a hidden
    object does not show is nobody's segment; the picture stays as it is.

    Parameters and yields as in `every`.
    """
    for name in sequences or dataset.sequences():
        yield name, _hide(_stream(dataset, name), n_frames, len(dataset.frame_names(name)))


def cuts(dataset, shot=25, sequences=None):
    """One long video: a shot of each sequence in turn, then the next shot of each.

    An object returns after the shots of all other sequences. All frames get the size of the
    first.

    Parameters
    ----------
    dataset : data.DavisDataset
    shot : int
        Frames in a shot.
    sequences : sequence of str, optional
        All by default.

    Yields
    ------
    name : str
    stream : iterator of (ndarray (H, W, 3) uint8, ndarray (H, W) int32)
    """
    if shot < 1:
        raise ValueError(f"shot: expected at least 1 frame, got {shot}")
    yield "cuts", _interleave(dataset, shot, tuple(sequences or dataset.sequences()))


#: The benchmark: name -> function of a data set (and ``sequences=``).
REGIMES = {
    "every frame": every,
    "every 5th": partial(every, step=5),
    "every 10th": partial(every, step=10),
    "hidden 20": hidden,
    "shot cuts": cuts,
}


def score_regime(make_tracker: Callable, videos: Iterable, scorer=None, total: int | None = None):
    """Run a tracker over the videos of a regime.

    Parameters
    ----------
    make_tracker : callable
        Called for each video: a new tracker, or the old one after its ``new_video()``.
    videos : iterable of (str, stream)
        From a regime.
    scorer : evaluation.IdentityScorer, optional
        Where to add the frames.
    total : int, optional
        Number of frames, for the progress bar; without it there is none.

    Returns
    -------
    evaluation.IdentityScorer
        IDs that were relabelled later (abstention) count with their final value.
    """
    scorer = scorer or IdentityScorer()
    with tqdm(total=total, disable=total is None, unit="frame", leave=False) as bar:
        for name, stream in videos:
            bar.set_description(name)
            scorer.new_video()
            for truth, ids in _run(make_tracker(), stream, bar):
                scorer.add_ids(truth, ids)
    return scorer


def _run(tracker, stream, bar):
    frames, renamed = [], {}
    for frame, label_map in stream:
        update = tracker.update(frame, label_map)
        frames.append((find_segments(label_map).labels, update.ids))
        renamed.update(getattr(update, "relabelled", {}))
        bar.update()
    if hasattr(tracker, "settle"):
        renamed.update(tracker.settle())
    for truth, ids in frames:
        yield truth, [final_id(i, renamed) for i in ids.tolist()]


def _stream(dataset, name, indices=None):
    number = dataset.sequences().index(name) + 1
    for index in range(len(dataset.frame_names(name))) if indices is None else indices:
        frame = dataset.frame(name, index)
        if frame.label_map is not None:
            yield frame.image, _identities(frame.label_map, number, name)


def _identities(label_map, number, name):
    if label_map.max(initial=0) >= _LABELS:
        raise ValueError(f"{name}: expected labels below {_LABELS}, got {label_map.max()}")
    return np.where(label_map, label_map.astype(np.int32) + _LABELS * number, 0).astype(np.int32)


def _hide(stream, n_frames, length):
    latest = length - n_frames - 5
    for index, (frame, label_map) in enumerate(stream):
        if latest >= 5:
            label_map = label_map.copy()
            for identity in np.unique(label_map[label_map > 0]):
                start = min(max(length // 3, 5) + 5 * (identity % _LABELS - 1), latest)
                if start <= index < start + n_frames:
                    label_map[label_map == identity] = 0
        yield frame, label_map


def _interleave(dataset, shot, names):
    lengths = {name: len(dataset.frame_names(name)) for name in names}
    size = None
    for start in range(0, max(lengths.values()), shot):
        for name in names:
            stop = min(start + shot, lengths[name])
            for frame, label_map in _stream(dataset, name, range(start, stop)):
                size = size or frame.shape[1::-1]
                if frame.shape[1::-1] != size:
                    frame = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
                    label_map = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST)
                yield frame, label_map

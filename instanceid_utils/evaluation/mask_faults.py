"""What models do to masks: perfect masks in, the segments of an imperfect model out.

A model misses objects, finds some in the background, loses parts, leaks, takes one object for
two and two for one; a detector gives boxes that tremble. Each fault has a rate of its own, and
faults last, as they do in video: what is missed is mostly missed for several frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from instanceid_utils.evaluation.mask_shapes import (
    blob,
    bulge,
    clip,
    padded,
    redraw,
    tight,
    union,
    without_side,
)
from instanceid_utils.evaluation.whole_boxes import WholeBoxes
from instanceid_utils.segments.segments import Segments, box_segments, find_segments
from instanceid_utils.tracking.boxes import box_iou

MIN_AREA = 16  # pixels: no model that errs finds less
_CELLS = 64  # rough edges are drawn on a grid of as many cells along the longer side of a mask
_PAD = 0.3  # room for leaks round a mask, as a part of its sides
_REACH = 3  # pixels between masks that touch
_RATES = ("miss", "burst", "crumbs", "rough", "lost", "leak", "split", "merge", "jitter")


@dataclass(frozen=True)
class MaskFaults:
    """How often, and how badly, a model errs. Everything is 0 by default: perfect masks.

    Attributes
    ----------
    miss : float
        Share of objects missed, each for one frame.
    burst : float
        Share of objects missed in bursts of ``burst_frames``.
    burst_frames : float
        Mean length of a burst.
    crumbs : float
        Patches of background taken for objects, on average in a frame; each stays at its place
        for ``lasting`` frames on average.
    crumb_size : tuple of float
        Smallest and largest height of a crumb, in frame heights.
    rough : float
        How uneven outlines are: the noise, as a part of full contrast, that is added to an
        outline blurred by 3 % of the mask's longer side before it is drawn anew; half as much
        makes the whole mask thicker or thinner.
    lost : float
        Share of objects that miss a part, 15 to 45 % off one side.
    leak : float
        Share of objects that hold a blob of what is beside them: the neighbour, if one touches.
    split : float
        Share of objects found as two, cut across the longer side.
    merge : float
        Chance that two objects that come to touch are found as one for as long as they do. With
        boxes, the smaller box is dropped instead (as by non-maximum suppression), from an IoU
        of 0.5 on.
    lasting : float
        Mean length of an episode of ``lost``, ``leak``, ``split``, in frames.
    cells : int
        Resolution of the masks, in cells along the longer side of each; 0 is that of the frame.
    boxes : bool
        Whether there are boxes only (see `segments.box_segments`): of whole objects, with what
        stands before them, as detectors give them (see `whole_boxes`).
    hidden : float
        With boxes, the share of an object that has to be seen for it to be found.
    jitter : float
        Deviation of each edge of a box, as a part of its width or height, where ``boxes``.

    Examples
    --------
    >>> FAULTS["hard masks"].miss == 2 * FAULTS["masks"].miss
    True
    """

    miss: float = 0.0
    burst: float = 0.0
    burst_frames: float = 5.0
    crumbs: float = 0.0
    crumb_size: tuple = (0.03, 0.12)
    rough: float = 0.0
    lost: float = 0.0
    leak: float = 0.0
    split: float = 0.0
    merge: float = 0.0
    lasting: float = 4.0
    cells: int = 0
    boxes: bool = False
    hidden: float = 0.35
    jitter: float = 0.0

    def __post_init__(self):
        for name in ("miss", "burst", "lost", "leak", "split", "merge"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        for name in ("crumbs", "rough", "jitter", "cells"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        for name in ("burst_frames", "lasting"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name}: expected at least 1 frame, got {getattr(self, name)}")

    def times(self, factor: float) -> MaskFaults:
        """Return the same faults with all rates multiplied, shares up to 1."""
        most = {"crumbs": np.inf, "rough": np.inf, "jitter": np.inf}
        return replace(self, **{n: min(factor * getattr(self, n), most.get(n, 1)) for n in _RATES})


_MASKS = MaskFaults(
    miss=0.02,
    burst=0.04,
    crumbs=0.25,
    rough=0.15,
    lost=0.05,
    leak=0.05,
    split=0.02,
    merge=0.25,
    cells=28,
)
#: Models to imitate: name -> their faults. "masks" is a usual segmentation model (28 cells, as
#: Mask R-CNN has), "hard masks" errs twice as often, "boxes" is a detector.
FAULTS = {
    "perfect": MaskFaults(),
    "masks": _MASKS,
    "hard masks": _MASKS.times(2),
    "boxes": MaskFaults(
        miss=0.03,
        burst=0.06,
        crumbs=0.25,
        crumb_size=(0.15, 0.4),
        merge=0.5,
        jitter=0.05,
        boxes=True,
    ),
}


def simulate(
    stream: Iterable, faults: MaskFaults, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, Segments]]:
    """Look at a video as an imperfect model does.

    Parameters
    ----------
    stream : iterable of (ndarray (H, W, 3) uint8, ndarray (H, W) int)
        Frames of one video with label maps of the true identities.
    faults : MaskFaults
    rng : numpy.random.Generator

    Yields
    ------
    frame : ndarray of shape (H, W, 3), uint8
    label_map : ndarray of shape (H, W), int
        As they were given.
    observed : Segments
        What the model found, labels 1 to N, in random order; it may overlap.
    """
    model = FaultyModel(faults, rng)
    for frame, label_map in stream:
        yield frame, label_map, model.observe(label_map)


@dataclass
class FaultyModel:
    """The faults under way in one video.

    Parameters
    ----------
    faults : MaskFaults
    rng : numpy.random.Generator
    """

    faults: MaskFaults
    rng: np.random.Generator
    _time: int = 0
    _episodes: dict = field(default_factory=dict)  # (fault, object) -> (last frame, how)
    _meetings: dict = field(default_factory=dict)  # pair -> (last frame together, whether merged)
    _crumbs: list = field(default_factory=list)  # (last frame, centre and half axes)
    _whole: WholeBoxes = field(default_factory=WholeBoxes)

    def observe(self, label_map: np.ndarray) -> Segments:
        """Find the segments of the next frame.

        Parameters
        ----------
        label_map : ndarray of shape (H, W), int

        Returns
        -------
        Segments
            Labels 1 to N, in random order.

        Raises
        ------
        ValueError
            If it is no label map.
        """
        truth = find_segments(label_map)
        faults, self._time = self.faults, self._time + 1
        pairs = _touching(label_map) if faults.merge or faults.leak else []
        found = np.ones(len(truth), bool)
        if faults.boxes:
            truth, shares = self._whole.observe(truth)
            found = shares >= faults.hidden
        seen = [
            i
            for i, label in enumerate(truth.labels.tolist())
            if found[i]
            and not (self._now("miss", label, 1) or self._now("burst", label, faults.burst_frames))
        ]
        pieces = [p for group in self._merged(truth, seen, pairs) for p in self._split(*group)]
        pieces = [self._spoil(label, piece, truth, pairs) for label, piece in pieces]
        pieces += self._false_alarms(label_map)
        least = 1 if faults == MaskFaults() else MIN_AREA
        pieces = [p for p in pieces if np.count_nonzero(p[1]) >= least]
        order = self.rng.permutation(len(pieces))
        return self._segments([pieces[i] for i in order], truth.frame_shape)

    def _now(self, fault, label, frames):
        """How an object suffers from a fault in this frame: a number in (0, 1], 0 if it does not.

        The number stays the same while the episode lasts.
        """
        share = getattr(self.faults, fault)
        last, how = self._episodes.get((fault, label), (0, 0.0))
        if self._time <= last:
            return how
        begins = share / (frames * (1 - share) + share)  # such that the share comes out
        if not share or self.rng.random() >= begins:
            return 0.0
        how = 1 - self.rng.random()
        self._episodes[fault, label] = self._time + self.rng.geometric(1 / frames) - 1, how
        return how

    def _merged(self, truth, seen, pairs):
        """Yield label and (corner, mask) of each object, or group of objects found as one."""
        number = {label: i for i, label in enumerate(truth.labels.tolist())}
        group = {i: [i] for i in seen}
        for pair in [] if self.faults.boxes else pairs:
            last, merges = self._meetings.get(pair, (-9, False))
            if last < self._time - 5:  # they meet anew
                merges = self.rng.random() < self.faults.merge
            self._meetings[pair] = self._time, merges
            one, other = (group.get(number[label]) for label in pair)
            if merges and one is not None and other is not None and one is not other:
                one.extend(other)
                group.update(dict.fromkeys(other, one))
        for members in {id(g): g for g in group.values()}.values():
            yield int(truth.labels[members[0]]), union(truth, members)

    def _split(self, label, piece):
        """Yield a piece, or the two that it falls into."""
        how = self._now("split", label, self.faults.lasting)
        (left, top), mask = piece
        if not how:
            yield label, piece
            return
        axis = int(mask.shape[1] > mask.shape[0])
        at = int(mask.shape[axis] * (0.35 + 0.3 * how))
        first, second = np.split(mask, [at], axis=axis)
        yield label, ((left, top), first)
        yield label, ((left + at * axis, top + at * (1 - axis)), second)

    def _spoil(self, label, piece, truth, pairs):
        """Change the outline of a piece."""
        faults = self.faults
        leak = self._now("leak", label, faults.lasting)
        lost = self._now("lost", label, faults.lasting)
        if not (leak or lost or faults.rough or faults.cells):
            return piece
        corner, mask = tight(*piece)
        if mask.size and (faults.rough or faults.cells):
            corner, mask, _ = padded(corner, mask, 0.1)
            mask = redraw(mask, faults.cells or _CELLS, faults.rough, self.rng)
            corner, mask = tight(corner, mask)
        if lost:
            mask = without_side(mask, lost)
        if leak and mask.size:
            corner, mask, pad = padded(corner, mask, _PAD)
            angle = self._leak_angle(label, leak, truth, pairs)
            mask |= bulge(mask.shape, pad, angle, 0.35 + 0.5 * (leak * 7 % 1))
        return clip(corner, mask, truth.frame_shape)

    def _leak_angle(self, label, leak, truth, pairs):
        """Return the direction of a leak: towards a neighbour that touches, if there is one."""
        others = [a if b == label else b for a, b in pairs if label in (a, b)]
        if not others:
            return 2 * np.pi * leak
        here, there = np.searchsorted(truth.labels, [label, others[0]])
        centres = truth.boxes_tlbr.reshape(-1, 2, 2).mean(axis=1)
        x, y = centres[there] - centres[here]
        return np.arctan2(y, x)

    def _false_alarms(self, label_map):
        """Return (corner, mask) of the patches of background that are taken for objects."""
        faults, (height, width) = self.faults, label_map.shape
        self._crumbs = [crumb for crumb in self._crumbs if self._time <= crumb[0]]
        for _ in range(self.rng.poisson(faults.crumbs / faults.lasting)):
            size = self.rng.uniform(*faults.crumb_size) * height
            axes = np.maximum(np.array([self.rng.uniform(0.35, 1), 1]) * size / 2, 2.5)
            centre = self.rng.uniform((0, 0), (width, height))
            if not label_map[int(centre[1]), int(centre[0])]:
                last = self._time + self.rng.geometric(1 / faults.lasting) - 1
                self._crumbs.append((last, centre, axes))
        return [blob(centre, axes, (height, width)) for _, centre, axes in self._crumbs]

    def _segments(self, pieces, frame_shape):
        """Put the pieces together as what a model returns."""
        pieces = [tight(*piece) for piece in pieces]
        corners = np.array([corner for corner, _ in pieces], np.int32).reshape(-1, 2)
        sizes = np.array([mask.shape[::-1] for _, mask in pieces], np.int32).reshape(-1, 2)
        boxes = np.concatenate([corners, corners + sizes], axis=1)
        if not self.faults.boxes:
            masks = tuple(mask for _, mask in pieces)
            areas = np.array([np.count_nonzero(mask) for mask in masks], np.int64)
            return Segments(frame_shape, np.arange(1, len(masks) + 1), boxes, areas, masks)
        edges = boxes + self.rng.normal(0, self.faults.jitter, boxes.shape) * np.tile(sizes, 2)
        edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2] + 3)
        return _nonempty(edges[self._kept(edges)], frame_shape)

    def _kept(self, boxes):
        """Return the indices of the boxes that no larger one suppresses."""
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        iou = np.triu(box_iou(boxes, boxes), 1)
        drop = np.zeros(len(boxes), bool)
        for i, j in np.argwhere(iou >= 0.5):
            if self.rng.random() < self.faults.merge:
                drop[j if areas[j] < areas[i] else i] = True
        return np.flatnonzero(~drop)


def _nonempty(boxes, frame_shape):
    found = box_segments(boxes, frame_shape)
    found = found.select(found.areas > 0)
    return replace(found, labels=np.arange(1, len(found) + 1))


def _touching(label_map):
    """Return pairs of labels with pixels at most `_REACH` apart, the smaller label first."""
    codes = []
    for axis in (0, 1):
        a, b = (np.moveaxis(label_map, axis, 0)[s] for s in (np.s_[_REACH:], np.s_[:-_REACH]))
        meet = (a != b) & (a != 0) & (b != 0)
        codes.append(np.stack([a[meet], b[meet]], axis=1).astype(np.int64))
    pairs = np.sort(np.concatenate(codes), axis=1)
    return [tuple(pair) for pair in np.unique(pairs, axis=0).tolist()] if len(pairs) else []

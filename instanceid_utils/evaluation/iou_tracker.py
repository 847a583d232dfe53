"""The baseline: a tracker that knows places only, by the overlap of boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from instanceid_utils.segments.segments import check_frame, find_segments
from instanceid_utils.tracking.boxes import box_iou
from instanceid_utils.tracking.decision import NO_ID


class IouUpdate(NamedTuple):
    """The IDs of one frame's segments, in the order of the masks."""

    ids: np.ndarray  # (N,) int64


class IouTracker:
    """Give a segment the ID whose last box it overlaps most, as SORT without its motion model.

    Parameters
    ----------
    min_iou : float
        A pair of boxes with a smaller intersection over union is never matched.
    max_age : int
        An ID that was not seen for more than this many updates is given up.

    Notes
    -----
    The assignment maximises the total overlap (Bewley et al. 2016, "Simple Online and Realtime
    Tracking", section 3.3). The interface is that of `tracking.InstanceID`.

    Examples
    --------
    >>> tracker, frame = IouTracker(), np.zeros((4, 6, 3), np.uint8)
    >>> tracker.update(frame, np.array([[0, 5, 5, 5, 0, 0]] * 4)).ids
    array([1])
    >>> tracker.update(frame, np.array([[0, 0, 5, 5, 5, 2]] * 4)).ids   # 2 is new, 5 moved
    array([2, 1])
    """

    def __init__(self, min_iou: float = 0.3, max_age: int = 30):
        self.min_iou, self.max_age = min_iou, max_age
        self._next_id, self._time = 1, 0
        self.new_video()

    def new_video(self):
        """Forget all places; numbers go on."""
        self._ids = np.zeros(0, np.int64)
        self._boxes_tlbr = np.zeros((0, 4))
        self._seen = np.zeros(0, np.int64)

    def update(self, frame: np.ndarray, masks: np.ndarray):
        """Give every segment of the next frame an ID.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            Not looked at, only checked.
        masks : ndarray
            Integer label map (H, W) or bool stack (N, H, W).

        Returns
        -------
        IouUpdate
            ``ids`` of shape (N,); -1 for an empty mask.
        """
        segments = find_segments(masks)
        check_frame(frame, segments.frame_shape)
        return self._step(segments)

    def decide(self, observation):
        """Give every segment of a `tracking.Observation` an ID; see `update`."""
        return self._step(observation.every)

    def _step(self, segments):
        there = np.flatnonzero(segments.areas)
        boxes = segments.boxes_tlbr[there]
        ids = np.full(len(segments), NO_ID, np.int64)

        overlap = box_iou(boxes, self._boxes_tlbr)
        overlap[overlap < self.min_iou] = 0
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        matched = overlap[rows, columns] > 0
        ids[there[rows[matched]]] = self._ids[columns[matched]]
        new = there[ids[there] == NO_ID]
        ids[new] = self._next_id + np.arange(len(new))

        self._next_id += len(new)
        self._time += 1
        self._remember(ids[there], boxes)
        return IouUpdate(ids)

    def _remember(self, ids, boxes_tlbr):
        keep = ~np.isin(self._ids, ids) & (self._time - self._seen <= self.max_age)
        self._ids = np.concatenate([self._ids[keep], ids])
        self._boxes_tlbr = np.concatenate([self._boxes_tlbr[keep], boxes_tlbr])
        self._seen = np.concatenate([self._seen[keep], np.full(len(ids), self._time)])

"""One frame of a tracked video: its picture with IDs, what is where on it, and why."""

from __future__ import annotations

from collections import OrderedDict

import cv2
import numpy as np

from instanceid_utils.pictures.explanations import crop_of, decision_html, encode, first_sightings
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.video.overlay import draw_ids

_MAX_CROPS = 256  # kept in memory, 16 kB each


class FrameView:
    """A frame at a time, as the `lab.Review` of its video has it.

    Parameters
    ----------
    frames : sequence of ndarray (H, W, 3), uint8
    label_maps : sequence of ndarray
    review : review.Review
    width : int
        Of the picture, in pixels of the page.

    Attributes
    ----------
    segments : segments.Segments
        Of the frame that was turned to.
    """

    def __init__(self, frames, label_maps, review, width):
        self._frames, self._label_maps, self._review = frames, label_maps, review
        self._width, self._crops = width, OrderedDict()

    def turn_to(self, t):
        """Read frame ``t``, from 0."""
        self._t, self._frame = t, self._frames[t]
        self.segments = find_segments(self._label_maps[t])

    def row_at(self, x, y):
        """Position of the segment at a pixel of the frame: the smallest there is, or None."""
        there = [
            (self.segments.areas[row], row)
            for row, (left, top, right, bottom) in enumerate(self.segments.boxes_tlbr.tolist())
            if left <= x < right
            and top <= y < bottom
            and self.segments.patches[row][int(y) - top, int(x) - left]
        ]
        return min(there)[1] if there else None

    def picture(self, selected=None):
        """Draw the frame with its IDs, and a white outline round the selected segment.

        Returns
        -------
        (bytes, ndarray of shape (N, 4) int, list of str)
            A JPEG, the boxes of the segments on it (left, top, right, bottom), and their outlines
            as SVG paths from the corner of the box.
        """
        ids, names = self._review.ids[self._t], self._review.names
        drawn = draw_ids(self._frame, self.segments, ids, names=names)
        if selected is not None:
            _mark(drawn, self.segments, selected)
        scale = self._width / drawn.shape[1]
        size = self._width, max(1, round(scale * drawn.shape[0]))
        shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        jpeg = encode(cv2.resize(drawn, size, interpolation=shrink), ".jpg")
        boxes_tlbr = np.round(self.segments.boxes_tlbr * scale).astype(int)
        return jpeg, boxes_tlbr, [_outline(patch, scale) for patch in self.segments.patches]

    def explained(self, row):
        """Say why a segment got its ID, with its crop and those of the nearest IDs; HTML."""
        decision = self._review.decision(self._t, row)
        first = first_sightings(self._review.ids)
        known = {i: self._crop(*first[i]) for i, _ in decision.neighbours if i in first}
        return decision_html(decision, self._crop(self._t, row), known, self._review.names)

    def _crop(self, t, row):
        """Cut the crop of a segment, or find it among the last ones."""
        key = t, row
        if key not in self._crops:
            self._crops[key] = crop_of(self._frames[t], self._label_maps[t], row)
        self._crops.move_to_end(key)
        while len(self._crops) > _MAX_CROPS:
            self._crops.popitem(last=False)
        return self._crops[key]


def _outline(patch, scale):
    """Draw round a mask, one pixel wider so that a thin one has an inside, as an SVG path."""
    if not patch.size:
        return ""
    wider = cv2.dilate(np.pad(patch, 1).astype(np.uint8), np.ones((3, 3), np.uint8))
    contours, _ = cv2.findContours(wider, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    # The middle of a pixel lies half a pixel from its corner, and the border is one wide.
    points = [np.round((cv2.approxPolyDP(c, 1, True)[:, 0] - 0.5) * scale) for c in contours]
    return "".join(
        "M" + "L".join(f"{x:g} {y:g}" for x, y in polygon.tolist()) + "Z" for polygon in points
    )


def _mark(picture, segments, row):
    """Draw a white outline round a segment."""
    left, top = segments.boxes_tlbr[row, :2].tolist()
    patch = segments.patches[row].astype(np.uint8)
    contours, _ = cv2.findContours(
        patch, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 3)

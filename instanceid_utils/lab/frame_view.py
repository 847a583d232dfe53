"""One frame of a tracked video: its picture with IDs, what is where on it, and why.

It can be clicked, with plain ipywidgets: clear buttons lie over the picture in one cell of a
grid, each clipped to an outline by a style sheet, so no JavaScript of our own is needed.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import uuid4

import cv2
import ipywidgets
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


class ClickLayer(ipywidgets.GridBox):
    """A picture and its places.

    Parameters
    ----------
    width : int
        Of the picture, in pixels of the page.
    on_click : callable
        Called with the number of the place that was clicked.

    Attributes
    ----------
    image : ipywidgets.Image
    outlines : ipywidgets.HTML
        The style sheet: what lies outside of an outline cannot be clicked.
    places : list of ipywidgets.Button
        The largest place first, so that a smaller one lies above it. Those that a frame does
        not need are hidden and used again: making widgets for each frame would fill the page.
    """

    def __init__(self, width, on_click):
        layout = ipywidgets.Layout(width=f"{width}px", grid_area="1 / 1", margin="0")
        self.image = ipywidgets.Image(format="jpeg", layout=layout)
        self.outlines = ipywidgets.HTML(layout=ipywidgets.Layout(display="none"))
        self._class = f"place-{uuid4().hex}"  # the style sheet is that of the whole page
        self.places, self._numbers, self._on_click = [], [], on_click
        super().__init__([self.image, self.outlines], layout=ipywidgets.Layout(width=f"{width}px"))

    def show(self, jpeg, boxes_tlbr, outlines, titles):
        """Show another picture.

        Parameters
        ----------
        jpeg : bytes
        boxes_tlbr : ndarray of shape (N, 4), int
            Places in pixels of the page; one without area cannot be clicked.
        outlines : sequence of str, length N
            What can be clicked of each: an SVG path in pixels from the corner of its box.
        titles : sequence of str, length N
            Shown when the mouse rests on a place.
        """
        sides = np.maximum(boxes_tlbr[:, 2:] - boxes_tlbr[:, :2], 0)
        areas = sides.prod(axis=1)
        order = [n for n in np.argsort(-areas, kind="stable").tolist() if areas[n]]
        self.image.value, self._numbers = jpeg, order
        self.outlines.value = "".join(
            f'<style>.{self._class}-{k} {{ clip-path: path("{outlines[n]}") }}</style>'
            for k, n in enumerate(order)
        )
        while len(self.places) < len(order):
            self.places.append(self._place(len(self.places)))
        for place in self.places[len(order) :]:
            place.layout.display = "none"
        for place, n in zip(self.places, order):
            (left, top), (width, height) = boxes_tlbr[n, :2].tolist(), sides[n].tolist()
            place.tooltip, place.layout.margin = titles[n], f"{top}px 0 0 {left}px"
            place.layout.width, place.layout.height = f"{width}px", f"{height}px"
            place.layout.display = ""
        if len(self.children) != 2 + len(self.places):
            self.children = (self.image, self.outlines, *self.places)

    def _place(self, n):
        layout = ipywidgets.Layout(grid_area="1 / 1", align_self="flex-start")
        button = ipywidgets.Button(layout=layout, style={"button_color": "transparent"})
        button.add_class(f"{self._class}-{n}")
        button.on_click(lambda _: self._on_click(self._numbers[n]))
        return button

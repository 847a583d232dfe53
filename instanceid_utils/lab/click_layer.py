"""A picture with places that can be clicked, made of plain ipywidgets.

Clear buttons lie over the picture in one cell of a grid, each clipped to an outline by a style
sheet, so no JavaScript of our own is needed.
"""

from __future__ import annotations

from uuid import uuid4

import ipywidgets
import numpy as np


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

"""A tracked video to look at and to correct, in JupyterLab.

Play it or move the frame slider, move the threshold slider, click an object to see whom it looks
like and why it got its ID, merge and name IDs, save. Everything embedded was embedded once;
frames are decoded when they are shown.
"""

from __future__ import annotations

from collections import OrderedDict
from html import escape

import cv2
import ipywidgets
import numpy as np

from instanceid_utils._click_layer import ClickLayer
from instanceid_utils.explanations import crop_of, decision_html, encode, first_sightings
from instanceid_utils.overlay import draw_ids
from instanceid_utils.replay import record
from instanceid_utils.review import Review
from instanceid_utils.segments import find_segments

_MAX_CROPS = 256  # kept in memory, 16 kB each


def tracker_widget(frames, label_maps, embedder, *, observations=None, width=640,
                   output_dir="tracked", **settings):  # fmt: skip
    """Track a video and show it.

    Parameters
    ----------
    frames : sequence of ndarray (H, W, 3), uint8
        Read one at a time, so it may be lazy; see `lazy.open_sequence`.
    label_maps : sequence of ndarray
        Masks of each frame, as `tracking.InstanceID.update` takes them.
    embedder : embedding.Embedder
    observations : sequence of tracking.Observation, optional
        From `replay.record`, if they are there already.
    width : int
        Of the picture, in pixels of the page.
    output_dir : path
        Where the button "Save" saves to.
    **settings
        As for `tracking.InstanceID`, for instance ``threshold=``.

    Returns
    -------
    TrackerWidget

    Raises
    ------
    ValueError
        If there are no frames, or not as many label maps or observations as frames.
    """
    observed = label_maps if observations is None else observations
    if not len(frames) or not len(frames) == len(label_maps) == len(observed):
        raise ValueError(
            "expected frames and as many label maps and observations, got "
            f"{len(frames)}, {len(label_maps)} and {len(observed)}"
        )
    if observations is None:
        stream = ((frames[t], label_maps[t]) for t in range(len(frames)))
        observations = record(embedder, stream)
    review = Review(observations, embedder, **settings)
    return TrackerWidget(frames, label_maps, review, width=width, output_dir=output_dir)


class TrackerWidget(ipywidgets.VBox):
    """See `tracker_widget`. What the buttons do, these methods do too.

    Attributes
    ----------
    review : review.Review
        The IDs, and what was done by hand.
    frame_slider, threshold_slider, picture, panel, status
        Parts of the page: two sliders, the picture, why the selected segment got its ID, and
        what happened last.
    """

    def __init__(self, frames, label_maps, review, *, width=640, output_dir="tracked"):
        self._frames, self._label_maps, self.review = frames, label_maps, review
        self._width, self._output_dir = int(width), output_dir
        self._crops = OrderedDict()
        self._selected = None  # position in the frame
        self._segments = None  # of the frame shown
        self._make_parts()
        super().__init__(self._arranged())
        self._show()

    def __repr__(self):
        return f"<TrackerWidget: {len(self.review)} frames, {len(self.review.all_ids)} IDs>"

    def _make_parts(self):
        w, n = ipywidgets, len(self.review)
        wide = w.Layout(width=f"{self._width}px")
        self.frame_slider = w.IntSlider(0, 0, n - 1, description="frame", layout=wide)
        self.play = w.Play(min=0, max=n - 1, interval=80)
        w.jslink((self.play, "value"), (self.frame_slider, "value"))
        self.threshold_slider = w.FloatSlider(
            self.review.threshold, min=0.01, max=2.0, step=0.01, description="threshold",
            continuous_update=False, layout=wide,
        )  # fmt: skip
        self.picture = ClickLayer(self._width, self._select_row)
        self.panel, self.status = w.HTML(), w.HTML()
        self.other = w.Dropdown(description="is also", layout=w.Layout(width="200px"))
        self.name = w.Text(description="name", layout=w.Layout(width="200px"))
        actions = {
            "Merge": lambda: self.merge(self.selected_id, self.other.value),
            "Name": lambda: self.rename(self.selected_id, self.name.value),
            "Undo": self.undo,
            "Save": self.save,
        }
        self.buttons = {label: self._button(label, act) for label, act in actions.items()}
        self.frame_slider.observe(lambda _: self._on_frame(), "value")
        self.threshold_slider.observe(lambda _: self._on_threshold(), "value")

    def _button(self, label, act):
        button = ipywidgets.Button(description=label, layout=ipywidgets.Layout(width="70px"))

        def clicked(_):
            try:
                act()
            except (ValueError, OSError) as error:
                self._say(str(error))

        button.on_click(clicked)
        return button

    def _arranged(self):
        b = self.buttons
        by_hand = [self.other, b["Merge"], self.name, b["Name"], b["Undo"], b["Save"]]
        return [
            ipywidgets.HBox([self.play, self.frame_slider]), self.threshold_slider,
            self.picture, self.panel, ipywidgets.HBox(by_hand), self.status,
        ]  # fmt: skip

    @property
    def frame(self):
        """Number of the frame shown, from 0."""
        return self.frame_slider.value

    @property
    def ids(self):
        """IDs of the frame shown, in order of increasing label."""
        return self.review.ids[self.frame]

    @property
    def selected_id(self):
        """ID of the selected segment, None without one."""
        return None if self._selected is None else int(self.ids[self._selected])

    def select(self, x, y):
        """Select the segment at a pixel of the frame, the smallest where several overlap.

        Parameters
        ----------
        x, y : int
            From the left and from the top, in pixels of the frame itself.

        Returns
        -------
        decision.Decision or None
            Why it got its ID; None where there is no segment, and nothing is selected then.
        """
        there = [
            (self._segments.areas[row], row)
            for row, (left, top, right, bottom) in enumerate(self._segments.boxes_tlbr.tolist())
            if left <= x < right and top <= y < bottom
            and self._segments.patches[row][int(y) - top, int(x) - left]
        ]  # fmt: skip
        return self._select_row(min(there)[1] if there else None)

    def merge(self, keep, other):
        """Make two IDs one; see `review.Review.merge`."""
        self._require_two(keep, other)
        called = self._called(keep), self._called(other)
        self.review.merge(keep, other)
        self._show()
        self._say(f"{called[1]} is {called[0]} from now on.")

    def rename(self, id, name):
        """Call an ID by a name; see `review.Review.rename`."""
        if id is None:
            raise ValueError("Click an object first.")
        self.review.rename(id, name)
        self._show()
        self._say(f"ID {id} is called {self._called(id)}.")

    def undo(self):
        """Take back the last merge or name."""
        undone = self.review.undo()
        self._show()
        self._say("Taken back." if undone else "Nothing to take back.")

    def save(self, folder=None):
        """Save edits, IDs and tracker into a folder; see `review.Review.save`."""
        folder = self._output_dir if folder is None else folder
        self.review.save(folder)
        self._say(f"Saved in {folder}.")

    def load(self, folder):
        """Go on with the threshold and the edits that `save` has written."""
        self.review.load(folder)
        self.threshold_slider.value = self.review.threshold
        self._show()
        self._say(f"Loaded from {folder}.")

    def _require_two(self, keep, other):
        if keep is None or other is None:
            raise ValueError("Click an object, then choose who it is as well.")

    def _called(self, id_):
        return self.review.names.get(id_, f"ID {id_}")

    def _on_frame(self):
        followed = self._id_shown
        self._selected = None
        if followed in self.ids:  # the object stays selected while it is there
            self._selected = self.ids.tolist().index(followed)
        self._show()

    def _on_threshold(self):
        if self.threshold_slider.value != self.review.threshold:
            self.review.decide(self.threshold_slider.value)
            self._show()

    def _select_row(self, row):
        self._selected = row
        self._show()
        return None if row is None else self.review.decision(self.frame, row)

    def _show(self):
        """Bring every part of the page up to date."""
        self._id_shown = self.selected_id
        frame = self._frames[self.frame]
        self._segments = find_segments(self._label_maps[self.frame])
        drawn = draw_ids(frame, self._segments, self.ids, names=self.review.names)
        if self._selected is not None:
            _mark(drawn, self._segments, self._selected)
        scale = self._width / drawn.shape[1]
        size = self._width, max(1, round(scale * drawn.shape[0]))
        shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        self.picture.show(
            encode(cv2.resize(drawn, size, interpolation=shrink), ".jpg"),
            np.round(self._segments.boxes_tlbr * scale).astype(int),
            [self._called(i) for i in self.ids.tolist()],
        )
        self.panel.value = self._explained()
        ids = self.review.all_ids
        others = [i for i in ids if i != self.selected_id]
        options = tuple((self._called(i), i) for i in others)
        if self.other.options != options:  # setting them takes the choice back
            self.other.options, self.other.value = options, None
        self.name.value = self.review.names.get(self.selected_id, "")
        cut = ", starts a new shot" if self.frame in self.review.cuts else ""
        self._say(
            f"{len(ids)} IDs in {len(self.review)} frames at the threshold "
            f"{self.review.threshold:.2f}; frame {self.frame}{cut}."
        )

    def _say(self, text):
        self.status.value = escape(text)

    def _explained(self):
        if self._selected is None:
            return "Click an object to see why it got its ID."
        decision = self.review.decision(self.frame, self._selected)
        first = first_sightings(self.review.ids)
        known = {i: self._crop(*first[i]) for i, _ in decision.neighbours if i in first}
        crop = self._crop(self.frame, self._selected)
        return decision_html(decision, crop, known, self.review.names)

    def _crop(self, frame, row):
        """Cut the crop of a segment, or find it among the last ones."""
        key = frame, row
        if key not in self._crops:
            self._crops[key] = crop_of(self._frames[frame], self._label_maps[frame], row)
        self._crops.move_to_end(key)
        while len(self._crops) > _MAX_CROPS:
            self._crops.popitem(last=False)
        return self._crops[key]


def _mark(picture, segments, row):
    """Draw a white outline round a segment."""
    left, top = segments.boxes_tlbr[row, :2].tolist()
    patch = segments.patches[row].astype(np.uint8)
    contours, _ = cv2.findContours(
        patch, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    cv2.drawContours(picture, contours, -1, (255, 255, 255), 3)

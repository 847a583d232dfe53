"""A tracked video to look at and to correct, in JupyterLab.

Play it or move the frame slider, move the threshold slider, click an object to see whom it looks
like and why it got its ID, merge and name IDs, save. Everything embedded was embedded once;
frames are decoded when they are shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape

import ipywidgets

from instanceid_utils.evaluation.repeated_decisions import record
from instanceid_utils.lab.frame_view import ClickLayer, FrameView
from instanceid_utils.lab.review import Review


def tracker_widget(
    frames: Sequence,
    label_maps: Sequence,
    embedder,
    *,
    observations: Sequence | None = None,
    width: int = 640,
    output_dir: str | os.PathLike = "tracked",
    **settings,
):
    """Track a video and show it.

    Parameters
    ----------
    frames : sequence of ndarray (H, W, 3), uint8
        Read one at a time, so it may be lazy; see `data.open_sequence`.
    label_maps : sequence of ndarray
        Masks of each frame, as `tracking.InstanceID.update` takes them.
    embedder : embedding.Embedder
    observations : sequence of tracking.Observation, optional
        From `evaluation.record`, if they are there already.
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
        self.review, self._output_dir = review, output_dir
        self._view = FrameView(frames, label_maps, review, int(width))
        self._selected = None  # position in the frame
        self._make_parts(int(width))
        super().__init__(self._arranged())
        self._show()

    def __repr__(self):
        return f"<TrackerWidget: {len(self.review)} frames, {len(self.review.all_ids)} IDs>"

    def _make_parts(self, width):
        w, n = ipywidgets, len(self.review)
        rest = w.Layout(flex="1", width="auto")  # of the row, beside the buttons of Play
        self.frame_slider = w.IntSlider(0, 0, n - 1, description="frame", layout=rest)
        self.play = w.Play(min=0, max=n - 1, interval=80)
        w.jslink((self.play, "value"), (self.frame_slider, "value"))
        self.threshold_slider = w.FloatSlider(
            self.review.threshold,
            min=0.01,
            max=2.0,
            step=0.01,
            description="threshold",
            continuous_update=False,
            layout=w.Layout(width=f"{width}px"),
        )
        self.picture = ClickLayer(width, self._select_row)
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
        b, row = self.buttons, ipywidgets.Layout(width=self.picture.layout.width)
        by_hand = [self.other, b["Merge"], self.name, b["Name"], b["Undo"], b["Save"]]
        return [
            ipywidgets.HBox([self.play, self.frame_slider], layout=row),
            self.threshold_slider,
            self.picture,
            self.panel,
            ipywidgets.HBox(by_hand),
            self.status,
        ]

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

    def select(self, x: int, y: int):
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
        return self._select_row(self._view.row_at(x, y))

    def merge(self, keep, other):
        """Make two IDs one; see `lab.Review.merge`."""
        self._require_two(keep, other)
        called = self._called(keep), self._called(other)
        self.review.merge(keep, other)
        self._show()
        self._say(f"{called[1]} is {called[0]} from now on.")

    def rename(self, id, name):
        """Call an ID by a name; see `lab.Review.rename`."""
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
        """Save edits, IDs and tracker into a folder; see `lab.Review.save`."""
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
        self._view.turn_to(self.frame)
        names = [self._called(i) for i in self.ids.tolist()]
        self.picture.show(*self._view.picture(self._selected), names)
        self.panel.value = (
            "Click an object to see why it got its ID."
            if self._selected is None
            else self._view.explained(self._selected)
        )
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

"""A tracked video at a glance: frames, and a timeline that shows where an identity was lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from instanceid_utils.video.overlay import id_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_HEIGHT = 16_000  # pixels of the rows together, in a picture


def id_runs(ids: Sequence, rows: Sequence | None = None) -> list:
    """Find the runs of frames in which a row shows one ID without a gap.

    Parameters
    ----------
    ids : sequence of array_like (n_t,), int
        The IDs of each frame. Those below 1 are passed over.
    rows : sequence of array_like (n_t,), int, optional
        The row that each of them stands in, for instance its true identity; its own by default.

    Returns
    -------
    list of (row, id, start, stop)
        Frames ``start <= t < stop``, in order of start.

    Examples
    --------
    >>> id_runs([[1], [1, 2], [2], [1]])
    [(1, 1, 0, 2), (2, 2, 1, 3), (1, 1, 3, 4)]
    >>> id_runs([[1], [1], [2]], rows=[[7], [7], [7]])      # 7 lost its ID
    [(7, 1, 0, 2), (7, 2, 2, 3)]
    """
    runs = IdRuns()
    for given, places in zip(ids, ids if rows is None else rows):
        runs.add(given, places)
    return runs.sorted()


class IdRuns:
    """The runs of `id_runs`, gathered frame by frame: as much memory as there are runs."""

    def __init__(self):
        self.n_frames = 0
        self._done, self._open = [], {}

    def add(self, ids, rows=None):
        """Take in the IDs of the next frame, and the row that each stands in."""
        now = {(int(r), int(i)) for i, r in zip(ids, ids if rows is None else rows) if i > 0}
        for key in self._open.keys() - now:
            self._done.append((*key, self._open.pop(key), self.n_frames))
        for key in now - self._open.keys():
            self._open[key] = self.n_frames
        self.n_frames += 1

    def sorted(self):
        """Give all runs so far as (row, id, start, stop), in order of start."""
        still = [(*key, start, self.n_frames) for key, start in self._open.items()]
        return sorted(self._done + still, key=lambda run: (run[2], run[0], run[1]))

    def state(self):
        """Give all that `restore` needs, in types that JSON has."""
        return [self.n_frames, self._done, [[*key, start] for key, start in self._open.items()]]

    def restore(self, state):
        """Go on where the runs that gave ``state`` stood."""
        self.n_frames, done, still = state
        self._done = [tuple(run) for run in done]
        self._open = {(row, id_): start for row, id_, start in still}


def plot_timeline(
    ids,
    *,
    rows=None,
    names: dict | None = None,
    cuts: Sequence = (),
    title: str | None = None,
    ax=None,
) -> Figure:
    """Draw a bar for every run of frames in which an ID is seen, in the colour of the ID.

    Parameters
    ----------
    ids, rows
        As for `id_runs`. With true identities as rows, a change of colour within a row is an
        ID switch, and one colour in two rows is an ID given to two objects.
    names : dict of int to str, optional
        What to write for a row.
    cuts : sequence of int
        Frames that start a new shot.
    title : str, optional
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    return plot_runs(
        id_runs(ids, rows),
        len(ids),
        names=names,
        cuts=cuts,
        title=title,
        ax=ax,
        row_title=None if rows is None else "object",
    )


def plot_runs(
    runs: list,
    n_frames: int,
    *,
    names=None,
    cuts=(),
    title=None,
    ax=None,
    row_title: str | None = None,
) -> Figure:
    """Draw the runs of `id_runs` or `IdRuns`, see `plot_timeline`.

    Parameters
    ----------
    runs : list of (row, id, start, stop)
    n_frames : int
    names, cuts, title, ax
        As for `plot_timeline`.
    row_title : str, optional
        What a row is, where it is no ID; the IDs are then written on the bars.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    order = list(dict.fromkeys(row for row, *_ in runs))
    if ax is None:
        height = 0.6 + 0.28 * max(2, len(order))
        ax = plt.subplots(figsize=(8, min(height, 12)), layout="constrained")[1]
    for row, id_, start, stop in runs:
        y = order.index(row)
        colour = np.array(id_colour(id_)) / 255
        ax.broken_barh([(start, stop - start)], (y - 0.4, 0.8), color=colour)
        if row_title and stop - start > 0.03 * n_frames:
            ink = "black" if colour @ (0.299, 0.587, 0.114) > 0.5 else "white"
            ax.text(start, y, f" {id_}", va="center", fontsize=7, color=ink)
    for cut in cuts:
        ax.axvline(cut, color="black", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(order)), [(names or {}).get(row, str(row)) for row in order])
    ax.set(xlim=(0, max(1, n_frames)), ylim=(max(1, len(order)) - 0.5, -0.5), xlabel="frame")
    ax.set(ylabel=row_title or "ID", title=title or "")
    return cast("Figure", ax.figure)


def draw_runs(
    runs: list, n_frames: int, *, cuts: Sequence = (), width: int = 960, row_height: int = 22
) -> np.ndarray:
    """Draw the runs as a picture, for a file: it needs no plotting library.

    Parameters
    ----------
    runs, n_frames, cuts
        As for `plot_runs`.
    width, row_height : int
        Pixels.

    Returns
    -------
    ndarray of shape (H, width, 3), uint8
        RGB: a row for each ID, a bar for each run, a grey line for each cut, frames below. Of
        very many IDs the rows are thinner, and not all are named.
    """
    order = {row: k for k, row in enumerate(dict.fromkeys(row for row, *_ in runs))}
    left, top, n_rows = 70, 12, max(1, len(order))
    row_height = max(1, min(row_height, MAX_HEIGHT // n_rows))
    gap, per_name = (3 if row_height > 8 else 0), -(-14 // row_height)
    scale = (width - left - 20) / max(1, n_frames)
    bottom = top + n_rows * row_height
    picture = np.full((bottom + 34, width, 3), 255, np.uint8)
    for row, id_, start, stop in runs:
        y = top + order[row] * row_height
        low = round(left + start * scale), y + gap
        high = round(left + stop * scale), y + row_height - 1 - gap
        cv2.rectangle(picture, low, high, tuple(map(int, id_colour(id_))), -1)
    for cut in cuts:
        x = round(left + cut * scale)
        cv2.line(picture, (x, top), (x, bottom), (150, 150, 150), 1)
    for row, k in order.items():
        if k % per_name == 0:
            _text(picture, str(row), left - 8, top + k * row_height + 15, align=1.0)
    cv2.line(picture, (left, bottom), (width - 20, bottom), (0, 0, 0), 1)
    step = _round_step(n_frames / 8)
    for frame in range(0, n_frames + 1, step):
        x = round(left + frame * scale)
        cv2.line(picture, (x, bottom), (x, bottom + 4), (0, 0, 0), 1)
        _text(picture, str(frame), x, bottom + 18)
    _text(picture, "ID", left - 8, bottom + 18, align=1.0)
    return picture


def _round_step(least):
    """Return the next of 1, 2, 5, 10, 20, ... that is not less."""
    power = 10 ** int(np.floor(np.log10(max(least, 1))))
    return next(int(k * power) for k in (1, 2, 5, 10) if k * power >= min(least, 10 * power))


def _text(picture, text, x, y, align=0.5):
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    width = cv2.getTextSize(text, font, size, 1)[0][0]
    cv2.putText(picture, text, (round(x - align * width), y), font, size, (0, 0, 0), 1, cv2.LINE_AA)


def show_frames(
    frames: Sequence, numbers: Sequence | None = None, n_columns: int = 2, width: float = 5.0
) -> Figure:
    """Draw frames of a video in a grid.

    Parameters
    ----------
    frames : sequence of ndarray of shape (H, W, 3), uint8
    numbers : sequence of int, optional
        The frame's number, written above it.
    n_columns : int
    width : float
        Of a frame in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    n_rows = -(-len(frames) // n_columns)
    height, side = frames[0].shape[:2]
    room = 0.25 if numbers is not None else 0.0
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        squeeze=False,
        layout="constrained",
        figsize=(n_columns * width, n_rows * (width * height / side + room)),
    )
    for n, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if n < len(frames):
            ax.imshow(frames[n])
            ax.set_title("" if numbers is None else f"frame {numbers[n]}", fontsize=9)
    return figure

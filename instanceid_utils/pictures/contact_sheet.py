"""A contact sheet: one row per ID with its first and last sighting and crops from in between.

Crops are taken as the video goes by, each ID keeping only a few: once there are too many, every
second one goes, and from then on only every second sighting is kept.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.video.overlay import id_colour

BACKGROUND = 255
INK = (40, 40, 40)


class ContactSheet:
    """Collect crops of every ID.

    Parameters
    ----------
    n_crops : int
        Shown for each ID; up to twice as many are kept.
    size : int
        Side of a crop in pixels.
    """

    def __init__(self, n_crops: int = 8, size: int = 72):
        self.n_crops, self.size = n_crops, size
        self._rows = {}  # ID -> [first frame, last frame, sightings, stride, [(frame, crop)]]

    @property
    def ids(self):
        """The IDs seen, in order of their first sighting."""
        return list(self._rows)

    def add(self, index: int, frame: np.ndarray, segments, ids: npt.ArrayLike):
        """Take in one frame.

        Parameters
        ----------
        index : int
            Of the frame.
        frame : ndarray of shape (H, W, 3), uint8
        segments : Segments
        ids : array_like of shape (N,), int
            Those below 1 are left out.
        """
        wanted = []
        for k, id_ in enumerate(np.asarray(ids).tolist()):
            if id_ < 1 or not segments.areas[k]:
                continue
            row = self._rows.setdefault(id_, [index, index, 0, 1, []])
            if row[2] % row[3] == 0:
                wanted.append((k, row))
            row[1], row[2] = index, row[2] + 1
        if not wanted:
            return
        crops = cut_crops(frame, segments.select([k for k, _ in wanted]), self.size)
        for crop, (_, row) in zip(crops, wanted):
            row[4].append((index, crop))
            if len(row[4]) >= 2 * self.n_crops:
                row[4], row[3] = row[4][::2], 2 * row[3]

    def pages(self, rows_per_page: int = 40, unit: str = "frame"):
        """Draw the sheet.

        Parameters
        ----------
        rows_per_page : int
        unit : str
            What the numbers count.

        Yields
        ------
        ndarray of shape (H, W, 3), uint8
            A page; none if nothing was seen.
        """
        ids = self.ids
        for start in range(0, len(ids), rows_per_page):
            page = ids[start : start + rows_per_page]
            yield np.concatenate([self._draw_row(id_, unit) for id_ in page])

    def _draw_row(self, id_, unit):
        first, last, sightings, _, crops = self._rows[id_]
        size, text_width = self.size, 190
        row = np.full((size + 8, text_width + self.n_crops * (size + 4), 3), BACKGROUND, np.uint8)
        row[4:-4, 4:12] = id_colour(id_)
        for k, (text, scale) in enumerate(
            [
                (f"ID {id_}", 0.6),
                (f"first {unit} {first}", 0.42),
                (f"last {unit} {last}", 0.42),
                (_times(sightings), 0.42),
            ]
        ):
            y = 22 + round(k * size / 4.4)
            cv2.putText(row, text, (20, y), cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
        chosen = np.unique(np.linspace(0, len(crops) - 1, self.n_crops).round().astype(int))
        for k, c in enumerate(chosen):
            left = text_width + k * (size + 4)
            row[4 : 4 + size, left : left + size] = crops[c][1][..., :3]
        return row

    def state(self):
        """Give all that `restore` needs, as arrays by name."""
        arrays = {
            "rows": np.array(
                [[i, *row[:4], len(row[4])] for i, row in self._rows.items()], np.int64
            ).reshape(-1, 6)
        }
        kept = [pair for row in self._rows.values() for pair in row[4]]
        arrays["frames"] = np.array([index for index, _ in kept], np.int64)
        crops = np.array([crop for _, crop in kept], np.uint8)
        arrays["crops"] = crops.reshape(-1, self.size, self.size, 4)
        return arrays

    def restore(self, arrays):
        """Go on where the sheet that gave ``arrays`` stood."""
        kept = list(zip(arrays["frames"].tolist(), arrays["crops"]))
        self._rows, at = {}, 0
        for id_, *row, n in arrays["rows"].tolist():
            self._rows[id_] = [*row, kept[at : at + n]]
            at += n


def _times(n):
    return "seen once" if n == 1 else f"seen {n} times"

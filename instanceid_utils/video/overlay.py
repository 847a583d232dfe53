"""Draw identities over a frame: tinted masks, outlines, numbers and short tails.

The colour of an ID depends on the ID alone. The first 24 were chosen one after the other, each
as far as possible in OKLab from all before it, as seen with full colour vision, protanopia and
deuteranopia (simulated after Machado et al. 2009), so few objects are told apart by everybody;
later IDs take the golden-ratio step round the hue circle. The number itself settles the rest.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from instanceid_utils.segments.segments import check_frame, find_segments

GREY = (160, 160, 160)  # of a segment without an ID
_FIRST = np.array(
    "ea9602 6e07f2 944a4b b6aaff bbffc8 857bbe d9ff17 0dc79d cb6620 7d45a2 109d7b 79e5eb "
    "9476ff 45e77a 43afc1 8f588a edbe12 ba4209 9e4dd0 15e5b4 df676b 5dcbd1 8e06c9 a3b46b".split()
)
PALETTE = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _FIRST], np.uint8)
_GOLDEN = (5**0.5 - 1) / 2
_LIGHTNESS = (0.55, 0.8, 0.67, 0.9)  # in turn: neighbours in hue differ for colour-blind eyes


def id_colour(id_) -> tuple[int, int, int]:
    """Return the RGB colour of an ID, the same in every video and process.

    Examples
    --------
    >>> id_colour(1), id_colour(-1) == GREY
    ((234, 150, 2), True)
    """
    id_ = int(id_)
    if id_ <= 0:
        return GREY
    if id_ <= len(PALETTE):
        return tuple(PALETTE[id_ - 1].tolist())
    return _oklch(_LIGHTNESS[id_ % 4], 0.15, 2 * np.pi * ((id_ * _GOLDEN) % 1.0))


def draw_ids(
    frame: np.ndarray,
    masks: np.ndarray,
    ids: npt.ArrayLike,
    *,
    opacity: float = 0.45,
    outline: int = 2,
    text: bool = True,
    names: dict | None = None,
) -> np.ndarray:
    """Draw the segments of one frame with their IDs.

    Parameters
    ----------
    frame : ndarray of shape (H, W, 3), uint8
        RGB; left as it is.
    masks : ndarray or Segments
        Label map (H, W), bool stack (N, H, W), or what `find_segments` made of them.
    ids : array_like of shape (N,), int
        One ID a segment. Segments with an ID below 1 are drawn in grey without a number.
    opacity : float
        Of the tint, in [0, 1].
    outline : int
        Width of the outline in pixels, 0 for none.
    text : bool
        Write the numbers.
    names : dict of int to str, optional
        Written instead of the number.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    ValueError
        If frame, masks and IDs do not belong together.
    """
    segments, ids = _checked(frame, masks, ids, opacity)
    out = frame.copy()
    drawn = [i for i in np.argsort(-segments.areas, kind="stable") if segments.areas[i]]
    for i in drawn:  # the smallest last, so that none is painted over
        _tint(out, segments, i, id_colour(ids[i]), opacity, outline)
    if text:
        for i in drawn:
            if ids[i] > 0:
                name = (names or {}).get(int(ids[i]), str(ids[i]))
                left, top = segments.boxes_tlbr[i, :2].tolist()
                rows, columns = np.nonzero(segments.patches[i])  # the highest ones first
                head = left + int(columns[rows == rows[0]].mean())
                _write(out, name, head, top, id_colour(ids[i]))
    return out


class Overlay:
    """Draw the frames of one video in turn, with tails that show where each object came from.

    Parameters
    ----------
    tail : int
        Frames that a tail reaches back; 0 for none.
    **options
        As for `draw_ids`.
    """

    def __init__(self, tail: int = 20, **options):
        self.tail = int(tail)
        self.options = options
        self._places = {}  # ID -> the last places (frame count, x, y)
        self._count = 0

    def clear(self):
        """Forget the tails: a shot cut, or another video."""
        self._places.clear()

    def state(self):
        """Give all that `restore` needs, in types that JSON has."""
        return [self._count, [[id_, list(places)] for id_, places in self._places.items()]]

    def restore(self, state):
        """Go on where the overlay that gave ``state`` stood."""
        self._count, places = state
        self._places = {id_: deque(map(tuple, p), maxlen=self.tail or None) for id_, p in places}

    def draw(self, frame, masks, ids):
        """Draw the next frame; see `draw_ids`."""
        segments = find_segments(masks)
        out = draw_ids(frame, segments, ids, **self.options)
        self._count += 1
        if not self.tail:
            return out
        for id_, box, area in zip(
            np.asarray(ids).tolist(), segments.boxes_tlbr.tolist(), segments.areas.tolist()
        ):
            if id_ > 0 and area:
                places = self._places.setdefault(id_, deque(maxlen=self.tail))
                places.append((self._count, (box[0] + box[2]) // 2, (box[1] + box[3]) // 2))
        for id_, places in list(self._places.items()):
            while places and places[0][0] <= self._count - self.tail:
                places.popleft()
            if not places:
                del self._places[id_]
            elif places[-1][0] == self._count:
                self._draw_tail(out, places, id_colour(id_))
        return out

    def _draw_tail(self, out, places, colour):
        track = np.array(places, np.int32)
        parts = [track[:, 1:]]
        if track[-1, 0] - track[0, 0] >= len(track):  # hidden at times: no line across a gap
            parts = np.split(track[:, 1:], np.flatnonzero(np.diff(track[:, 0]) > 1) + 1)
        parts = [np.ascontiguousarray(part) for part in parts if len(part) > 1]
        cv2.polylines(out, parts, False, (0, 0, 0), 4)
        cv2.polylines(out, parts, False, colour, 2, cv2.LINE_AA)


def _checked(frame, masks, ids, opacity):
    segments = find_segments(masks)
    check_frame(frame, segments.frame_shape)
    ids = np.asarray(ids)
    if ids.shape != (len(segments),):
        raise ValueError(f"ids: expected one per segment, ({len(segments)},), got {ids.shape}")
    if len(ids) and ids.dtype.kind not in "iu":
        raise ValueError(f"ids: expected integers, got {ids.dtype}")
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity: expected a number in [0, 1], got {opacity}")
    return segments, ids


def _tint(out, segments, i, colour, opacity, outline):
    left, top, right, bottom = segments.boxes_tlbr[i].tolist()
    patch = np.ascontiguousarray(segments.patches[i]).view(np.uint8)
    inside = out[top:bottom, left:right]
    cv2.copyTo(cv2.LUT(inside, _tint_table(colour, opacity)), patch, inside)
    if outline:
        contours, _ = cv2.findContours(
            patch, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
        )
        cv2.drawContours(out, contours, -1, (0, 0, 0), outline + 2)
        cv2.drawContours(out, contours, -1, colour, outline)


@lru_cache(256)
def _tint_table(colour, opacity):
    levels = np.arange(256)[:, np.newaxis] * (1 - opacity) + np.array(colour) * opacity
    return np.round(levels).astype(np.uint8)[:, np.newaxis]


def _write(out, text, x, y, colour):
    """Write ``text`` centred above the point (x, y), moved to be inside the picture."""
    height, width = out.shape[:2]
    scale = max(0.4, min(height, width) / 800)
    thick = max(1, round(2 * scale))
    (w, h), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    x = int(np.clip(x - w // 2, 2, max(2, width - w - 3)))
    y = int(np.clip(y - below - 2, h + 3, max(h + 3, height - below - 1)))
    cv2.rectangle(out, (x - 3, y - h - 3), (x + w + 2, y + below), colour, cv2.FILLED)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 130
    ink = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(out, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thick, cv2.LINE_AA)


def _oklch(lightness, chroma, hue):
    """Colour of the OKLab space (Ottosson 2020) in sRGB, with less chroma where out of gamut."""
    for c in np.linspace(chroma, 0, 16):
        a, b = c * np.cos(hue), c * np.sin(hue)
        lms = lightness + np.array(
            [
                [0.3963377774, 0.2158037573],
                [-0.1055613458, -0.0638541728],
                [-0.0894841775, -1.2914855480],
            ]
        ) @ (a, b)
        linear = (
            np.array(
                [
                    [4.0767416621, -3.3077115913, 0.2309699292],
                    [-1.2684380046, 2.6097574011, -0.3413193965],
                    [-0.0041960863, -0.7034186147, 1.7076147010],
                ]
            )
            @ lms**3
        )
        if ((linear >= 0) & (linear <= 1)).all():
            break
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return tuple(np.round(255 * srgb).astype(int).tolist())

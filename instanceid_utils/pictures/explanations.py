"""Decisions in words and pictures: why a segment got its ID, and who else it might have been."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import cv2
import numpy as np

from instanceid_utils.pictures.figures import on_grey, show_crops
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.video.overlay import id_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sentence(decision, names: dict | None = None):
    """Say in plain words why a segment got its ID.

    Parameters
    ----------
    decision : decision.Decision
    names : dict of int to str, optional
        Said instead of "ID 7".

    Examples
    --------
    >>> from instanceid_utils.tracking.decision import Decision
    >>> near = ((7, 0.4), (2, 0.9))
    >>> print(sentence(Decision(1, 7, "reused", 0.4, 0.1, near, 0.6, 0.6)))
    ID 7 again: 0.40 away (less 0.10 for its place), below the threshold 0.60. The next best
    answer is worse by 0.60.
    >>> print(sentence(Decision(1, 8, "new", 0.7, None, ((7, 0.7),), 0.6, 0.1)))
    ID 8 is new: the nearest, ID 7, is 0.70 away, not below the threshold 0.60.
    """
    name = _name(decision.id, names)
    limit = f"the threshold {decision.threshold:.2f}"
    if decision.reason in _NO_ID:
        return f"No ID: {_NO_ID[decision.reason]}."
    if not decision.neighbours:
        return f"{name} is new: the gallery was empty."
    nearest = f"{_name(decision.neighbours[0][0], names)}, is {decision.neighbours[0][1]:.2f} away"
    if decision.provisional and decision.place is None:
        return f"{name} for now: the nearest, {nearest}, near {limit} or to another ID."
    if decision.reason == "new":
        return f"{name} is new: the nearest, {nearest}, not below {limit}."
    if decision.reason == "lost":
        return (
            f"{name} is new: the nearest, {nearest}, below {limit}, but all that it could be went "
            "to other segments of this frame."
        )
    if decision.place is None:
        return f"{name}: the nearest, {nearest}; {limit}."
    text = f"{name} again: {decision.distance:.2f} away{_beside(decision)}, below {limit}."
    if decision.reason == "merged":
        return f"{text} The segment covers somebody else too, so nothing is learned from it."
    if decision.margin is None:
        return text
    if decision.margin < 0:
        return f"{text} Another answer was better by {-decision.margin:.2f}, but taken."
    doubt = "only " if decision.reason == "ambiguous" else ""
    return f"{text} The next best answer is worse by {doubt}{decision.margin:.2f}."


_NO_ID = {
    "empty": "the mask has no pixels",
    "low score": "the model was not sure enough",
    "fragment": "it is a part of what another segment of this frame shows",
}


def _beside(decision):
    """Say what counts beside the looks, in brackets: as a distance, and its parts in nats."""
    if abs(decision.place) < 0.005:
        return ""
    said = "less" if decision.place > 0 else "plus"
    parts = {n: v for n, v in (decision.parts or {}).items() if n != "looks" and abs(v) >= 0.05}
    names = ", ".join(f"{n} {v:+.1f}" for n, v in parts.items()) or "its place"
    return f" ({said} {abs(decision.place):.2f} for {names})"


def _name(id_, names):
    return (names or {}).get(id_, f"ID {id_}")


def first_sightings(ids: Sequence) -> dict:
    """Find where each ID was given first.

    Parameters
    ----------
    ids : sequence of ndarray (n_t,), int64
        The IDs of each frame.

    Returns
    -------
    dict of int to (int, int)
        ID -> frame and position in it.

    Examples
    --------
    >>> first_sightings([[4], [5, 4]])
    {4: (0, 0), 5: (1, 0)}
    """
    found = {}
    for t, given in enumerate(ids):
        for row, id_ in enumerate(np.asarray(given).tolist()):
            if id_ > 0:
                found.setdefault(id_, (t, row))
    return found


def crop_of(frame, masks, row, size=64):
    """Cut the crop of one segment, uint8 (S, S, 4): the one at position ``row`` of the frame."""
    return cut_crops(frame, find_segments(masks).select([row]), size)[0]


def first_crops(frames: Sequence, label_maps: Sequence, ids: Sequence) -> dict:
    """Cut out each ID where it was seen first.

    Parameters
    ----------
    frames : sequence of ndarray (H, W, 3), uint8
    label_maps : sequence of ndarray (H, W), integer
    ids : sequence of ndarray (n_t,), int64
        The IDs of each frame.

    Returns
    -------
    dict of int to ndarray of shape (64, 64, 4), uint8
    """
    found = first_sightings(ids).items()
    return {id_: crop_of(frames[t], label_maps[t], row) for id_, (t, row) in found}


def show_decision(
    decision, crop: np.ndarray, neighbour_crops: dict, names: dict | None = None
) -> Figure:
    """Draw a segment, then its nearest IDs framed in their colours.

    Parameters
    ----------
    decision : decision.Decision
    crop : ndarray of shape (S, S, 4), uint8
        Of the segment.
    neighbour_crops : dict of int to ndarray of shape (S, S, 4), uint8
        A crop of each ID; an ID without one is left out.
    names : dict of int to str, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    ids, crops, texts = _strip(decision, crop, neighbour_crops, names)
    colours = [tuple(np.array(id_colour(i)) / 255) for i in ids]
    return show_crops([crops], titles=[texts], colours=[colours], size=1.3)


def decision_html(decision, crop, neighbour_crops, names=None):
    """Give the sentence and the crops of `show_decision` as HTML, with the pictures in it."""
    cells = "".join(
        '<div style="display:inline-block;text-align:center;margin-right:8px">'
        f'<img src="data:image/png;base64,{base64.b64encode(encode(on_grey(crop))).decode()}" '
        f'style="border:4px solid rgb{id_colour(id_)}"><br>{escape(text)}</div>'
        for id_, crop, text in zip(*_strip(decision, crop, neighbour_crops, names))
    )
    return f"<p>{escape(sentence(decision, names))}</p>{cells}"


def encode(picture, suffix=".png"):
    """Encode an RGB picture as PNG or JPEG, in memory."""
    return cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()


def _strip(decision, crop, neighbour_crops, names):
    """IDs, crops and texts: the segment, then its neighbours as far as there is a crop."""
    shown = [(i, d) for i, d in decision.neighbours if i in neighbour_crops]
    ids = [decision.id, *(i for i, _ in shown)]
    crops = [crop, *(neighbour_crops[i] for i, _ in shown)]
    return ids, crops, ["this segment", *(f"{_name(i, names)}: {d:.2f}" for i, d in shown)]

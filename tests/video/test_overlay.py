"""Drawing: colours that stay and can be told apart, tints where the mask is and only there."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from instanceid_utils.video.overlay import GREY, PALETTE, Overlay, draw_ids, id_colour

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)


def smallest_lab_distance(colours, vision):
    srgb = np.asarray(colours) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(vision).T, 0, 1)
    srgb = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(srgb.astype(np.float32)[np.newaxis], cv2.COLOR_RGB2Lab)[0]
    distances = np.linalg.norm(lab[:, np.newaxis] - lab, axis=-1)
    return distances[np.triu_indices(len(lab), 1)].min()


@pytest.mark.parametrize("vision", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_few_ids_are_told_apart_by_everybody(vision):
    # A CIE76 distance of 2.3 is just noticeable.
    assert smallest_lab_distance([id_colour(i) for i in range(1, 9)], vision) > 15
    assert smallest_lab_distance([id_colour(i) for i in range(1, 25)], vision) > 6


def test_a_colour_belongs_to_its_id():
    assert id_colour(5) == id_colour(np.int64(5)) == tuple(PALETTE[4])
    assert id_colour(-1) == id_colour(0) == GREY
    many = {id_colour(i) for i in range(1, 300)}
    assert len(many) > 290
    assert all(0 <= level <= 255 for colour in many for level in colour)
    assert id_colour(2**62) == id_colour(2**62)


def two_squares(shape=(100, 120)):
    masks = np.zeros(shape, np.uint8)
    masks[20:50, 10:40], masks[40:90, 60:110] = 1, 2
    return masks


def test_the_tint_is_where_the_mask_is():
    frame = np.full((100, 120, 3), 100, np.uint8)
    kept = frame.copy()
    masks = two_squares()
    out = draw_ids(frame, masks, [7, 3], opacity=0.5, outline=0, text=False)
    assert np.array_equal(frame, kept), "the caller's frame is left as it is"
    assert np.array_equal(out[masks == 0], frame[masks == 0])
    for label, id_ in ((1, 7), (2, 3)):
        expected = np.round(50 + np.array(id_colour(id_)) / 2)
        assert np.array_equal(np.unique(out[masks == label], axis=0), [expected])


def test_a_stack_may_overlap_and_hold_empty_masks():
    frame = np.zeros((100, 120, 3), np.uint8)
    stack = np.zeros((3, 100, 120), bool)
    stack[0, 40:60, 40:60] = True  # smaller and on top, though first
    stack[2, 20:80, 20:80] = True
    out = draw_ids(frame, stack, [1, -1, 2], opacity=1, outline=0, text=False)
    assert tuple(out[50, 50]) == id_colour(1) and tuple(out[30, 30]) == id_colour(2)


def test_outline_and_number_are_drawn():
    frame = np.zeros((100, 120, 3), np.uint8)
    masks = two_squares()
    plain = draw_ids(frame, masks, [1, 2], opacity=0, outline=0, text=False)
    assert not plain.any()
    outlined = draw_ids(frame, masks, [1, 2], opacity=0, outline=2, text=False)
    assert tuple(outlined[20, 25]) == id_colour(1) and not outlined[35, 25].any()
    numbered = draw_ids(frame, masks, [1, 2], opacity=0, outline=0)
    assert (numbered == id_colour(1)).all(axis=-1).sum() > 50
    named = draw_ids(frame, masks, [1, 2], opacity=0, outline=0, names={1: "fish"})
    assert not np.array_equal(named, numbered)
    unknown = draw_ids(frame, masks, [-1, -1], opacity=0, outline=0)
    assert not unknown.any(), "a segment without an ID has no number"


def test_numbers_stay_inside_the_picture():
    frame = np.zeros((60, 80, 3), np.uint8)
    masks = np.zeros((60, 80), np.int32)
    masks[0:3, 0:3], masks[57:, 77:] = 1, 2
    out = draw_ids(frame, masks, [111, 222], opacity=0, outline=0)
    assert (out[:30, :40] == id_colour(111)).all(axis=-1).sum() > 100
    assert (out[30:, 40:] == id_colour(222)).all(axis=-1).sum() > 100


def drawn_by_tail(overlay, x, id_=1):
    """Draw a small square at x with a tail and nothing else; return what the tail covers."""
    masks = np.zeros((60, 200), np.uint8)
    if x is not None:
        masks[25:35, x - 5 : x + 5] = 1
    ids = [] if x is None else [id_]
    return overlay.draw(np.zeros((60, 200, 3), np.uint8), masks, ids).any(axis=(0, 2))


def test_tails_follow_and_fade():
    overlay = Overlay(tail=5, opacity=0, outline=0, text=False)
    assert not drawn_by_tail(overlay, 20).any()
    assert drawn_by_tail(overlay, 60)[25:55].all()
    for x in (80, 100, 120, 140, 160):
        covered = drawn_by_tail(overlay, x)
    assert covered[90:155].all() and not covered[:70].any(), "older places drop out"
    assert not drawn_by_tail(overlay, None).any(), "an object that is away has no tail"
    overlay.clear()
    assert not drawn_by_tail(overlay, 30).any()


def test_tails_go_on_where_they_stood():
    one, other = (Overlay(tail=10, opacity=0, outline=0, text=False) for _ in range(2))
    for x in (20, 30, 40):
        drawn_by_tail(one, x)
    other.restore(json.loads(json.dumps(one.state())))
    for x in (50, 60):
        assert np.array_equal(drawn_by_tail(one, x), drawn_by_tail(other, x))


def test_no_tail_across_a_gap():
    overlay = Overlay(tail=10, opacity=0, outline=0, text=False)
    for x in (20, 30, None, None, 150, 160):
        covered = drawn_by_tail(overlay, x)
    assert covered[22:28].all() and covered[152:158].all() and not covered[40:140].any()


@pytest.mark.parametrize(
    ("ids", "message"),
    [([1], r"one per segment, \(2,\), got \(1,\)"), ([1.0, 2.0], "integers, got float64")],
)
def test_wrong_ids_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        draw_ids(np.zeros((100, 120, 3), np.uint8), two_squares(), ids)


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(ValueError, match="120x100"):
        draw_ids(np.zeros((50, 60, 3), np.uint8), two_squares(), [1, 2])
    with pytest.raises(ValueError, match="opacity"):
        draw_ids(np.zeros((100, 120, 3), np.uint8), two_squares(), [1, 2], opacity=3)


def test_an_empty_frame():
    frame = np.full((100, 120, 3), 9, np.uint8)
    assert np.array_equal(draw_ids(frame, np.zeros((100, 120), int), []), frame)

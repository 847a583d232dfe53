"""Parting at necks, and of objects that were seen apart, on drawn rectangles."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instanceid_utils.video.parting import KnownObjects, part_blob
from instanceid_utils.video.segmenters import BackgroundSegmenter

RED, BLUE = (200, 60, 50), (60, 50, 200)
SIDE = 40


def dumbbell(distance, radius=12):
    blob = np.zeros((40, 100), np.uint8)
    cv2.circle(blob, (30, 20), radius, 1, -1)
    cv2.circle(blob, (30 + distance, 20), radius, 1, -1)
    return blob > 0


def test_touching_blobs_are_parted_at_their_neck():
    blob = dumbbell(22)
    parts = part_blob(blob, 0.3)
    assert len(parts) == 2
    assert np.array_equal(parts[0] | parts[1], blob) and not (parts[0] & parts[1]).any()
    left, right = sorted(np.nonzero(p)[1].mean() for p in parts)
    assert left == pytest.approx(30, abs=2) and right == pytest.approx(52, abs=2)


@pytest.mark.parametrize(
    "blob", [dumbbell(8), np.ones((20, 60), bool), np.ones((1, 1), bool), np.eye(5, dtype=bool)]
)
def test_blobs_without_a_neck_stay_whole(blob):
    parts = part_blob(blob, 0.3)
    assert len(parts) == 1 and np.array_equal(parts[0], blob)


def test_parting_can_be_switched_off():
    assert len(part_blob(dumbbell(22), 1)) == 1


def segmented(tracks, n=60, noise=3):
    """Segment rectangles (x, width, colour) that the tracks say for each time."""
    rng, segmenter = np.random.default_rng(0), BackgroundSegmenter()
    for t in range(-100, n):
        frame = np.full((120, 320, 3), 110, np.uint8)
        for track in tracks if t >= 0 else ():
            x, width, colour = track(t)
            frame[SIDE : 2 * SIDE, max(0, x) : max(0, x + width)] = colour
        frame = np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
        found = segmenter.segment(frame)
        if t >= 3:
            yield t, found


def columns(found):
    """Return the first and last column of each object, from the left."""
    ends = [np.flatnonzero((found == k).any(axis=0))[[0, -1]] for k in range(1, found.max() + 1)]
    return sorted(tuple(pair.tolist()) for pair in ends)


def until_they_meet(start, speed, wait=20, meeting=20):
    """Return where somebody is that walks for a while, stands, and walks back."""
    return lambda t: start + speed * (min(t, meeting) - max(0, t - meeting - wait))


def test_two_that_meet_and_part_are_two_throughout():
    left, right = until_they_meet(60, 3), until_they_meet(210, -3)  # 120 to 150, 150 to 180
    tracks = [lambda t: (left(t), 30, RED), lambda t: (right(t), 30, BLUE)]
    for t, found in segmented(tracks):
        ends = columns(found)
        assert len(ends) == 2, t
        wanted = [(left(t), left(t) + 29), (right(t), right(t) + 29)]
        assert np.abs(np.subtract(ends, wanted)).max() <= 4, t


def test_two_of_one_colour_are_parted_where_they_are_expected():
    left, right = until_they_meet(60, 3), until_they_meet(210, -3)
    tracks = [lambda t: (left(t), 30, RED), lambda t: (right(t), 30, RED)]
    assert all(len(columns(found)) == 2 for _, found in segmented(tracks))


def test_who_passes_behind_another_is_one_object_less_for_a_while():
    tracks = [lambda t: (40 + 4 * t, 20, BLUE), lambda t: (180 - t, 40, RED)]
    counts = [len(columns(found)) for _, found in segmented(tracks)]
    assert counts[0] == counts[-1] == 2 and min(counts) == 1 and max(counts) == 2
    assert counts.count(1) <= 12


@pytest.mark.parametrize(
    "track",
    [
        lambda t: (12 * t - 30, 30, RED),
        lambda t: (100, 20 + 3 * t, RED),
        lambda t: (100, 150 - 2 * t, RED),
        lambda t: (40 + 3 * t, 40 + 10 * (t % 2), RED),
    ],
    ids=["fast", "growing", "shrinking", "changing"],
)
def test_one_object_is_not_parted(track):
    assert max(len(columns(found)) for _, found in segmented([track], n=28)) == 1


def rectangle(frame, left, right, colour=RED):
    """Draw one, and return place and mask of it."""
    frame[SIDE : 2 * SIDE, left:right] = colour
    return (slice(SIDE, 2 * SIDE), slice(left, right)), np.ones((SIDE, right - left), bool)


def meeting(n_whole, parts, whole=True):
    """Show two or more objects for a few frames, then ask for a blob of them all."""
    known = KnownObjects(n_whole)
    for _ in range(3):
        frame = np.zeros((120, 320, 3), np.uint8)
        known.expect()
        known.observe([rectangle(frame, *part) for part in parts], [whole] * len(parts), frame)
    known.expect()
    here, blob = rectangle(frame, parts[0][0], parts[-1][1])
    shares = known.divide(blob, here, frame)
    assert np.array_equal(np.sum(shares, axis=0), blob)
    return [int(share.sum()) // SIDE for share in shares]


def test_a_blob_is_divided_between_those_seen_apart():
    assert meeting(3, [(100, 130), (134, 170)]) == [32, 38]
    assert meeting(3, [(100, 130), (132, 152), (154, 190)]) == [31, 22, 37]


def test_what_was_not_seen_for_long_enough_or_is_a_piece_is_not_told_apart():
    assert meeting(4, [(100, 130), (134, 170)]) == [70]
    assert meeting(3, [(100, 130), (134, 170)], whole=False) == [70]
    assert meeting(3, [(100, 130), (134, 140)]) == [40]


def test_those_who_stay_together_become_one_and_those_gone_are_forgotten():
    for options, n_frames in (({"n_together": 8}, 8), ({}, 10)):
        known = KnownObjects(**options)
        for _ in range(3):
            frame = np.zeros((120, 320, 3), np.uint8)
            known.expect()
            both = [rectangle(frame, 100, 130), rectangle(frame, 134, 170)]
            known.observe(both, [True, True], frame)
        here, blob = rectangle(frame, 100, 170)
        counts = []
        for _ in range(n_frames + 2):
            known.expect()
            counts.append(len(known.divide(blob, here, frame)) if options else 0)
        if not options:
            counts = [2] * n_frames + [len(known.divide(blob, here, frame))]
        assert counts[:n_frames] == [2] * n_frames and counts[-1] == 1


def blank():
    return np.full((120, 320, 3), (70, 60, 190), np.uint8)  # like the blue one


def cross(n_frames, speed, gap):
    """Let a blue one walk at ``speed`` towards a red one, until they are ``gap`` pixels apart."""
    known = KnownObjects()
    for t in range(n_frames):
        frame = np.zeros((120, 320, 3), np.uint8)
        right = 200 - gap - speed * (n_frames - t)
        both = [rectangle(frame, right - 30, right, BLUE), rectangle(frame, 200, 240)]
        known.expect()
        known.observe(both, [True, True], frame)
    return known


def divided(known, *parts):
    """Draw rectangles over one another, ask for their blob, and say where its shares lie."""
    frame = blank()
    places = [rectangle(frame, *part)[0][1] for part in parts]
    left, right = min(p.start for p in places), max(p.stop for p in places)
    blob = np.ones((SIDE, right - left), bool)
    known.expect()
    shares = known.divide(blob, (slice(SIDE, 2 * SIDE), slice(left, right)), frame)
    return [(np.flatnonzero(share.any(axis=0))[[0, -1]] + left).tolist() for share in shares]


def test_what_several_cover_goes_to_who_looks_like_it():
    blue, red = (180, 210, BLUE), (200, 240, RED)
    ends = np.array(divided(cross(6, 12, -10), red, blue))
    assert np.abs(ends - [[180, 209], [210, 239]]).max() <= 3
    ends = np.array(divided(cross(6, 12, -10), blue, red))
    assert np.abs(ends - [[180, 199], [200, 239]]).max() <= 3


def test_who_is_fast_is_expected_farther_on():
    ends = np.array(divided(cross(6, 16, 0), (170, 200, BLUE), (200, 240, RED)))
    assert np.abs(ends - [[170, 199], [200, 239]]).max() <= 1


def test_who_is_hidden_gets_nothing_and_is_not_forgotten():
    known, blue, red = KnownObjects(), (203, 237, BLUE), (200, 240, RED)
    for _ in range(3):
        known.expect()
        for part in (blue, red):
            frame = blank()
            known.observe([rectangle(frame, *part)], [True], frame)
    for _ in range(15):
        assert divided(known, blue, red) == [[200, 239]]
    assert len(divided(known, red, (203, 225, BLUE))) == 2

"""A track is cut where the looks change for good, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from instanceid_utils.tracking.second_look.sightings import sighting_dtype
from instanceid_utils.tracking.second_look.tracklets import changes, cut_points, cut_tracks

THRESHOLD, DIM = 0.8, 64
RNG = np.random.default_rng(0)
PEOPLE = np.linalg.qr(RNG.normal(size=(DIM, DIM)))[0]  # far from each other


def look(who, n, noise=0.25, rng=None):
    """Return n views of a person."""
    rng = rng or np.random.default_rng([who, n])
    views = PEOPLE[who] + noise * rng.normal(size=(n, DIM)) / np.sqrt(DIM)
    return views / np.linalg.norm(views, axis=1, keepdims=True)


def track_of(*stretches, **values):
    """Return a track that shows people one after the other, each for some frames."""
    vectors = np.concatenate([look(who, n) for who, n in stretches])
    track = np.zeros(len(vectors), sighting_dtype(DIM))
    track["vector"], track["id"], track["area"] = vectors, 1, 1000
    track["frame"], track["box_tlbr"] = np.arange(len(track)), (10, 10, 30, 60)
    for name, value in values.items():
        track[name] = value
    return track


def cuts(track, good=None):
    good = np.ones(len(track), bool) if good is None else good
    return cut_points(track, good, THRESHOLD)


def test_where_somebody_else_goes_on_under_the_id():
    assert cuts(track_of((0, 30), (1, 20), (2, 9))) == [30, 50]


def test_one_odd_view_is_no_change():
    track = track_of((0, 30))
    track["vector"][12] = PEOPLE[3]
    assert cuts(track) == []


def test_a_slow_change_is_none_either():
    turn = np.linspace(0, np.pi / 2, 80)[:, None]
    track = track_of((0, 80))
    track["vector"] = np.cos(turn) * PEOPLE[0] + np.sin(turn) * PEOPLE[1]
    assert cuts(track) == []


def test_less_is_enough_where_two_could_have_been_swapped():
    tilt = 0.55  # radians: a change of .55, below .8 of the threshold, above half of it
    other = np.cos(tilt) * PEOPLE[0] + np.sin(tilt) * PEOPLE[1]
    track = track_of((0, 30))
    track["vector"][15:] = other
    assert cuts(track) == []
    met = track.copy()
    met["covered"][14] = 0.3
    assert cuts(met) == [15]
    for name, value in (("shot", 1), ("frame", 40)):
        away = track.copy()
        away[name][15:] += value
        assert cuts(away) == [15], name


def test_covered_views_between_two_people_go_to_whom_they_look_like():
    track = track_of((0, 20), (1, 20))
    good = np.ones(40, bool)
    good[16:26] = False
    assert cuts(track, good) == [20]


def test_few_views_say_nothing():
    assert cuts(track_of((0, 20), (1, 1))) == cuts(track_of((0, 3), (1, 2))) == []


def test_changes_against_a_plain_oracle():
    vectors = np.concatenate([look(0, 10), look(1, 7)]).astype(np.float32)
    found = changes(vectors)
    for k in range(3, 15):
        a, b = vectors[max(0, k - 8) : k].mean(0), vectors[k : k + 8].mean(0)
        away = np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b))
        assert found[k - 1] == pytest.approx(away, abs=1e-5)
    assert found[:2].tolist() == found[-2:].tolist() == [0, 0]


def test_every_sighting_is_in_one_tracklet():
    track = track_of((0, 30), (1, 20), (2, 14))
    track["id"] = RNG.permutation(np.arange(64) % 5 + 1)
    found = list(cut_tracks(track, THRESHOLD))
    assert sorted(np.concatenate([t.rows for t in found]).tolist()) == list(range(64))
    assert all(len(set(track["id"][t.rows])) == 1 for t in found)
    assert all((np.diff(t.rows) > 0).all() and len(t.good) == len(t.rows) for t in found)
    assert list(cut_tracks(track[:0], THRESHOLD)) == []

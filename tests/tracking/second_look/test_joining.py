"""The second look: swapped IDs are put right, lost ones found, and what cannot be one stays two."""

from __future__ import annotations

import numpy as np
import pytest

from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.second_look.joining import Weights, look_again
from instanceid_utils.tracking.second_look.junctions import End, Places
from tests.tracking.second_look.test_tracklets import PEOPLE, THRESHOLD, track_of


def video(*tracks):
    """Put tracks together as the tracker saw them: by frame."""
    together = np.concatenate(tracks)
    return together[np.argsort(together["frame"], kind="stable")]


def at(left, **values):
    return {"box_tlbr": (left, 10, left + 20, 60), **values}


def final(sightings, **options):
    """Return the final IDs, for each of (online ID, frame)."""
    found = look_again(sightings, THRESHOLD, **options)
    keys = zip(sightings["id"].tolist(), sightings["frame"].tolist())
    return dict(zip(keys, found.ids.tolist())), found


def test_two_that_swapped_their_ids_get_them_back():
    one = track_of((0, 30), (1, 20), **at(10))
    other = track_of((1, 30), (0, 20), **at(40, id=2))
    one["covered"][28:31] = other["covered"][28:31] = 0.4
    ids, found = final(video(one, other))
    assert {ids[1, t] for t in range(30)} == {ids[2, t] for t in range(30, 50)} == {1}
    assert {ids[2, t] for t in range(30)} == {ids[1, t] for t in range(30, 50)} == {2}
    assert found.n_cuts == 2 and found.n_joined == 0


def test_one_that_was_lost_keeps_its_first_id():
    first, again = track_of((0, 20)), track_of((0, 12), id=7)
    again["frame"] += 45
    ids, found = final(video(first, again))
    assert set(ids.values()) == {1} and (found.n_cuts, found.n_joined) == (0, 1)


def test_two_seen_in_one_frame_are_two_however_alike():
    first, twin = track_of((0, 20), **at(10)), track_of((0, 20), **at(100, id=2))
    ids, _ = final(video(first, twin))
    assert ids[1, 3] == 1 and ids[2, 3] == 2


def test_nobody_jumps_but_a_cut_may_show_another_place():
    first, again = track_of((0, 20), **at(10)), track_of((0, 20), **at(900, id=2))
    again["frame"] += 22
    assert set(final(video(first, again))[0].values()) == {1, 2}
    again["shot"] = 1
    assert set(final(video(first, again))[0].values()) == {1}


def test_an_id_stays_in_its_class():
    first, again = track_of((0, 20), kind=5), track_of((0, 20), id=2, kind=6)
    again["frame"] += 30
    assert set(final(video(first, again))[0].values()) == {1, 2}


def test_who_splits_off_gets_an_id_that_was_never_in_use():
    sightings = track_of((0, 40), (1, 20), id=4)
    sightings["frame"][40:] += 30
    sightings["box_tlbr"][40:] += 60
    ids, found = final(sightings, new_id=lambda: 90)
    assert ids[4, 0] == 4 and ids[4, 89] == 90 and found.n_cuts == 1
    assert final(sightings)[0][4, 89] == 5


def test_ids_known_before_are_never_joined():
    first, again = track_of((0, 20)), track_of((0, 12), id=7)
    again["frame"] += 45
    assert set(final(video(first, again), known=[1, 7])[0].values()) == {1, 7}
    assert set(final(video(first, again), known=[7])[0].values()) == {7}


def test_other_log_odds_of_the_looks_can_be_put_in():
    first, again = track_of((0, 20)), track_of((0, 12), id=7)
    again["frame"] += 45
    never = lambda distances: np.full(len(distances), -99.0)  # noqa: E731
    assert set(final(video(first, again), looks=never)[0].values()) == {1, 7}


def test_the_log_odds_fall_with_the_distance():
    odds = Weights().looks(np.linspace(0, 2, 100), THRESHOLD)
    assert (np.diff(odds) < 0).all()
    assert Weights().looks(np.array([Weights().at * THRESHOLD]), THRESHOLD) == pytest.approx(0)


def test_the_same_again_and_nothing_of_nothing():
    sightings = video(track_of((0, 30), (1, 20)), track_of((2, 50), **at(70, id=2)))
    one, other = (look_again(sightings, THRESHOLD) for _ in range(2))
    assert np.array_equal(one.ids, other.ids)
    assert len(look_again(sightings[:0], THRESHOLD).ids) == 0


def turned(views, away):
    """Turn views towards one more direction, so that they are ``away`` from what they were."""
    cosine = 1 - away**2 / 2
    side = PEOPLE[-1] - (views @ PEOPLE[-1])[:, None] * views
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    return cosine * views + np.sqrt(1 - cosine**2) * side


def walk(first_frame, n, id, step=6.0, away=0.0):
    """A track of one person who goes on by ``step`` pixels a frame, from the frame's place on."""
    track = track_of((0, n), id=id)
    track["frame"] += first_frame
    left = 10 + step * track["frame"]
    track["box_tlbr"] = np.stack([left, left * 0 + 10, left + 20, left * 0 + 60], 1)
    track["vector"] = turned(track["vector"].astype(np.float64), away) if away else track["vector"]
    return track


FAR = 0.54  # views of sets that look a bit too different to be one by their looks alone


def test_looks_alone_do_not_join_what_place_does():
    first = walk(0, 20, 1)
    there = walk(21, 20, 2, away=FAR)  # where it was going
    assert set(final(video(first, there))[0].values()) == {1}
    elsewhere = walk(21, 20, 2, away=FAR)
    elsewhere["box_tlbr"][:, [0, 2]] -= 24  # as if it had turned back at once
    assert set(final(video(first, elsewhere))[0].values()) == {1, 2}


def test_what_the_tracker_held_for_one_counts():
    first, again = walk(0, 20, 1), walk(24, 20, 1, away=FAR)
    again["shot"] = 1  # no place to go by
    other = again.copy()
    other["id"] = 2
    assert set(final(video(first, other))[0].values()) == {1, 2}
    weights = Weights(same_id=20.0)
    ids, _ = final(video(first, again), weights=weights)
    assert set(ids.values()) == {1}


def test_an_error_of_place_counts_by_how_well_places_are_foreseen():
    rng = np.random.default_rng(0)
    calm, restless = walk(0, 40, 1), walk(0, 40, 1)
    restless["box_tlbr"][:, [0, 2]] += rng.integers(-30, 31, (40, 1))
    widths = [Places(track, Evidence()).width for track in (calm, restless)]
    assert widths[0] < 0.12 and widths[1] > 0.3
    before, after = End.of(calm, True), End.of(walk(41, 5, 1), False)
    near, far = Places(calm, Evidence()), Places(restless, Evidence())
    assert near.nats([(before, after, 2)])[0] > far.nats([(before, after, 2)])[0] + 1

import numpy as np
import pytest

from instanceid_utils.archive import JoinLimits, join
from instanceid_utils.archive.joining import meetings
from tests.small_archives import make_tracks, random_looks

THRESHOLD = 0.8


def archive(rng, n_identities=12, n_videos=8, per_video=4, dim=32):
    """Videos with some of the identities each, and who is who in order of the keys."""
    looks = random_looks(n_identities, rng, dim)
    tracks, truth = {}, []
    for number in range(n_videos):
        who = rng.permutation(n_identities)[:per_video]
        tracks[f"video{number:03d}"] = make_tracks(who, rng, looks, noise=0.3)
        truth += who.tolist()
    return tracks, np.array(truth)


def same_partition(a, b):
    return np.array_equal(np.equal.outer(a, a), np.equal.outer(b, b))


def test_who_is_the_same_is_found():
    tracks, truth = archive(np.random.default_rng(0))
    found = join(tracks, THRESHOLD)
    assert same_partition(found.identity, truth)
    assert found.confidence[np.bincount(truth)[truth] > 1].min() > 0.9
    assert np.isnan(found.confidence[np.bincount(truth)[truth] == 1]).all()
    assert found.identity[0] == 1 and found.identity.max() == len(np.unique(truth))


def test_the_order_of_videos_means_nothing():
    rng = np.random.default_rng(1)
    tracks, _ = archive(rng, 30, 20)
    found = join(tracks, THRESHOLD)
    for _ in range(3):
        shuffled = {key: tracks[key] for key in rng.permutation(list(tracks))}
        again = join(shuffled, THRESHOLD)
        assert np.array_equal(again.identity, found.identity)
        assert np.array_equal(again.confidence, found.confidence, equal_nan=True)


def test_what_is_seen_at_one_time_never_joins():
    rng = np.random.default_rng(2)
    twins = np.repeat(random_looks(1, rng), 2, axis=0)
    tracks = {key: make_tracks([0, 1], rng, twins) for key in "ab"}
    assert join(tracks, THRESHOLD).identity.tolist() == [1, 1, 1, 1]
    for of_video in tracks.values():
        of_video.runs[1] = 1, 10, 20
    found = join(tracks, THRESHOLD).identity
    assert found[0] != found[1] and found[2] != found[3] and set(found) == {1, 2}


def test_classes_do_not_mix_and_the_unconfirmed_stay_alone():
    rng = np.random.default_rng(3)
    looks = random_looks(1, rng)
    tracks = {key: make_tracks([0], rng, looks) for key in "abcd"}
    tracks["a"].kind[:], tracks["b"].kind[:] = 1, 2
    tracks["d"].confirmed[:] = False
    found = join(tracks, THRESHOLD).identity
    assert found[0] != found[1] and found[2] in found[:2] and found[3] not in found[:3]


def test_what_a_person_decided_holds():
    rng = np.random.default_rng(4)
    tracks, truth = archive(rng)
    free = join(tracks, THRESHOLD).identity
    names = [(key, int(i)) for key, t in tracks.items() for i in t.local_id]
    one, other = next((i, j) for i in range(4) for j in range(4, 8) if truth[i] == truth[j])
    stranger = next(j for j in range(4, 8) if truth[j] not in truth[:4])
    found = join(tracks, THRESHOLD, different=[(names[one], names[other])]).identity
    assert free[one] == free[other] and found[one] != found[other]
    same = [(names[0], names[stranger]), (names[0], ("gone-0", 1))]
    found = join(tracks, THRESHOLD, same=same)
    assert free[0] != free[stranger] and found.identity[0] == found.identity[stranger]
    assert found.confidence[0] == 1
    with pytest.raises(ValueError, match="video000:1 and video001:.* cannot be the same"):
        join(tracks, THRESHOLD, same=same, different=same)
    tracks["video000"].runs[1] = 1, 0, 5
    with pytest.raises(ValueError, match="seen at one time"):
        join(tracks, THRESHOLD, same=[(names[0], names[1])])


def test_the_limit_knows_how_many_there_are():
    limits = JoinLimits(1.0, 0.1, 0.2)
    at = [limits.at(n) for n in (1, 10, 100, 10_000, 10**30)]
    assert at == pytest.approx([1.05, 1.0, 0.9, 0.7, 0.2])
    rng = np.random.default_rng(5)
    looks = random_looks(400, rng, 64)
    near = looks[:1] + 0.9 * looks[1:2]  # by chance among few this would be the same
    near /= np.linalg.norm(near)
    few = {"a": make_tracks([0], rng, looks), "b": make_tracks([0], rng, near)}
    assert set(join(few, 1.2, limits=JoinLimits(0.8, 0.3)).identity) == {1}
    many = {**few, "c": make_tracks(range(2, 400), rng, looks)}
    found = join(many, 1.2, limits=JoinLimits(0.8, 0.3)).identity
    assert found[0] != found[1]


def test_candidates_of_cells_are_those_of_a_full_search(monkeypatch):
    rng = np.random.default_rng(6)
    tracks, truth = archive(rng, 120, 150)
    exact = join(tracks, THRESHOLD, exact=True).identity
    monkeypatch.setattr("instanceid_utils.archive.candidates.EXACT_LIMIT", 100)
    found = join(tracks, THRESHOLD).identity
    assert np.mean(np.equal.outer(found, found) == np.equal.outer(exact, exact)) > 0.9999


def test_nobody_and_one():
    rng = np.random.default_rng(7)
    assert len(join({}, THRESHOLD).identity) == 0
    alone = {
        "a": make_tracks([0], rng, random_looks(1, rng)),
        "b": make_tracks([], rng, random_looks(1, rng)),
    }
    assert join(alone, THRESHOLD).identity.tolist() == [1]


def test_meetings_against_all_frames():
    rng = np.random.default_rng(8)
    first = rng.integers(0, 100, 60)
    runs = np.stack([rng.integers(0, 12, 60), first, first + rng.integers(0, 9, 60)], axis=1)
    seen = {row: set() for row in range(12)}
    for row, start, last in runs.tolist():
        seen[row] |= set(range(start, last + 1))
    wanted = [(i, j) for i in range(12) for j in range(i + 1, 12) if seen[i] & seen[j]]
    assert meetings(runs) == wanted

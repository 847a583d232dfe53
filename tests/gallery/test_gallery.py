"""The gallery's behaviour, its answers to bad input, and what an interruption leaves behind."""

import sys
import threading
from unittest import mock

import faiss
import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.gallery_file import dump, restore
from instanceid_utils.gallery.inverted_file import Cells

DIM = 16
MAX_ID = 2**63 - 1


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def draw(n, seed=0, dim=DIM):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def at_angles(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def state(gallery):
    """All that the gallery holds, but for the cells, which only say where to look first."""
    notes, arrays = dump(gallery._contents)
    notes = {name: notes[name] for name in ("serial", "next_id", "most", "latest", "settings")}
    arrays = {
        name: np.concatenate(a) if isinstance(a, list) else a
        for name, a in arrays.items()
        if "." not in name
    }
    return notes, {name: (a.shape, a.tobytes()) for name, a in arrays.items()}


def copy(gallery):
    twin = Gallery(gallery.dim)
    notes, arrays = dump(gallery._contents)
    arrays = {n: np.concatenate(a) if isinstance(a, list) else a for n, a in arrays.items()}
    with mock.patch("instanceid_utils.gallery.gallery_file.audit"):
        twin._contents = restore(notes, arrays)
    return twin


@pytest.fixture
def gallery():
    gallery = Gallery(DIM, max_exemplars=3, policy="both")
    for time in range(4):
        gallery.add(np.arange(1, 11), draw(10, seed=time), time=time)
    return gallery


# --- search


def test_search_against_numpy():
    gallery, vectors = Gallery(DIM, max_exemplars=4, min_novelty=0), draw(400)
    owners = np.tile(np.arange(1, 101), 4)
    for first in range(0, 400, 100):
        gallery.add(owners[first : first + 100], vectors[first : first + 100])
    queries = draw(30, seed=1)
    ids, distances = gallery.search(queries, k=7)
    for query, found, at in zip(queries, ids, distances):
        to_all = np.linalg.norm(vectors.astype(np.float64) - query, axis=1)
        to_id = np.array([to_all[owners == i].min() for i in range(1, 101)])
        assert found.tolist() == (to_id.argsort()[:7] + 1).tolist()
        np.testing.assert_allclose(at, np.sort(to_id)[:7], atol=1e-6)


def test_distances_are_l2_and_not_squared():
    gallery = Gallery(2)
    gallery.add([1, 2, 3], at_angles(0, 90, 180))
    ids, distances = gallery.search(at_angles(0), k=3)
    assert ids.tolist() == [[1, 2, 3]]
    np.testing.assert_allclose(distances, [[0, np.sqrt(2), 2]], atol=1e-6)


def test_search_gives_each_id_once_and_pads():
    gallery = Gallery(2, max_exemplars=8)
    for angle in range(0, 80, 10):
        gallery.add([5], at_angles(angle))
    gallery.add([3], at_angles(180))
    ids, distances = gallery.search(at_angles(0), k=4)
    assert ids.tolist() == [[5, 3, -1, -1]]
    assert np.isinf(distances[0, 2:]).all()


def test_search_of_an_empty_gallery_and_of_nothing():
    gallery = Gallery(2)
    ids, distances = gallery.search(at_angles(0, 1), k=2)
    assert ids.tolist() == [[-1, -1]] * 2 and np.isinf(distances).all()
    gallery.add([1], at_angles(0))
    ids, distances = gallery.search(np.empty((0, 2), np.float32), k=2)
    assert ids.shape == distances.shape == (0, 2)


@pytest.mark.parametrize("exact_limit", [1000, 10])
def test_the_lowest_id_wins_a_tie(exact_limit):
    gallery = Gallery(2, exact_limit=exact_limit, n_probe="all")
    ids = np.random.default_rng(0).permutation(np.arange(1, 61))
    for id in ids:  # thirty at one place, thirty at another
        gallery.add([id], at_angles(0 if id > 30 else 90))
    assert gallery.search(at_angles(0, 90, 45), k=3)[0].tolist() == [
        [31, 32, 33],
        [1, 2, 3],
        [1, 2, 3],
    ]


def test_a_query_is_answered_alike_alone_and_in_a_batch():
    gallery = Gallery(128)
    gallery.add(np.arange(1, 501), draw(500, dim=128))
    queries = draw(1500, seed=1, dim=128)  # more than are searched at a time
    ids, distances = gallery.search(queries)
    for i in (0, 7, 1023, 1024, 1499):
        alone = gallery.search(queries[i : i + 1])
        assert (alone[0] == ids[i]).all()
        np.testing.assert_allclose(alone[1][0], distances[i], atol=1e-6)


def test_equal_vectors_are_at_equal_distances_however_large_the_search():
    gallery, vectors = Gallery(128), draw(50, dim=128)
    for first in range(0, 2000, 50):
        gallery.add(np.arange(first + 1, first + 51)[::-1], vectors[::-1])
    for n in (1, 10, 50):
        ids, distances = gallery.search(vectors[:n], k=3)
        assert (ids == np.arange(1, n + 1)[:, None] + [0, 50, 100]).all()
        assert (distances == 0).all()


def test_distances_to(gallery):
    queries = draw(5, seed=9)
    ids, distances = gallery.search(queries, k=10)
    by_id = gallery.distances_to([4, 2], queries)
    for column, id in enumerate([4, 2]):
        np.testing.assert_allclose(by_id[:, column], distances[ids == id], atol=1e-6)
    assert gallery.distances_to([], queries).shape == (5, 0)
    own = np.array([[4, -1], [-1, 2], [-1, -1], [2, 4], [7, 7]])
    expected = np.where(
        own < 0, np.inf, gallery.distances_to(range(1, 11), queries)[np.arange(5)[:, None], own - 1]
    )
    np.testing.assert_array_equal(gallery.distances_to(own, queries), expected)
    assert gallery.distances_to(own[:0], queries[:0]).shape == (0, 2)
    for ids, message in [
        ([4, 99], "ID 99 is not in the gallery"),
        (own[:4], r"expected integers of shape \(M,\) or \(5, M\)"),
        (np.where(own == 7, 0, own), "expected IDs from 1 to 2..63 - 1, or -1, got 0"),
        (own.astype(float), "got float64"),
    ]:
        with pytest.raises(ValueError, match=message):
            gallery.distances_to(ids, queries)


def test_distances_to_more_ids_than_are_measured_at_a_time():
    gallery, vectors = Gallery(DIM), draw(300)
    gallery.add(np.arange(1, 301), vectors)
    queries = draw(70, seed=1)
    expected = np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    found = gallery.distances_to(np.arange(1, 301), queries)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_number_of_threads_of_faiss_is_left_alone():
    before = faiss.omp_get_max_threads()
    gallery = Gallery(2, n_threads=before + 1)
    gallery.add([1], at_angles(0))
    gallery.search(at_angles(0))
    assert faiss.omp_get_max_threads() == before


# --- exemplars and moving average


def test_exemplars_are_few_and_unlike_each_other():
    gallery = Gallery(2, max_exemplars=3, min_novelty=0)
    kept = []
    for angle in (0, 40, 41, 80, 82, 20):
        gallery.add([1], at_angles(angle))
        _, vectors = gallery.exemplars(1)
        kept.append(np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])).round().tolist())
    assert kept[2] == [0, 40, 41]
    assert kept[3] == [0, 41, 80]  # of the closest pair, 40 and 41, the older goes
    assert kept[4] == [0, 41, 82]  # the new one is half of the closest pair
    assert kept[5] == [41, 82, 20]


def test_a_view_that_is_known_is_not_stored_but_seen():
    gallery = Gallery(2, min_novelty=0.1)
    gallery.add([1], at_angles(0), time=1)
    gallery.add([1], at_angles(5), time=2)  # 0.087 away
    assert gallery.n_exemplars(1) == 1 and gallery.last_seen(1) == 2
    gallery.add([1], at_angles(6), time=3)  # 0.105 away
    assert gallery.n_exemplars(1) == 2


def test_the_moving_average():
    gallery = Gallery(2, policy="mean", momentum=0.75)
    gallery.add([1], at_angles(0))
    gallery.add([1], at_angles(90))
    np.testing.assert_allclose(gallery.mean(1), unit([0.75, 0.25]), atol=1e-6)
    np.testing.assert_allclose(
        gallery.search(at_angles(0))[1][0, 0],
        np.linalg.norm(unit([0.75, 0.25]) - [1, 0]),
        atol=1e-6,
    )
    assert gallery.n_exemplars(1) == 0
    gallery.check()


def test_an_average_of_opposite_views_is_the_later_one():
    gallery = Gallery(2, policy="mean", momentum=0.5)
    gallery.add([1], at_angles(0))
    gallery.add([1], at_angles(180))
    np.testing.assert_allclose(gallery.mean(1), [-1, 0], atol=1e-6)


def test_both_search_exemplars_and_average():
    gallery = Gallery(2, policy="both", momentum=0.5)
    gallery.add([1], at_angles(0))
    gallery.add([1], at_angles(90))
    np.testing.assert_allclose(gallery.search(at_angles(0, 45, 90), k=1)[1], 0, atol=1e-3)
    assert gallery.n_vectors == 3


# --- merge, split, remove, expire


def test_merge(gallery):
    before = np.concatenate([gallery.exemplars(i)[1] for i in (2, 7)])
    gallery.add([7], draw(1, seed=50), time=20)
    gallery.merge(2, 7)
    assert 7 not in gallery and len(gallery) == 9
    assert gallery.last_seen(2) == 20 and gallery.n_exemplars(2) == 3
    assert gallery.new_id() == 11
    _, after = gallery.exemplars(2)
    everything = np.concatenate([before, draw(1, seed=50)])
    assert all((everything == vector).all(axis=1).any() for vector in after)
    gallery.check()


def test_split_gives_the_chosen_views_to_a_new_id(gallery):
    keys, vectors = gallery.exemplars(4)
    new_id = gallery.split(4, keys[[0, 2]])
    assert new_id == 11
    assert gallery.exemplars(4)[0].tolist() == [keys[1]]
    assert gallery.exemplars(new_id)[0].tolist() == keys[[0, 2]].tolist()
    assert gallery.search(vectors[[0, 2]], k=1)[0].tolist() == [[11], [11]]
    assert gallery.last_seen(new_id) == gallery.last_seen(4) == 3
    np.testing.assert_allclose(gallery.mean(4), vectors[1], atol=1e-6)
    gallery.check()


@pytest.mark.parametrize("choice", [[], [0, 1, 2]])
def test_split_takes_some_and_leaves_some(gallery, choice):
    keys, _ = gallery.exemplars(4)
    with pytest.raises(ValueError, match="some but not all of the 3 exemplars of ID 4"):
        gallery.split(4, keys[choice])


def test_split_knows_its_keys(gallery):
    with pytest.raises(ValueError, match="ID 4 has no exemplar with key"):
        gallery.split(4, gallery.exemplars(5)[0][:1])


def test_keys_are_never_used_again(gallery):
    seen = set()
    for seed in range(60):
        gallery.remove(gallery.ids[:3])
        ids = [gallery.new_id() for _ in range(3)]
        gallery.add(ids, draw(3, seed=seed))
        keys = {int(gallery.exemplars(i)[0][0]) for i in ids}
        assert len(keys) == 3 and not keys & seen
        seen |= keys


def test_expire_and_the_next_video(gallery):
    gallery.add([3, 4], draw(2, seed=8), time=10)
    assert gallery.expire(before=10).tolist() == [1, 2, 5, 6, 7, 8, 9, 10]
    assert gallery.ids.tolist() == [3, 4]
    gallery.add([gallery.new_id()], draw(1, seed=9))
    assert gallery.last_seen(11) == 11
    gallery.check()


def test_rows_are_packed_when_most_are_gone():
    gallery = Gallery(2)
    angles = np.linspace(0, 180, 6000)
    gallery.add(np.arange(1, 6001), at_angles(*angles), time=0)
    gallery.add([17, 4000], at_angles(*angles[[16, 3999]] + 7), time=1)
    gallery.expire(1)
    assert gallery._contents.index.n_rows == 4
    assert gallery.search(at_angles(angles[3999]), k=2)[0].tolist() == [[4000, 17]]
    gallery.check()


# --- IDs


def test_ids_are_never_given_out_twice():
    gallery = Gallery(2)
    assert [gallery.new_id(), gallery.new_id()] == [1, 2]
    gallery.add([5, 3], at_angles(0, 90))
    gallery.remove(5)
    assert [gallery.new_id(), gallery.new_id()] == [4, 6]


def test_ids_up_to_the_last_one():
    gallery = Gallery(2)
    gallery.add([MAX_ID, MAX_ID - 2], at_angles(0, 90))
    assert gallery.search(at_angles(1), k=2)[0].tolist() == [[MAX_ID, MAX_ID - 2]]
    assert gallery.new_id() == 1  # a great ID does not use up those below it
    gallery._contents.table.next_id = MAX_ID - 2
    assert gallery.new_id() == MAX_ID - 1
    before = state(gallery)
    for _ in range(2):
        with pytest.raises(OverflowError, match="no ID is left"):
            gallery.new_id()
    assert state(gallery) == before
    gallery.add(np.array([7], np.uint64), at_angles(45))
    gallery.check()


# --- bad input


GOOD = draw(2)
WITH_NAN, WITH_INF, WITH_ZERO, TOO_LONG = GOOD.copy(), GOOD.copy(), GOOD.copy(), 2 * GOOD
WITH_NAN[1, 3], WITH_INF[1, 3], WITH_ZERO[1] = np.nan, np.inf, 0
BAD_VECTORS = [
    (WITH_NAN, "vectors: expected finite vectors of length 1, number 1 has length nan"),
    (WITH_INF, "vectors: expected finite vectors of length 1, number 1 has length inf"),
    (WITH_ZERO, "vectors: expected finite vectors of length 1, number 1 has length 0"),
    (TOO_LONG, "vectors: expected finite vectors of length 1, number 0 has length 2"),
    (GOOD[:, :-1], r"vectors: expected float32 of shape \(N, 16\), got float32 .*\(2, 15\)"),
    (GOOD[0], r"vectors: expected float32 of shape \(N, 16\), got float32 of shape \(16,\)"),
    (GOOD.astype(np.float64), r"vectors: expected float32 of shape \(N, 16\), got float64"),
    ([["a"] * DIM] * 2, "vectors: expected float32"),
]
BAD_IDS = [
    ([1, 1], "ids: ID 1 comes more than once"),
    ([1, 0], r"ids: expected IDs from 1 to 2\*\*63 - 1, got 0"),
    ([1, -1], r"ids: expected IDs from 1 to 2\*\*63 - 1, got -1"),
    (np.array([1, 2**63], np.uint64), "got 9223372036854775808"),
    ([1, 2**70], "ids: expected integers"),
    ([1.0, 2.0], r"ids: expected integers of shape \(N,\).*got float64"),
    ([True, False], "ids: expected integers"),
    ([[1, 2]], r"ids: expected integers of shape \(N,\).*got int64 of shape \(1, 2\)"),
    ([1, 2, 3], "vectors: expected as many as IDs, 3, got 2"),
    ("ab", "ids: expected integers"),
]


@pytest.mark.parametrize("vectors, message", BAD_VECTORS)
def test_bad_vectors(gallery, vectors, message):
    before = state(gallery)
    with pytest.raises(ValueError, match=message):
        gallery.add([1, 77], vectors)
    with pytest.raises(ValueError, match=message):
        gallery.search(vectors)
    assert state(gallery) == before


@pytest.mark.parametrize("ids, message", BAD_IDS)
def test_bad_ids(gallery, ids, message):
    before = state(gallery)
    with pytest.raises(ValueError, match=message):
        gallery.add(ids, GOOD)
    assert state(gallery) == before


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda g: g.search(GOOD, k=0), "k: expected an integer from 1"),
        (lambda g: g.search(GOOD, k=1.5), "k: expected an integer from 1"),
        (lambda g: g.add([1, 2], GOOD, time=np.nan), "time: expected a finite number, got nan"),
        (lambda g: g.add([1, 2], GOOD, time="now"), "time: expected a finite number, got 'now'"),
        (lambda g: g.add([1, 2], GOOD, keep=[True]), r"keep: expected bool of shape \(2,\), got"),
        (
            lambda g: g.add([1, 2], GOOD, keep=[1, 0]),
            r"keep: expected bool of shape \(2,\), got int",
        ),
        (
            lambda g: g.add([1, 99], GOOD, keep=[True, False]),
            "keep: ID 99 is new, its view must be",
        ),
        (lambda g: g.remove([1, 99]), "ID 99 is not in the gallery"),
        (lambda g: g.remove([[1]]), "ids: expected integers"),
        (lambda g: g.merge(1, 1), "keep, other: ID 1 comes more than once"),
        (lambda g: g.merge(1, 99), "ID 99 is not in the gallery"),
        (lambda g: g.split(99, [1]), "ID 99 is not in the gallery"),
        (lambda g: g.split(1, [0.5]), "keys: expected integers"),
        (lambda g: g.exemplars(99), "ID 99 is not in the gallery"),
        (lambda g: g.last_seen("x"), "id: expected integers"),
        (lambda g: g.expire(None), "before: expected a finite number, got None"),
    ],
)
def test_bad_arguments(gallery, call, message):
    before = state(gallery)
    with pytest.raises(ValueError, match=message):
        call(gallery)
    assert state(gallery) == before


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"dim": 0}, "dim: expected an integer from 1 to 65536, got 0"),
        ({"dim": 2.0}, "dim: expected an integer"),
        ({"max_exemplars": 0}, "max_exemplars: expected an integer from 1"),
        ({"policy": "median"}, "policy: expected one of"),
        ({"momentum": 1}, r"momentum: expected a number in \[0, 1\)"),
        ({"min_novelty": -1}, r"min_novelty: expected a distance in \[0, 2\]"),
        ({"n_probe": "some"}, "n_probe: expected an integer"),
        ({"threshold": float("nan")}, "threshold: expected a finite number"),
        ({"weights_sha256": 7}, "weights_sha256: expected a str"),
    ],
)
def test_bad_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        Gallery(**{"dim": 2, **setting})


def test_many_segments_in_a_frame():
    gallery, vectors = Gallery(DIM), draw(10_000)
    gallery.add([gallery.new_id() for _ in range(10_000)], vectors)
    ids, distances = gallery.search(vectors, k=1)
    assert (ids[:, 0] == np.arange(1, 10_001)).all() and distances.max() < 1e-3


# --- whole or not at all


def make_busy_gallery(policy="both"):
    """A small gallery with cells in use, and the next ones being made."""
    gallery = Gallery(DIM, max_exemplars=3, policy=policy, exact_limit=20, n_probe="all")
    gallery.add(np.arange(1, 26), draw(25))
    gallery.add(np.arange(1, 16), draw(15, seed=1))
    gallery.remove([8, 9])
    while not (gallery._contents.index.cells.serving and gallery._contents.index.cells.next):
        ids = [gallery.new_id() for _ in range(2)]
        gallery.add(ids, draw(2, seed=ids[0]))
    gallery.remove([12, 13])  # leaves free rows
    return gallery


OPERATIONS = {
    "add": lambda g: g.add([2, 5, 900, 901, 902], draw(5, seed=99)),
    "merge": lambda g: g.merge(3, 4),
    "split": lambda g: g.split(3, g.exemplars(3)[0][:1]),
    "remove": lambda g: g.remove([5, 6]),
    "expire": lambda g: g.expire(g.last_seen(20)),
    "new_id": lambda g: g.new_id(),
}


def interrupt_at(line_number, call):
    """Raise a KeyboardInterrupt at the n-th line run inside the store; False if it ended before."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if "instanceid_utils" not in frame.f_code.co_filename:
            return None
        if event == "line":
            count += 1
            if count == line_number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_interrupt_at_any_line_leaves_a_whole_state(name):
    original = make_busy_gallery()
    operation = OPERATIONS[name]
    done = copy(original)
    operation(done)
    before, after = state(original), state(done)
    queries = draw(10, seed=5)
    outcomes = {"before": 0, "after": 0}
    for line in range(1, 10_000):
        gallery = copy(original)
        if not interrupt_at(line, lambda gallery=gallery: operation(gallery)):
            break
        now = state(gallery)
        assert now in (before, after), f"interrupted at line {line}: neither before nor after"
        outcomes["before" if now == before else "after"] += 1
        if line % 30 == 1:
            gallery.check()
            twin = original if now == before else done
            for mine, theirs in zip(gallery.search(queries), twin.search(queries)):
                np.testing.assert_allclose(mine, theirs, atol=1e-6)
            if now == before:
                operation(gallery)
                gallery.check()
    assert outcomes["before"] > 10 * outcomes["after"]


@pytest.mark.parametrize("n_done", [0, 3])
def test_an_error_inside_faiss_changes_nothing(monkeypatch, n_done):
    gallery, put = make_busy_gallery(), Cells.put
    before = state(gallery)

    def fail(cells, rows, vectors, live):
        put(cells, rows[:n_done], vectors[:n_done], live[:n_done])
        raise RuntimeError("out of memory in FAISS")

    with monkeypatch.context() as patch:
        patch.setattr(Cells, "put", fail)
        with pytest.raises(RuntimeError, match="out of memory in FAISS"):
            OPERATIONS["add"](gallery)
    assert state(gallery) == before
    gallery.check()
    OPERATIONS["add"](gallery)
    gallery.check()


def test_check_finds_what_is_wrong(gallery):
    index, table = gallery._contents.index, gallery._contents.table
    for array, where, value in [
        (index.keys, 3, index.keys[2]),
        (index.owners, 3, 0),
        (index.owners, 3, 99),
        (table.rows, (2, 1), 0),
        (table.ids, 4, 77),
        (table.last_seen, 1, np.nan),
        (table.n_averaged, 1, 0),
        (index.vectors, np.array([3]), 0.5),
    ]:
        kept = array[where].copy() if isinstance(where, np.ndarray) else array[where]
        array[where] = value
        with pytest.raises(RuntimeError):
            gallery.check()
        array[where] = kept
        gallery.check()


# --- threads


def test_readers_see_whole_states_only():
    """IDs come and go in pairs at one place; a reader must never find half a pair."""
    gallery = Gallery(2, exact_limit=20, n_probe="all")
    stop, wrong = threading.Event(), []
    query = at_angles(0)

    def read():
        while not stop.is_set():
            ids, distances = gallery.search(query, k=2)
            n_near = int((distances < 0.1).sum())
            if n_near == 1 or len(gallery) % 2 or ids[0, 0] == ids[0, 1] != -1:
                wrong.append((ids, distances))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(100):
        pair = [gallery.new_id(), gallery.new_id()]
        gallery.add(pair, at_angles(0, 0))
        far = [gallery.new_id(), gallery.new_id()]
        gallery.add(far, at_angles(90 + step / 10, 91 + step / 10))
        gallery.remove(pair)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong
    gallery.check()


def test_writers_take_turns():
    gallery = Gallery(DIM, exact_limit=100)

    def write(seed):
        for step in range(50):
            gallery.add([gallery.new_id() for _ in range(3)], draw(3, seed=1000 * seed + step))

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert gallery.ids.tolist() == list(range(1, 601))
    gallery.check()

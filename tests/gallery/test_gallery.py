"""Search and distances against NumPy, and threads, through the public class."""

import threading

import faiss
import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from tests.galleries import DIM, at_angles, draw


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
        (own[:4], "expected a row for each of 5 vectors, got 4"),
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


def test_many_segments_in_a_frame():
    gallery, vectors = Gallery(DIM), draw(10_000)
    gallery.add([gallery.new_id() for _ in range(10_000)], vectors)
    ids, distances = gallery.search(vectors, k=1)
    assert (ids[:, 0] == np.arange(1, 10_001)).all() and distances.max() < 1e-3


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

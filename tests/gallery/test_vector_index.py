"""The index under the gallery: exact search, cells, their making in steps, blocks, undo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.gallery import vector_index
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.inverted_file import Cells, StepwiseKMeans, assign
from instanceid_utils.gallery.undo import UndoLog
from instanceid_utils.gallery.vector_index import ROW_BITS, GrowingMatrix, VectorIndex

DIM = 16


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def draw(n, seed=0, dim=DIM):
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def draw_clustered(n, seed=0, dim=64):
    """Look-alike groups of about 50, each vector .5 or so from its nearest."""
    rng = np.random.default_rng(seed)
    groups = unit(rng.normal(size=(max(1, n // 50), dim)))
    return unit(groups[rng.integers(0, len(groups), n)] + 0.6 * unit(rng.normal(size=(n, dim))))


def squared_distances(queries, vectors):
    difference = queries[:, None].astype(np.float64) - vectors[None]
    return (difference**2).sum(axis=2)


def fill(index, vectors, first_owner=1):
    owners = np.arange(first_owner, first_owner + len(vectors))
    rows = index.place(np.full(len(vectors), -1), vectors, owners)
    index.commit(len(vectors))
    index.touched.clear()
    return rows


# --- blocks and undo


@settings(max_examples=60)
@given(st.data())
def test_blocks_against_numpy(data):
    array, plain = GrowingMatrix(3, block_rows=4), np.zeros((30, 3), np.float32)
    array.reserve(30)
    for _ in range(5):
        rows = np.array(data.draw(st.lists(st.integers(0, 29), unique=True)), np.int64)
        values = np.random.default_rng(len(rows)).random((len(rows), 3), np.float32)
        array[rows], plain[rows] = values, values
        where = np.array(data.draw(st.lists(st.integers(0, 29))), np.int64)
        np.testing.assert_array_equal(array[where], plain[where])
        np.testing.assert_array_equal(array[where[:, None]], plain[where[:, None]])
    array[np.array([3, 4, 17])] = 7.0
    plain[[3, 4, 17]] = 7.0
    for n in (0, 1, 4, 5, 30):
        parts = list(array.parts(n))
        joined = np.concatenate([part for _, part in parts]) if parts else plain[:0]
        np.testing.assert_array_equal(joined, plain[:n])
        assert [first for first, _ in parts] == list(range(0, n, 4))


def test_reserving_moves_nothing():
    array = GrowingMatrix(2, block_rows=4)
    array[np.array([1])] = 5.0
    ((_, before),) = array.parts(4)
    array.reserve(100)
    (_, after), *_ = array.parts(100)
    assert np.shares_memory(before, after)


def test_the_undo_log_puts_all_back_last_first():
    log, array, names = UndoLog(), np.arange(5), []
    log.write(array, np.array([0, 1]), 9)
    log.write(array, np.array([1, 2]), [8, 7])
    log.on_undo(names.append, "first noted")
    log.on_undo(names.append, "last noted")
    log.rollback()
    assert array.tolist() == [0, 1, 2, 3, 4] and names == ["last noted", "first noted"]
    log.write(array, np.array([0]), 5)
    log.commit()
    log.rollback()
    assert array[0] == 5


# --- k-means and cells


def lloyd(vectors, centroids, n_iterations):
    for _ in range(n_iterations):
        nearest = squared_distances(vectors, centroids).argmin(axis=1)
        centroids = np.stack([vectors[nearest == c].mean(axis=0) for c in range(len(centroids))])
    return centroids


@pytest.mark.parametrize("step", [1, 7, 50, 400, 10_000])
def test_kmeans_in_steps_of_any_size_is_lloyds(step):
    vectors = draw_clustered(400, dim=8)
    kmeans = StepwiseKMeans(np.arange(400), vectors[:10].copy(), n_iterations=3)
    array, owners, n_done = GrowingMatrix(8), np.ones(400), 0
    array[np.arange(400)] = vectors
    assert kmeans.n_left == 1200
    while kmeans.n_left:
        n_done += kmeans.step(array, owners, step)
        assert kmeans.n_left == 1200 - n_done
    np.testing.assert_allclose(kmeans.centroids, lloyd(vectors, vectors[:10], 3), atol=1e-5)


def test_kmeans_leaves_out_rows_that_were_freed_and_refills_empty_cells():
    array, owners = GrowingMatrix(2), np.array([1] * 20 + [0] * 5)
    array[np.arange(20)] = unit(np.random.default_rng(0).normal([3, 0], 0.1, (20, 2)))
    array[np.arange(20, 25)] = 1e3
    start = np.array([[1, 0], [-1, 0]], np.float32)
    kmeans = StepwiseKMeans(np.arange(25), start, n_iterations=4)
    while kmeans.n_left:
        kmeans.step(array, owners, 6)
    assert np.isfinite(kmeans.centroids).all() and np.abs(kmeans.centroids).max() < 1.1
    nearest = assign(array[np.arange(20)], kmeans.centroids)
    assert set(nearest.tolist()) == {0, 1}


def test_cells_put_and_search():
    vectors, rng = draw(300), np.random.default_rng(0)
    cells, live = Cells(draw(12, seed=1), n_built=300), np.zeros(300, bool)
    n = 0
    for _ in range(40):
        n_new = min(n + 10, 300)
        rows = np.union1d(rng.choice(n_new, min(n_new, 13), replace=False), np.arange(n, n_new))
        live[rows], n = rng.random(len(rows)) < 0.7, n_new
        vectors[rows] = draw(len(rows), seed=len(rows))
        vectors[~live] = 1e3
        cells.put(rows, vectors[rows], live[rows])
        here = np.flatnonzero(live)
        assert (len(cells), cells.n_live) == (n, len(here))
        queries = draw(9, seed=2)
        for query, rows in zip(queries, cells.search(queries, 3, "all")):
            exact = np.sort(squared_distances(query[None], vectors[here])[0])[:3]
            mine = squared_distances(query[None], vectors[rows])[0]
            np.testing.assert_allclose(np.sort(mine), exact, atol=2e-3)
    held, sizes = cells.content()
    assert sorted(held.tolist()) == here.tolist() and sizes.sum() == len(here)
    near = assign(vectors[held], cells.centroids)
    np.testing.assert_array_equal(near, np.repeat(np.arange(12), sizes))
    np.testing.assert_array_equal(cells.places()[held, 0], near)


def test_restored_cells_hold_all_at_the_same_place():
    vectors, rng = draw(200), np.random.default_rng(0)
    cells = Cells(draw(6, seed=1), n_built=200)
    cells.put(np.arange(200), vectors, np.ones(200, bool))
    for _ in range(20):
        rows = np.sort(rng.choice(200, 9, replace=False))
        cells.put(rows, vectors[rows], np.ones(9, bool))
    twin, (rows, sizes) = Cells(cells.centroids, n_built=200), cells.content()
    twin.restore(rows, np.repeat(np.arange(6), sizes), vectors)
    np.testing.assert_array_equal(twin.places(), cells.places())
    for cell in range(6):
        np.testing.assert_array_equal(twin.codes(cell), cells.codes(cell))


def test_search_in_cells_says_when_nothing_is_left():
    cells = Cells(np.eye(4, dtype=np.float32), n_built=2)
    live = np.array([False, True, False])
    cells.put(np.arange(3), np.eye(4, dtype=np.float32)[:3], live)
    queries = np.eye(4, dtype=np.float32)[[1, 0]]
    assert cells.search(queries, 2, 1).tolist() == [[1, -1], [-1, -1]]
    assert cells.search(queries, 2, 9).tolist() == [[1, -1], [1, -1]]


# --- the index


@pytest.mark.parametrize("block_bytes", [vector_index._BLOCK_BYTES, 1])
def test_exact_search_against_numpy(monkeypatch, block_bytes):
    """Also over several blocks, which are of 1024 rows when they are smallest."""
    monkeypatch.setattr(vector_index, "_BLOCK_BYTES", block_bytes)
    index, vectors = VectorIndex(DIM, UndoLog()), draw(5000)
    fill(index, vectors)
    for n_queries in (1, 20):  # FAISS calculates small and large searches in different ways
        queries = draw(n_queries, seed=n_queries)
        owners, squared, error = index.nearest(queries, 9)
        exact = squared_distances(queries, vectors)
        np.testing.assert_array_equal(owners, exact.argsort(axis=1)[:, :9] + 1)
        np.testing.assert_allclose(squared, np.sort(exact, axis=1)[:, :9], atol=1e-6)
        assert error <= 1e-5
    assert index.nearest(queries, 6000)[0].shape == (20, 5000)


def test_free_rows_are_never_found():
    index, vectors = VectorIndex(DIM, UndoLog()), draw(50)
    rows = fill(index, vectors)
    index.release(rows[:45])
    owners, squared, _ = index.nearest(vectors, 50)
    assert set(owners.ravel().tolist()) == set(range(46, 51)) and squared.max() <= 4
    fill(index, vectors[:3], first_owner=100)
    assert index.n_rows == 50  # free rows are used again
    assert sorted(index.nearest(vectors[:1], 50)[0][0].tolist()) == [*range(46, 51), 100, 101, 102]


def test_cells_find_nearly_all_that_exact_search_finds():
    vectors, rng = draw_clustered(20_000), np.random.default_rng(1)
    gallery = Gallery(64, exact_limit=2000)
    for first in range(0, 20_000, 500):
        ids = np.arange(first + 1, first + 501)
        gallery.add(ids, vectors[first : first + 500])
    cells = gallery._contents.index.cells
    assert cells.serving is not None
    queries = unit(vectors[rng.integers(0, 20_000, 500)] + 0.5 * draw(500, seed=2, dim=64))
    exact = (queries @ vectors.T).argmax(axis=1) + 1
    assert (gallery.search(queries, k=1)[0][:, 0] == exact).mean() >= 0.99


def test_the_same_calls_give_the_same_answers():
    def run():
        gallery, answers = Gallery(DIM, exact_limit=100, n_probe=1), []
        for seed in range(60):
            gallery.add([gallery.new_id() for _ in range(10)], draw(10, seed=seed))
            answers.append(gallery.search(draw(10, seed=1000 + seed)))
        return answers

    for one, other in zip(run(), run()):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_growing_takes_a_bounded_share_of_each_update(monkeypatch):
    """No update assigns more rows to centroids than its size allows, however large the index."""
    work = []

    def count(vectors, centroids):
        work[-1] += len(vectors)
        return assign(vectors, centroids)

    monkeypatch.setattr("instanceid_utils.gallery.inverted_file.assign", count)
    monkeypatch.setattr("instanceid_utils.gallery.inverted_file.assign", count)
    gallery, stages = Gallery(DIM, exact_limit=500), []
    vectors = draw(4000)
    for first in range(0, 4000, 4):
        work.append(0)
        gallery.add(np.arange(first + 1, first + 5), vectors[first : first + 4])
        cells = gallery._contents.index.cells
        stages.append((cells.serving and cells.serving.n_built, cells.is_making))
    assert max(work) <= 4 * 30
    built = sorted({n for n, _ in stages if n})
    assert len(built) == 3 and all(b >= 2 * a for a, b in zip(built, built[1:]))
    # The next cells are ready before the gallery has grown by another quarter (and a bit).
    for n in built:
        ready = stages.index(next(s for s in stages if s[0] == n)) * 4
        assert ready <= 1.3 * n


def test_a_gallery_that_shrinks_is_searched_exactly_again():
    gallery, vectors = Gallery(DIM, exact_limit=100), draw(1000)
    gallery.add(np.arange(1, 1001), vectors)
    assert gallery._contents.index.cells.serving is not None
    gallery.remove(np.arange(1, 961))
    assert gallery._contents.index.cells.serving is None
    assert gallery.search(vectors[960:], k=1)[0][:, 0].tolist() == list(range(961, 1001))
    gallery.check()


def test_a_large_addition_at_once_is_indexed_at_once():
    gallery = Gallery(DIM, exact_limit=100)
    gallery.add(np.arange(1, 3001), draw(3000))
    cells = gallery._contents.index.cells
    assert cells.serving.n_built == 3000 and not cells.is_making
    gallery.check()


def test_rows_and_keys_run_out_with_an_error(monkeypatch):
    gallery = Gallery(DIM)
    gallery.add([1], draw(1))
    gallery._contents.index.serial = (1 << (63 - ROW_BITS)) - 1
    with pytest.raises(OverflowError, match="no key is left"):
        gallery.add([2, 3], draw(2))
    monkeypatch.setattr("instanceid_utils.gallery.vector_index.ROW_MASK", 1)
    with pytest.raises(MemoryError, match="at most"):
        gallery.add([2, 3], draw(2))
    assert gallery.ids.tolist() == [1]
    gallery.check()

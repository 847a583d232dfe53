"""The index under the gallery: exact search, cells, their making in steps, blocks, undo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.store import rows as row_arrays
from instanceid_utils.gallery.store.inverted_file import (
    ROW_BITS,
    ROW_MASK,
    Cells,
    StepwiseKMeans,
    assign,
)
from instanceid_utils.gallery.store.rows import BlockArray, Journal
from instanceid_utils.gallery.store.vector_index import VectorIndex

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
    array, plain = BlockArray(3, block_rows=4), np.zeros((30, 3), np.float32)
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
    array = BlockArray(2, block_rows=4)
    array[np.array([1])] = 5.0
    ((_, before),) = array.parts(4)
    array.reserve(100)
    (_, after), *_ = array.parts(100)
    assert np.shares_memory(before, after)


def test_the_journal_puts_all_back_last_first():
    journal, array, names = Journal(), np.arange(5), []
    journal.write(array, np.array([0, 1]), 9)
    journal.write(array, np.array([1, 2]), [8, 7])
    journal.on_undo(names.append, "first noted")
    journal.on_undo(names.append, "last noted")
    journal.rollback()
    assert array.tolist() == [0, 1, 2, 3, 4] and names == ["last noted", "first noted"]
    journal.write(array, np.array([0]), 5)
    journal.commit()
    journal.rollback()
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
    array, owners, n_done = BlockArray(8), np.ones(400), 0
    array[np.arange(400)] = vectors
    assert kmeans.n_left == 1200
    while kmeans.n_left:
        n_done += kmeans.step(array, owners, step)
        assert kmeans.n_left == 1200 - n_done
    np.testing.assert_allclose(kmeans.centroids, lloyd(vectors, vectors[:10], 3), atol=1e-5)


def test_kmeans_leaves_out_rows_that_were_freed_and_refills_empty_cells():
    array, owners = BlockArray(2), np.array([1] * 20 + [0] * 5)
    array[np.arange(20)] = unit(np.random.default_rng(0).normal([3, 0], 0.1, (20, 2)))
    array[np.arange(20, 25)] = 1e3
    start = np.array([[1, 0], [-1, 0]], np.float32)
    kmeans = StepwiseKMeans(np.arange(25), start, n_iterations=4)
    while kmeans.n_left:
        kmeans.step(array, owners, 6)
    assert np.isfinite(kmeans.centroids).all() and np.abs(kmeans.centroids).max() < 1.1
    nearest = assign(array[np.arange(20)], kmeans.centroids)
    assert set(nearest.tolist()) == {0, 1}


def test_cells_put_drop_and_search():
    vectors, rng = draw(300), np.random.default_rng(0)
    cells, here = Cells(draw(12, seed=1), n_built=300), set()
    keys = (np.arange(1, 301) << ROW_BITS) | np.arange(300)
    for _ in range(40):
        new = rng.permutation([row for row in range(300) if row not in here])[:20]
        cells.put(new, keys[new], vectors[new])
        here |= set(new.tolist())
        gone = rng.choice(sorted(here), min(len(here), 13), replace=False)
        cells.drop(gone)
        here -= set(gone.tolist())
        assert len(cells) == len(here)
        live = np.array(sorted(here))
        assert cells.has(np.arange(300)).nonzero()[0].tolist() == live.tolist()
        found = cells.search(vectors[:9], 3, "all")
        expected = squared_distances(vectors[:9], vectors[live])
        for query, rows in enumerate(found):
            exact = np.sort(expected[query])[:3]
            mine = squared_distances(vectors[query : query + 1], vectors[rows])[0]
            np.testing.assert_allclose(np.sort(mine), exact, atol=2e-3)
    held, sizes = cells.content()
    assert sorted((held & ROW_MASK).tolist()) == live.tolist() and sizes.sum() == len(live)
    near = assign(vectors[live], cells.centroids)
    np.testing.assert_array_equal(cells.cell_of_row[live], near)


def test_search_in_cells_says_when_nothing_is_left():
    cells = Cells(np.eye(4, dtype=np.float32), n_built=2)
    cells.put(np.array([5]), np.array([(1 << ROW_BITS) | 5]), np.eye(4, dtype=np.float32)[:1])
    assert cells.search(np.eye(4, dtype=np.float32)[:2], 2, 1).tolist() == [[5, -1], [-1, -1]]


# --- the index


@pytest.mark.parametrize("block_bytes", [row_arrays._BLOCK_BYTES, 1])
def test_exact_search_against_numpy(monkeypatch, block_bytes):
    """Also over several blocks, which are of 1024 rows when they are smallest."""
    monkeypatch.setattr(row_arrays, "_BLOCK_BYTES", block_bytes)
    index, vectors = VectorIndex(DIM), draw(5000)
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
    index, vectors = VectorIndex(DIM), draw(50)
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
    cells = gallery._core.index.cells
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

    monkeypatch.setattr("instanceid_utils.gallery.store.inverted_file.assign", count)
    monkeypatch.setattr("instanceid_utils.gallery.store.inverted_file.assign", count)
    gallery, stages = Gallery(DIM, exact_limit=500), []
    vectors = draw(4000)
    for first in range(0, 4000, 4):
        work.append(0)
        gallery.add(np.arange(first + 1, first + 5), vectors[first : first + 4])
        cells = gallery._core.index.cells
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
    assert gallery._core.index.cells.serving is not None
    gallery.remove(np.arange(1, 961))
    assert gallery._core.index.cells.serving is None
    assert gallery.search(vectors[960:], k=1)[0][:, 0].tolist() == list(range(961, 1001))
    gallery.check()


def test_a_large_addition_at_once_is_indexed_at_once():
    gallery = Gallery(DIM, exact_limit=100)
    gallery.add(np.arange(1, 3001), draw(3000))
    cells = gallery._core.index.cells
    assert cells.serving.n_built == 3000 and not cells.is_making
    gallery.check()


def test_rows_and_keys_run_out_with_an_error(monkeypatch):
    gallery = Gallery(DIM)
    gallery.add([1], draw(1))
    gallery._core.index.serial = (1 << (63 - ROW_BITS)) - 1
    with pytest.raises(OverflowError, match="no key is left"):
        gallery.add([2, 3], draw(2))
    monkeypatch.setattr("instanceid_utils.gallery.store.vector_index.ROW_MASK", 1)
    with pytest.raises(MemoryError, match="at most"):
        gallery.add([2, 3], draw(2))
    assert gallery.ids.tolist() == [1]
    gallery.check()

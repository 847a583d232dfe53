"""Cells, k-means in steps, and cells that keep up with a gallery."""

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.inverted_file import Cells, StepwiseKMeans, assign
from instanceid_utils.gallery.vector_index import GrowingMatrix
from tests.galleries import DIM, draw, draw_clustered, squared_distances, unit


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


def test_growing_takes_a_bounded_share_of_each_update(monkeypatch):
    """No update assigns more rows to centroids than its size allows, however large the index."""
    work = []

    def count(vectors, centroids):
        work[-1] += len(vectors)
        return assign(vectors, centroids)

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

"""Rows that grow without being moved, and exact search over them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.gallery import vector_index
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.undo import UndoLog
from instanceid_utils.gallery.vector_index import ROW_BITS, GrowingMatrix, VectorIndex
from tests.galleries import DIM, draw, squared_distances


def fill(index, vectors, first_owner=1):
    owners = np.arange(first_owner, first_owner + len(vectors))
    rows = index.place(np.full(len(vectors), -1), vectors, owners)
    index.commit(len(vectors))
    index.touched.clear()
    return rows


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

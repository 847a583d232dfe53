"""Candidates from the gallery and from places, against plain NumPy."""

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.candidates import gather
from instanceid_utils.tracking.decision import NO_ID


def unit(rng, n, dim=8):
    vectors = rng.standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def filled(rng, n_ids, **options):
    gallery = Gallery(8, **options)
    vectors = unit(rng, n_ids)
    gallery.add(np.arange(1, n_ids + 1), vectors)
    return gallery, vectors


def test_nearest_ids_with_their_distances():
    rng = np.random.default_rng(0)
    gallery, vectors = filled(rng, 20)
    queries = unit(rng, 3)
    found = gather(gallery, queries, n_neighbours=4)
    distances = np.linalg.norm(queries[:, None] - vectors[None], axis=2)
    np.testing.assert_array_equal(found.ids, distances.argsort(axis=1)[:, :4] + 1)
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :4], atol=1e-5)
    assert (found.discounts == 0).all()


def test_as_many_as_an_optimal_assignment_may_need():
    rng = np.random.default_rng(1)
    gallery, _ = filled(rng, 40)
    assert gather(gallery, unit(rng, 25), n_neighbours=5).ids.shape == (25, 25)
    assert gather(gallery, unit(rng, 3), n_neighbours=5).ids.shape == (3, 5)


def test_places_discount_whom_they_fit():
    rng = np.random.default_rng(2)
    for policy in ("exemplars", "mean", "both"):
        gallery, vectors = filled(rng, 30, policy=policy)
        queries = unit(rng, 2)
        far = int(np.linalg.norm(vectors - queries[0], axis=1).argmax()) + 1
        near = int(np.linalg.norm(vectors - queries[0], axis=1).argmin()) + 1
        placed = np.array([[far, near], [NO_ID, NO_ID]]), np.array([[0.8, 0.5], [0.0, 0.0]])
        found = gather(gallery, queries, placed, weight=0.5, n_neighbours=5)
        row = dict(zip(found.ids[0].tolist(), zip(found.distances[0], found.discounts[0])))
        assert row[near][1] == 0.25 and row[far][1] == 0.4
        expected = np.linalg.norm(vectors[far - 1] - queries[0])
        np.testing.assert_allclose(row[far][0], expected, atol=1e-5)
        assert (found.discounts[1] == 0).all()
        np.testing.assert_allclose(found.costs, found.distances - found.discounts)


def test_an_id_that_is_gone_from_the_gallery_is_no_candidate():
    gallery, _ = filled(np.random.default_rng(3), 3)
    gallery.remove([2])
    found = gather(gallery, unit(np.random.default_rng(4), 1), (np.array([[2]]), np.array([[0.9]])))
    assert 2 not in found.ids


def test_an_empty_gallery():
    vectors = unit(np.random.default_rng(5), 2)
    found = gather(Gallery(8), vectors, (np.zeros((2, 0), int), np.zeros((2, 0))))
    assert (found.ids == NO_ID).all() and np.isinf(found.distances).all()

"""Candidates from the gallery and from places, against plain NumPy."""

from dataclasses import replace

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.candidates import Candidates, gather, weigh
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.place import Expected


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


def test_who_is_expected_is_a_candidate_however_far_he_looks():
    rng = np.random.default_rng(2)
    for policy in ("exemplars", "mean", "both"):
        gallery, vectors = filled(rng, 30, policy=policy)
        queries = unit(rng, 2)
        far = int(np.linalg.norm(vectors - queries[0], axis=1).argmax()) + 1
        near = int(np.linalg.norm(vectors - queries[0], axis=1).argmin()) + 1
        found = gather(gallery, queries, np.array([[far, near], [NO_ID, NO_ID]]), n_neighbours=5)
        row = dict(zip(found.ids[0].tolist(), found.distances[0]))
        assert (found.ids[0] == near).sum() == 1
        np.testing.assert_allclose(
            row[far], np.linalg.norm(vectors[far - 1] - queries[0]), atol=1e-5
        )


PLAIN = Evidence(beside=1.0)  # all parts count alike


def weighed(boxes, places, ages=(1,), evidence=PLAIN, **options):
    """Weigh two segments that look alike against one instance, .4 away from both."""
    n = len(places)
    found = Candidates(
        np.tile(np.arange(1, n + 1), (len(boxes), 1)),
        np.full((len(boxes), n), 0.4, np.float32),
        np.zeros((len(boxes), n)),
    )
    expected = Expected(np.arange(1, n + 1), np.array(places, float), np.array(ages))
    options = {"threshold": 0.8, "width": 0.05, **options}
    return weigh(found, evidence, expected, np.array(boxes), (100, 200), **options)


def test_nats_are_worth_distance():
    found = weighed([[50, 50, 60, 60], [150, 50, 160, 60]], [[50, 50, 60, 60]])
    nats = sum(found.parts[name] for name in ("place", "size", "entry"))
    np.testing.assert_allclose(found.discounts, nats * 0.8 / PLAIN.looks)
    total = found.parts["looks"] + nats
    np.testing.assert_allclose(total, PLAIN.looks * (1 - found.costs / 0.8))
    assert found.discounts[0, 0] > 0 > found.parts["place"][1, 0]  # there, and elsewhere


def test_only_who_is_inside_is_no_newcomer():
    found = weighed([[50, 50, 60, 60], [0, 50, 10, 60]], [[50, 50, 60, 60]])
    assert found.parts["entry"].ravel().tolist() == [PLAIN.entry, 0]


def test_the_weight_is_of_all_but_the_looks():
    boxes, places = [[50, 50, 60, 60]], [[51, 50, 61, 60]]
    half, whole = weighed(boxes, places, weight=0.5), weighed(boxes, places)
    np.testing.assert_allclose(2 * half.discounts, whole.discounts)
    np.testing.assert_array_equal(half.parts["looks"], whole.parts["looks"])
    assert (weighed(boxes, places, weight=0.0).discounts == 0).all()


def test_what_is_not_looks_counts_for_less():
    boxes, places = [[50, 50, 60, 60]], [[51, 50, 61, 60]]
    half = weighed(boxes, places, evidence=replace(PLAIN, beside=0.5)).parts
    assert half["place"] == weighed(boxes, places).parts["place"] / 2 > 0


def test_whose_place_is_not_known_has_looks_and_entry_alone():
    found = weighed([[50, 50, 60, 60]], [[50, 50, 60, 60]])
    unknown = found._replace(ids=np.array([[9]]))
    expected = Expected(np.array([1]), np.array([[50.0, 50, 60, 60]]), np.array([1]))
    again = weigh(
        unknown,
        PLAIN,
        expected,
        np.array([[50, 50, 60, 60]]),
        (100, 200),
        threshold=0.8,
        width=0.05,
    )
    assert again.parts["place"][0, 0] == again.parts["size"][0, 0] == 0
    assert again.parts["entry"][0, 0] == PLAIN.entry


def test_an_id_that_is_gone_from_the_gallery_is_no_candidate():
    gallery, _ = filled(np.random.default_rng(3), 3)
    gallery.remove([2])
    found = gather(gallery, unit(np.random.default_rng(4), 1), np.array([[2]]))
    assert 2 not in found.ids


def test_an_empty_gallery():
    vectors = unit(np.random.default_rng(5), 2)
    found = gather(Gallery(8), vectors, np.zeros((2, 0), int))
    assert (found.ids == NO_ID).all() and np.isinf(found.distances).all()

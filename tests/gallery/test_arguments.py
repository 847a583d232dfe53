"""Each wrong argument is named, and changes nothing."""

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from tests.galleries import DIM, draw, state

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

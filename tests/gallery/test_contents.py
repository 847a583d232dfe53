"""The rules by which a gallery changes: averages, merge, split, remove, expire."""

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from tests.galleries import at_angles, draw, unit


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

"""IDs that are given out once, and which views of each are kept."""

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from tests.galleries import at_angles, state

MAX_ID = 2**63 - 1


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

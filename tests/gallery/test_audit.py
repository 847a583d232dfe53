"""The full check finds each thing that must not be."""

import faiss
import numpy as np
import pytest

from instanceid_utils.gallery.audit import GalleryCorruptError
from instanceid_utils.gallery.gallery import Gallery
from tests.galleries import DIM, draw


def test_check_finds_what_is_wrong(gallery):
    index, table = gallery._contents.index, gallery._contents.table
    for array, where, value in [
        (index.keys, 3, index.keys[2]),
        (index.owners, 3, 0),
        (index.owners, 3, 99),
        (table.rows, (2, 1), 0),
        (table.ids, 4, 77),
        (table.last_seen, 1, np.nan),
        (table.n_averaged, 1, 0),
        (index.vectors, np.array([3]), 0.5),
    ]:
        kept = array[where].copy() if isinstance(where, np.ndarray) else array[where]
        array[where] = value
        with pytest.raises(RuntimeError):
            gallery.check()
        array[where] = kept
        gallery.check()


def take_out(cells):
    lists = cells._index.invlists
    lists.resize(0, lists.list_size(0) - 1)


def note_another_place(cells):
    places = cells._index.direct_map.array
    places = faiss.rev_swig_ptr(places.data(), places.size())
    places[[0, 1]] = places[[1, 0]]


def change_a_copy(cells):
    cells.codes(0)[-1] += np.float16(0.1)


def hide(cells):
    row = cells.rows(0)[:1]
    cells.put(row, draw(1), np.array([False]))


@pytest.mark.parametrize("damage", [take_out, note_another_place, change_a_copy, hide])
def test_check_finds_what_is_wrong_in_cells(damage):
    gallery = Gallery(DIM, exact_limit=20)
    gallery.add(np.arange(1, 101), draw(100))
    gallery.check()
    damage(gallery._contents.index.cells.serving)
    with pytest.raises(GalleryCorruptError):
        gallery.check()

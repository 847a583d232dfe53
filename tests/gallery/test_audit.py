"""The full check finds each thing that must not be."""

import numpy as np
import pytest


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

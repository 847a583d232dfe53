"""Rows that grow without being copied, and arrays whose changes can be undone.

A matrix grows in fixed blocks, made when needed. A journal remembers what each write replaced,
which makes an update happen whole or not at all.
"""

from __future__ import annotations

import numpy as np

_BLOCK_BYTES = 2**25  # address space; memory is claimed when rows are first written


class BlockArray:
    """Rows of float32 in blocks of a power of two.

    A matrix of a million rows that is made larger holds everything up for as long as it takes
    to copy it; here a new block is added.

    Examples
    --------
    >>> rows = BlockArray(dim=2, block_rows=4)
    >>> rows.reserve(6)
    >>> rows[np.array([1, 5])] = np.ones((2, 2))
    >>> rows[np.array([[0, 5]])].tolist()
    [[[0.0, 0.0], [1.0, 1.0]]]
    """

    def __init__(self, dim, block_rows=None):
        if block_rows is None:
            block_rows = 1 << max(10, (_BLOCK_BYTES // (4 * dim)).bit_length() - 1)
        self.dim = dim
        self._shift = block_rows.bit_length() - 1
        self._mask = block_rows - 1
        self._blocks = []
        self.reserve(1)

    def reserve(self, n_rows):
        """Make room for rows 0 to n_rows - 1; new ones are zero."""
        while len(self._blocks) <= max(n_rows - 1, 0) >> self._shift:
            self._blocks.append(np.zeros((1 << self._shift, self.dim), np.float32))

    def parts(self, n_rows):
        """Yield (first row, matrix) of each block up to n_rows, without a copy."""
        for first in range(0, n_rows, 1 << self._shift):
            yield first, self._blocks[first >> self._shift][: n_rows - first]

    def __getitem__(self, rows):
        """Copy rows out: an index array of any shape gives that shape and D."""
        if len(self._blocks) == 1:
            return self._blocks[0][rows]
        out = np.empty((*rows.shape, self.dim), np.float32)
        for block, here in self._split(rows):
            out[here] = block[rows[here] & self._mask]
        return out

    def __setitem__(self, rows, values):
        """Copy values in, broadcast where need be."""
        if len(self._blocks) == 1:
            self._blocks[0][rows] = values
            return
        values = np.broadcast_to(values, (*rows.shape, self.dim))
        for block, here in self._split(rows):
            block[rows[here] & self._mask] = values[here]

    def _split(self, rows):
        numbers = rows >> self._shift
        for number in np.unique(numbers):
            yield self._blocks[number], numbers == number


class Journal:
    """Remembers what each write replaced, and can put it all back.

    Examples
    --------
    >>> import numpy as np
    >>> journal, array = Journal(), np.zeros(3)
    >>> journal.write(array, np.array([0, 2]), 7.0)
    >>> journal.rollback()
    >>> array
    array([0., 0., 0.])
    """

    def __init__(self):
        self._undo = []

    def write(self, array, where, values):
        """Do ``array[where] = values``, `where` being index arrays, so that it can be undone."""
        self._undo.append((array.__setitem__, (where, array[where])))
        array[where] = values

    def set(self, owner, **attributes):
        """Set attributes of an object so that it can be undone."""
        for name, value in attributes.items():
            self._undo.append((setattr, (owner, name, getattr(owner, name))))
            setattr(owner, name, value)

    def on_undo(self, function, *args):
        """Have a call made when the update is undone; note it *before* the change.

        An interrupt may come between the two, so the call must be right without the change too.
        """
        self._undo.append((function, args))

    def rollback(self):
        """Put back all that was replaced since the last commit, last first."""
        while self._undo:
            function, args = self._undo[-1]
            function(*args)
            self._undo.pop()

    def commit(self):
        """Forget what was replaced."""
        self._undo.clear()

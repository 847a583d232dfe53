"""Changes that can be undone: what makes an update of the gallery happen whole or not at all."""

from __future__ import annotations


class UndoLog:
    """Remembers what each write replaced, and can put it all back.

    Examples
    --------
    >>> import numpy as np
    >>> log, array = UndoLog(), np.zeros(3)
    >>> log.write(array, np.array([0, 2]), 7.0)
    >>> log.rollback()
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

"""IDs that were given and changed later on: follow them to what they are called now."""

from __future__ import annotations


def final_id(given, renamed):
    """Follow a chain of relabellings to its end.

    >>> final_id(5, {5: 3, 3: 1})
    1
    """
    while given in renamed:
        given = renamed[given]
    return given

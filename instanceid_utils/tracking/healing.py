"""An ID that has learned two things: found by its exemplars, which fall into two groups.

An ID that went from one instance to another at a moment when only places spoke has exemplars of
both. Views of one instance are linked by views in between; two groups with nothing between them
for more than the threshold are two instances. The look is taken where something was learned that
far from all that was known, once the new group has a second view.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

_LEAST = 2  # exemplars in each group


def younger_group(vectors: np.ndarray, gap: float) -> np.ndarray | None:
    """Find the exemplars that were learned later, where they are a group of their own.

    Parameters
    ----------
    vectors : ndarray of shape (n, D), float32
        Exemplars of an ID, oldest first.
    gap : float
        L2 distance, not squared, between the nearest two of different groups.

    Returns
    -------
    ndarray of shape (n,), bool, or None
        The group without the oldest exemplar; None if it is all one group, if there are more
        than two, or if one of them is a single view.

    Examples
    --------
    >>> views = np.array([[1, 0], [0.99, 0.1], [0, 1], [0.1, 0.99]])
    >>> younger_group(views, gap=0.5)
    array([False, False,  True,  True])
    >>> younger_group(views, gap=1.5) is None
    True
    """
    if len(vectors) < 2 * _LEAST:
        return None
    group = fcluster(linkage(np.asarray(vectors, np.float64), "single"), gap, "distance")
    younger = group != group[0]
    if group.max() != 2 or min(younger.sum(), (~younger).sum()) < _LEAST:
        return None
    return younger


class Strains:
    """IDs that have learned something far from all that they knew.

    Parameters
    ----------
    gap : float
        How far, as a part of the threshold.
    """

    def __init__(self, gap: float = 1.25):
        self.gap = gap
        self._ids = set()

    def __contains__(self, id):
        return id in self._ids

    def observe(self, ids: np.ndarray, distances: np.ndarray, threshold: float) -> None:
        """Note what was learned: IDs (N,) and the L2 distance of each new view to its ID."""
        self._ids.update(np.asarray(ids)[distances > self.gap * threshold].tolist())

    def forget(self, ids: Iterable[int] | None = None) -> None:
        """Drop some IDs, or all."""
        self._ids.difference_update(list(self._ids) if ids is None else map(int, ids))

    def rename(self, old: int, new: int) -> None:
        """Hand what is known of ``old`` to ``new``."""
        if old in self._ids:
            self._ids.remove(old)
            self._ids.add(int(new))

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return sorted(self._ids)

    def restore(self, state: list) -> None:
        """Continue where the object that gave ``state`` stood."""
        self._ids = set(map(int, state))

"""Which views of an instance to keep: few, and unlike each other.

An exemplar nearer than `min_novelty` to one that is kept adds nothing and is not stored. When
the set is full, the closest pair of all (the new one included) loses its older member, so that
the set spreads over what the instance has looked like and its latest view is always in it.
"""

from __future__ import annotations

import functools

import numpy as np


def choose_columns(kept, ages, vectors, min_novelty):
    """Choose for each new vector the place in its instance's set, or none.

    Parameters
    ----------
    kept : ndarray of shape (N, E, D), float32
        Exemplars of each instance; anything where absent.
    ages : ndarray of shape (N, E), int64
        Their keys, which grow with time; 0 where absent.
    vectors : ndarray of shape (N, D), float32
        The new vectors, unit length.
    min_novelty : float
        L2 distance (not squared).

    Returns
    -------
    ndarray of shape (N,), int64
        Column to write, -1 for a vector that is not to be stored.
    """
    columns = ages.argmin(axis=1)  # the first absent one
    full = ages.all(axis=1)
    if ages.shape[1] > 1 and full.any():
        columns[full] = _most_redundant(kept[full], ages[full], vectors[full])
    if min_novelty > 0:
        cosines = np.einsum("ned,nd->ne", kept, vectors)
        known = cosines > 1 - min_novelty**2 / 2  # |a - b|^2 = 2 - 2 cos
        if known.any():
            columns[(known & (ages > 0)).any(axis=1)] = -1
    return columns


def thin(vectors, limit):
    """Keep at most `limit` vectors, dropping the older of the closest pair again and again.

    Parameters
    ----------
    vectors : ndarray of shape (N, D), float32
        Unit vectors, oldest first.
    limit : int

    Returns
    -------
    ndarray, int64
        Indices kept, in increasing order.
    """
    kept = np.arange(len(vectors))
    while len(kept) > limit:
        older, _ = _closest_pair(vectors[kept][None])
        kept = np.delete(kept, older[0])
    return kept


def _most_redundant(kept, ages, vectors):
    """Column of the older member of the closest pair; the new vector is the youngest."""
    together = np.concatenate([kept, vectors[:, None]], axis=1)
    first, second = _closest_pair(together)
    youngest = np.full((len(ages), 1), np.iinfo(np.int64).max)
    ages = np.concatenate([ages, youngest], axis=1)
    each = np.arange(len(ages))
    return np.where(ages[each, first] < ages[each, second], first, second)


def _closest_pair(vectors):
    first, second = _pairs(vectors.shape[1])
    cosines = vectors @ vectors.transpose(0, 2, 1)
    pair = cosines[:, first, second].argmax(axis=1)
    return first[pair], second[pair]


@functools.lru_cache(maxsize=64)
def _pairs(n):
    return np.triu_indices(n, 1)

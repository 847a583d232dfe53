"""What a gallery would say when an instance appears: the draws behind a threshold.

Every segment is asked about once a round, with a gallery of other instances drawn at random,
each known from a random number of views. Whatever it is nearest to among them is what a
*newcomer* would be taken for. If its own instance is known too, from other sequences or frames
far enough away, it is one that *comes back*.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from instanceid_utils.evaluation.pairs import check_segments, pairwise_distances, valid_pairs

THRESHOLDS = np.round(np.linspace(0.0, 2.0, 401), 3)
RATES = ("false_reuse", "false_new", "wrong_id")


class Appearances(NamedTuple):
    """Distances to the nearest exemplars, one row for each question.

    Attributes
    ----------
    identity : ndarray of shape (n,), int64
        Index of the identity of the segment.
    d_own : ndarray of shape (n,), float32
        L2 to the nearest view of its own instance; inf if there is none to know it from.
    d_other : ndarray of shape (n,), float32
        L2 to the nearest view of any other instance in the gallery.
    """

    identity: np.ndarray
    d_own: np.ndarray
    d_other: np.ndarray


def simulate_appearances(
    embeddings, identities, sequences, frames, *, n_others, max_exemplars, min_gap, n_rounds, rng
):
    """Ask about every segment, `n_rounds` times.

    Parameters
    ----------
    embeddings, identities, sequences, frames
        See `evaluation.evaluate_retrieval`.
    n_others : int
        Other instances in the gallery; all of them if there are fewer.
    max_exemplars : int
        Each instance is known from 1 to so many views, equally likely.
    min_gap : int
        How far away the frames are from which an instance in the same sequence is known.
    n_rounds : int
    rng : numpy.random.Generator

    Returns
    -------
    Appearances
    """
    embeddings, identities = check_segments(embeddings, identities, sequences, frames)
    index = np.unique(identities, return_inverse=True)[1]
    where = np.asarray(sequences), np.asarray(frames)
    n_others = min(n_others, index.max())
    rounds = [
        (index, *_one_round(embeddings, index, where, n_others, max_exemplars, min_gap, rng))
        for _ in range(n_rounds)
    ]
    return Appearances(*(np.concatenate(column) for column in zip(*rounds)))


def _one_round(embeddings, index, where, n_others, max_exemplars, min_gap, rng):
    n_identities = index.max() + 1
    n_known = rng.integers(1, max_exemplars + 1, size=n_identities)
    luck = rng.permutation(len(index))  # the views of an instance with the least are known
    d_own = np.empty(len(index), np.float32)
    exemplars, first = [], [0]
    for i in range(n_identities):
        mine = np.flatnonzero(index == i)
        mine = mine[np.argsort(luck[mine])]
        d_own[mine] = _nearest_own(embeddings[mine], where, mine, n_known[i], min_gap)
        exemplars.append(mine[: n_known[i]])
        first.append(first[-1] + len(exemplars[-1]))
    to_exemplars = pairwise_distances(embeddings, embeddings[np.concatenate(exemplars)])
    to_identities = np.minimum.reduceat(to_exemplars, first[:-1], axis=1)  # (N, n_identities)
    draw = rng.random(to_identities.shape)
    draw[np.arange(len(index)), index] = np.inf  # not itself
    others = np.argpartition(draw, n_others - 1, axis=1)[:, :n_others]
    return d_own, np.take_along_axis(to_identities, others, axis=1).min(axis=1)


def _nearest_own(embeddings, where, mine, n_known, min_gap):
    """Distance of each view to the first `n_known` of those it may be known from."""
    same = np.zeros(len(mine), np.int64)
    allowed = valid_pairs(same, *(values[mine] for values in where), min_gap)
    known = allowed & (np.cumsum(allowed, axis=1) <= n_known)
    return np.where(known, pairwise_distances(embeddings), np.inf).min(axis=1)


class Mistakes:
    """Counts of the three mistakes for each identity, at each of `THRESHOLDS`.

    An ID is a candidate if its distance is below the threshold, and the nearest one wins; an
    instance that ties with another has lost.
    """

    def __init__(self, appearances):
        identity, d_own, d_other = appearances
        known = np.isfinite(d_own)
        taken = known & (d_other <= d_own)
        self.n_identities = int(identity.max()) + 1
        self._newcomers = np.bincount(identity, minlength=self.n_identities)
        self._returning = np.bincount(identity[known], minlength=self.n_identities)
        found = self._below(identity[known], np.minimum(d_own, d_other)[known])
        self._false_reuse = self._below(identity, d_other)
        self._false_new = self._returning[:, None] - found
        self._wrong_id = self._below(identity[taken], d_other[taken])

    def _below(self, identity, distances):
        """Count the distances below each threshold -> (n_identities, n_thresholds)."""
        size = len(THRESHOLDS) + 1
        flat = identity * size + np.searchsorted(THRESHOLDS, distances, side="right")
        counts = np.bincount(flat, minlength=self.n_identities * size).reshape(-1, size)
        return counts.cumsum(axis=1)[:, :-1]

    def rates(self, weights):
        """Rates of the mistakes if identities count `weights` (n_draws, n_identities) times.

        Returns
        -------
        dict of str to ndarray of shape (n_draws, n_thresholds)
        """
        n_newcomers, n_returning = (
            np.maximum(weights @ n, 1)[:, None] for n in (self._newcomers, self._returning)
        )
        return {
            "false_reuse": weights @ self._false_reuse / n_newcomers,
            "false_new": weights @ self._false_new / n_returning,
            "wrong_id": weights @ self._wrong_id / n_returning,
        }

"""Bootstrap intervals over identities, from counts rather than from distances.

Segments of one identity are alike, so that the identities are what is resampled. The results
of each query are averaged anew; the gallery stays. Of the pairs there is a histogram of
distances for each pair of identities: drawn w_i and w_j times, the pairs between i and j count
w_i * w_j times, those within i count w_i times.
"""

from __future__ import annotations

import numpy as np

MAX_GROUPS = 128
_MAX_CELLS = 1 << 24


def draw_weights(n_groups, n_draws, rng):
    """How often each group is in each bootstrap sample -> (n_draws, n_groups), float64."""
    picks = rng.integers(n_groups, size=(n_draws, n_groups))
    offsets = np.arange(n_draws)[:, None] * n_groups
    counts = np.bincount((picks + offsets).ravel(), minlength=n_draws * n_groups)
    return counts.reshape(n_draws, n_groups).astype(np.float64)


def group_identities(identity_index):
    """Cap the number of groups: beyond `MAX_GROUPS`, several identities are drawn together."""
    return np.asarray(identity_index) % MAX_GROUPS


def distance_edges(d_same, d_different, n_groups):
    """Bin edges, dense where the operating points are.

    Both arrays sorted. Half of the edges are quantiles of the different pairs, on a logarithmic
    scale towards low false accept rates, half are quantiles of the same pairs.
    """
    n_edges = int(np.clip(_MAX_CELLS // max(1, n_groups**2), 64, 1024))
    far = np.geomspace(1.0 / len(d_different), 1.0, n_edges // 2)
    low = d_different[(far * (len(d_different) - 1)).astype(np.int64)]
    tar = np.linspace(0.0, 1.0, n_edges // 2)
    return np.unique(np.concatenate([low, d_same[(tar * (len(d_same) - 1)).astype(np.int64)]]))


class PairHistograms:
    """Counts of pair distances by the groups of the two ends.

    Bin t counts the distances in (edges[t - 1], edges[t]], the last one all beyond.
    """

    def __init__(self, edges, n_groups):
        self.edges, self.n_groups = edges, n_groups
        self._n_bins = len(edges) + 1
        self.same = np.zeros((n_groups, self._n_bins), np.int64)
        self.different = np.zeros((n_groups * n_groups, self._n_bins), np.int64)

    def add(self, distances, group_a, group_b, same):
        """Count the pairs: all arrays of shape (n,); `same` where the identity is the same."""
        bins = np.searchsorted(self.edges, distances)
        self.same += _count(group_a[same], bins[same], self.same.shape)
        low, high = np.minimum(group_a, group_b)[~same], np.maximum(group_a, group_b)[~same]
        self.different += _count(low * self.n_groups + high, bins[~same], self.different.shape)

    def rates(self, weights):
        """Return false and true accept rates at the edges for each draw, (n_draws, n_edges)."""
        pairs = np.flatnonzero(self.different.any(axis=1))
        low, high = pairs // self.n_groups, pairs % self.n_groups
        weight = np.where(low == high, weights[:, low], weights[:, low] * weights[:, high])
        return tuple(
            _cumulative_rates(w @ counts)
            for w, counts in ((weight, self.different[pairs]), (weights, self.same))
        )


def _count(rows, columns, shape):
    flat = rows.astype(np.int64) * shape[1] + columns
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


def _cumulative_rates(histograms):
    totals = histograms.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a draw without such pairs: NaN, left out later
        return np.cumsum(histograms, axis=1)[:, :-1] / totals


def verification_draws(far, tar):
    """AUC, EER and TAR at FAR of each draw, from `PairHistograms.rates`."""
    left = np.zeros((len(far), 1))
    x = np.concatenate([left, far, left + 1.0], axis=1)
    y = np.concatenate([left, tar, left + 1.0], axis=1)
    auc = np.sum(np.diff(x, axis=1) * (y[:, 1:] + y[:, :-1]) / 2.0, axis=1)
    at = np.argmin(np.abs(x + y - 1.0), axis=1)
    eer = np.take_along_axis((x + 1.0 - y) / 2.0, at[:, None], axis=1)[:, 0]
    at_far = {
        name: np.array([np.interp(level, *pair) for pair in zip(x, y)])
        for name, level in (("tar_at_far_1pct", 1e-2), ("tar_at_far_01pct", 1e-3))
    }
    return {"auc": auc, "eer": eer, **at_far}


def interval(draws, level=0.95):
    """Percentile interval of the draws, leaving out NaN -> (float, float)."""
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.nanpercentile(draws, [tail, 100.0 - tail])
    return float(low), float(high)

"""One threshold on a distance: same or different? ROC and what is read off it."""

from __future__ import annotations

import numpy as np


def roc_curve(d_same, d_different, thresholds=None):
    """Return false and true accept rates; a pair is accepted if distance <= threshold.

    Parameters
    ----------
    d_same, d_different : array_like
        L2 distances of same and different pairs, at least one each.
    thresholds : array_like, optional
        Default: every distance that occurs.

    Returns
    -------
    far, tar, thresholds : ndarray of equal shape
    """
    d_same, d_different = np.sort(d_same), np.sort(d_different)
    if not len(d_same) or not len(d_different):
        raise ValueError(f"{len(d_same)} same and {len(d_different)} different pairs: need both")
    if thresholds is None:
        thresholds = np.unique(np.concatenate([d_same, d_different]))
    far = np.searchsorted(d_different, thresholds, side="right") / len(d_different)
    tar = np.searchsorted(d_same, thresholds, side="right") / len(d_same)
    return far, tar, np.asarray(thresholds)


def verification(d_same, d_different):
    """How well one threshold tells same from different pairs.

    Returns
    -------
    dict of str to float
        ``auc``; ``eer``, where false accept and false reject rate meet, and the L2 distance
        ``eer_threshold`` of it; ``tar_at_far_1pct`` and ``tar_at_far_01pct``: the share of same
        pairs accepted at the largest threshold that accepts at most 1 % (0.1 %) of the others.
    """
    far, tar, thresholds = roc_curve(d_same, d_different)
    x, y = np.concatenate([[0.0], far]), np.concatenate([[0.0], tar])
    at = int(np.argmin(np.abs(far + tar - 1.0)))
    return {
        "auc": float(np.sum(np.diff(x) * (y[1:] + y[:-1])) / 2.0),
        "eer": float((far[at] + 1.0 - tar[at]) / 2.0),
        "eer_threshold": float(thresholds[at]),
        "tar_at_far_1pct": float(y[x <= 0.01][-1]),
        "tar_at_far_01pct": float(y[x <= 0.001][-1]),
    }

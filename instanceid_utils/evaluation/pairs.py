"""Pairs of segments: their distances, which of them count, and what one threshold on them does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MIN_GAP = 20
_BLOCK = 512


def pairwise_distances(a: npt.ArrayLike, b: npt.ArrayLike | None = None) -> np.ndarray:
    """L2 distances, not squared, between two sets of vectors.

    Summed in float64: in float32, ``|a|^2 + |b|^2 - 2ab`` turns the distance between equal unit
    vectors into some 3e-4.

    Parameters
    ----------
    a : array_like of shape (N, D)
    b : array_like of shape (M, D), optional
        Default: `a`.

    Returns
    -------
    ndarray of shape (N, M), float32

    Raises
    ------
    ValueError
        If shapes disagree, or a value is NaN or infinite.

    Examples
    --------
    >>> pairwise_distances([[0, 0]], [[3, 4], [0, 0]])
    array([[5., 0.]], dtype=float32)
    """
    a = _check_vectors(a, "a")
    b = a if b is None else _check_vectors(b, "b")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has vectors of {a.shape[1]} values, b of {b.shape[1]}")
    b_squared = np.einsum("ij,ij->i", b, b)
    out = np.empty((len(a), len(b)), np.float32)
    for start in range(0, len(a), _BLOCK):
        block = a[start : start + _BLOCK]
        squared = np.einsum("ij,ij->i", block, block)[:, None] + b_squared - 2.0 * (block @ b.T)
        out[start : start + _BLOCK] = np.sqrt(np.maximum(squared, 0.0))
    return out


def valid_pairs(
    identities: npt.ArrayLike,
    sequences: npt.ArrayLike,
    frames: npt.ArrayLike,
    min_gap: int = MIN_GAP,
    queries=slice(None),
) -> np.ndarray:
    """Which segments belong to the gallery of each query.

    All do, but the query itself and those of its own identity from frames of its own sequence
    less than `min_gap` away. What else is to be seen in those frames stays: the object beside
    it is the one to be told apart.

    Parameters
    ----------
    identities : array_like of shape (N,)
        Unique over all sequences.
    sequences : array_like of shape (N,)
        Name or number of the sequence of each segment.
    frames : array_like of shape (N,), int
        Frame number within it.
    min_gap : int
    queries : slice or index array
        Rows to compute. Default: all.

    Returns
    -------
    ndarray of shape (n_queries, N), bool

    Examples
    --------
    >>> valid_pairs([1, 1, 1, 2], ["a", "a", "a", "a"], [0, 19, 20, 0]).astype(int)
    array([[0, 0, 1, 1],
           [0, 0, 0, 1],
           [1, 0, 0, 1],
           [1, 1, 1, 0]])
    """
    identities, sequences = (
        np.unique(np.asarray(names), return_inverse=True)[1] for names in (identities, sequences)
    )
    frames = np.asarray(frames, np.int64)
    index = np.arange(len(frames))
    near = np.abs(frames[queries, None] - frames) < min_gap
    near &= sequences[queries, None] == sequences
    near &= identities[queries, None] == identities
    return ~near & (index[queries, None] != index)


def iterate_pairs(embeddings, identities, sequences, frames, min_gap=MIN_GAP):
    """Yield all allowed pairs, each once, in blocks.

    Yields
    ------
    distances : ndarray of shape (n,), float32
        L2.
    a, b : ndarray of shape (n,), int64
        Indices of the two ends, a < b.
    same : ndarray of shape (n,), bool
        Whether they have one identity.
    """
    embeddings, identities = check_segments(embeddings, identities, sequences, frames)
    for start in range(0, len(embeddings), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(embeddings)))
        valid = valid_pairs(identities, sequences, frames, min_gap, rows)
        valid &= rows[:, None] < np.arange(len(embeddings))
        a, b = np.nonzero(valid)
        distances = pairwise_distances(embeddings[rows], embeddings)[valid]
        yield distances, a + start, b, identities[a + start] == identities[b]


def pair_distances(embeddings, identities, sequences, frames, min_gap=MIN_GAP) -> tuple:
    """Distances of all allowed pairs, each pair once.

    Returns
    -------
    d_same, d_different : ndarray of shape (n,), (m,), float32
        L2, sorted.
    """
    same, different = [], []
    for distances, _, _, is_same in iterate_pairs(
        embeddings, identities, sequences, frames, min_gap
    ):
        same.append(distances[is_same])
        different.append(distances[~is_same])
    return np.sort(np.concatenate(same)), np.sort(np.concatenate(different))


def check_segments(embeddings, identities, sequences, frames):
    """Check that the arrays belong together; return embeddings and identities as arrays."""
    embeddings = _check_vectors(embeddings, "embeddings")
    for name, values in (("identities", identities), ("sequences", sequences), ("frames", frames)):
        if np.shape(values) != (len(embeddings),):
            raise ValueError(
                f"{name} must have shape ({len(embeddings)},) as there are so many embeddings, "
                f"got {np.shape(values)}"
            )
    return embeddings, np.asarray(identities)


def _check_vectors(vectors, name):
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or not len(vectors):
        raise ValueError(f"{name} must have shape (N, D), N at least 1, got {vectors.shape}")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise ValueError(f"{name} has NaN or infinite values in row {bad[0]} of {len(vectors)}")
    return vectors


def roc_curve(
    d_same: npt.ArrayLike, d_different: npt.ArrayLike, thresholds: npt.ArrayLike | None = None
) -> tuple:
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


def separation(d_same: np.ndarray, d_different: np.ndarray) -> float:
    """How far the distances of different and same pairs are apart: d', which has no scale.

    Parameters
    ----------
    d_same, d_different : ndarray
        L2 distances, as of `pair_distances`.

    Returns
    -------
    float
        Difference of the means, in root mean variances (Green and Swets 1966, "Signal Detection
        Theory and Psychophysics").

    Examples
    --------
    >>> round(separation(np.array([0.1, 0.3]), np.array([0.9, 1.1])), 1)
    8.0
    """
    spread = np.sqrt((np.var(d_same) + np.var(d_different)) / 2)
    return float((np.mean(d_different) - np.mean(d_same)) / spread)


def verification(d_same, d_different) -> dict:
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

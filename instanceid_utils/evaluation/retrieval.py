"""Retrieval metrics for re-identification: how well embeddings bring an identity back.

Each segment in turn is the query and all others are the gallery, except that its own identity
must be found in a frame of another sequence or at least `min_gap` frames away: the next frame
looks alike whatever the embedding. Distances are L2, not squared. A tie counts against the
embedding, so that one that has collapsed gets no credit for the order of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from instanceid_utils.embedding.descriptors import hsv_histogram, raw_pixels
from instanceid_utils.evaluation import bootstrap
from instanceid_utils.evaluation.pairs import (
    MIN_GAP,
    check_segments,
    iterate_pairs,
    pair_distances,
    pairwise_distances,
    valid_pairs,
    verification,
)

METRICS = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "map": "mAP",
    "minp": "mINP",
    "auc": "AUC",
    "eer": "EER",
    "tar_at_far_1pct": "TAR at FAR 1 %",
    "tar_at_far_01pct": "TAR at FAR 0.1 %",
}


class Confusion(NamedTuple):
    """A query whose nearest neighbour has another identity.

    `query`, `neighbour` and `positive` (the nearest right one) are indices into the embeddings.
    """

    query: int
    neighbour: int
    distance: float
    positive: int
    positive_distance: float
    query_identity: object
    neighbour_identity: object


@dataclass(frozen=True, eq=False)
class RetrievalReport:
    """Retrieval and verification metrics of one embedding on one set of segments.

    Attributes
    ----------
    n_segments, n_identities, n_queries, n_left_out : int
        Segments and identities seen; queries counted; segments left out as queries because no
        segment of their identity may be matched (they stay in the gallery of the others).
    rank1, rank5, map, minp : float
        Means over queries.
    auc, eer, tar_at_far_1pct, tar_at_far_01pct : float
        Over all allowed pairs, same identity against different.
    eer_threshold : float
        L2 distance at which the equal error rate is reached.
    intervals : dict of str to (float, float)
        95 % bootstrap interval of each metric, over identities; empty if not asked for.
    per_identity : tuple of dict
        One row per identity with queries: identity, n_queries, rank1, rank5, map, minp.
    confusions : tuple of Confusion
        All queries whose nearest neighbour is wrong, the nearest wrong one first.
    """

    n_segments: int
    n_identities: int
    n_queries: int
    n_left_out: int
    rank1: float
    rank5: float
    map: float
    minp: float
    auc: float
    eer: float
    tar_at_far_1pct: float
    tar_at_far_01pct: float
    eer_threshold: float
    per_identity: tuple = field(repr=False)
    confusions: tuple = field(repr=False)
    intervals: dict = field(repr=False, default_factory=dict)

    def as_dict(self):
        """Numbers only, fit for JSON: counts, metrics and, if there, ``<metric>_interval``."""
        counts = ("n_segments", "n_identities", "n_queries", "n_left_out")
        out = {name: getattr(self, name) for name in (*counts, *METRICS, "eer_threshold")}
        out.update({f"{name}_interval": list(ends) for name, ends in self.intervals.items()})
        return out

    def worst_confusions(self, k: int = 8, per_pair: int | None = 1) -> list:
        """Return the k nearest wrong neighbours, for pictures.

        Parameters
        ----------
        k : int
        per_pair : int or None
            At most so many for each (query identity, wrong identity): neighbouring frames
            make the same mistake. None: no limit.

        Returns
        -------
        list of Confusion
        """
        taken, seen = [], {}
        for confusion in self.confusions:
            pair = confusion.query_identity, confusion.neighbour_identity
            seen[pair] = seen.get(pair, 0) + 1
            if per_pair is None or seen[pair] <= per_pair:
                taken.append(confusion)
            if len(taken) == k:
                break
        return taken

    def __str__(self):
        return format_table({"": self})


def format_table(reports: dict, intervals: bool = True) -> str:
    """Lay out reports as a Markdown table, one row each.

    Parameters
    ----------
    reports : dict of str to RetrievalReport
        Name of the embedding -> its report.
    intervals : bool
        Show the bootstrap intervals of those reports that have them.

    Returns
    -------
    str
    """
    rows = [["embedding", *METRICS.values()]]
    for name, report in reports.items():
        row = [name]
        for metric in METRICS:
            cell = f"{getattr(report, metric):.3f}"
            if intervals and metric in report.intervals:
                cell += " ({:.3f}-{:.3f})".format(*report.intervals[metric])
            row.append(cell)
        rows.append(row)
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


_BLOCK = 512


def positive_ranks(d_positive: np.ndarray, d_negative: np.ndarray) -> np.ndarray:
    """1-based ranks of a query's positives among its gallery, a tie going to the negative.

    From these come CMC rank-k (``ranks[0] <= k``), average precision (the mean of n / ranks[n]
    over the positives n = 1, 2, ...) and INP (positives / ranks[-1]; Ye et al. 2021).

    Parameters
    ----------
    d_positive, d_negative : ndarray of shape (n,), (m,)

    Returns
    -------
    ndarray of shape (n,), int64
        Ascending.

    Examples
    --------
    >>> positive_ranks([.1, .5], [.2, .3, .5, .9])
    array([1, 5])
    """
    ahead = np.searchsorted(np.sort(d_negative), np.sort(d_positive), side="right")
    return ahead + np.arange(1, len(d_positive) + 1)


def nearest_neighbours(
    embeddings, identities, sequences, frames, queries, k=8, min_gap=MIN_GAP
) -> tuple:
    """Return the k nearest segments in the gallery of each query, for ranked strips.

    Returns
    -------
    indices : ndarray of shape (n_queries, k), int64
        -1 where fewer than k are allowed.
    distances : ndarray of shape (n_queries, k), float32
        L2; inf there.
    """
    embeddings, queries = np.asarray(embeddings), np.asarray(queries)
    if not queries.size:
        return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
    distances = pairwise_distances(embeddings[queries], embeddings)
    distances[~valid_pairs(identities, sequences, frames, min_gap, queries)] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    return np.where(np.isfinite(distances), order, -1), distances


def evaluate_retrieval(
    embeddings: npt.ArrayLike,
    identities: npt.ArrayLike,
    sequences: npt.ArrayLike,
    frames: npt.ArrayLike,
    min_gap: int = MIN_GAP,
    n_bootstrap: int = 1000,
    rng: np.random.Generator | None = None,
):
    """Rank every segment's gallery and measure how well identities are told apart.

    Parameters
    ----------
    embeddings : array_like of shape (N, D), float
    identities : array_like of shape (N,)
        Unique over all sequences: the same value is the same instance.
    sequences, frames : array_like of shape (N,)
        Where each segment comes from.
    min_gap : int
        Frames between a query and those of its own identity and sequence that count; see
        `valid_pairs`.
    n_bootstrap : int
        Bootstrap samples for the 95 % intervals over identities; 0 for none.
    rng : numpy.random.Generator, optional
        For the bootstrap. Default: a fixed seed, so that a report is reproducible.

    Returns
    -------
    RetrievalReport

    Raises
    ------
    ValueError
        If lengths disagree, a value is NaN, or no query has both a positive and a negative.
    """
    embeddings, identities = check_segments(embeddings, identities, sequences, frames)
    n_segments = len(embeddings)
    names, index = np.unique(identities, return_inverse=True)
    results = _rank_queries(embeddings, index, sequences, frames, min_gap)
    if not len(results["query"]):
        raise ValueError(
            f"none of {n_segments} segments has both a positive and a negative to be matched "
            f"with: frames of one sequence must be at least {min_gap} apart"
        )
    d_same, d_different = pair_distances(embeddings, index, sequences, frames, min_gap)
    intervals = {}
    if n_bootstrap:
        rng = np.random.default_rng(0) if rng is None else rng
        pairs = iterate_pairs(embeddings, index, sequences, frames, min_gap)
        intervals = _intervals(results, index, pairs, d_same, d_different, n_bootstrap, rng)
    return RetrievalReport(
        n_segments=n_segments,
        n_identities=len(names),
        n_queries=len(results["query"]),
        n_left_out=n_segments - len(results["query"]),
        **{metric: float(results[metric].mean()) for metric in _RANKED},
        **verification(d_same, d_different),
        per_identity=_per_identity(results, names, index),
        confusions=_confusions(results, names, index),
        intervals=intervals,
    )


_RANKED = ("rank1", "rank5", "map", "minp")


def _rank_queries(embeddings, index, sequences, frames, min_gap):
    """Arrays of shape (n_queries,), one for each key, over the queries that count."""
    rows = []
    for start in range(0, len(embeddings), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(embeddings)))
        distances = pairwise_distances(embeddings[block], embeddings)
        valid = valid_pairs(index, sequences, frames, min_gap, block)
        same = index[block, None] == index
        for query, d, positive, negative in zip(block, distances, valid & same, valid & ~same):
            positive, negative = np.flatnonzero(positive), np.flatnonzero(negative)
            if len(positive) and len(negative):
                rows.append((query, *_one_query(d, positive, negative)))
    keys = ("query", *_RANKED, "positive", "d_positive", "negative", "d_negative")
    return {key: np.array(column) for key, column in zip(keys, zip(*rows))} or {"query": []}


def _one_query(d, positive, negative):
    ranks = positive_ranks(d[positive], d[negative])
    precision = np.arange(1, len(ranks) + 1) / ranks
    nearest = [where[np.argmin(d[where])] for where in (positive, negative)]
    return (
        *(ranks[0] <= 1, ranks[0] <= 5, precision.mean(), precision[-1]),
        *(nearest[0], d[nearest[0]], nearest[1], d[nearest[1]]),
    )


def _per_identity(results, names, index):
    rows, names = [], names.tolist()  # plain values, from any kind of array
    for i in np.unique(index[results["query"]]):
        mine = index[results["query"]] == i
        means = {metric: float(results[metric][mine].mean()) for metric in _RANKED}
        rows.append({"identity": names[i], "n_queries": int(mine.sum()), **means})
    return tuple(rows)


def _confusions(results, names, index):
    wrong = np.flatnonzero(~results["rank1"])
    wrong = wrong[np.argsort(results["d_negative"][wrong], kind="stable")]
    keys = ("query", "negative", "d_negative", "positive", "d_positive")
    rows = zip(*(results[key][wrong].tolist() for key in keys))
    names = names[index].tolist()
    return tuple(Confusion(*row, names[row[0]], names[row[1]]) for row in rows)


def _intervals(results, index, pairs, d_same, d_different, n_draws, rng):
    groups = bootstrap.group_identities(index)
    n_groups = groups.max() + 1
    edges = bootstrap.distance_edges(d_same, d_different, n_groups)
    histograms = bootstrap.PairHistograms(edges, n_groups)
    for distances, a, b, same in pairs:
        histograms.add(distances, groups[a], groups[b], same)

    weights = bootstrap.draw_weights(n_groups, n_draws, rng)
    draws = bootstrap.verification_draws(*histograms.rates(weights))
    of_query = groups[results["query"]]
    n_queries = weights @ np.bincount(of_query, minlength=n_groups)
    for metric in _RANKED:
        sums = weights @ np.bincount(of_query, results[metric], minlength=n_groups)
        draws[metric] = np.divide(sums, n_queries, where=n_queries > 0, out=sums * np.nan)
    return {metric: bootstrap.interval(draws[metric]) for metric in METRICS}


def evaluate_set(embed: Callable, part: Any, **options) -> RetrievalReport:
    """Evaluate an embedding on a set of segments.

    Parameters
    ----------
    embed : callable
        Crops (N, S, S, 4) -> (N, D).
    part : SegmentSet
    **options
        Of `evaluate_retrieval`.

    Returns
    -------
    RetrievalReport
    """
    return evaluate_retrieval(
        embed(part.crops), part.identities, part.sequences, part.frames, **options
    )


def evaluate_beside_baselines(embed: Callable, parts: dict) -> dict:
    """Evaluate an embedding beside raw pixels and the colour histogram.

    Parameters
    ----------
    embed : callable
        Crops (N, S, S, 4) -> (N, D).
    parts : dict of str to SegmentSet

    Returns
    -------
    dict of str to RetrievalReport
        ``set: embedding`` -> report.
    """
    embeddings: dict[str, Callable] = {
        "raw pixels": raw_pixels,
        "HSV histogram": hsv_histogram,
        "InstanceID": embed,
    }
    return {
        f"{name}: {title}": evaluate_set(function, part)
        for name, part in parts.items()
        for title, function in embeddings.items()
    }

"""Choose the threshold, on identities that no training saw, for what the tracker does with it.

A tracker with a gallery makes two kinds of mistake: a *false reuse* gives a newcomer an old ID,
a *false new* gives an old instance a new ID. One threshold (L2, not squared) trades them. A
calibration says at what rates, with an interval, and for which weights it holds.

The rates come from draws. Every segment is asked about once a round, with a gallery of other
instances drawn at random, each known from a random number of views. Whatever it is nearest to
among them is what a *newcomer* would be taken for. If its own instance is known too, from other
sequences or frames far enough away, it is one that *comes back*.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from instanceid_utils.data.segment_sets import SegmentSet, collect
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.evaluation import bootstrap
from instanceid_utils.evaluation.pairs import (
    MIN_GAP,
    check_segments,
    pair_distances,
    pairwise_distances,
    roc_curve,
    valid_pairs,
    verification,
)

RULES = ("cost", "false-reuse", "eer", "far")


def calibrate(
    embeddings,
    identities,
    sequences,
    frames,
    *,
    rule: str = "cost",
    reuse_cost: float = 1.0,
    target: float | None = None,
    n_others: int = 10,
    max_exemplars: int = 8,
    min_gap: int = MIN_GAP,
    n_rounds: int = 4,
    n_bootstrap: int = 1000,
    rng: np.random.Generator | None = None,
    weights_sha256: str | None = None,
):
    """Choose the threshold for tracking from labelled segments.

    Parameters
    ----------
    embeddings, identities, sequences, frames
        Of identities that were not trained on; see `evaluation.evaluate_retrieval`.
    rule : {"cost", "false-reuse", "eer", "far"}
        "cost" minimises ``reuse_cost * false_reuse + false_new + wrong_id``: wrong answers for
        a newcomer and for an instance that comes back, as if both were equally frequent.
        "false-reuse" takes the largest threshold with a false reuse of at most `target`.
        "eer" and "far" look at pairs alone: where false accepts and false rejects meet, or the
        largest threshold with a false accept rate of at most `target`.
    reuse_cost : float
        How much worse a false reuse is than a false new.
    target : float, optional
        For "false-reuse" and "far".
    n_others, max_exemplars : int
        The gallery to expect: other instances in it, and views of each (at most).
    min_gap : int
        For how many frames at least an instance was away when it comes back.
    n_rounds : int
        Galleries drawn for each segment.
    n_bootstrap : int
        Bootstrap samples over identities.
    rng : numpy.random.Generator, optional
        Default: a fixed seed.
    weights_sha256 : str, optional
        Hash of the weights that made the embeddings.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        For another rule, a missing target, or data in which nothing comes back.
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}: {rule!r}")
    if rule in ("false-reuse", "far") and (target is None or not 0.0 <= target < 1.0):
        raise ValueError(f"rule {rule!r} needs a target, a rate in [0, 1): {target}")
    rng = np.random.default_rng(0) if rng is None else rng
    where = identities, sequences, frames
    d_same, d_different = pair_distances(embeddings, *where, min_gap)
    if not len(d_same) or not len(d_different):
        raise ValueError(
            f"nothing to calibrate on: {len(d_same)} pairs of the same identity at least "
            f"{min_gap} frames apart, {len(d_different)} pairs of different ones"
        )
    mistakes = MistakeCounts(
        simulate_appearances(
            embeddings,
            *where,
            n_others=n_others,
            max_exemplars=max_exemplars,
            min_gap=min_gap,
            n_rounds=n_rounds,
            rng=rng,
        )
    )
    pairs = verification(d_same, d_different)
    if rule == "far":
        far_wanted = roc_curve(d_same, d_different, THRESHOLDS)[0] <= target
        choose = functools.partial(_fixed, np.count_nonzero(far_wanted) - 1)
    elif rule == "eer":
        choose = functools.partial(_fixed, np.searchsorted(THRESHOLDS, pairs["eer_threshold"]))
    elif rule == "false-reuse":
        choose = functools.partial(_below_target, target=target)
    else:
        choose = functools.partial(_cheapest, reuse_cost=reuse_cost)

    rates = mistakes.rates(np.ones((1, mistakes.n_identities)))
    draws = mistakes.rates(bootstrap.draw_weights(mistakes.n_identities, n_bootstrap, rng))
    at = int(choose(rates)[0])
    threshold = float(THRESHOLDS[at])
    intervals = {name: bootstrap.interval(draws[name][:, at]) for name in RATES}
    intervals["threshold"] = bootstrap.interval(THRESHOLDS[choose(draws)])
    far, tar, _ = roc_curve(d_same, d_different, [threshold])
    return Calibration(
        threshold=threshold,
        rule=rule,
        reuse_cost=float(reuse_cost),
        target=None if target is None else float(target),
        false_reuse=float(rates["false_reuse"][0, at]),
        false_new=float(rates["false_new"][0, at]),
        wrong_id=float(rates["wrong_id"][0, at]),
        far=float(far[0]),
        frr=float(1.0 - tar[0]),
        eer=pairs["eer"],
        intervals=intervals,
        n_identities=mistakes.n_identities,
        n_segments=len(embeddings),
        n_others=n_others,
        max_exemplars=max_exemplars,
        min_gap=min_gap,
        curves={"thresholds": THRESHOLDS, **{name: rates[name][0] for name in RATES}},
        weights_sha256=weights_sha256,
    )


def _cheapest(rates, reuse_cost):
    costs = reuse_cost * rates["false_reuse"] + rates["false_new"] + rates["wrong_id"]
    best = costs <= costs.min(axis=1, keepdims=True) + 1e-9
    # Where the mistakes stop on a plateau, stay away from both of its ends.
    first, last = best.argmax(axis=1), best.shape[1] - 1 - best[:, ::-1].argmax(axis=1)
    return np.maximum((first + last) // 2, 1)


def _below_target(rates, target):
    return np.maximum(np.count_nonzero(rates["false_reuse"] <= target, axis=1) - 1, 1)


def _fixed(at, rates):
    return np.full(len(rates["false_reuse"]), max(at, 1))


def calibrate_dataset(
    embedder, dataset, sequences: Sequence | None = None, *, progress: bool = True, **options
):
    """Calibrate on one's own annotated video.

    Parameters
    ----------
    embedder : embedding.Embedder
    dataset : data.DavisDataset
        Identities are taken to be constant within a sequence, and new in each.
    sequences : sequence of str, optional
        Default: all of them.
    progress : bool
        Show a progress bar.
    **options
        For `calibrate`.

    Returns
    -------
    Calibration
        For the embedder's weights.
    """
    seen = collect(
        dataset, sequences, size=embedder.crop_size, margin=embedder.margin, progress=progress
    )
    options.setdefault("weights_sha256", embedder.weights_sha256)
    return calibrate_set(embedder.embed_crops, seen, **options)


def calibrate_set(embed: Callable, part: SegmentSet, **options) -> Calibration:
    """Calibrate on a set of segments that were not trained on.

    Parameters
    ----------
    embed : callable
        Crops (N, S, S, 4) to embeddings (N, D).
    part : data.SegmentSet
    **options
        For `calibrate`.

    Returns
    -------
    Calibration
    """
    vectors = embed(part.crops)
    return calibrate(vectors, part.identities, part.sequences, part.frames, **options)


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


class MistakeCounts:
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

"""Agglomeration: the same as looking through all pairs before every join."""

from __future__ import annotations

import numpy as np
import pytest

from instanceid_utils.tracking.second_look import agglomeration
from instanceid_utils.tracking.second_look.agglomeration import agglomerate


class Points(list):
    """Points on a line; those of two colours never join."""

    absorb = list.extend


def cost(one, other):
    """Distance of the means, None for two colours; colours are the signs."""
    if (one[0] < 0) != (other[0] < 0):
        return None
    return abs(sum(one) / len(one) - sum(other) / len(other))


def beyond(gap, n_groups):
    return gap > 3 / n_groups  # the fewer they are, the farther they join


def by_looking_at_all(groups, pairs):
    """Join the best of all pairs, again and again."""
    pairs = {tuple(pair) for pair in pairs}
    while True:
        costs = {(i, j): cost(groups[i], groups[j]) for i, j in pairs}
        costs = {pair: c for pair, c in costs.items() if c is not None}
        if not costs:
            return
        i, j = min(costs, key=lambda pair: (costs[pair], pair))
        if beyond(costs[i, j], len(groups)):
            return
        groups[i] += groups.pop(j)
        moved = {tuple(i if k == j else k for k in pair) for pair in costs}
        pairs = {(min(pair), max(pair)) for pair in moved if pair[0] != pair[1]}


@pytest.mark.parametrize("seed", range(20))
def test_it_joins_what_a_look_at_all_pairs_joins(seed, monkeypatch):
    monkeypatch.setattr(agglomeration, "_BLOCK", 7)
    rng = np.random.default_rng(seed)
    points = np.round(rng.normal(0, 2, 30), 1) + 0.05  # some costs are equal
    groups, plain = ({n: Points([x]) for n, x in enumerate(points.tolist())} for _ in "ab")
    pairs = np.argwhere(np.triu(rng.random((30, 30)) < 0.4, 1)).tolist()
    asked = []

    def compare(some):
        asked.append(len(some))
        return [cost(groups[i], groups[j]) for i, j in some]

    agglomerate(groups, pairs, compare, beyond)
    by_looking_at_all(plain, pairs)
    assert groups == plain and 1 < len(groups) < 28
    assert max(asked) == 7


def test_without_pairs_all_stay_alone():
    groups = {3: Points([1]), 5: Points([1])}
    agglomerate(groups, [], None, beyond)
    assert groups == {3: [1], 5: [1]}

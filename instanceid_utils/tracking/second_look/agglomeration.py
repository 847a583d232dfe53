"""Agglomeration: groups are joined two by two, the best pair first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

_BLOCK = 4096  # pairs compared at a time


def agglomerate(groups: dict, pairs: Sequence, compare: Callable, beyond: Callable) -> None:
    """Join groups until the best pair is not good enough.

    A group that was joined is compared anew, with the partners of both its parts.

    Parameters
    ----------
    groups : dict of int to object
        What is joined leaves it; the lower number of a pair stays and has to ``absorb`` the other.
    pairs : sequence of (int, int)
        Groups that may be partners, the lower number first.
    compare : callable
        ``compare(pairs)`` returns a cost for each; None for two that can never be one, whatever
        joins them.
    beyond : callable
        ``beyond(cost, n)`` tells whether a cost is too high while there are n groups. What is too
        high for one group is so for more.

    Examples
    --------
    >>> class Points(list):
    ...     absorb = list.extend
    >>> groups = {n: Points([x]) for n, x in enumerate([0, 1, 3, 9])}
    >>> def gaps(pairs):
    ...     return [min(groups[j]) - max(groups[i]) for i, j in pairs]
    >>> agglomerate(groups, [(0, 1), (1, 2), (2, 3)], gaps, lambda gap, n: gap > 4)
    >>> groups
    {0: [0, 1, 3], 3: [9]}
    """
    near: dict[int, set] = {i: set() for i in groups}
    for i, j in pairs:
        near[i].add(j)
        near[j].add(i)
    age, heap = dict.fromkeys(groups, 0), []

    def look_at(pairs):
        for start in range(0, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            for (i, j), cost in zip(block, compare(block)):
                if cost is None:
                    near[i].discard(j)
                    near[j].discard(i)
                elif not beyond(cost, 1):
                    heapq.heappush(heap, (cost, i, j, age[i], age[j]))

    look_at(pairs)
    while heap:
        cost, i, j, *ages = heapq.heappop(heap)
        if [age.get(i), age.get(j)] != ages:
            continue  # of what is no longer there as it was
        if beyond(cost, len(groups)):
            break
        groups[i].absorb(groups.pop(j))
        age[i] += 1
        del age[j]
        for k in near.pop(j):
            near[k].discard(j)
            if k != i:
                near[k].add(i)
                near[i].add(k)
        look_at([(min(i, k), max(i, k)) for k in sorted(near[i])])

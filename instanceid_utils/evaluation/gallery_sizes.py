"""The threshold as a function of how many instances are known.

A newcomer is compared with everybody. With a chance p of being taken for any one of them, it is
taken for somebody among n with a chance of at most n p. So what keeps false reuse below a target
is the distance that so few pairs of strangers fall short of, and the more are known, the smaller
it is. Beyond what the pairs at hand can tell, distances follow a power law, as those of points in
a space of some dimension do: p grows as the k-th power of the distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instanceid_utils.evaluation.pairs import check_segments, pairwise_distances
from instanceid_utils.segments.crops import filled
from instanceid_utils.segments.segments import box_segments, find_segments

SIZES = (10, 30, 100, 300, 1000, 3000, 10000)
TARGET = 0.01
_COMMON = 0.01  # chance up to which the power law is fitted
_RELIABLE = 20  # pairs of identities that a chance must stand on


def thresholds_by_size(
    embeddings,
    identities,
    *,
    alike=None,
    sizes: Sequence[int] = SIZES,
    target: float = TARGET,
    max_exemplars: int = 8,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Largest thresholds that keep false reuse below a target in galleries of these sizes.

    Parameters
    ----------
    embeddings : array_like of shape (N, D), float
    identities : array_like of shape (N,)
        Unique over all sequences; not trained on.
    alike : array_like of shape (N,), optional
        Identities with the same value here were made to look alike; they are no strangers.
    sizes : sequence of int
        Identities in the gallery.
    target : float
        Share of newcomers that may get an old ID.
    max_exemplars : int
        Each identity is known from 1 to so many of its views, equally likely.
    rng : numpy.random.Generator, optional
        Default: a fixed seed.

    Returns
    -------
    ndarray of shape (len(sizes),), float64
        L2, not squared; never larger for a larger gallery.

    Raises
    ------
    ValueError
        If there are fewer than 50 identities: too few to say anything about rare mistakes.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    embeddings, identities = check_segments(embeddings, identities, identities, identities)
    n = len(np.unique(identities))
    if n < 50:
        raise ValueError(f"identities: expected 50 or more, got {n}")
    distances = np.sort(_to_strangers(embeddings, identities, alike, max_exemplars, rng))
    chances = np.arange(1, len(distances) + 1) / len(distances)
    wanted = target / np.asarray(sizes, float)
    rare = min(_RELIABLE / n**2, _COMMON / 10)
    ends = np.searchsorted(chances, [rare, _COMMON])
    fitted = np.unique(np.geomspace(max(ends[0], 1), ends[1], 50).astype(int)) - 1
    logs = np.log(np.maximum(distances[fitted], 1e-6)), np.log(chances[fitted])
    slope, start = np.polyfit(logs[1], logs[0], 1)
    law = np.exp(start + slope * np.log(wanted))
    known = distances[np.maximum(np.searchsorted(chances, wanted, side="right") - 1, 0)]
    found = np.where(wanted >= rare, known, law)
    return np.clip(np.minimum.accumulate(found), 1e-3, 2.0)


def _to_strangers(embeddings, identities, alike, max_exemplars, rng):
    """Distances of each view to each other identity, as far as they are strangers."""
    index = np.unique(identities, return_inverse=True)[1]
    group = index if alike is None else np.unique(alike, return_inverse=True)[1]
    exemplars, first, groups = [], [], []
    for i in range(index.max() + 1):
        mine = np.flatnonzero(index == i)
        first.append(sum(map(len, exemplars)))
        exemplars.append(rng.permutation(mine)[: rng.integers(1, max_exemplars + 1)])
        groups.append(group[mine[0]])
    nearest = pairwise_distances(embeddings, embeddings[np.concatenate(exemplars)])
    nearest = np.minimum.reduceat(nearest, first, axis=1)
    return nearest[group[:, None] != np.array(groups)[None]]


def as_masks_and_boxes(crops: np.ndarray) -> dict[str, np.ndarray]:
    """Make of crops with their background what masks, and what boxes, would have cut out.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
        See ``segments.with_background``.

    Returns
    -------
    dict of str to ndarray of shape (N, S, S, 4), uint8
        "masks" and "boxes".
    """
    inside = crops[..., 3] > 127
    boxed = np.zeros_like(inside)
    for mask, out in zip(inside, boxed):
        box = box_segments(find_segments(mask[np.newaxis]).boxes_tlbr, mask.shape)
        left, top, right, bottom = box.boxes_tlbr[0]
        out[top:bottom, left:right] = box.patches[0]
    return {"masks": filled(crops[..., :3], inside), "boxes": filled(crops[..., :3], boxed)}

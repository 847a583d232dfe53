"""Which segments meet in a batch: P x K batches, and random triplets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instanceid_utils.training.look_alikes import LookAlikes


class PKSampler:
    """Batches of P identities with K instances each, drawn afresh on every iteration.

    Online mining needs positives and negatives inside the batch; a P x K batch always has
    both (Hermans et al. 2017, section 2). All batches have the same size.

    Parameters
    ----------
    labels : array_like of shape (N,), int
        Identity of each segment.
    n_identities : int
        P, different identities in a batch, at least 2 (one alone has no negative).
    n_instances : int
        K, instances of each, at least 2 (one alone has no positive). An identity with fewer
        than K shows all it has before any of them comes again.
    rng : numpy.random.Generator
        Source of randomness. It moves on with each epoch.
    n_batches : int, optional
        Batches in an epoch. Default: enough to show about N segments, at least 1.
    run : int
        Half of a batch's identities are drawn as runs of this many neighbours in the order of
        the labels. Where look-alikes are numbered side by side, they meet in a batch and are
        its hard negatives. Default: 1, all identities drawn alone.
    look_alikes : LookAlikes, optional
        A memory of the labels' identities, to draw these runs from in place of neighbours. Who
        was not met yet brings nobody.
    allow_singletons : bool
        Take identities with a single instance too, K times the same segment. That makes
        sense only if each copy is augmented differently.

    Raises
    ------
    ValueError
        If P or K is below 2, if there are fewer than P identities, or if an identity has a
        single instance and `allow_singletons` is False (the message names them).

    Examples
    --------
    >>> labels = np.repeat([7, 8, 9], 4)
    >>> sampler = PKSampler(labels, 2, 3, np.random.default_rng(0), n_batches=5)
    >>> [len(np.unique(labels[batch])) for batch in sampler]
    [2, 2, 2, 2, 2]
    """

    def __init__(
        self,
        labels: npt.ArrayLike,
        n_identities: int,
        n_instances: int,
        rng: np.random.Generator,
        n_batches: int | None = None,
        *,
        run: int = 1,
        look_alikes: LookAlikes | None = None,
        allow_singletons: bool = False,
    ):
        labels = _check_labels(labels)
        if n_identities < 2:
            raise ValueError(f"n_identities must be at least 2 to have negatives: {n_identities}")
        if n_instances < 2:
            raise ValueError(f"n_instances must be at least 2 to have positives: {n_instances}")
        self.identities, counts = np.unique(labels, return_counts=True)
        if len(self.identities) < n_identities:
            raise ValueError(
                f"labels hold {len(self.identities)} identities, a batch needs {n_identities}"
            )
        lonely = self.identities[counts == 1]
        if len(lonely) and not allow_singletons:
            shown = ", ".join(map(str, lonely[:10])) + (", ..." if len(lonely) > 10 else "")
            raise ValueError(
                f"{len(lonely)} identities have one instance and so no positive pair: {shown}. "
                "Leave them out, or pass allow_singletons=True"
            )
        if not 1 <= run <= n_identities:
            raise ValueError(f"run must be in [1, n_identities = {n_identities}]: {run}")
        if n_batches is None:
            n_batches = max(1, len(labels) // (n_identities * n_instances))
        self.n_identities, self.n_instances = n_identities, n_instances
        self.n_batches, self._rng, self._run = n_batches, rng, run
        self._look_alikes = look_alikes
        self._members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])

    @property
    def batch_size(self) -> int:
        """P * K."""
        return self.n_identities * self.n_instances

    def __len__(self):
        return self.n_batches

    def __iter__(self):
        """Yield `n_batches` index arrays of shape (P * K,), int64, grouped by identity."""
        for _ in range(self.n_batches):
            yield np.concatenate([self._draw(self._members[i]) for i in self._choose()])

    def _choose(self):
        if self._run == 1:
            return self._rng.choice(len(self._members), self.n_identities, replace=False)
        n_runs = self.n_identities // 2 // self._run
        if self._look_alikes is not None:
            neighbours = self._alike(n_runs)
        else:
            starts = self._rng.choice(len(self._members) // self._run, n_runs, replace=False)
            neighbours = (starts[:, None] * self._run + np.arange(self._run)).ravel()
        others = self._rng.permutation(np.setdiff1d(np.arange(len(self._members)), neighbours))
        return np.concatenate([neighbours, others[: self.n_identities - len(neighbours)]])

    def _alike(self, n_runs):
        seeds = self._rng.choice(len(self._members), n_runs, replace=False)
        near = [self._look_alikes.around(seed, self._run - 1) for seed in seeds.tolist()]
        return np.unique(np.concatenate([seeds, *near]))

    def _draw(self, members):
        if len(members) >= self.n_instances:
            return self._rng.choice(members, self.n_instances, replace=False)
        return np.resize(self._rng.permutation(members), self.n_instances)


def random_triplets(labels: npt.ArrayLike, rng: np.random.Generator, n: int | None = None) -> tuple:
    """Positive pairs, each with a random negative: the plain triplet idea.

    Parameters
    ----------
    labels : array_like of shape (N,), int
        Identity of each segment.
    rng : numpy.random.Generator
        Source of randomness.
    n : int, optional
        How many triplets, their (anchor, positive) drawn uniformly, with replacement, from
        all ordered positive pairs. Default: every ordered positive pair once, in order of
        the anchor.

    Returns
    -------
    anchor, positive, negative : three ndarray of shape (n,), int64
        Indices into `labels`; the anchor is never its own positive.

    Raises
    ------
    ValueError
        If no identity has two instances, or there is only one identity.
    """
    labels = _check_labels(labels)
    order = np.argsort(labels, kind="stable")  # each identity becomes one run of positions
    _, first, inverse, counts = np.unique(
        labels[order], return_index=True, return_inverse=True, return_counts=True
    )
    if len(counts) < 2:
        raise ValueError("labels hold a single identity: there is no negative to draw")
    start, size = first[inverse], counts[inverse]
    n_pairs_until = np.cumsum(size - 1)  # an anchor has size - 1 positives
    if n_pairs_until[-1] == 0:
        raise ValueError("no identity has two instances: there is no positive pair to draw")

    pair = np.arange(n_pairs_until[-1]) if n is None else rng.integers(n_pairs_until[-1], size=n)
    anchor = np.searchsorted(n_pairs_until, pair, side="right")
    start, size = start[anchor], size[anchor]
    positive = start + pair - (n_pairs_until[anchor] - (size - 1))
    positive += positive >= anchor  # step over the anchor itself
    negative = rng.integers(len(labels) - size)
    negative += np.where(negative >= start, size, 0)  # step over the anchor's identity
    triplets = order[anchor], order[positive], order[negative]
    if n is None:
        by_anchor = np.lexsort((triplets[1], triplets[0]))
        triplets = tuple(t[by_anchor] for t in triplets)
    return triplets


def _check_labels(labels):
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"labels must be integers of shape (N,), got {labels.dtype} of shape {labels.shape}"
        )
    return labels

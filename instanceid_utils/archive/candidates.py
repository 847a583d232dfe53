"""Which tracks of an archive to compare: for each those that have the nearest views.

Up to some thousand views the search is exact. Beyond, FAISS looks into the nearest cells of an
inverted file, so that time grows little faster than the archive. Equal tracks in equal order give
equal candidates.
"""

from __future__ import annotations

import math

import faiss
import numpy as np

N_NEAREST = 16  # tracks, of each
EXACT_LIMIT = 20_000  # views
N_PROBE = 32
_PER_VIEW = 64  # views asked for; many are of the track itself, or of one other
_CELLS_PER_ROOT, _SAMPLE_PER_CELL = 4, 40
_BLOCK = 4096  # tracks at a time


def nearest_tracks(views: np.ndarray, owners: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Find the tracks that look most alike.

    Parameters
    ----------
    views : ndarray of shape (v, D), float32
        Of unit length.
    owners : ndarray of shape (v,), int64
        The track of each, 0, 1, 2 and so on, in increasing order.
    exact : bool
        Look at all, however many there are.

    Returns
    -------
    ndarray of shape (p, 2), int64
        Pairs of tracks, the lower first, sorted; each once.
    """
    n_tracks = int(owners[-1]) + 1 if len(owners) else 0
    if n_tracks < 2:
        return np.zeros((0, 2), np.int64)
    index = _index(views, exact)
    starts = np.searchsorted(owners, np.arange(0, n_tracks + _BLOCK, _BLOCK))
    found = []
    for first, stop in zip(starts, starts[1:]):
        if first < stop:
            squared, rows = index.search(views[first:stop], min(_PER_VIEW, len(views)))
            found.append(_few_of_each(owners[first:stop], owners, rows, squared))
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs, axis=0)


def _index(views, exact):
    n, dim = views.shape
    flat = faiss.IndexFlatL2(dim)
    if exact or n <= EXACT_LIMIT:
        flat.add(views)
        return flat
    n_cells = int(_CELLS_PER_ROOT * math.sqrt(n))
    index = faiss.IndexIVFScalarQuantizer(
        flat, dim, n_cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_L2, False
    )
    rng = np.random.default_rng([0, n])
    sample = np.sort(rng.choice(n, min(n, _SAMPLE_PER_CELL * n_cells), replace=False))
    index.cp.niter, index.cp.seed = 6, 1
    index.train(views[sample])
    index.add(views)
    index.nprobe = N_PROBE
    return index


def _few_of_each(askers, owners, rows, squared):
    """Return for each asking track those with the nearest views, itself left out, (p, 2)."""
    whose = np.where(rows >= 0, owners[rows], -1)
    one = np.repeat(askers, rows.shape[1])
    other, squared = whose.ravel(), squared.ravel()
    keep = (other >= 0) & (other != one)
    one, other, squared = one[keep], other[keep], squared[keep]
    order = np.lexsort((squared, other, one))
    one, other, squared = one[order], other[order], squared[order]
    first = np.ones(len(one), bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    one, other, squared = one[first], other[first], squared[first]
    order = np.lexsort((other, squared, one))
    one, other = one[order], other[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    return np.stack([one, other], axis=1)[rank < N_NEAREST]

"""What the gallery takes, and the errors for all else."""

from __future__ import annotations

import math
import operator

import numpy as np

UNIT_TOLERANCE = 1e-3  # of the length of a vector
MAX_ID = 2**63 - 1
_FLOAT32 = np.dtype(np.float32)
POLICIES = ("exemplars", "mean", "both")


def check_ids(ids, name="ids"):
    """Return different positive integers as int64 (N,), or raise a ValueError."""
    array = _integers(ids, name, "shape (N,), from 1 to 2**63 - 1", ndim=1)
    listed = array.tolist()
    if listed and not 0 < min(listed) <= max(listed) <= MAX_ID:
        bad = next(i for i in listed if not 0 < i <= MAX_ID)
        raise ValueError(f"{name}: expected IDs from 1 to 2**63 - 1, got {bad}")
    if len(set(listed)) != len(listed):
        twice = next(i for i in listed if listed.count(i) > 1)
        raise ValueError(f"{name}: ID {twice} comes more than once; an ID has one view per call")
    return array.astype(np.int64, copy=False)


def check_id_rows(ids, n, name="ids"):
    """Return int64 (n, M), IDs beside each of n vectors: as given, or the same (M,) for all."""
    if np.ndim(ids) != 2:
        ids = check_ids(ids, name)
        return np.broadcast_to(ids, (n, len(ids)))
    array = _integers(ids, name, f"shape (M,) or ({n}, M)", ndim=2)
    if len(array) != n:
        raise ValueError(f"{name}: expected a row for each of {n} vectors, got {len(array)}")
    bad = array[((array < 1) & (array != -1)) | (array > MAX_ID)]
    if bad.size:
        raise ValueError(f"{name}: expected IDs from 1 to 2**63 - 1, or -1, got {bad[0]}")
    return array.astype(np.int64, copy=False)


def _integers(values, name, expected, ndim):
    """Return an array of integers; what is empty has no type of its own."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != ndim or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: expected integers of {expected}, got {array.dtype} of shape {array.shape}"
        )
    return array


def check_vectors(vectors, dim, n=None, name="vectors"):
    """Return unit vectors as contiguous float32 (N, D), or raise a ValueError."""
    array = np.asarray(vectors)
    if array.dtype != _FLOAT32 or array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(
            f"{name}: expected float32 of shape (N, {dim}), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if n is not None and len(array) != n:
        raise ValueError(f"{name}: expected as many as IDs, {n}, got {len(array)}")
    squared = np.einsum("nd,nd->n", array, array)
    off = squared - 1
    # One look at all of them together first; it fails for NaN, as any comparison does.
    if not (off @ off <= UNIT_TOLERANCE**2 or np.abs(off).max() <= 2 * UNIT_TOLERANCE):
        bad = int((np.abs(off) <= 2 * UNIT_TOLERANCE).argmin())
        raise ValueError(
            f"{name}: expected finite vectors of length 1, "
            f"number {bad} has length {math.sqrt(squared[bad]):g}"
        )
    return np.ascontiguousarray(array)


def check_keep(keep, n):
    """Return a bool array (N,), or raise a ValueError."""
    array = np.asarray(keep)
    if array.shape != (n,) or (n and array.dtype != bool):
        raise ValueError(
            f"keep: expected bool of shape ({n},), got {array.dtype} of shape {array.shape}"
        )
    return array.astype(bool, copy=False)


def check_time(time, name="time"):
    """Return a finite float, or raise a ValueError."""
    try:
        value = float(time)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {time!r}")
    return value


def check_weights(weights_sha256):
    """Return the hash of some weights as given, or raise a ValueError."""
    if weights_sha256 is not None and not isinstance(weights_sha256, str):
        raise ValueError(f"weights_sha256: expected a str or None, got {weights_sha256!r}")
    return weights_sha256


def check_count(value, name, least=1, most=MAX_ID + 1):
    """Return an int from least to most, or raise a ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most or isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name}: expected an integer from {least} to {most}, got {value!r}")
    return number


def check_keys(keys, known, id):
    """Tell which of the known keys are chosen; some but not all of them must be."""
    array = _integers(keys, "keys", "shape (N,)", ndim=1)
    strange = np.setdiff1d(array, known)
    if strange.size:
        raise ValueError(f"keys: ID {id} has no exemplar with key {strange[0]}")
    chosen = np.isin(known, array)
    if not chosen.any() or chosen.all():
        raise ValueError(
            f"keys: expected some but not all of the {len(known)} exemplars of ID {id}, "
            f"got {int(chosen.sum())}"
        )
    return chosen


def check_settings(
    dim, max_exemplars, policy, momentum, min_novelty, exact_limit, n_probe, n_threads
):
    """Return the settings of a gallery as a dict, or raise a ValueError."""
    if policy not in POLICIES:
        raise ValueError(f"policy: expected one of {POLICIES}, got {policy!r}")
    if not 0 <= check_time(momentum, "momentum") < 1:
        raise ValueError(f"momentum: expected a number in [0, 1), got {momentum}")
    if not 0 <= check_time(min_novelty, "min_novelty") <= 2:
        raise ValueError(f"min_novelty: expected a distance in [0, 2], got {min_novelty}")
    return {
        "dim": check_count(dim, "dim", most=2**16),
        "max_exemplars": check_count(max_exemplars, "max_exemplars", most=2**10),
        "policy": policy,
        "momentum": float(momentum),
        "min_novelty": float(min_novelty),
        "exact_limit": check_count(exact_limit, "exact_limit", least=0),
        "n_probe": n_probe if n_probe == "all" else check_count(n_probe, "n_probe"),
        "n_threads": check_count(n_threads, "n_threads", most=2**10),
    }

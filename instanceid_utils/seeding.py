"""One seed for everything random in a notebook."""

from __future__ import annotations

import random

import numpy as np


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python, NumPy and TensorFlow, and ask TensorFlow for deterministic kernels.

    Parameters
    ----------
    seed : int
        Any integer in [0, 2**32).

    Returns
    -------
    numpy.random.Generator
        A generator of its own, seeded alike: pass it on as ``rng``.
    """
    from instanceid_utils.embedding.tensorflow import tf

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries still draw from the global state
    tf.random.set_seed(seed)
    tf.config.experimental.enable_op_determinism()
    return np.random.default_rng(seed)

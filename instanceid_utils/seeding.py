"""One seed for everything random in a notebook."""

from __future__ import annotations

import random
from importlib.util import find_spec

import numpy as np


def seed_everything(seed: int) -> np.random.Generator:
    """Seed Python and NumPy, and TensorFlow with its add-ons where they are installed.

    Parameters
    ----------
    seed : int
        Any integer in [0, 2**32).

    Returns
    -------
    numpy.random.Generator
        A generator of its own, seeded alike: pass it on as ``rng``.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries still draw from the global state
    if find_spec("tensorflow_addons") is not None:
        from instanceid_utils.embedding.tensorflow import tf

        tf.random.set_seed(seed)
        tf.config.experimental.enable_op_determinism()
    return np.random.default_rng(seed)

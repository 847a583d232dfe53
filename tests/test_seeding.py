"""Notebooks that train nothing run without TensorFlow too."""

import random
import sys

import numpy as np

from instanceid_utils.seeding import seed_everything


def _draws(seed):
    rng = seed_everything(seed)
    return random.random(), np.random.rand(), rng.random()  # noqa: NPY002 - the global state


def test_a_seed_gives_the_same_draws_without_tensorflow(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)  # as where it is not installed
    assert _draws(3) == _draws(3)
    assert not set(_draws(3)) & set(_draws(4))

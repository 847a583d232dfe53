"""Whom the memory names, and that batches are drawn from it."""

import numpy as np
import pytest

from instanceid_utils.training.look_alikes import LookAlikes
from instanceid_utils.training.sampling import PKSampler

IDENTITIES = np.array([3, 5, 8, 13, 21])


@pytest.fixture
def memory():
    """Remember four of five on a line, at 0, 1, 3 and 6."""
    alike = LookAlikes(IDENTITIES)
    places = {13: 0.0, 3: 1.0, 21: 3.0, 5: 6.0}
    labels = np.repeat(list(places), 2)
    views = np.repeat(list(places.values()), 2)[:, None] + np.tile([-0.1, 0.1], 4)[:, None]
    alike.remember(labels, views.astype(np.float32))
    return alike


def test_the_nearest_come_first_and_who_was_not_met_brings_nobody(memory):
    assert IDENTITIES[memory.around(3, 3)].tolist() == [3, 21, 5]
    assert IDENTITIES[memory.around(1, 2)].tolist() == [21, 3]
    assert not len(memory.around(2, 3))  # 8 was never met
    assert not len(LookAlikes(IDENTITIES).around(0, 3))
    assert 2 not in memory.around(0, 9)


def test_the_last_meeting_counts(memory):
    memory.remember(np.array([5, 5]), np.array([[0.4], [0.6]], np.float32))
    assert IDENTITIES[memory.around(3, 1)].tolist() == [5]


def test_batches_hold_those_who_look_alike():
    labels = np.repeat(np.arange(40), 4)
    alike = LookAlikes(np.arange(40))
    twins = np.arange(40) % 20  # n and n + 20 lie side by side
    alike.remember(np.arange(40), np.eye(20, dtype=np.float32)[twins])
    rng = np.random.default_rng(0)
    sampler = PKSampler(labels, 8, 2, rng, n_batches=50, run=2, look_alikes=alike)
    together = []
    for batch in sampler:
        found, counts = np.unique(labels[batch], return_counts=True)
        assert len(found) == 8 and (counts == 2).all()
        together.append(len(found) - len(np.unique(found % 20)))
    assert np.mean(together) > 1.9  # pairs of twins; chance alone brings .7

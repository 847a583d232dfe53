import numpy as np

from instanceid_utils.archive import candidates
from instanceid_utils.archive.candidates import nearest_tracks
from tests.small_archives import random_looks


def test_the_nearest_tracks_are_found(monkeypatch):
    rng = np.random.default_rng(0)
    views, owners = random_looks(120, rng, 8), np.repeat(np.arange(40), 3)
    monkeypatch.setattr(candidates, "N_NEAREST", 5)
    found = nearest_tracks(views, owners)
    squared = ((views[:, None] - views) ** 2).sum(-1).reshape(40, 3, 40, 3).min((1, 3))
    np.fill_diagonal(squared, np.inf)
    wanted = {tuple(sorted((i, j))) for i in range(40) for j in squared[i].argsort()[:5].tolist()}
    assert set(map(tuple, found.tolist())) == wanted
    assert len(found) == len(wanted) and (found[:, 0] < found[:, 1]).all()


def test_few_and_none():
    assert nearest_tracks(np.zeros((0, 8), np.float32), np.zeros(0, np.int64)).shape == (0, 2)
    assert len(nearest_tracks(random_looks(3, np.random.default_rng(0)), np.zeros(3, int))) == 0

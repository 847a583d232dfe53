"""An archive of more and more instances."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils.embedding import Calibration
from instanceid_utils.evaluation import calibrate, score_archive


def population(n, n_views=12, spread=0.02, dim=24, seed=0):
    """Points in tight groups, one group an instance: vectors, identities, sequences, frames."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n, 1, dim))
    points = centres / np.linalg.norm(centres, axis=2, keepdims=True)
    points = points + spread * rng.normal(size=(n, n_views, dim))
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    identities, views = np.repeat(np.arange(n), n_views), np.tile(np.arange(n_views), n)
    return points.reshape(-1, dim).astype(np.float32), identities, identities, views


def score(part, threshold=0.4, **options):
    return score_archive(*part, threshold, progress=False, **options)


def test_who_can_be_told_apart_is():
    table = score(population(20), sizes=(5, 20, 1000))
    assert table.instances.tolist() == [5, 20]
    assert (table.IDF1 == 1).all() and (table[["false_reuse", "false_new", "wrong_id"]] == 0).all(
        0
    ).all()


def test_a_threshold_of_nothing_makes_everybody_new_and_a_large_one_nobody():
    strict, lax = (score(population(20), at, sizes=(20,)).iloc[0] for at in (1e-3, 2.0))
    assert strict.false_new == 1 and strict.false_reuse == 0
    assert lax.false_new == 0 and lax.false_reuse == 19 / 20


def test_mistakes_grow_with_the_number_of_instances():
    table = score(population(60, dim=3, spread=0.01), 0.3, sizes=(6, 60))
    assert table.false_reuse[0] < 0.4 < table.false_reuse[1] and table.IDF1[0] > table.IDF1[1]


def test_a_threshold_that_falls_with_the_gallery_keeps_newcomers_apart(monkeypatch):
    part = population(30, dim=4)
    record = replace(calibrate(*part, min_gap=3, n_rounds=1, n_bootstrap=10), threshold=0.6)
    fixed = score(part, record, sizes=(30,)).iloc[0]
    assert fixed.equals(score(part, 0.6, sizes=(30,)).iloc[0])
    monkeypatch.setattr(Calibration, "threshold_for", lambda self, n: 0.6 / (1 + n / 5))
    falling = score(part, record, sizes=(30,)).iloc[0]
    assert falling.false_reuse < 0.5 * fixed.false_reuse


def test_first_and_last_segments_are_the_shots():
    points, *where = population(6, n_views=20)
    points.reshape(6, 20, -1)[:, 6:14] = 1 / np.sqrt(24)  # all alike between the shots
    assert score((points, *where)).IDF1.tolist() == [1.0]


def test_who_is_seen_too_seldom_is_left_out():
    with pytest.raises(ValueError, match="12 segments"):
        score(population(5, n_views=11))

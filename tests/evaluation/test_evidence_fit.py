"""Evidence is fitted to who was who: numbers that were put in come out again."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils.evaluation.evidence_fit import (
    NOBODY,
    UNCLEAR,
    Pairs,
    candidate_pairs,
    fit_evidence,
    true_identities,
)
from instanceid_utils.evaluation.overlaps import box_overlaps
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.observation import observe
from tests.painted_scenes import BLUE, GREEN, RED, ColourEmbedder, paint


def test_whom_a_segment_shows():
    truth = np.array([[0, 0, 20, 20], [40, 0, 60, 20]])
    found = np.array(
        [
            [0, 0, 20, 18],  # the first one
            [1, 0, 20, 14],  # and again, less well
            [40, 0, 49, 20],  # a part of the second
            [80, 80, 90, 90],  # nobody
        ]
    )
    assert true_identities(box_overlaps([7, 9], truth, found)).tolist() == [
        7,
        UNCLEAR,
        UNCLEAR,
        NOBODY,
    ]
    nothing = box_overlaps([], np.zeros((0, 4)), found)
    assert true_identities(nothing).tolist() == [NOBODY] * 4


def test_pairs_of_a_video():
    embedder = ColourEmbedder()
    scenes = [[(1, RED, 10 + 2 * t, 20, 20, 30), (2, GREEN, 90, 20, 20, 30)] for t in range(4)]
    scenes[3].append((3, BLUE, 150, 60, 20, 30))
    seen = [observe(embedder, *paint(*scene)) for scene in scenes]
    truth = [[1, 2], [1, 2], [1, UNCLEAR], [1, 2, 3]]
    pairs = candidate_pairs(seen, truth, embedder.threshold)
    # Nobody is known in the first frame; the unclear segment is left out; two candidates each.
    assert np.bincount(pairs.segment).tolist() == [0, 0, 2, 2, 2, 0, 2, 2, 2]
    assert pairs.same.sum() == 5 and not pairs.same[pairs.segment == 8].any()
    assert pairs.distance[pairs.same] == pytest.approx(0, abs=1e-3)
    assert pairs.age[(pairs.segment == 7) & pairs.same].tolist() == [2]
    assert pairs.placed.all() and (pairs.width > 0).all()
    expected_room = 20 * 30 / np.prod(seen[0].segments.frame_shape)
    assert pairs.room == pytest.approx(expected_room)


def draw(evidence, rng, n=4000):
    """Draw segments with one candidate each, who is the one or another as the model says."""
    same = rng.random(n) < 0.5
    width, room, age = 0.05, 0.01, np.ones(n)
    spread = evidence.width * width
    radius = spread * np.sqrt((1 - rng.random(n)) ** -2.0 - 1)  # Student t, 1 degree, in the plane
    anywhere = np.sqrt(rng.random(n) / (np.pi * (room + evidence.rivals)))
    jumps = rng.random(n) < evidence.jump
    error = np.where(same & ~jumps, radius, anywhere)
    odds = 1 / (1 + np.exp(-evidence.looks * (1 - np.linspace(0, 2, 201))))
    near, far = odds / odds.sum(), (1 - odds) / (1 - odds).sum()
    distance = np.where(same, rng.choice(201, n, p=near), rng.choice(201, n, p=far)) / 100
    nothing = np.zeros(n)
    return Pairs(
        np.arange(n),
        same,
        distance,
        np.ones(n, bool),
        error,
        age,
        nothing,
        np.full(n, room),
        np.full(n, width),
    )


def test_what_was_put_in_comes_out():
    true = replace(Evidence(), looks=8.0, width=2.0, jump=0.05, rivals=0.1, variety=0.5)
    videos = [draw(true, np.random.default_rng(seed)) for seed in range(3)]
    found = fit_evidence(videos, replace(Evidence(), looks=4.0, width=1.0, rivals=0.1))
    assert found.looks == pytest.approx(true.looks, rel=0.15)
    assert found.width == pytest.approx(true.width, rel=0.3)
    assert (found.entry, found.beside) == (Evidence().entry, Evidence().beside)


def test_nobody_seen_again_is_an_error():
    empty = candidate_pairs([], [], 0.5)
    assert len(empty.same) == 0
    with pytest.raises(ValueError, match="somebody is seen again"):
        fit_evidence([empty])

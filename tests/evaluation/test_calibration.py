import json

import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.descriptors import hsv_histogram
from instanceid_utils.evaluation.calibration import (
    THRESHOLDS,
    MistakeCounts,
    _cheapest,
    calibrate,
    calibrate_dataset,
    simulate_appearances,
)
from instanceid_utils.evaluation.pairs import pair_distances

SHA = "ab" * 32


def make_segments(seed=0, n_identities=24, n_views=10, noise=0.35, dim=8):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_identities, 1, dim))
    centres /= np.linalg.norm(centres, axis=2, keepdims=True)
    vectors = centres + noise * rng.normal(size=(n_identities, n_views, dim)) / np.sqrt(dim)
    vectors = (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).reshape(-1, dim)
    identities = np.repeat(np.arange(n_identities), n_views)
    frames = np.tile(np.arange(n_views) * 20, n_identities)
    return vectors.astype(np.float32), identities, identities // 4, frames


@pytest.fixture(scope="module")
def calibration():
    return calibrate(*make_segments(), weights_sha256=SHA)


def test_the_threshold_is_the_cheapest(calibration):
    curves = calibration.curves
    costs = curves["false_reuse"] + curves["false_new"] + curves["wrong_id"]
    at = np.flatnonzero(curves["thresholds"] == calibration.threshold)[0]
    assert costs[at] == pytest.approx(costs.min(), abs=1e-6)
    assert 0 < calibration.false_reuse < 0.5
    assert calibration.false_reuse == pytest.approx(curves["false_reuse"][at])
    assert calibration.false_new == pytest.approx(curves["false_new"][at])
    assert calibration.n_identities == 24
    assert calibration.n_segments == 240


def test_curves_go_the_way_they_must(calibration):
    assert (np.diff(calibration.curves["false_reuse"]) >= 0).all()
    assert (np.diff(calibration.curves["false_new"]) <= 0).all()
    assert (np.diff(calibration.curves["wrong_id"]) >= 0).all()
    assert calibration.curves["false_reuse"][0] == 0
    assert calibration.curves["false_new"][0] == 1
    assert calibration.curves["false_new"][-1] == 0


def test_rates_of_pairs_are_those_of_the_threshold(calibration):
    d_same, d_different = pair_distances(*make_segments())
    assert calibration.far == pytest.approx(np.mean(d_different <= calibration.threshold))
    assert calibration.frr == pytest.approx(np.mean(d_same > calibration.threshold))


def test_intervals_hold_the_value_and_repeat(calibration):
    for name, (low, high) in calibration.intervals.items():
        assert low <= getattr(calibration, name) <= high, name
    again = calibrate(*make_segments(), weights_sha256=SHA)
    assert again.to_json() == calibration.to_json()
    assert calibration.intervals["false_new"][0] < calibration.intervals["false_new"][1]


def test_the_rates_come_true_on_other_identities(calibration):
    """The promise of a calibration: what it says of these identities holds for others."""
    fresh = calibrate(*make_segments(seed=1, n_identities=60), n_bootstrap=10)
    at = np.flatnonzero(THRESHOLDS == calibration.threshold)[0]
    for name in ("false_reuse", "false_new"):
        assert fresh.curves[name][at] == pytest.approx(getattr(calibration, name), abs=0.06)


def test_dearer_false_reuse_lowers_the_threshold(calibration):
    careful = calibrate(*make_segments(), reuse_cost=5.0)
    assert careful.threshold < calibration.threshold
    assert careful.false_reuse < calibration.false_reuse


def test_rules_reach_their_targets():
    segments = make_segments()
    reuse = calibrate(*segments, rule="false-reuse", target=0.05)
    assert reuse.false_reuse <= 0.05
    at = np.flatnonzero(THRESHOLDS == reuse.threshold)[0]
    assert reuse.curves["false_reuse"][at + 1] > 0.05
    far = calibrate(*segments, rule="far", target=0.01)
    assert 0.005 < far.far <= 0.01
    eer = calibrate(*segments, rule="eer")
    assert eer.far == pytest.approx(eer.eer, abs=0.01)
    assert eer.frr == pytest.approx(eer.eer, abs=0.01)


def test_a_larger_gallery_has_more_false_reuse():
    segments = make_segments()
    few, many = (calibrate(*segments, n_others=n) for n in (2, 20))
    assert (few.curves["false_reuse"] <= many.curves["false_reuse"] + 0.02).all()
    assert few.threshold > many.threshold


def test_separable_identities_get_a_threshold_in_the_gap():
    vectors = np.repeat(np.eye(6), 4, axis=0)  # 0 within, sqrt(2) between
    identities = np.repeat(np.arange(6), 4)
    found = calibrate(vectors, identities, identities, np.tile([0, 20, 40, 60], 6))
    assert found.threshold == pytest.approx(np.sqrt(2) / 2, abs=0.01)
    assert found.false_reuse == found.false_new == found.wrong_id == 0


def test_mistakes_equal_a_count_by_hand():
    appearances = (
        np.array([0, 0, 1, 1]),
        np.array([0.2, 0.9, np.inf, 0.5], np.float32),
        np.array([0.7, 0.4, 0.6, 0.5], np.float32),
    )
    at = np.flatnonzero(THRESHOLDS == 0.55)[0]
    rates = MistakeCounts(appearances).rates(np.ones((1, 2)))
    assert rates["false_reuse"][0, at] == 2 / 4  # .4 and .5 are taken for another
    assert rates["false_new"][0, at] == 0  # .2, .4 and .5 are below
    assert rates["wrong_id"][0, at] == pytest.approx(2 / 3)  # .4 before .9; .5 ties with .5
    at = np.flatnonzero(THRESHOLDS == 0.3)[0]
    assert MistakeCounts(appearances).rates(np.ones((1, 2)))["false_new"][0, at] == pytest.approx(
        2 / 3
    )
    at = np.flatnonzero(THRESHOLDS == 0.5)[0]
    assert (
        MistakeCounts(appearances).rates(np.ones((1, 2)))["false_reuse"][0, at] == 1 / 4
    )  # not .5
    at = np.flatnonzero(THRESHOLDS == 0.3)[0]
    twice = MistakeCounts(appearances).rates(np.array([[0.0, 2.0]]))
    assert twice["false_new"][0, at] == 1


def test_appearances_equal_brute_force_when_nothing_is_left_to_chance():
    vectors, identities, sequences, frames = make_segments(n_identities=5, n_views=4)
    found = simulate_appearances(
        vectors,
        identities,
        sequences,
        frames,
        n_others=4,
        max_exemplars=1,
        min_gap=20,
        n_rounds=1,
        rng=np.random.default_rng(0),
    )
    d = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    for i, (own, other) in enumerate(zip(found.d_own, found.d_other)):
        mine = identities == identities[i]
        assert np.isclose(own, d[i][mine & (np.arange(20) != i)], atol=1e-5).any()
        assert np.isclose(other, d[i][~mine], atol=1e-5).any()
    few = found.d_other >= [d[i][identities != identities[i]].min() - 1e-5 for i in range(20)]
    assert few.all()


def test_instances_are_known_from_views_at_random():
    appearances = simulate_appearances(
        *make_segments(),
        n_others=23,
        max_exemplars=1,
        min_gap=20,
        n_rounds=30,
        rng=np.random.default_rng(0),
    )
    for distances in (appearances.d_own, appearances.d_other):
        assert len(np.unique(distances.reshape(30, -1)[:, 0])) >= 5  # of the first segment


def test_an_instance_is_not_known_from_neighbouring_frames():
    vectors, identities, sequences, frames = make_segments()
    frames = frames.copy()
    frames[identities == 3] = np.arange(10)  # seen for ten frames only: can only be new
    appearances = simulate_appearances(
        vectors,
        identities,
        sequences,
        frames,
        n_others=10,
        max_exemplars=8,
        min_gap=20,
        n_rounds=2,
        rng=np.random.default_rng(0),
    )
    assert np.isinf(appearances.d_own[appearances.identity == 3]).all()
    assert np.isfinite(appearances.d_own[appearances.identity != 3]).all()


# --- the record --------------------------------------------------------------------------------


def test_json_and_back(calibration, tmp_path):
    path = tmp_path / "threshold.json"
    calibration.to_json(path)
    back = Calibration.from_json(path)
    assert back.threshold == calibration.threshold
    assert back.intervals == calibration.intervals
    np.testing.assert_allclose(back.curves["false_new"], calibration.curves["false_new"], atol=1e-6)
    assert back.to_json() == calibration.to_json()


def test_it_holds_for_its_weights_only(calibration):
    assert calibration.require_weights(SHA) == calibration.threshold
    for other in ("cd" * 32, None):
        with pytest.raises(ValueError, match="calibrated for weights abababababab"):
            calibration.require_weights(other)
    with pytest.raises(ValueError, match="for weights unknown"):
        calibrate(*make_segments(), n_bootstrap=10).require_weights(SHA)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda facts: facts.pop("far"), "far missing"),
        (lambda facts: facts.update(version=99), "not a calibration of version 1"),
        (lambda facts: facts.update(threshold=-1), r"threshold must be in \(0, 2\], got -1"),
        (lambda facts: facts.update(threshold={}), "threshold: expected int or float, got {}"),
        (lambda facts: facts.update(threshold=True), "threshold: expected int or float, got True"),
        (lambda facts: facts.update(far="0.1"), "far: expected int or float, got '0.1'"),
        (lambda facts: facts.update(intervals=[1]), "intervals: expected dict"),
        (lambda facts: facts.update(curves=None), "curves: expected dict, got None"),
        (lambda facts: facts.update(weights_sha256=3), "weights_sha256: expected str or NoneType"),
        (lambda facts: facts["intervals"].update(far=[1]), "intervals, curves: expected numbers"),
        (lambda facts: facts["curves"].update(far=["x"]), "intervals, curves: expected numbers"),
    ],
)
def test_damaged_records_are_refused(calibration, tmp_path, damage, message):
    path = tmp_path / "threshold.json"
    facts = json.loads(calibration.to_json())
    damage(facts)
    path.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=f"threshold.json: {message}"):
        Calibration.from_json(path)


def test_files_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / "threshold.json"
    for content in (b"{", b"\xff\xfe\x00", b"[]", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"threshold\.json"):
            Calibration.from_json(path)


def test_bad_arguments():
    segments = make_segments()
    with pytest.raises(ValueError, match="rule must be one of cost, false-reuse"):
        calibrate(*segments, rule="best")
    with pytest.raises(ValueError, match="needs a target"):
        calibrate(*segments, rule="far")
    with pytest.raises(ValueError, match="nothing to calibrate on: 0 pairs of the same"):
        calibrate(*segments[:3], np.zeros(240, int))
    with pytest.raises(ValueError, match="0 pairs of different ones"):
        calibrate(segments[0], np.zeros(240, int), *segments[2:])


# --- on one's own data -------------------------------------------------------------------------


class ColourEmbedder:
    """Stands in for the network."""

    dim, crop_size, margin, weights_sha256 = 128, 32, 0.1, SHA
    embed_crops = staticmethod(hsv_histogram)


def test_one_call_calibrates_on_a_data_set(make_davis):
    dataset = DavisDataset(make_davis())
    found = calibrate_dataset(ColourEmbedder(), dataset, min_gap=2, n_bootstrap=20)
    assert found.require_weights(SHA) > 0
    assert (found.n_identities, found.n_segments) == (4, 14)
    part = calibrate_dataset(ColourEmbedder(), dataset, ["pond"], min_gap=2, n_bootstrap=20)
    assert (part.n_identities, part.n_segments) == (2, 8)


GALLERIES = {"identities": [10, 100, 1000], "masks": [0.7, 0.5, 0.3], "boxes": [0.8, 0.5, 0.2]}


def with_galleries(calibration, **changes):
    facts = {**calibration.as_dict(), "threshold": 0.9, "galleries": {**GALLERIES, **changes}}
    return Calibration.from_dict(json.loads(json.dumps(facts)))


def test_the_threshold_falls_with_the_gallery(calibration):
    found = with_galleries(calibration)
    assert found.threshold_for(0) == found.threshold_for(50) == 0.9
    numbers = [found.threshold_for(n) for n in range(1, 2000)]
    assert (np.diff(numbers) <= 0).all() and max(np.abs(np.diff(numbers))) < 0.02
    assert found.threshold_for(1000) == pytest.approx(0.2)  # by boxes, which ask for more
    assert found.threshold_for(10**6) == pytest.approx(0.2)
    assert found.threshold_for(10, small=0) == pytest.approx(0.7)
    assert Calibration.from_dict(found.as_dict()).galleries == GALLERIES


def test_a_record_from_before_knows_no_sizes(calibration):
    facts = calibration.as_dict()
    del facts["galleries"]
    old = Calibration.from_dict(facts)
    assert old.threshold_for(10**6) == old.threshold


@pytest.mark.parametrize(
    "changes",
    [
        {"masks": [0.7, 0.5]},
        {"masks": [0.5, 0.7, 0.7]},
        {"identities": [10, 10, 1000]},
        {"boxes": ["0.8", 0.5, 0.2]},
        {"boxes": None},
        {"boxes": [0.8, 0.5, float("nan")]},
    ],
)
def test_sizes_that_make_no_sense_are_refused(calibration, changes):
    with pytest.raises(ValueError, match="calibration: galleries"):
        with_galleries(calibration, **changes)


def test_a_wrong_id_is_a_mistake_that_costs():
    rates = {
        "false_reuse": np.array([[0.0, 0.0, 0.0, 0.3]]),
        "false_new": np.array([[1.0, 0.4, 0.2, 0.2]]),
        "wrong_id": np.array([[0.0, 0.0, 0.5, 0.5]]),
    }
    assert _cheapest(rates, 1.0).tolist() == [1]
    assert _cheapest({**rates, "wrong_id": np.zeros((1, 4))}, 1.0).tolist() == [2]


def test_the_gap_between_views_counts_in_pairs_and_in_appearances():
    vectors, identities, sequences, frames = make_segments()
    near = vectors.copy()
    near[1::2] = vectors[::2]  # each view has a twin 20 frames on
    close = calibrate(near, identities, sequences, frames, min_gap=20)
    far = calibrate(near, identities, sequences, frames, min_gap=30)
    assert far.min_gap == 30 and far.frr > close.frr
    assert far.curves["false_new"].sum() > close.curves["false_new"].sum()

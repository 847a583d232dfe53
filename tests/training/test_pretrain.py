"""Pretraining end to end with a tiny recipe, and the ablation table."""

from dataclasses import replace
from pathlib import Path

import pytest

from instanceid_utils import Embedder
from instanceid_utils.synthetic.populations import population
from instanceid_utils.training import ablation, pretrain
from instanceid_utils.training.degradation import PERFECT, Degradation
from instanceid_utils.training.recipe import Recipe

TABLE = Path(__file__).parents[2] / "benchmarks" / "ablations.csv"
TINY = Recipe(
    n_identities=6,
    n_instances=2,
    run=2,
    epochs=1,
    batches_per_epoch=3,
    crop_size=64,
    dim=8,
    widths=(4, 8, 8),
    n_bins=8,
    threshold_weight=1.0,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("population")


def test_one_command_makes_weights_card_and_threshold(tmp_path, cache, monkeypatch, capsys):
    monkeypatch.setitem(pretrain.PROFILES, "full", TINY)
    fitted = []  # the fit itself takes minutes, and has a test of its own
    monkeypatch.setattr(pretrain, "fit_evidence", fitted.append)
    monkeypatch.setattr(pretrain, "fit_gallery_sizes", fitted.append)
    out = tmp_path / "w" / "test.json"
    sizes = (
        "--identities 8 --views 4 --validation 4 --calibration 6 --epochs 1 --workers 1 --crowds 1"
    )
    argv = [*sizes.split(), "--workers", "1", "--out", str(out), "--work", str(tmp_path / "work")]
    assert pretrain.main(argv) == out
    embedder = Embedder.pretrained(out)
    assert 0 < embedder.threshold <= 2 and embedder.dim == 8 + 2 * 128
    assert fitted == 2 * [["--weights", str(out)]]
    assert "--identities 8" in embedder.card["command"]
    assert "generated: HSV histogram" in capsys.readouterr().out
    first = embedder.weights_sha256
    pretrain.main(argv)  # finds everything there
    assert Embedder.pretrained(out).weights_sha256 == first


@pytest.fixture
def sets(cache, monkeypatch):
    monkeypatch.setattr(ablation, "REFERENCE", replace(TINY, degradation=Degradation()))
    kept = {"workers": 1, "progress": False, "keep_background": True}
    held_out = population(4, 4, 8, cache, **kept)
    return {
        "train": population(8, 4, 7, cache, **kept),
        "crowds": replace(held_out, identities=held_out.identities + 1000),
        "generated": pretrain.degraded(held_out, PERFECT),
    }


def _metrics(row):
    return [row[f"generated {name}"] for name in ablation.METRICS]


def test_a_variant_trains_and_reports(sets):
    row = ablation.run_variant("plain pooling", sets, 2, seed=1, progress=False)
    assert row["variant"] == "plain pooling" and row["seed"] == 1
    assert all(0 <= value <= 1 for value in _metrics(row))
    again = ablation.run_variant("plain pooling", sets, 2, seed=1, progress=False)
    assert again == row


def test_what_is_no_part_of_the_recipe_changes_the_result(sets):
    def metrics(name, steps=3):
        return _metrics(ablation.run_variant(name, sets, steps, progress=False))

    reference = metrics("reference")
    for name in ("untrained", "learned part", "no crowds"):
        assert metrics(name) != reference
    assert metrics("untrained") == metrics("untrained", steps=1)  # whatever is asked for


def test_every_variant_is_a_recipe():
    others = ("crowds", "colour", "steps")
    for name, changes in ablation.VARIANTS.items():
        replace(ablation.REFERENCE, **{k: v for k, v in changes.items() if k not in others})
        assert "," not in name


def test_the_table_comes_back_with_its_command(tmp_path):
    rows = [
        {"variant": "32 dimensions", "seed": 0, "generated map": 0.5},
        {"variant": "b", "seed": 2, "generated map": 1.0},
    ]
    ablation.write_table(tmp_path / "t.csv", rows, "python -m x")
    assert ablation.read_table(tmp_path / "t.csv") == ("python -m x", rows)


def test_the_stored_table_holds_every_variant_with_every_seed():
    _, rows = ablation.read_table(TABLE)
    seeds = {row["seed"] for row in rows}
    found = {(row["variant"], row["seed"]) for row in rows}
    assert found == {(name, seed) for name in ablation.VARIANTS for seed in seeds}
    assert len(seeds) >= 2

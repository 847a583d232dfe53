"""Pretraining end to end with a tiny recipe, and the ablation table."""

from dataclasses import replace
from pathlib import Path

import pytest

from instanceid_utils import Embedder
from instanceid_utils.synthetic.populations import population
from instanceid_utils.training import ablation, pretrain
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


def test_a_variant_trains_and_reports(cache, monkeypatch):
    monkeypatch.setattr(ablation, "REFERENCE", TINY)
    part = population(8, 4, 7, cache, workers=1, progress=False)
    held_out = population(4, 4, 8, cache, workers=1, progress=False)
    sets = {"train": (part, None), "generated": (held_out, None)}
    row = ablation.run_variant("crops of 32", sets, 2, progress=False)
    assert row["variant"] == "crops of 32" and 0 <= row["generated map"] <= 1


def test_every_variant_is_a_recipe():
    for changes in ablation.VARIANTS.values():
        replace(ablation.REFERENCE, **{k: v for k, v in changes.items() if k != "background"})


def test_the_table_comes_back_with_its_command(tmp_path):
    rows = [{"variant": "P 8, K 8", "generated map": 0.5}, {"variant": "b", "generated map": 1.0}]
    ablation.write_table(tmp_path / "t.csv", rows, "python -m x")
    command, back = ablation.read_table(tmp_path / "t.csv")
    assert command == "python -m x"
    assert [row["variant"] for row in back] == ["P 8 / K 8", "b"]
    assert [row["generated map"] for row in back] == [0.5, 1.0]


def test_the_stored_table_holds_every_variant():
    _, rows = ablation.read_table(TABLE)
    assert {row["variant"] for row in rows} == {n.replace(",", " /") for n in ablation.VARIANTS}

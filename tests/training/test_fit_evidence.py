"""The command that fits the evidence, on the smallest videos."""

import json

import pytest

from instanceid_utils.embedding.embedder import Embedder
from instanceid_utils.embedding.weights import calibration_path, shipped
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.training import fit_evidence


def test_the_command_writes_the_numbers_into_the_calibration(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fit_evidence, "N_FRAMES", 6)
    monkeypatch.setattr(fit_evidence.videos, "__defaults__", (6,))
    out = tmp_path / "calibration.json"
    fit_evidence.main(["--crowds", "1", "--plain", "0", "--out", str(out)])
    before = json.loads(calibration_path(shipped()).read_text())
    after = json.loads(out.read_text())
    assert set(after["evidence"]) == set(vars(Evidence()))
    assert {**after, "evidence": None} == {**before, "evidence": None}
    assert Evidence(**after["evidence"]).entry == Evidence().entry
    assert f"looks {after['evidence']['looks']:g}" in capsys.readouterr().out


def test_the_shipped_weights_carry_their_evidence():
    embedder = Embedder.pretrained()
    assert embedder.evidence is not None
    assert vars(Evidence.of(embedder)) == pytest.approx(embedder.evidence)

"""Badges for Colab and Binder: those of the one address, or none."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import notebook_rules

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
TOOL = runpy.run_path(str(ROOT / "tools/badges.py"))
with_badges = TOOL["with_badges"]


def _read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_the_badges_of_the_address(path):
    notebook = _read(path)
    with_badges(notebook, path.name, TOOL["REPOSITORY"])
    assert notebook == _read(path)


def test_badges_name_address_and_notebook_and_go_without_a_trace():
    path = NOTEBOOKS[4]
    notebook = _read(path)
    with_badges(notebook, path.name, "some/where")
    with_badges(notebook, path.name, "other/place")
    head, cell = notebook.cells[:2]
    assert "some/where" not in head.source + cell.source
    assert f"google.com/github/other/place/blob/main/notebooks/{path.name})" in head.source
    assert f"org/v2/gh/other/place/main?urlpath=lab/tree/notebooks/{path.name})" in head.source
    assert "https://github.com/other/place" in cell.source
    nbformat.validate(notebook)
    rules = notebook_rules.CONTENT_RULES
    assert [line for rule in rules for line in rule(notebook)] == []
    assert notebook_rules.navigation_line(notebook, path) == []
    exec(cell.source, {})  # outside Colab it does nothing
    with_badges(notebook, path.name, "")
    assert notebook == _read(path)


def test_in_colab_the_cell_fetches_the_course_once_and_goes_to_the_notebooks(tmp_path, monkeypatch):
    fetched = []

    def clone(command, check):
        fetched.append(command[-2])
        (command[-1] / "tools").mkdir(parents=True)
        (command[-1] / "notebooks").mkdir()
        shutil.copy(ROOT / "tools/colab.py", command[-1] / "tools")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr(subprocess, "run", clone)
    for _ in range(2):
        exec(TOOL["CELL"] % {"repository": "some/where"}, {})
    assert fetched == ["https://github.com/some/where"]
    assert Path.cwd() == tmp_path / "course/notebooks"


def test_what_is_said_to_run_without_tensorflow_asks_for_none():
    told = (ROOT / "docs/online.md").read_text("utf-8")
    told = re.search(r"with a newer one ([\d, and]+\d)", told)[1]
    without = [path for path in NOTEBOOKS if str(int(path.name[:2])) in re.findall(r"\d", told)]
    asking = re.compile(r"tensorflow|\btraining\b|ensure_weights|build_network")
    code = "\n".join(
        cell.source for path in without for cell in _read(path).cells if cell.cell_type == "code"
    )
    assert len(without) > 1 and asking.findall(code) == []


def test_binder_takes_the_python_of_the_conda_environment():
    runtime = (ROOT / ".binder/runtime.txt").read_text("utf-8").strip()
    conda = (ROOT / "environment.yml").read_text("utf-8")
    assert f"- {runtime.replace('-', '=')} " in conda

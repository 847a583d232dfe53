"""The page that `make lab` opens on lists what the README lists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ROW = re.compile(r"^\| *\[(.+?)\]\((.+?)\) *\| *(.+?) *\| *(.+?) *\|$", re.MULTILINE)


def _rows(name, folder):
    text = (ROOT / name).read_text(encoding="utf-8")
    rows = [(title, folder + target, *rest) for title, target, *rest in ROW.findall(text)]
    return [row for row in rows if row[1].endswith(".ipynb")]


def test_index_and_readme_have_the_same_table():
    assert _rows("notebooks/index.md", "notebooks/") == _rows("README.md", "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_stands_in_the_index(path):
    targets = [target for _, target, *_ in _rows("README.md", "")]
    assert targets.count(f"notebooks/{path.name}") == 1


def test_the_guide_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = [p for p in re.findall(r"`([\w.]+(?:/[\w.]+)+)`", text) if "NN_" not in p]
    assert len(paths) > 10
    roots = (ROOT, ROOT / "instanceid_utils")
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []

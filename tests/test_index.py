"""The page that `make lab` opens on lists what the README lists, as the notebooks have it."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ROW = re.compile(r"^\| *\[(.+?)\]\((.+?)\)" + 3 * r" *\| *(.+?)" + r" *\|$", re.MULTILINE)
PICTURE = "docs/course.svg"


def _read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def _rows(name, folder):
    rows = [(title, folder + target, *rest) for title, target, *rest in ROW.findall(_read(name))]
    return [row for row in rows if row[1].endswith(".ipynb")]


def _prose(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


def test_index_and_readme_have_the_same_table():
    assert _rows("notebooks/index.md", "notebooks/") == _rows("README.md", "")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_stands_in_the_index(path):
    targets = [target for _, target, *_ in _rows("README.md", "")]
    assert targets.count(f"notebooks/{path.name}") == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_the_times_of_the_index_and_what_one_should_know(path):
    title, _, _, to_run, to_learn = next(
        row for row in _rows("README.md", "") if row[1] == f"notebooks/{path.name}"
    )
    prose = _prose(path)
    needs = next(text for text in prose if "## What you need" in text)
    assert prose[0].splitlines()[0] == f"# {title}"
    assert re.search(r"([\d-]+) minutes? on 2 cores", needs)[1] == to_run
    assert re.search(r"(\d+) minutes to learn", needs)[1] == to_learn
    assert re.search(r"^\| you should know \| \S", needs, re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_new_terms_stand_in_the_glossary(path):
    glossary = _read("README.md").split("## Glossary")[1]
    known = {term for line in re.findall(r"\*\*(.+?)\*\*", glossary) for term in line.split(", ")}
    known |= set(re.findall(r"\*(\w[\w-]*)\*", glossary.lower()))
    recap = next(text for text in _prose(path)[::-1] if "New terms" in text)
    told = recap.split("New terms")[1].split("\n\n")[0].replace("\n", " ")
    terms = re.findall(r"\*(.+?)\*|\[([^\]]+)\]\(\.\./README\.md#glossary\)", told)
    terms = [" ".join((one or other).split()) for one, other in terms]
    terms = [term for words in terms for term in words.split(", ") if term != "glossary"]
    assert terms and [term for term in terms if term not in known] == []


def test_readme_and_index_show_the_course_as_it_is_drawn():
    drawn = runpy.run_path(str(ROOT / "tools/draw_course.py"))["draw"]()
    assert _read(PICTURE) == drawn, "python tools/draw_course.py"
    assert f"](../{PICTURE})" in _read("notebooks/index.md")
    assert f"]({PICTURE})" in _read("README.md")


@pytest.mark.parametrize("page", ["docs/teaching.md", "docs/online.md"])
def test_pages_for_teachers_and_for_the_browser_can_be_found(page):
    assert f"](../{page})" in _read("notebooks/index.md") and f"]({page})" in _read("README.md")


def test_the_guide_names_files_that_are_there():
    paths = [p for p in re.findall(r"`([\w.]+(?:/[\w.]+)+)`", _read("CONTRIBUTING.md"))]
    paths = [p for p in paths if "NN_" not in p]
    assert len(paths) > 10
    roots = (ROOT, ROOT / "instanceid_utils")
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []

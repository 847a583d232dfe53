"""The notebooks keep the rules of notebook_rules, and each rule catches what breaks it."""

import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval.plugin import get_sanitize_patterns

from tests import notebook_rules
from tests.notebook_rules import CONTENT_RULES, FILE_RULES

HERE = Path(__file__).parent
SANITIZE = (HERE / "nbval_sanitize.cfg").read_text(encoding="utf-8")
NOTEBOOKS = sorted((HERE.parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def test_the_course_is_complete():
    names = [path.stem for path in NOTEBOOKS]
    assert names[:5] == [
        "01_extract_instances",
        "02_convert_to_mnist_format",
        "03_train_triplet_embedding",
        "04_visualise_embeddings",
        "05_track_with_faiss",
    ]
    assert [int(name[:2]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_the_rules(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert _problems(notebook, path) == []


def _problems(notebook, path):
    found = [line for rule in CONTENT_RULES for line in rule(notebook)]
    return found + [line for rule in FILE_RULES for line in rule(notebook, path)]


def _good():
    """Make a notebook that keeps every rule: prose and code in turn, ten cells of each."""
    cells = [new_markdown_cell("# 2. Convert\n[previous](01_a.ipynb) | [index](../README.md)")]
    for count in range(1, 11):
        stored = new_output("stream", name="stdout", text=f"{count} of 10, see ../runs/x.png\n")
        code = new_code_cell(f"print({count})", execution_count=count, outputs=[stored])
        cells += [code, new_markdown_cell("A sentence, and https://example.org/home/page.")]
    cells[1].metadata["tags"] = ["parameters"]
    cells[3].metadata["tags"] = ["nbval-ignore-output"]
    folds = {"source_hidden": True, "outputs_hidden": True}
    cells[7].metadata.update(jupyter=folds, tags=["solution", "hide-cell"])
    cells[7].source = f"# Solution 1\n{cells[7].source}"
    cells[8].source = "<details><summary>Answers</summary>\n\n1. `x = 1`.\n\n</details>"
    return new_notebook(cells=cells)


@pytest.fixture
def course(tmp_path):
    """Make a course of two notebooks, of which the second is the one to spoil."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "README.md").write_text("# Index\n")
    (tmp_path / "notebooks/01_a.ipynb").write_text("{}")
    return tmp_path / "notebooks/02_b.ipynb"


def test_a_good_notebook_breaks_no_rule(course):
    nbformat.write(_good(), course)
    assert _problems(nbformat.read(course, as_version=4), course) == []


def _set(position, **fields):
    return lambda notebook: notebook.cells[position].update(fields)


def _tag(position, *tags):
    return lambda notebook: notebook.cells[position].metadata.update(tags=list(tags))


def _store(position, kind, **fields):
    return lambda notebook: notebook.cells[position].outputs.append(new_output(kind, **fields))


def _drop(*positions):
    return lambda notebook: [notebook.cells.pop(p) for p in sorted(positions, reverse=True)]


def _source(position, text):
    return _set(position, source=text)


def _unfold(position):
    return lambda notebook: notebook.cells[position].metadata.pop("jupyter")


_IN_A_FOLD = "<details>\n\n1. One:\n\n   ```python\n   x = 1\n   ```\n\n</details>"
_HTML = {"text/html": "<img src='/home/me/a.png'>"}

SPOILED = {
    "counts_run_from_one": [
        _set(5, execution_count=None),
        _set(5, execution_count=7),
        _set(-2, execution_count=11),
    ],
    "no_stored_stderr": [_store(5, "stream", name="stderr", text="a warning")],
    "no_stored_error": [_store(5, "error", ename="E", evalue="bad", traceback=[])],
    "no_absolute_path": [
        _source(5, "open('/home/me/video.mp4')"),
        _source(6, "Look at `/Users/me/video.mp4`."),
        _source(5, r"open('C:\\Users\\me\\video.mp4')"),
        _store(5, "stream", name="stdout", text="saved to /tmp/x/video.mp4"),
        _store(5, "display_data", data=_HTML),
    ],
    "one_parameters_cell": [_tag(1), _tag(5, "parameters"), _tag(5, "injected-parameters")],
    "few_cells_ignored": [_tag(5, "nbval-ignore-output"), _tag(5, "nbval-skip")],
    "prose_between_code": [_drop(6)],
    "short_code_cells": [_source(5, "x = 1\n" * 21)],
    "few_definitions": [_source(5, "\n".join(f"def f{n}(): pass" for n in range(4)))],
    "solutions_run": [
        _unfold(7),
        _tag(7, "solution"),
        _source(7, "# 1: this line is in sight\nx = 1"),
        _source(6, _IN_A_FOLD),
    ],
    "title_with_number": [
        _source(0, "# Convert\n[previous](01_a.ipynb) | [index](../README.md)"),
        _source(0, "# 3. Convert\n[previous](01_a.ipynb) | [index](../README.md)"),
        _source(0, "## 2. Convert\n[previous](01_a.ipynb) | [index](../README.md)"),
    ],
    "navigation_line": [
        _source(0, "# 2. Convert"),
        _source(0, "# 2. Convert\n[index](../README.md)"),
    ],
    "links_lead_somewhere": [
        _source(6, "See [the data](../data/none.md)."),
        _source(6, "![figure](none.png)"),
    ],
    "small_file": [_store(5, "stream", name="stdout", text="1234 " * 250_000)],
}


def test_every_rule_is_proved():
    assert set(SPOILED) == {rule.__name__ for rule in CONTENT_RULES + FILE_RULES}


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, cases in SPOILED.items() for n in range(len(cases))]
)
def test_a_rule_catches_what_breaks_it(name, number, course):
    notebook = _good()
    SPOILED[name][number](notebook)
    nbformat.write(notebook, course)
    rule = getattr(notebook_rules, name)
    arguments = (notebook, course) if rule in FILE_RULES else (notebook,)
    assert len(rule(*arguments)) == 1
    assert len(_problems(notebook, course)) == 1  # and no other rule is upset


def test_links_under_runs_and_anchors_need_not_exist(course):
    notebook = _good()
    notebook.cells[4].source = "[video](../runs/05/tracked.mp4), [above](#top), [web](https://x.y)"
    nbformat.write(notebook, course)
    assert notebook_rules.links_lead_somewhere(notebook, course) == []


def _sanitized(text):
    """Apply the sanitize file as nbval does."""
    for pattern, replacement in get_sanitize_patterns(SANITIZE):
        text = re.sub(pattern, replacement, text)
    return text


def test_nbval_reads_every_entry_of_the_sanitize_file():
    entries = [line for line in SANITIZE.splitlines() if line.startswith("[")]
    assert len(get_sanitize_patterns(SANITIZE)) == len(entries) > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("<generator object f at 0x7f3a5c01>", "<generator object f at 0x10A2B3C4D5>"),
        ("in 12.3 s", "in 9 s"),
        ("3 ms a frame", "14.25 ms a frame"),
        ("2 min 10 s", "1 min 3 s"),
        ("took 0:01:10", "took 0:00:59"),
        ("wrote /home/me/runs/a.png", "wrote /tmp/x/y/runs/a.png"),
        ("wrote /Users/Jo-1/i.d/runs/a.png", "wrote /opt/a/runs/a.png"),
    ],
)
def test_the_sanitize_file_levels_what_no_two_runs_share(one, other):
    assert one != other
    assert _sanitized(one) == _sanitized(other)


@pytest.mark.parametrize(
    "text",
    [
        "rank-1 0.93, mAP 0.81, 5 switches",
        "(1447, 64, 64, 4) uint8",
        "0.95 same, 3 identities, 10 samples, 4 min_views, 2 sequences",
        "saved ../runs/05/tracked.mp4 and runs/metrics.csv",
        "https://example.org/home/page",
    ],
)
def test_the_sanitize_file_leaves_results_alone(text):
    assert _sanitized(text) == text


def _execute(path, **parameters):
    """Execute the code of a notebook with other parameters; returns its names."""
    names = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", ()):
            names.update(parameters)
    return names


def test_the_first_notebook_takes_a_folder_without_image_sets(make_davis, tmp_path):
    root = make_davis(sequences=(("pond", 40), ("road", 40)))
    names = _execute(NOTEBOOKS[0], data_root=str(root), output_dir=str(tmp_path / "runs"))
    assert set(names["manifest"].sequence) == {"pond", "road"}


def test_the_second_notebook_leaves_nothing_but_results(make_davis, tmp_path):
    root = make_davis(sequences=(("pond", 40), ("road", 40)), train=["road"], val=["pond"])
    names = _execute(NOTEBOOKS[1], data_root=str(root), output_dir=str(tmp_path / "runs"))
    left = {path.name for path in (tmp_path / "runs").iterdir()}
    assert left == {"01_extract_instances", "02_convert_to_mnist_format", "made_from.json"}
    assert not names["scratch"].exists()

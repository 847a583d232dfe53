"""The course runner: executed copies, or stored outputs anew, and nothing else touched."""

import cv2
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from instanceid_utils import course

PARAMETERS = 'output_dir = "../runs"'
WORK = """import os, pathlib, sys
folder = pathlib.Path(output_dir) / "05_track_with_faiss"
folder.mkdir(parents=True, exist_ok=True)
_ = (folder / "metrics.csv").write_text("IDF1\\n1.0\\n")
print(pathlib.Path.cwd().name, os.environ["TF_CPP_MIN_LOG_LEVEL"])
print("a warning", file=sys.stderr)
from tqdm.auto import tqdm
for _ in tqdm(range(3)):
    print("as text")"""

PIXEL = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
PICTURE = f"from IPython.display import Image, display\ndisplay(Image({PIXEL!r}))"


def _write(path, *sources):
    tags = {"tags": ["parameters"]}
    cells = [new_markdown_cell("# Title"), new_code_cell(PARAMETERS, metadata=tags)]
    cells += [new_code_cell(source) for source in sources]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_notebooks_are_found_in_order(tmp_path):
    for name in ("02_b.ipynb", "01_a.ipynb", "10_c.ipynb", "index.ipynb"):
        (tmp_path / name).touch()
    names = [path.name for path in course.find_notebooks(tmp_path)]
    assert names == ["01_a.ipynb", "02_b.ipynb", "10_c.ipynb"]
    assert [path.name for path in course.find_notebooks(tmp_path, ["10"])] == ["10_c.ipynb"]


def test_a_notebook_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no notebook named NN_"):
        course.find_notebooks(tmp_path)
    (tmp_path / "01_a.ipynb").touch()
    with pytest.raises(FileNotFoundError, match="no notebook that begins with '07'"):
        course.find_notebooks(tmp_path, ["01", "07"])


def test_run_writes_copies_and_says_where_the_results_are(tmp_path, capsys):
    path = _write(tmp_path / "notebooks/01_a.ipynb", WORK, PICTURE)
    before = path.read_bytes()
    arguments = ["--folder", str(path.parent), "--output-dir", str(tmp_path / "out")]
    assert course.main(["run", *arguments]) == 0
    assert path.read_bytes() == before
    assert (tmp_path / "out/01_a.ipynb").exists()
    assert not (tmp_path / "runs").exists()
    report, picture, metrics, executed, onward = capsys.readouterr().out.splitlines()
    if picture.startswith("01_a "):
        report, picture = picture, report
    assert report.startswith("01_a ") and report.endswith(" s")
    assert picture.startswith("the first picture: ") and picture.endswith("first_picture.png")
    assert (tmp_path / "out/first_picture.png").read_bytes() == PIXEL
    assert metrics.startswith("metrics: ")
    assert metrics.endswith("out/05_track_with_faiss/metrics.csv")
    assert executed.endswith("*.ipynb") and "make lab" in onward


def test_a_failing_notebook_ends_the_run(tmp_path, capsys):
    _write(tmp_path / "notebooks/01_a.ipynb", "1 / 0")
    _write(tmp_path / "notebooks/02_b.ipynb", "print(2)")
    folder, output = str(tmp_path / "notebooks"), tmp_path / "out"
    assert course.main(["run", "--folder", folder, "--output-dir", str(output)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert (output / "01_a.ipynb").exists() and not (output / "02_b.ipynb").exists()


def test_regenerate_stores_counts_and_outputs_and_is_repeatable(tmp_path, caplog):
    path = _write(tmp_path / "notebooks/01_a.ipynb", WORK, "1 + 1")
    assert course.main(["regenerate", "--folder", str(path.parent)]) == 0
    first = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert [output.text for output in code[1].outputs] == ["notebooks 3\n" + 3 * "as text\n"]
    assert code[2].outputs[0].data["text/plain"] == "2"
    assert "cell 3 wrote to stderr: a warning" in caplog.text
    course.regenerate([path])
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["01_a.ipynb"]


def test_regenerate_keeps_a_notebook_that_fails(tmp_path, capsys):
    path = _write(tmp_path / "notebooks/01_a.ipynb", "1 / 0")
    before = path.read_bytes()
    assert course.main(["regenerate", "--folder", str(path.parent)]) == 1
    assert path.read_bytes() == before
    assert "01_a.ipynb failed, and stays as it was" in capsys.readouterr().err


def test_what_differs_from_run_to_run_is_stripped():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "5f"}, "text/plain": "Slider"}
    shown = new_output("display_data", data=view)
    warned = new_output("stream", name="stderr", text="careful")
    metadata = {"tags": ["a"], "execution": {"iopub.status.busy": "2024"}, "papermill": {}}
    cell = new_code_cell("x", execution_count=1, outputs=[shown, warned], metadata=metadata)
    notebook = new_notebook(cells=[cell], metadata={"widgets": {}, "papermill": {}})
    assert course.strip_volatile(notebook) == ["cell 1 wrote to stderr: careful"]
    assert cell.metadata == {"tags": ["a"]} and cell.execution_count == 1
    assert [output.data for output in cell.outputs] == [{"text/plain": "Slider"}]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}

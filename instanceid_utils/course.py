"""Execute the course's notebooks: a fresh run into a folder, or their stored outputs anew.

``python -m instanceid_utils.course run`` leaves the notebooks alone and writes executed copies,
``python -m instanceid_utils.course regenerate`` executes them in place.
"""

from __future__ import annotations

import argparse
import base64
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from instanceid_utils.atomic_files import write_atomically

if TYPE_CHECKING:
    from nbformat import NotebookNode

PROJECT = Path(__file__).resolve().parents[1]

#: The first figure of a run, as soon as there is one: a file under the output folder.
FIRST_PICTURE = "first_picture.png"
#: What a finished run shows its reader: a title, and the file under the output folder.
RESULTS = (
    ("tracked video", "05_track_with_faiss/tracked.mp4"),
    ("metrics", "05_track_with_faiss/metrics.csv"),
    ("report of an archive", "08_a_whole_archive/archive/report.html"),
)

# What every kernel gets: a quiet TensorFlow, and figures that land in the notebook.
_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
_KERNEL: dict = {"kernel_name": "python3", "extra_arguments": ["--log-level=ERROR"]}
_logger = logging.getLogger(__name__)


def find_notebooks(folder: str | os.PathLike, names: Sequence[str] = ()) -> list[Path]:
    """Return the numbered notebooks of a folder in order.

    Parameters
    ----------
    folder : path-like
        Where the notebooks ``NN_*.ipynb`` are.
    names : sequence of str, optional
        Beginnings of names such as "03", to choose some of them.

    Raises
    ------
    FileNotFoundError
        If there is no notebook, or none for one of the names.
    """
    notebooks = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    for name in names:
        if not any(path.name.startswith(name) for path in notebooks):
            raise FileNotFoundError(f"{folder}: no notebook that begins with {name!r}")
    if not notebooks:
        raise FileNotFoundError(f"{folder}: no notebook named NN_*.ipynb")
    return [path for path in notebooks if not names or path.name.startswith(tuple(names))]


def run(notebooks: Sequence[Path], output_dir: str | os.PathLike) -> None:
    """Execute notebooks in order into executed copies; the notebooks themselves stay as they are.

    Parameters
    ----------
    notebooks : sequence of pathlib.Path
        The notebooks; each is executed in its own folder.
    output_dir : path-like
        Where the copies go, and what the notebooks get as their parameter ``output_dir``.

    Raises
    ------
    RuntimeError
        When a cell raises; the copy holds everything up to there.
    """
    import papermill

    output_dir = Path(output_dir).resolve()
    output_dir.mkdir(parents=True, exist_ok=True)
    first = output_dir / FIRST_PICTURE
    first.unlink(missing_ok=True)
    for path in _with_progress(notebooks):
        copy = output_dir / path.name
        try:
            papermill.execute_notebook(
                str(path),
                str(copy),
                parameters={"output_dir": os.path.relpath(output_dir, path.parent)},
                cwd=str(path.parent),
                language="python",
                progress_bar=False,
                **_KERNEL,
            )
        except papermill.exceptions.PapermillExecutionError as error:
            raise RuntimeError(f"{error}\n{path.name} failed; see {copy}") from error
        if not first.exists() and _save_first_picture(copy, first):
            tqdm.write(f"the first picture: {os.path.relpath(first)}", file=sys.stdout)


def _save_first_picture(notebook, path):
    """Write the first figure of an executed notebook to a file; whether there is one."""
    import nbformat

    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", ()):
            picture = output.get("data", {}).get("image/png")
            if picture:
                write_atomically(path, base64.b64decode(picture))
                return True
    return False


def regenerate(notebooks: Sequence[Path]) -> None:
    """Execute notebooks in place and keep what they print, show and count.

    What differs from run to run and says nothing is left out: time stamps, the kernel's version,
    the identities of widgets, progress bars, and stderr, which is logged.

    Raises
    ------
    RuntimeError
        When a cell raises; its notebook stays as it was.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    # Whether a bar shows depends on what is made already, so in the kernels none ever does.
    os.environ["TQDM_DELAY"] = "1000000000"
    for path in _with_progress(notebooks):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook,
            timeout=None,
            record_timing=False,
            store_widget_state=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
            **_KERNEL,
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise RuntimeError(f"{error}\n{path.name} failed, and stays as it was") from error
        for note in strip_volatile(notebook):
            _logger.warning("%s: %s", path.name, note)
        write_atomically(path, nbformat.writes(notebook) + "\n")


def strip_volatile(notebook: NotebookNode) -> list[str]:
    """Remove from an executed notebook what would differ after the next run, in place.

    Returns
    -------
    list of str
        A line for each cell whose stderr was dropped, with the beginning of it.
    """
    notes = []
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells, 1):
        for key in ("execution", "papermill", "ExecuteTime", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        kept = []
        for output in cell.outputs:
            if output.get("name") == "stderr":
                notes.append(f"cell {number} wrote to stderr: {output.text.strip()[:200]}")
                continue
            # A view without its stored state shows as an error; its text shows everywhere.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
            kept.append(output)
        cell.outputs = kept
    return notes


def _with_progress(notebooks):
    """Yield each notebook under one progress bar, and print its time when it is done."""
    os.environ.update(_ENVIRONMENT)
    width = max(len(path.stem) for path in notebooks)
    with tqdm(notebooks, unit="notebook") as bar:
        for path in bar:
            bar.set_description(path.stem)
            start = time.perf_counter()
            yield path
            seconds = time.perf_counter() - start
            bar.write(f"{path.stem:{width}} {seconds:7.1f} s", file=sys.stdout)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m instanceid_utils.course", description=__doc__)
    parser.add_argument("command", choices=("run", "regenerate"))
    parser.add_argument("notebooks", nargs="*", help="such as 01 03; all if none is named")
    parser.add_argument("--folder", type=Path, default=PROJECT / "notebooks")
    parser.add_argument("--output-dir", type=Path, default=PROJECT / "runs", help="for run")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        notebooks = find_notebooks(args.folder, args.notebooks)
    except FileNotFoundError as error:
        parser.error(str(error))
    try:
        if args.command == "regenerate":
            regenerate(notebooks)
            return 0
        run(notebooks, args.output_dir)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    _tell(args.output_dir)
    return 0


def _tell(output_dir):
    """Say what there is to look at."""
    for title, name in RESULTS:
        if (output_dir / name).exists():
            print(f"{title}: {os.path.relpath(output_dir / name)}")
    print(f"executed notebooks: {os.path.relpath(output_dir)}{os.sep}*.ipynb")
    print("next: `make lab` opens them in JupyterLab, to read, change and run")


if __name__ == "__main__":
    sys.exit(main())

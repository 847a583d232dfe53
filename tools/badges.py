"""Write into every notebook the badges that open it in Colab and Binder: ``make badges``.

Both need the address of the course, and Colab, which opens a notebook alone, a cell that fetches
the rest. Without an address there are neither badges nor cells; `docs/online.md` says what works.
"""

import re
from pathlib import Path

import nbformat

#: OWNER/NAME on GitHub, when the course is published there; then `make badges`.
REPOSITORY = ""

ROOT = Path(__file__).resolve().parents[1]
COLAB = "https://colab.research.google.com"
BINDER = "https://mybinder.org"
BADGES = """

[![Open in Colab](%(colab)s/assets/colab-badge.svg)](%(colab)s/github/%(file)s)
[![Open in Binder](%(binder)s/badge_logo.svg)](%(binder)s/v2/gh/%(lab)s)
In Colab run the folded cell below first; elsewhere it does nothing ([why](../docs/online.md))."""
CELL = """import runpy
import subprocess
import sys
from pathlib import Path

if "google.colab" in sys.modules:  # which has opened this notebook alone
    course, address = Path.home() / "course", "https://github.com/%(repository)s"
    if not course.exists():
        subprocess.run(["git", "clone", "--quiet", "--depth=1", address, course], check=True)
    runpy.run_path(str(course / "tools/colab.py"), run_name="__main__")"""
CELL_ID = "colab"


def with_badges(notebook, name, repository):
    """Change a notebook to have the badges of a repository, or none where that is empty.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place; its counts stay those of a run from top to bottom.
    name : str
        Of its file.
    repository : str
        OWNER/NAME on GitHub.
    """
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != CELL_ID]
    head = notebook.cells[0]
    head.source = re.sub(r"\n\n\[!\[Open in Colab\].*", "", head.source, flags=re.DOTALL)
    if repository:
        told = {
            "colab": COLAB,
            "binder": BINDER,
            "repository": repository,
            "file": f"{repository}/blob/main/notebooks/{name}",
            "lab": f"{repository}/main?urlpath=lab/tree/notebooks/{name}",
        }
        head.source += BADGES % told
        folded = {"jupyter": {"source_hidden": True}, "tags": ["hide-cell"]}
        cell = nbformat.v4.new_code_cell(CELL % told, id=CELL_ID, metadata=folded)
        notebook.cells.insert(1, cell)
    code = (cell for cell in notebook.cells if cell.cell_type == "code")
    for count, cell in enumerate(code, 1):
        for part in (cell, *cell.outputs):
            if "execution_count" in part:
                part.execution_count = count


def main():
    """Write the badges of `REPOSITORY` into all notebooks."""
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with_badges(notebook, path.name, REPOSITORY)
        path.write_text(nbformat.writes(notebook) + "\n", "utf-8")


if __name__ == "__main__":
    main()

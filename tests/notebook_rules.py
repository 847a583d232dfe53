"""The hygiene rules of the course's notebooks; each returns the list of what breaks it.

nbval compares what is stored, so the first rules see to it that something is stored everywhere;
the others keep the notebooks readable and alike.
"""

import re

MAX_BYTES = 1_000_000
MAX_CODE_LINES = 20
MAX_DEFINITIONS = 3
MAX_IGNORED = 0.15  # share of the code cells that nbval may pass over

_ABSOLUTE = re.compile(
    r"(?<![\w.:/~<-])/(?:home|Users|root|tmp|work|opt|usr|var|mnt|private|content)/"
    r"|\b[A-Za-z]:\\{1,2}\w{2,}\\"
)
_FOLD = re.compile(r"<details.*?</details>", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def _code(notebook):
    return [(n, cell) for n, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]


def _tags(cell):
    return set(cell.metadata.get("tags", ()))


def _texts(cell):
    """Yield the source of a cell, and whatever its outputs hold as text."""
    yield cell.source
    for output in cell.get("outputs", ()):
        yield output.get("text", "")
        yield from output.get("traceback", ())
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/") or kind == "application/json":
                yield data if isinstance(data, str) else str(data)


def counts_run_from_one(notebook):
    """A cell without a count is never compared, whatever it stores."""
    counts = [cell.execution_count for _, cell in _code(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        return [f"the execution counts are {counts}: run all cells in order in a new kernel"]
    return []


def no_stored_stderr(notebook):
    return [
        f"cell {n} stores stderr"
        for n, cell in _code(notebook)
        if any(output.get("name") == "stderr" for output in cell.outputs)
    ]


def no_stored_error(notebook):
    return [
        f"cell {n} stores an error"
        for n, cell in _code(notebook)
        if any(output.output_type == "error" for output in cell.outputs)
    ]


def no_absolute_path(notebook):
    return [
        f"cell {n} holds an absolute path: ...{text[max(0, hit.start() - 20) : hit.end() + 20]}..."
        for n, cell in enumerate(notebook.cells, 1)
        for text in _texts(cell)
        for hit in list(_ABSOLUTE.finditer(text))[:1]
    ]


def one_parameters_cell(notebook):
    tagged = [n for n, cell in _code(notebook) if "parameters" in _tags(cell)]
    problems = [] if len(tagged) == 1 else [f"cells {tagged} are tagged `parameters`: one must be"]
    injected = [n for n, cell in _code(notebook) if "injected-parameters" in _tags(cell)]
    return problems + [f"cell {n} was injected by papermill" for n in injected]


def few_cells_ignored(notebook):
    """nbval must compare at least 85 % of the code cells."""
    passed_over = {"nbval-ignore-output", "nbval-skip"}
    code = _code(notebook)
    ignored = [n for n, cell in code if passed_over & _tags(cell)]
    if len(ignored) > MAX_IGNORED * len(code):
        return [f"nbval passes over {len(ignored)} of {len(code)} code cells: {ignored}"]
    return []


def prose_between_code(notebook):
    kinds = [cell.cell_type for cell in notebook.cells]
    return [
        f"cells {n} and {n + 1} are code with no prose between them"
        for n, pair in enumerate(zip(kinds, kinds[1:]), 1)
        if pair == ("code", "code")
    ]


def short_code_cells(notebook):
    return [
        f"cell {n} has {lines} lines of code, more than {MAX_CODE_LINES}"
        for n, cell in _code(notebook)
        for lines in [len(cell.source.splitlines())]
        if lines > MAX_CODE_LINES
    ]


def few_definitions(notebook):
    found = [
        name
        for _, cell in _code(notebook)
        for name in re.findall(r"^ *(?:async )?(?:def|class) +(\w+)", cell.source, re.MULTILINE)
    ]
    if len(found) > MAX_DEFINITIONS:
        return [f"{len(found)} definitions ({', '.join(found)}): move them to the package"]
    return []


def solutions_run(notebook):
    """A solution that is code is a cell, which nbval runs: folded away, and in no other fold.

    JupyterLab leaves the first line of what it folds in sight, so that line tells nothing.
    """
    folds = {"source_hidden": True, "outputs_hidden": True}
    hidden = [
        n
        for n, cell in _code(notebook)
        if cell.metadata.get("jupyter") == folds and "hide-cell" in _tags(cell)
        if re.match(r"# Solution \d+\n", cell.source)
    ]
    return [
        f"cell {n} is a solution that is not folded away under a first line `# Solution N`"
        for n, cell in _code(notebook)
        if "solution" in _tags(cell) and n not in hidden
    ] + [
        f"cell {n} has code in <details>, which nothing runs: make it a cell tagged `solution`"
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "markdown"
        and any("```" in fold for fold in _FOLD.findall(cell.source))
    ]


def title_with_number(notebook, path):
    first = notebook.cells[0]
    wanted = f"# {int(path.name[:2])}. "
    if first.cell_type != "markdown" or not first.source.startswith(wanted):
        return [f"the first cell is no heading that begins with {wanted!r}"]
    return []


def navigation_line(notebook, path):
    """One line near the top links to the previous notebook, the index and the next one."""
    numbered = sorted(path.parent.glob("[0-9][0-9]_*.ipynb"))
    place = numbered.index(path)
    wanted = {other.name for other in numbered[max(0, place - 1) : place + 2]} - {path.name}
    top = "\n".join(cell.source for cell in notebook.cells[:2] if cell.cell_type == "markdown")
    for line in top.splitlines():
        if "[index" in line.lower():
            missing = sorted(wanted - set(_LINK.findall(line)))
            return [f"the navigation line has no link to {name}" for name in missing]
    return ["the first two cells hold no navigation line, with a link called index"]


def links_lead_somewhere(notebook, path):
    """Relative links exist; what a run makes under runs/ is not asked for."""
    targets = [
        (n, target.split("#")[0])
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "markdown"
        for target in _LINK.findall(cell.source)
        if not re.match(r"[a-z]+:|#", target) and "runs/" not in target
    ]
    return [
        f"cell {n} links to {target}, which is not there"
        for n, target in dict.fromkeys(targets)
        if not (path.parent / target).exists()
    ]


def small_file(notebook, path):
    size = path.stat().st_size
    return [f"the file has {size:,} bytes, more than {MAX_BYTES:,}"] if size > MAX_BYTES else []


#: Rules on what a notebook holds, and rules on the notebook as a file among others.
CONTENT_RULES = (
    counts_run_from_one,
    no_stored_stderr,
    no_stored_error,
    no_absolute_path,
    one_parameters_cell,
    few_cells_ignored,
    prose_between_code,
    short_code_cells,
    few_definitions,
    solutions_run,
)
FILE_RULES = (title_with_number, navigation_line, links_lead_somewhere, small_file)

"""JSON files from anywhere: read as a whole, or refused by an error that names file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_json(path: str | os.PathLike, error: type[ValueError] = ValueError) -> Any:
    r"""Read a JSON file.

    Parameters
    ----------
    path : path-like
    error : type
        What is raised, a kind of ValueError.

    Raises
    ------
    ValueError
        If it is not JSON, not text, or nested too deep.
    OSError
        If it cannot be opened.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> size = path.write_text('{"a":\n1,}')
    >>> read_json(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: .../a.json: line 2: not JSON (...)
    """
    try:
        return json.loads(Path(path).read_bytes())
    except json.JSONDecodeError as problem:
        raise error(f"{path}: line {problem.lineno}: not JSON ({problem.msg})") from problem
    except (ValueError, RecursionError) as problem:  # UnicodeDecodeError is a ValueError
        raise error(f"{path}: not JSON ({problem})") from problem

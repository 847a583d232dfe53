"""What rooms call public exists and is explained, and the course asks for nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

import instanceid_utils

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "instanceid_utils"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
OPEN_MODULES = ("idx", "pipeline", "seeding")  # outside the rooms, and public as a whole
FACE = (*instanceid_utils.__all__, "__version__")


def _notebook(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE)


def _readme(path):
    return "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S))


USERS = {
    path.relative_to(ROOT).as_posix(): read
    for pattern, read in (
        ("notebooks/*.ipynb", _notebook),
        ("benchmarks/*.py", lambda path: path.read_text(encoding="utf-8")),
        ("*.md", _readme),
    )
    for path in sorted(ROOT.glob(pattern))
}


def private_names(code):
    """Return what a piece of code takes from the package that is not public there."""
    tree, modules, wrong = ast.parse(code), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wrong += [a.name for a in node.names if a.name.startswith("instanceid_utils.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "instanceid_utils"
        ):
            place = node.module.partition(".")[2]
            for alias in node.names:
                if not place and alias.name in (*ROOMS, *OPEN_MODULES):
                    modules[alias.asname or alias.name] = alias.name
                elif not _is_public(place, alias.name):
                    wrong.append(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            place = modules.get(node.value.id)
            if place and not _is_public(place, node.attr):
                wrong.append(f"instanceid_utils.{place}.{node.attr}")
    return wrong


def _is_public(place, name):
    if not place:
        return name in FACE
    if place not in (*ROOMS, *OPEN_MODULES):
        return False
    module = importlib.import_module(f"instanceid_utils.{place}")
    if place in ROOMS:
        return name in module.__all__
    return not name.startswith("_") and hasattr(module, name)


@pytest.mark.parametrize("name", USERS)
def test_course_and_benchmarks_use_public_names_only(name):
    assert private_names(USERS[name](ROOT / name)) == []


@pytest.mark.parametrize(
    "code",
    [
        "from instanceid_utils.gallery.gallery import Gallery",
        "from instanceid_utils.gallery import gallery",
        "from instanceid_utils.tracking import tracker_setup",
        "from instanceid_utils import commands",
        "from instanceid_utils.pipeline import _none",
        "from instanceid_utils import pictures\npictures.figures.on_grey",
        "from instanceid_utils import pictures as p\ndef draw():\n    return p._hidden(1)",
        "import instanceid_utils.gallery.gallery as g",
    ],
)
def test_the_check_finds_private_names(code):
    assert len(private_names(code)) == 1


@pytest.mark.parametrize("place", ["", *ROOMS])
def test_every_public_name_is_there_and_explained(place):
    room = importlib.import_module(f"instanceid_utils.{place}".rstrip("."))
    assert room.__doc__ and len(room.__all__) > 0
    assert len(set(room.__all__)) == len(room.__all__)
    for name in room.__all__:
        thing = getattr(room, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            # a dataclass without a docstring gets its signature for one
            assert thing.__doc__ and not thing.__doc__.startswith(f"{name}("), name


@pytest.mark.parametrize("place", ["", *ROOMS])
def test_completion_offers_the_public_names(place):
    room = importlib.import_module(f"instanceid_utils.{place}".rstrip("."))
    assert set(room.__all__) <= set(dir(room))


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match="instanceid_utils.gallery.*no_such_name"):
        _ = importlib.import_module("instanceid_utils.gallery").no_such_name


def test_no_room_asks_the_face_of_the_package():
    """The face stands above all rooms, where the contract of imports does not see it."""
    asked = {
        (path.relative_to(PACKAGE).as_posix(), alias.name)
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "instanceid_utils"
        for alias in node.names
        if alias.name in instanceid_utils.__all__
    }
    assert asked == set()


def test_type_checkers_see_the_face():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    there = {name: getattr(instanceid_utils, name).__module__ for name in instanceid_utils.__all__}
    assert seen == there


@pytest.mark.parametrize("room", ROOMS)
def test_no_public_name_is_that_of_a_module(room):
    # Once the module is imported, it would be found in the place of the name.
    modules = {path.stem for path in (PACKAGE / room).iterdir()}
    assert not modules & set(importlib.import_module(f"instanceid_utils.{room}").__all__)

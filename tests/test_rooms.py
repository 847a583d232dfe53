"""The house is what CONTRIBUTING.md says: rooms, public names, tests that lie as the rooms do."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

import instanceid_utils

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "instanceid_utils"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
OPEN = {"pipeline", "seeding", "idx"}  # modules above and below the rooms that users call


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_is_public_and_has_it(room):
    module = importlib.import_module(f"instanceid_utils.{room}")
    assert re.search(r"[Ii]n go", module.__doc__), "what goes in and comes out"
    assert module.__all__ and all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = module.nothing


def test_the_face_has_the_names_that_the_readme_uses():
    for name in ("Embedder", "InstanceID", "Gallery", "read_idx", "write_idx"):
        assert getattr(instanceid_utils, name).__name__ == name


def _code(path):
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


@pytest.mark.parametrize(
    "path",
    [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("benchmarks/*.py")],
    ids=lambda path: path.name,
)
def test_notebooks_and_benchmarks_import_public_names_alone(path):
    for node in ast.walk(ast.parse(_code(path))):
        if not isinstance(node, ast.ImportFrom) or node.module.split(".")[0] != "instanceid_utils":
            continue
        names = {alias.name for alias in node.names}
        home = node.module.partition(".")[2]
        if home in OPEN:
            continue
        public = importlib.import_module(node.module).__all__
        allowed = {*public, *ROOMS, *OPEN} if not home else set(public)
        assert "." not in home and names <= allowed, f"{node.module}: {names - allowed}"


def test_modules_say_by_their_names_that_they_are_whole_ideas():
    for path in PACKAGE.rglob("*.py"):
        assert not re.match(r"_[a-z]", path.name), path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 450, path


@pytest.mark.parametrize("folder", ROOMS)
def test_tests_lie_as_the_rooms_do(folder):
    modules = {path.stem for path in (PACKAGE / folder).rglob("*.py")} - {"__init__"}
    tests = {path.stem[5:] for path in (ROOT / "tests" / folder).glob("test_*.py")}
    assert tests, "a room without tests"
    for name in tests:  # test_<module>.py, or test_<module>_<aspect>.py
        assert any(f"{name}_".startswith(f"{module}_") for module in {*modules, folder}), name

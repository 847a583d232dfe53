"""Tests stand where the code stands that they test: tests/<room>/test_<module>.py."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / "instanceid_utils", ROOT / "tests"

# What is tested across modules, and why.
ACROSS = {
    "test_badges.py": "the badges of the notebooks, and the cell behind them",
    "test_environment.py": "the set-up, the lock and the wheel",
    "test_fuzz.py": "every reader, on files that were changed",
    "test_index.py": "the index, its picture, and what the notebooks say of themselves",
    "test_notebooks.py": "the hygiene of the notebooks",
    "test_public_names.py": "what notebooks and benchmarks may import",
    "test_rooms.py": "this file",
    "test_written_before.py": "files of version 1.0, of several rooms",
    "app/test_video_tracking_formats.py": "track_video with the masks of every format",
    "gallery/test_gallery_model.py": "the gallery against a model of it in plain NumPy",
    "gallery/test_gallery_file.py": "what a saved gallery promises, whichever module keeps it",
}


def modules(folder):
    """Return the names that a test of this folder may have: its modules', and its own."""
    inside = PACKAGE / folder
    found = inside.rglob("*.py") if folder != Path() else inside.glob("*.py")
    return {path.stem for path in found if path.stem != "__init__"} | {folder.name}


def files():
    return [path.relative_to(TESTS) for path in sorted(TESTS.rglob("test_*.py"))]


def test_every_test_names_what_it_tests():
    mirrored = [path for path in files() if path.as_posix() not in ACROSS]
    strays = [path for path in mirrored if path.stem[5:] not in modules(path.parent)]
    assert mirrored and strays == []


def test_every_folder_of_tests_is_a_room():
    rooms = {path.parent.relative_to(PACKAGE) for path in PACKAGE.glob("*/**/__init__.py")}
    assert {path.parent for path in files()} - {Path()} == rooms


def test_what_is_listed_as_an_exception_is_there():
    assert set(ACROSS) - {path.as_posix() for path in files()} == set()


def test_no_module_of_a_room_hides_behind_an_underscore():
    names = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("_*.py")]
    assert [name for name in names if not name.endswith(("__init__.py", "__main__.py"))] == []

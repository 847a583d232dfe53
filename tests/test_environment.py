"""One set of versions everywhere, and a set-up that turns away what it cannot serve."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import instanceid_utils

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PYTHONS = ("3.9", "3.10", "3.11")
PLATFORMS = (("linux", "x86_64"), ("darwin", "arm64"), ("darwin", "x86_64"))
MACHINES = [(python, *platform) for python in PYTHONS for platform in PLATFORMS]


def _environment(python, system, machine):
    """Return what environment markers see on such a machine."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.18",
        "sys_platform": system,
        "platform_machine": machine,
        "platform_system": {"linux": "Linux", "darwin": "Darwin"}[system],
        "implementation_name": "cpython",
    }


def _pins(requirements, python, system, machine):
    """Return {name: version} of what applies on a machine; each name may apply once."""
    pins = {}
    for requirement in requirements:
        marker = requirement.marker
        if marker and not marker.evaluate(_environment(python, system, machine)):
            continue
        name = canonicalize_name(requirement.name)
        assert name not in pins, f"{name} is pinned twice"
        (specifier,) = requirement.specifier
        assert specifier.operator == "==", f"{requirement} is no pin"
        pins[name] = specifier.version
    return pins


@pytest.fixture(scope="module")
def declared():
    """Return the pins of all extras of pyproject.toml: everything the course needs."""
    try:
        import tomllib
    except ImportError:
        import tomli as tomllib
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["optional-dependencies"]
    found = [Requirement(line) for name in groups if name != "archive" for line in groups[name]]
    return [requirement for requirement in found if requirement.name != project["name"]]


@pytest.fixture(scope="module")
def core():
    """Return the requirements of tracking, one video or many, which are ranges."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    groups = re.findall(r"^(?:dependencies|archive) = \[.*\n([^]]*?)^\]", text, re.M)
    assert len(groups) == 2
    return [Requirement(line) for line in re.findall(r'^ +"(.+?)"', "".join(groups), re.M)]


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_the_core_takes_ranges_and_the_course_lies_in_them(machine, core, declared):
    pins = _pins(declared, *machine)
    for requirement in core:
        (bound,) = requirement.specifier
        assert bound.operator == ">=", f"{requirement}: expected a lower bound, and no other"
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.fixture(scope="module")
def locked():
    """Return [(requirement, number of hashes)] of the lock."""
    logical = LOCK.replace("\\\n", " ")
    lines = [line for line in logical.splitlines() if line and not line.lstrip().startswith("#")]
    return [(Requirement(line.split("--hash")[0]), line.count("--hash=sha256:")) for line in lines]


@pytest.mark.parametrize("machine", MACHINES, ids="-".join)
def test_the_lock_holds_every_pin_on_every_machine(machine, declared, locked):
    wanted = _pins(declared, *machine)
    found = _pins([requirement for requirement, _ in locked], *machine)
    assert {name: found.get(name) for name in wanted} == wanted
    assert len(found) > len(wanted)


def test_every_locked_version_has_hashes(locked):
    assert len(locked) > 150
    assert [str(requirement) for requirement, n_hashes in locked if n_hashes == 0] == []


def test_the_lock_names_no_index_and_no_folder(locked):
    assert not re.search(r"index-url|find-links|://|file:|@ |(?<![\w.])/\w+/", LOCK)
    assert not any(requirement.url for requirement, _ in locked)


@pytest.mark.parametrize("platform", PLATFORMS, ids="-".join)
def test_environment_yml_equals_pyproject(platform, declared):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, pinned = environment["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    *lines, own = pinned["pip"]
    assert own == "--editable ."
    pins = _pins([Requirement(line) for line in lines], "3.11", *platform)
    assert pins == _pins(declared, "3.11", *platform)


def test_each_line_of_environment_yml_says_what_it_is_for():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    entries = [line for line in text.splitlines() if re.match(r" +- (?!pip:|conda-forge)", line)]
    assert len(entries) > 20
    assert [line for line in entries if " # " not in line] == []


def test_the_changelog_is_headed_by_this_version():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings[0] == instanceid_utils.__version__
    versions = [tuple(map(int, heading.split("."))) for heading in headings]
    assert versions == sorted(versions, reverse=True)


def test_ci_runs_every_python_that_is_served():
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]["test"]
    assert tuple(job["strategy"]["matrix"]["python"]) == PYTHONS
    assert job["steps"][-1]["run"].startswith("make test ")


def _check(**changes):
    machine = {
        "python": (3, 11),
        "implementation": "CPython",
        "bits": 64,
        "system": "Linux",
        "machine": "x86_64",
        "libc": ("glibc", "2.36"),
    }
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from setup_check import problem
    finally:
        sys.path.pop(0)
    return problem(**{**machine, **changes})


MAC = {"system": "Darwin", "libc": ("", "")}


@pytest.mark.parametrize(
    "machine",
    [
        {},
        {"python": (3, 9)},
        {"python": (3, 10), "libc": ("glibc", "2.28")},
        {**MAC, "machine": "arm64", "macos": "14.0"},
        {**MAC, "macos": "26.1.2"},
        {**MAC, "macos": "10.16"},
    ],
)
def test_the_check_lets_supported_machines_pass(machine):
    assert _check(**machine) is None


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({"python": (3, 12)}, "this is 3.12: install Python 3.11"),
        ({"python": (3, 8)}, "this is 3.8: install Python 3.11"),
        ({"system": "Windows", "machine": "AMD64"}, "inside WSL 2"),
        ({"machine": "aarch64"}, "use an x86-64 machine, or macOS"),
        ({**MAC, "machine": "arm64", "macos": "13.6"}, "update macOS"),
        ({"libc": ("glibc", "2.17")}, "use a newer system"),
        ({"libc": ("", "")}, "use a newer system"),
        ({"implementation": "PyPy"}, "64-bit PyPy: install Python 3.11"),
        ({"bits": 32}, "32-bit CPython: install Python 3.11"),
    ],
)
def test_the_check_says_in_one_sentence_what_to_do(machine, expected):
    message = _check(**machine)
    assert expected in message
    assert message.startswith("InstanceID ") and message.endswith(".") and "\n" not in message


def test_the_check_can_be_read_by_old_pythons():
    source = (ROOT / "tools/setup_check.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 4))


def test_the_check_turns_a_newer_python_away():
    python = shutil.which("python3.12")
    if not python or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip("no python3.12 here")
    result = _run([python, ROOT / "tools/setup_check.py"])
    assert (result.returncode, result.stdout) == (1, "")
    assert "this is 3.12: install Python 3.11" in result.stderr


def _run(command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=60, **options
    )


@pytest.fixture
def bare(tmp_path):
    """Make a folder with all that the set-up needs, and a Python that only writes down its calls.

    Its ``-m venv`` makes a copy of itself, so that all calls of the set-up end in ``calls``.
    """
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=lambda *_: ["__pycache__"])
    fake = tmp_path / "python-fake"
    fake.write_text(
        '#!/bin/sh\necho "$@" >> calls\n'
        'case "$*" in *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac\n'
    )
    fake.chmod(0o755)
    return tmp_path


def _make(folder, *arguments):
    return _run(["make", "setup", *arguments], cwd=folder)


def test_a_second_make_installs_nothing(bare):
    first = _make(bare, "PYTHON=./python-fake")
    assert first.returncode == 0, first.stderr
    calls = (bare / "calls").read_text().splitlines()
    assert [call for call in calls if call.startswith("-m")] == [
        "-m venv .venv",
        "-m pip install --quiet --require-hashes --no-deps -r requirements.lock",
        "-m pip install --quiet --no-deps --no-build-isolation --editable .",
        "-m pip check",
    ]
    assert _make(bare, "PYTHON=./python-fake").returncode == 0
    assert (bare / "calls").read_text().splitlines() == calls


def test_a_new_lock_is_installed_into_the_same_venv(bare):
    _make(bare, "PYTHON=./python-fake")
    (bare / "calls").unlink()
    os.utime(bare / ".venv/.installed", (0, 0))  # older than the lock
    assert _make(bare).returncode == 0
    calls = (bare / "calls").read_text()
    assert "-m pip install --quiet --require-hashes" in calls and "-m venv" not in calls


def test_a_failed_install_is_not_taken_for_done(bare):
    fake = bare / "python-fake"
    fake.write_text(fake.read_text() + 'case "$*" in *"pip check"*) exit 1 ;; esac\n')
    assert _make(bare, "PYTHON=./python-fake").returncode != 0
    assert not (bare / ".venv/.installed").exists()


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("./wrong", "InstanceID needs another Python"),
        ("./none-such", "No Python was found under the name ./none-such: install Python 3.11"),
    ],
)
def test_make_stops_at_once_without_a_suitable_python(bare, python, expected):
    wrong = bare / "wrong"
    wrong.write_text("#!/bin/sh\necho InstanceID needs another Python >&2\nexit 1\n")
    wrong.chmod(0o755)
    result = _make(bare, f"PYTHON={python}")
    assert result.returncode != 0
    assert result.stderr.startswith(expected) and "Traceback" not in result.stderr
    assert not (bare / ".venv").exists()


def test_a_suitable_python_is_found_among_others(bare):
    wrong = bare / "wrong"
    wrong.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    wrong.chmod(0o755)
    found = _run(["sh", "tools/find_python.sh", "./none", "./wrong", "./python-fake"], cwd=bare)
    assert (found.returncode, found.stdout, found.stderr) == (0, "./python-fake\n", "")


def test_a_wheel_carries_the_package_and_the_weights(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    result = _run(command, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    (wheel,) = tmp_path.glob("instanceid_utils-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "instanceid_utils").rglob("*.py")}
    weights = {p.name for p in (ROOT / "data/weights").iterdir()}
    assert modules | {"instanceid_utils/py.typed"} <= names
    assert {f"instanceid_utils/_weights/{name}" for name in weights} <= names
    assert not any(name.startswith(("tests/", "notebooks/", "data/")) for name in names)

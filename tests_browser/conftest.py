"""JupyterLab as `make lab` starts it, on a copy of the course, and one page of Chromium."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from actions import ROOT
from PIL import Image
from playwright.sync_api import sync_playwright

EVIDENCE = ROOT / "runs/browser"  # what a failure leaves for you to look at
PAGE = pytest.StashKey()
ALONE = [  # a browser that talks to nobody but the test's own server
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="folder whose pictures are renewed")


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """Copy the course, so that the notebooks stay as they are; only data/ is shared."""
    folder = tmp_path_factory.mktemp("browser") / "course"
    shutil.copytree(
        ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".*", "__*")
    )
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "README.md", folder)
    (folder / "data").symlink_to(ROOT / "data")
    return folder


@pytest.fixture(scope="session")
def lab(course):
    """Start `make lab` with settings, workspaces and a port of its own; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, own = secrets.token_hex(16), course.parent
    options = (
        f"--no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 --allow-root "
        f"--IdentityProvider.token={token} --ServerApp.root_dir={course}"
    )
    folders = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR",
    )
    environment = {**os.environ, **{name: str(own / name.lower()) for name in folders}}
    shutil.rmtree(EVIDENCE, ignore_errors=True)
    EVIDENCE.mkdir(parents=True)
    log = EVIDENCE / "lab.log"
    with open(log, "w") as stream:
        server = subprocess.Popen(
            ["make", "lab", f"LAB={options}"],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    address = SimpleNamespace(url=f"http://127.0.0.1:{port}", token=token)
    try:
        _wait_until_it_answers(address, server, log)
        yield address
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)


def _wait_until_it_answers(lab, server, log, seconds=120):
    for _ in range(seconds):
        try:
            urllib.request.urlopen(f"{lab.url}/api?token={lab.token}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, f"`make lab` ended:\n{log.read_text()}"
            time.sleep(1)
    raise TimeoutError(f"`make lab` did not answer in {seconds} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def page(request):
    """Open a page of Chromium; what happened on it is kept if a test fails."""
    program = os.environ.get("CHROMIUM")
    assert program, "CHROMIUM is unset: start these tests with `make test-browser`"
    sandbox = os.geteuid() != 0  # Chromium refuses to make one as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=ALONE, chromium_sandbox=sandbox
        )
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        context.tracing.start(screenshots=True, snapshots=True)
        page = request.config.stash[PAGE] = context.new_page()
        yield page
        del request.config.stash[PAGE]
        failed = request.session.testsfailed
        context.tracing.stop(path=EVIDENCE / "trace.zip" if failed else None)
        browser.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    page = item.config.stash.get(PAGE, None)
    if report.failed and page:
        picture = EVIDENCE / f"{item.name}.png"
        page.screenshot(path=picture)
        hint = f"{picture}\nWhat led there: python -m playwright show-trace {EVIDENCE}/trace.zip"
        report.sections.append(("What the page looked like", hint))


@pytest.fixture
def screenshot(request, page):
    """Return a function that takes a picture of the page, to renew one if that is asked for."""
    folder = request.config.getoption("--screenshots")

    def take(name):
        renewed = folder and (folder / f"{name}.png").exists()
        path = (folder if renewed else EVIDENCE) / f"{name}.png"
        page.screenshot(path=path)
        Image.open(path).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)

    return take

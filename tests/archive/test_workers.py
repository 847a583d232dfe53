"""Real processes that die: in the end the archive equals one built without any of it."""

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

from instanceid_utils.archive.workers import Workers
from tests.archive.test_build import MASKS, build, built, clips, content  # noqa: F401

# Of builds that are killed at random instants; a long test: INSTANCEID_ARCHIVE_KILLS=50.
N_KILLS = int(os.environ.get("INSTANCEID_ARCHIVE_KILLS", 2))
PATIENCE = 60  # seconds


def command(folder, out, *options):
    named = [str(folder / name) for name in "abc"]
    return [
        *(sys.executable, "-m", "instanceid_utils", "archive", "build", *named),
        *("--masks", MASKS, "--out", str(out), "--quiet", *map(str, options)),
    ]


def start(argv, **options):
    """Start a process in a group of its own, so that all that it starts can be killed with it."""
    return subprocess.Popen(
        argv,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def kill(process, number=signal.SIGKILL):
    os.killpg(process.pid, number)
    process.communicate(timeout=PATIENCE)


def wait_for(what, process):
    until = time.monotonic() + PATIENCE
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def ends_well(process):
    said = process.communicate(timeout=2 * PATIENCE)[0]
    assert process.returncode == 0, said
    return said


class Cluster:
    """A scheduler and its worker, each a process."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.running = f"tcp://127.0.0.1:{self.port}", []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.running:
            if process.poll() is None:
                kill(process)

    def scheduler(self):
        options = ("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")
        return self._start("dask_scheduler", *options)

    def worker(self):
        return self._start("dask_worker", self.address, "--nthreads", "1", "--no-nanny")

    def _start(self, kind, *options):
        argv = [sys.executable, "-m", f"distributed.cli.{kind}", *options]
        process = subprocess.Popen(
            argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.running.append(process)
        return process


def test_workers_and_the_scheduler_go_and_come_back(clips, built, tmp_path):  # noqa: F811
    pytest.importorskip("distributed")
    tracks = tmp_path / "x" / "tracks"
    with Cluster() as cluster:
        scheduler, worker = cluster.scheduler(), cluster.worker()
        process = start(command(clips, tmp_path / "x", "--scheduler", cluster.address))
        wait_for(lambda: list(tracks.glob(".*.part")), process)
        kill(worker)  # in the middle of a video, and it was the only one
        worker = cluster.worker()
        wait_for(lambda: list(tracks.glob("[abc]-*")), process)
        kill(scheduler)
        kill(worker)
        cluster.scheduler(), cluster.worker()
        said = ends_well(process)
    assert "no scheduler there, waiting for it" in said
    assert content(tmp_path / "x") == content(built)


def test_killed_at_random_instants_it_goes_on(clips, built, tmp_path):  # noqa: F811
    begin = time.monotonic()
    process = start(command(clips, tmp_path / "once", "--workers", 0))
    ends_well(process)
    usual, rng, n_killed = time.monotonic() - begin, random.Random(0), 0
    for _ in range(6 * N_KILLS):
        out = tmp_path / f"x{n_killed // 5}"
        resume = ["--resume"] if (out / "archive.json").exists() else []
        process = start(command(clips, out, "--workers", 0, *resume))
        try:
            process.wait(rng.uniform(0.1, 0.8) * usual)
        except subprocess.TimeoutExpired:
            kill(process)
            n_killed += 1
        else:
            ends_well(process)
        if n_killed == N_KILLS:
            break
    assert n_killed == N_KILLS
    for out in sorted(tmp_path.glob("x*")):
        resume = ["--resume"] if (out / "archive.json").exists() else []
        ends_well(start(command(clips, out, "--workers", 0, *resume)))
        assert content(out) == content(built), out
        assert not list(out.rglob("*.part"))


@pytest.fixture
def interruptible():
    """Take Ctrl-C as a terminal gives it; in the background, the shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_says_how_to_go_on(clips, built, tmp_path):  # noqa: F811
    pytest.importorskip("distributed")
    process = start(command(clips, tmp_path / "x", "--workers", 1))
    wait_for(lambda: list((tmp_path / "x" / "tracks").glob("[abc]-*")), process)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130 and "the same command with --resume goes on" in said
    assert "Traceback" not in said, said
    ends_well(start(command(clips, tmp_path / "x", "--workers", 0, "--resume")))
    assert content(tmp_path / "x") == content(built)


def test_files_that_cannot_be_written_to_the_end(clips, built, tmp_path):  # noqa: F811
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    process = start(command(clips, tmp_path / "x", "--workers", 0), preexec_fn=limit)
    said = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 1 and "File too large" in said and "Traceback" not in said
    ends_well(start(command(clips, tmp_path / "x", "--workers", 0, "--resume")))
    assert content(tmp_path / "x") == content(built)


def dies(path):
    """Take the worker with it, the first time or always."""
    if not os.path.exists(path) or path.endswith("always"):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_workers_is_given_up(tmp_path):
    pytest.importorskip("distributed")
    with Workers(1, say=lambda line: None) as workers:
        jobs = {name: (str(tmp_path / name),) for name in ("once", "always")}
        errors = workers.run(dies, jobs)
        assert list(errors) == ["always"] and "workers died of it" in str(errors["always"])
        assert workers.run(os.path.exists, {"x": ("/",)}) == {}


def test_workers_that_cannot_be():
    with pytest.raises(ValueError, match="workers: expected 0 or more"):
        Workers(-1)
    with pytest.raises(ValueError, match="no scheduler beside them"):
        Workers(2, "tcp://localhost:1")

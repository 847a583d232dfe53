"""One writer at a time, with real processes: they wait, they are killed, and there are no locks."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from instanceid_utils.gallery import Gallery, file_lock, locked

HERE = Path(__file__).parents[2]
HOLDS = """
import sys, time
from instanceid_utils.gallery import Gallery, locked
with locked(sys.argv[1]):
    print("has it", flush=True)
    sys.stdin.readline()
    if len(sys.argv) > 2:
        gallery = Gallery(dim=2)
        gallery.new_id()
        gallery.save(sys.argv[1])
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "known.gallery"
    Gallery(dim=2).save(path)
    return path


@pytest.fixture
def hold():
    """Return a function that starts a process which holds a path until told to go on."""
    running = []

    def start(path, *words):
        command = [sys.executable, "-c", HOLDS, str(path), *words]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "has it\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def let_go(process):
    process.communicate("\n", timeout=30)
    assert process.returncode == 0


def names(path):
    return sorted(p.name for p in path.parent.iterdir())


def test_the_second_is_told_whose_it_is_and_changes_nothing(path, hold):
    before = path.read_bytes()
    process = hold(path)
    with pytest.raises(BlockingIOError) as info, locked(path):
        raise AssertionError("never got here")
    assert f"process {process.pid} on " in info.value.strerror
    assert info.value.filename == str(path)
    with pytest.raises(BlockingIOError, match="open for an update"):
        Gallery(dim=3).save(path)
    assert path.read_bytes() == before
    Gallery.load(path)  # reading is free
    let_go(process)
    with locked(path):
        Gallery(dim=3).save(path)
    assert names(path) == ["known.gallery"]


def test_who_waits_gets_what_the_first_has_saved(path, hold, caplog):
    process = hold(path, "save")
    later = threading.Timer(0.5, let_go, [process])
    later.start()
    with caplog.at_level(logging.WARNING), locked(path, wait=True):
        assert Gallery.load(path).new_id() == 2
    later.join()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].endswith("has it open for an update; waiting")


def test_waiting_has_an_end(path, hold):
    hold(path)
    begin = time.monotonic()
    with pytest.raises(BlockingIOError), locked(path, wait=0.5):
        raise AssertionError("never got here")
    assert 0.5 <= time.monotonic() - begin < 5


def test_a_killed_process_lets_go(path, hold):
    process = hold(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert names(path) == [".known.gallery.lock", "known.gallery"]
    with locked(path):
        pass
    assert names(path) == ["known.gallery"]


def test_a_link_and_its_target_are_one_file(path, tmp_path, hold):
    link = tmp_path / "link.gallery"
    link.symlink_to(path)
    hold(path)
    with pytest.raises(BlockingIOError), locked(link):
        raise AssertionError("never got here")


def test_a_thread_is_another_writer_too(path):
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        raise AssertionError("never got here")
    with locked(path):  # and an error lets go
        pass


def test_many_who_count_lose_nothing(tmp_path):
    path = tmp_path / "known.gallery"
    Gallery(dim=2).save(path)
    code = """
import sys
import numpy as np
from instanceid_utils.gallery import Gallery, locked
for _ in range(5):
    with locked(sys.argv[1], wait=60):
        gallery = Gallery.load(sys.argv[1])
        gallery.add([gallery.new_id()], np.eye(2, dtype=np.float32)[:1])
        gallery.save(sys.argv[1])
"""
    started = [
        subprocess.Popen([sys.executable, "-c", code, path], cwd=HERE, stderr=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    np.testing.assert_array_equal(Gallery.load(path).ids, np.arange(1, 16))


def test_a_lock_on_a_file_that_is_gone_holds_nobody_off(path, monkeypatch):
    take, calls = file_lock._lock, []

    def removed_just_before(file):
        take(file)
        calls.append(file)
        if len(calls) == 1:
            (path.parent / ".known.gallery.lock").unlink()

    monkeypatch.setattr(file_lock, "_lock", removed_just_before)
    with locked(path):
        assert names(path) == [".known.gallery.lock", "known.gallery"] and len(calls) == 2


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks(path, monkeypatch, code):
    def no_locks(file):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(file_lock, "_lock", no_locks)
    with locked(path):
        assert names(path) == [".known.gallery.held", "known.gallery"]
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()}.*if it is gone, remove"):
            file_lock._Lock(path, path)
        Gallery(dim=3).save(path)
    assert names(path) == ["known.gallery"]
    (path.parent / ".known.gallery.held").write_text("7 on elsewhere")  # killed while it held it
    with pytest.raises(BlockingIOError, match="process 7 on elsewhere.*held"):
        Gallery(dim=2).save(path)
    with pytest.raises(BlockingIOError), locked(path):
        raise AssertionError("never got here")
    assert Gallery.load(path).dim == 3
    assert names(path) == [".known.gallery.held", "known.gallery"]


def test_another_fault_of_the_lock_is_told(path, monkeypatch):
    def broken(file):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(file_lock, "_lock", broken)
    with pytest.raises(OSError, match="broken"), locked(path):
        raise AssertionError("never got here")

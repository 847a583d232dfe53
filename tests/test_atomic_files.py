"""Old content or new, never half of it, and nothing left behind."""

import os
import subprocess
import sys

import pytest

from instanceid_utils.atomic_files import replacing, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_take_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, "ü")
    assert path.read_bytes() == "ü".encode()
    write_atomically(path, b"\x00\n")
    assert path.read_bytes() == b"\x00\n" and names(tmp_path) == ["a.json"]


def test_an_error_leaves_the_old_content_and_no_part(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half of the n")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store" / "real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "store" / "real").read_bytes() == b"new"


def test_killed_while_it_writes_the_old_content_is_there_and_the_next_write_cleans_up(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from instanceid_utils.atomic_files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'n' * 100_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, os.fspath(path)], check=False)
    assert path.read_bytes() == b"old" and names(tmp_path) == [".a.bin.part", "a.bin"]
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and names(tmp_path) == ["a.bin"]


def test_where_nothing_can_be_written_the_error_is_the_system_s(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "nowhere" / "a.bin", b"")


def test_two_writers_do_not_mix(tmp_path):
    path = tmp_path / "a.bin"
    with replacing(path) as file:
        file.write(b"first")
        with pytest.raises(BlockingIOError, match="somebody else is saving"), replacing(path):
            pass
    assert path.read_bytes() == b"first" and names(tmp_path) == ["a.bin"]

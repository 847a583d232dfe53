"""Galleries on the disk: whole or not at all, checked before anything is made of them."""

import copy
import hashlib
import json
import os
import pickle
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery.gallery_file import GalleryFileError, read_arrays, write_arrays
from tests.galleries import DIM, draw


def make_gallery(policy="exemplars"):
    """A gallery with cells in use, others being made, and free rows and IDs."""
    gallery = Gallery(
        DIM,
        max_exemplars=3,
        policy=policy,
        exact_limit=40,
        n_probe=3,
        weights_sha256="ab" * 32,
        threshold=0.625,
    )
    for step in range(40):
        ids = [gallery.new_id() for _ in range(3)]
        gallery.add([*gallery.ids[:4], *ids], draw(min(4, len(gallery)) + 3, seed=step))
    gallery.remove(gallery.ids[5:9])
    gallery.add([10**12], draw(1, seed=77))
    return gallery


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Without fsync nothing here differs: only a power cut would show it."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def saved_bytes(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "gallery"
    make_gallery().save(path)
    return path.read_bytes()


@pytest.fixture
def saved(tmp_path, saved_bytes):
    path = tmp_path / "gallery"
    path.write_bytes(saved_bytes)
    return path


def parse(data):
    """Read the format by its definition, not by the code under test."""
    magic, version, length, digest = struct.unpack_from("<8sII32s", data)
    assert magic == b"\x89IIDGAL\n" and version == 1
    header = data[48 : 48 + length]
    assert hashlib.sha256(header).digest() == digest
    header, at, arrays = json.loads(header), 48 + length, {}
    for entry in header["arrays"]:
        n_bytes = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
        raw = data[at : at + n_bytes]
        assert hashlib.sha256(raw).hexdigest() == entry["sha256"]
        arrays[entry["name"]] = np.frombuffer(raw, entry["dtype"]).reshape(entry["shape"])
        at += n_bytes
    assert at == len(data)
    return header, arrays


def build(header, arrays, version=1, magic=b"\x89IIDGAL\n"):
    """Write the format by its definition."""
    raws = [np.ascontiguousarray(a).tobytes() for a in arrays.values()]
    header = dict(
        header,
        arrays=[
            {
                "name": name,
                "dtype": a.dtype.str,
                "shape": list(a.shape),
                "sha256": hashlib.sha256(raw).hexdigest(),
            }
            for (name, a), raw in zip(arrays.items(), raws)
        ],
    )
    text = json.dumps(header).encode()
    start = struct.pack("<8sII32s", magic, version, len(text), hashlib.sha256(text).digest())
    return b"".join([start, text, *raws])


# --- round trip


@pytest.mark.parametrize("policy", ["exemplars", "mean", "both"])
def test_round_trip(tmp_path, policy):
    gallery = make_gallery(policy)
    gallery.save(tmp_path / "one")
    loaded = Gallery.load(tmp_path / "one", weights_sha256="ab" * 32)
    loaded.check()
    assert (loaded.threshold, loaded.weights_sha256) == (0.625, "ab" * 32)
    assert loaded.ids.tolist() == gallery.ids.tolist()
    for id in gallery.ids:
        assert loaded.last_seen(id) == gallery.last_seen(id)
        for mine, theirs in zip(loaded.exemplars(id), gallery.exemplars(id)):
            np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(loaded.search(draw(50)), gallery.search(draw(50))):
        np.testing.assert_array_equal(mine, theirs)
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_an_empty_gallery(tmp_path):
    Gallery(3).save(tmp_path / "empty")
    gallery = Gallery.load(tmp_path / "empty")
    assert len(gallery) == 0 and gallery.new_id() == 1
    gallery.add([1], draw(1, dim=3))
    gallery.check()


def test_an_independent_reader_finds_the_vectors(saved):
    header, arrays = parse(saved.read_bytes())
    gallery = Gallery.load(saved)
    assert header["notes"]["threshold"] == 0.625
    live = arrays["owners"] > 0
    assert sorted(set(arrays["owners"][live].tolist())) == gallery.ids.tolist()
    _, vectors = gallery.exemplars(10**12)
    np.testing.assert_array_equal(arrays["vectors"][arrays["owners"] == 10**12], vectors)


def save_and_load(gallery, folder):
    gallery.save(folder / "gallery")
    return Gallery.load(folder / "gallery")


def pickle_and_back(gallery, folder):
    return pickle.loads(pickle.dumps(gallery))


@pytest.mark.parametrize("policy", ["exemplars", "both"])
@pytest.mark.parametrize("resume", [save_and_load, pickle_and_back])
def test_who_resumes_at_any_time_gets_the_same_ids(tmp_path, policy, resume):
    """Also while cells are being made, and although cells make search approximate."""

    def start():
        return Gallery(DIM, max_exemplars=2, policy=policy, exact_limit=60, n_probe=1)

    def step(gallery, seed):
        views = draw(2, seed=seed)
        ids, distances = gallery.search(views, k=1)
        given = [
            i if d < 0.9 and i not in ids[:n, 0] else gallery.new_id()
            for n, (i, d) in enumerate(zip(ids[:, 0].tolist(), distances[:, 0]))
        ]
        gallery.add(given, views)
        if seed % 5 == 4:
            gallery.expire(seed - 70)
        return given

    steady, stopping, phases = start(), start(), set()
    for seed in range(130):
        assert step(steady, seed) == step(stopping, seed)
        stopping = resume(stopping, tmp_path)
        cells = stopping._contents.index.cells
        phases.add((cells.serving is not None, cells.kmeans is not None, cells.next is not None))
    assert {(True, False, False), (False, True, False), (False, False, True)} <= phases


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_goes_its_own_way(duplicate):
    """Also while cells are learned."""
    gallery = Gallery(DIM, policy="both", exact_limit=40, weights_sha256="abc", threshold=0.5)
    while gallery._contents.index.cells.kmeans is None:
        gallery.add([gallery.new_id()], draw(1, seed=len(gallery)))
    gallery.remove([7])
    before, twin = pickle.dumps(gallery), duplicate(gallery)
    assert (twin.weights_sha256, twin.threshold, twin.dim) == ("abc", 0.5, DIM)
    assert pickle.dumps(twin) == before
    twin.add([3, 1000], draw(2, seed=77))
    twin.remove([5])
    assert pickle.dumps(gallery) == before
    assert twin.ids.tolist() == [i for i in gallery.ids.tolist() if i != 5] + [1000]
    twin.check()
    gallery.check()


def test_resuming_in_a_new_process(tmp_path):
    program = textwrap.dedent("""
        import sys, numpy as np
        from instanceid_utils.gallery.gallery import Gallery
        path, first, last, save = sys.argv[1], *map(int, sys.argv[2:])
        gallery = Gallery.load(path) if first else Gallery(8, exact_limit=50, n_probe=2)
        for seed in range(first, last):
            views = np.random.default_rng(seed).normal(size=(10, 8))
            views = (views / np.linalg.norm(views, axis=1, keepdims=True)).astype(np.float32)
            ids, distances = gallery.search(views, k=1)
            ids = [i if d < 0.6 and i not in ids[:n, 0] else gallery.new_id()
                   for n, (i, d) in enumerate(zip(ids[:, 0].tolist(), distances[:, 0]))]
            gallery.add(ids, views)
            print(seed, *ids)
        if save:
            gallery.save(path)
    """)

    def run(*args):
        command = [sys.executable, "-c", program, tmp_path / "gallery", *map(str, args)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert run(0, 20, 1) + run(20, 40, 0) == run(0, 40, 0)


def test_weights_that_do_not_match_are_refused(saved):
    with pytest.raises(GalleryFileError, match="gallery: made with weights abab.*of weights cdef"):
        Gallery.load(saved, weights_sha256="cdef")


# --- damage


def load_error(path):
    with pytest.raises(GalleryFileError) as caught:
        Gallery.load(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def test_every_changed_byte_is_found(saved):
    data = saved.read_bytes()
    places = {*range(0, 1000), *range(1000, len(data), len(data) // 500), len(data) - 1}
    for place in sorted(places):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        saved.write_bytes(damaged)
        load_error(saved)


def test_every_truncation_is_found(saved):
    data = saved.read_bytes()
    for length in {*range(0, 200), *range(200, len(data), len(data) // 200), len(data) - 1}:
        saved.write_bytes(data[:length])
        load_error(saved)
    saved.write_bytes(data + b"\0")
    assert "expected" in load_error(saved)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + b"x" * 100,
        b"\x93NUMPY" + b"x" * 100,
        b"PK\x03\x04" + b"\0" * 99,
        b"IxFI" + b"\0" * 99,
        b"\x80\x04cos\nsystem\n(S'true'\ntR." + b"\0" * 99,
    ],
)
def test_foreign_files(tmp_path, data):
    (tmp_path / "gallery").write_bytes(data)
    assert "not a gallery file" in load_error(tmp_path / "gallery")


def test_other_versions(tmp_path, saved):
    saved.write_bytes(build(*parse(saved.read_bytes()), version=2))
    assert "version 2 of the format, this program reads 1" in load_error(saved)


def test_an_enormous_header_claims_no_memory(saved):
    data = bytearray(saved.read_bytes())
    struct.pack_into("<I", data, 12, 2**32 - 1)
    saved.write_bytes(data)
    assert "the header is cut short or damaged" in load_error(saved)


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"shape": [2**40, 16]}, "expected .* bytes, the file has"),
        ({"shape": [2**60]}, "the header makes no sense"),
        ({"shape": [-1, 16]}, "the header makes no sense"),
        ({"shape": [True, 16]}, "the header makes no sense"),
        ({"shape": "16"}, "the header makes no sense"),
        ({"dtype": "|O"}, "the header makes no sense"),
        ({"dtype": ">f4"}, "the header makes no sense"),
        ({"name": 5}, "the header makes no sense"),
    ],
)
def test_a_header_that_lies(saved, entry, message):
    header, arrays = parse(saved.read_bytes())
    header["arrays"][0].update(entry)
    text = json.dumps(header).encode()
    start = struct.pack("<8sII32s", b"\x89IIDGAL\n", 1, len(text), hashlib.sha256(text).digest())
    saved.write_bytes(start + text + b"".join(a.tobytes() for a in arrays.values()))
    with pytest.raises(GalleryFileError, match=message):
        Gallery.load(saved)


def swap(array, i=0, j=1):
    array = array.copy()
    array[[i, j]] = array[[j, i]]
    return array


def put(array, where, value):
    array = array.copy()
    array[where] = value
    return array


@pytest.mark.parametrize(
    "name, change",
    [
        ("vectors", lambda a: put(a, 0, np.nan)),
        ("vectors", lambda a: a[:, :-1]),
        ("vectors", lambda a: a.astype("<f8")),
        ("vectors", lambda a: a[:-1]),
        ("keys", swap),
        ("keys", lambda a: put(a, 0, 2**62)),
        ("owners", swap),
        ("owners", lambda a: put(a, 0, -5)),
        ("ids", swap),
        ("ids", lambda a: put(a, 0, a[1])),
        ("rows", swap),
        ("rows", lambda a: put(a, (0, 1), 10**6)),
        ("rows", lambda a: put(a, (0, 1), -7)),
        ("rows", lambda a: a[:, :2]),
        ("last_seen", lambda a: put(a, 0, np.inf)),
        ("n_averaged", lambda a: put(a, 0, -1)),
        ("free_rows", lambda a: put(a, 0, 3)),
        ("free_rows", lambda a: a[:0]),
        ("free_slots", lambda a: put(a, 0, 3)),
        ("taken", lambda a: a[:0]),
        ("serving.keys", lambda a: put(a, 0, a[1])),
        ("serving.keys", lambda a: put(a, 0, -1)),
        ("serving.sizes", lambda a: put(a, 0, -1)),
        ("serving.sizes", lambda a: a + 1),
        ("serving.centroids", lambda a: put(a, 0, np.nan)),
        ("serving.centroids", lambda a: a[:0]),
    ],
)
def test_contents_that_contradict_each_other(saved, name, change):
    """Checksums are right here: what is wrong was written by somebody."""
    header, arrays = parse(saved.read_bytes())
    arrays[name] = change(arrays[name])
    saved.write_bytes(build(header, arrays))
    assert any(words in load_error(saved) for words in ("makes no sense", "contradicts", "array"))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another"},
        {"settings": {}},
        {"settings": None},
        {"serial": -1},
        {"serial": "x"},
        {"next_id": 1},
        {"next_id": 0},
        {"most": 0},
        {"most": 10**9},
        {"latest": None},
        {"making": [1]},
        {"making": [-1, 0]},
        {"cells": []},
        {"cells": {"serving": "x"}},
        {"threshold": "low"},
        {"weights_sha256": 7},
    ],
)
def test_notes_that_make_no_sense(saved, change):
    header, arrays = parse(saved.read_bytes())
    header["notes"].update(change)
    saved.write_bytes(build(header, arrays))
    load_error(saved)


@pytest.mark.parametrize(
    "setting",
    [
        {"dim": 10**15},
        {"max_exemplars": 10**15},
        {"policy": "mean"},
        {"n_threads": 10**9},
        {"exact_limit": -1},
        {"colour": "red"},
    ],
)
def test_settings_that_make_no_sense(saved, setting):
    header, arrays = parse(saved.read_bytes())
    header["notes"]["settings"].update(setting)
    saved.write_bytes(build(header, arrays))
    load_error(saved)


def test_missing_things(tmp_path, saved):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Gallery.load(tmp_path / "nowhere")
    header, arrays = parse(saved.read_bytes())
    for name in arrays:
        saved.write_bytes(build(header, {n: a for n, a in arrays.items() if n != name}))
        load_error(saved)


# --- writing


def test_a_save_that_fails_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def fail(*args):
        raise OSError("no space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="no space left"):
                Gallery(3).save(saved)
        assert saved.read_bytes() == before
        assert [p.name for p in saved.parent.iterdir()] == ["gallery"]


def test_the_file_is_on_the_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    calls, replace = [], os.replace

    def fsync(descriptor):
        calls.append("folder" if os.path.isdir(f"/dev/fd/{descriptor}") else "file")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("rename"), replace(*a)))
    make_gallery().save(tmp_path / "gallery")
    assert calls == ["file", "rename", "folder"]


def test_only_one_saves_to_a_path_at_a_time(saved):
    import fcntl

    before = saved.read_bytes()
    with open(saved.with_name(".gallery.part"), "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(GalleryFileError, match="somebody else is saving to it"):
            Gallery(3).save(saved)
    assert saved.read_bytes() == before
    Gallery(3).save(saved)  # what a killed process left is used up
    assert [p.name for p in saved.parent.iterdir()] == ["gallery"]


def test_a_link_stays_a_link(tmp_path, saved):
    link = tmp_path / "link"
    link.symlink_to(saved)
    Gallery(3).save(link)
    assert link.is_symlink() and Gallery.load(saved).dim == 3


def test_what_may_be_written(tmp_path):
    with pytest.raises(TypeError, match="array 'x': expected one of"):
        write_arrays(tmp_path / "x", {}, {"x": np.array(["a"])})
    parts = [np.ones((2, 3), np.float32), np.zeros((1, 3), np.float32)]
    write_arrays(tmp_path / "x", {"format": "f"}, {"x": parts})
    notes, arrays = read_arrays(tmp_path / "x")
    assert notes == {"format": "f"} and arrays["x"].tolist() == [[1] * 3, [1] * 3, [0] * 3]


def test_a_pipe_is_no_gallery(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    keep_open = os.open(tmp_path / "pipe", os.O_RDWR)
    assert "expected a file" in load_error(tmp_path / "pipe")
    os.close(keep_open)


KILLED = """
import os, random, signal, sys, time
import numpy as np
from instanceid_utils import atomic_files
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.gallery import gallery_file as file

path, mode = sys.argv[1], sys.argv[2]
os.fsync = lambda descriptor: None  # a kill loses nothing that was written
DIM, N = 64, 300

def make(generation):
    gallery = Gallery(DIM, exact_limit=200, threshold=float(generation))
    vectors = np.random.default_rng(generation).normal(size=(N + generation, DIM))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    gallery.add(np.arange(1, N + generation + 1), vectors, time=generation)
    return gallery

def generation_of(path):
    gallery = Gallery.load(path)
    gallery.check()
    generation = int(gallery.threshold)
    times = {gallery.last_seen(i) for i in gallery.ids.tolist()}
    assert len(gallery) == N + generation and times == {float(generation)}, "a mixture"
    return generation

def die_at_line(n):
    # In the writing of the file, Python runs its n-th line no more.
    count = 0
    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in (file.__file__, atomic_files.__file__):
            return None
        count += event == "line"
        if count == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

old, new = make(1), make(2)
begin = time.perf_counter()
new.save(path)
one_save = time.perf_counter() - begin
seen, killed = {1: 0, 2: 0}, 0
for attempt in range(1, 1000):
    old.save(path)
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:
        if mode == "lines":
            die_at_line(attempt)
            new.save(path)
        else:
            while True:
                new.save(path)
                os.write(tells, b"x")
                old.save(path)
                os.write(tells, b"x")
        os._exit(0)
    if mode == "times":
        # After so many saves and a moment: however slow the machine, some are cut off in each.
        for _ in range(attempt % 4):
            os.read(told, 1)
        time.sleep(random.Random(attempt).uniform(0, one_save))
        os.kill(child, signal.SIGKILL)
    os.close(told)
    os.close(tells)
    _, status = os.waitpid(child, 0)
    killed += os.WIFSIGNALED(status)
    seen[generation_of(path)] += 1
    if mode == "lines" and not os.WIFSIGNALED(status) or mode == "times" and attempt == 60:
        break
print(killed, seen[1], seen[2])
"""


@pytest.mark.parametrize("mode", ["lines", "times"])
def test_killed_at_any_instant_the_old_or_the_new_gallery_loads(tmp_path, mode):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "gallery", mode],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    n_killed, n_old, n_new = map(int, done.stdout.split())
    assert n_killed >= 50 and n_old >= 5 and n_new >= 5

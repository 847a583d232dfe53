"""A save is one step: stopped anywhere in it, the old state loads or the new one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from instanceid_utils.tracking import tracker_file
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, GREEN, RED, ColourEmbedder, show, snapshot


class Stop(BaseException):
    """Stands for a kill: nothing of the project catches it."""


@pytest.mark.parametrize("after", range(12))
def test_stopped_after_any_step(tmp_path, monkeypatch, after):
    tracker = InstanceID(ColourEmbedder())
    show(tracker, (1, RED, 10, 10, 30, 40))
    tracker.save(tmp_path)
    old = snapshot(tracker)
    show(tracker, (1, RED, 12, 10, 30, 40), (2, GREEN, 90, 10, 30, 40))
    new = snapshot(tracker)
    steps = iter(range(after))

    def step(function):
        def stepped(*args, **kwargs):
            if next(steps, None) is None:
                raise Stop
            return function(*args, **kwargs)

        return stepped

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace", "unlink"):
            patch.setattr(os, name, step(getattr(os, name)))
        try:
            tracker.save(tmp_path)
        except Stop:
            pass
    assert snapshot(InstanceID.load(tmp_path, ColourEmbedder())) in (old, new)
    tracker.save(tmp_path)
    assert snapshot(InstanceID.load(tmp_path, ColourEmbedder())) == new
    assert len(list(tmp_path.glob("gallery-*"))) == 1


SAVER = """
import sys
from tests.painted_scenes import BLUE, RED, ColourEmbedder, show
from instanceid_utils.tracking.tracker import InstanceID
tracker = InstanceID(ColourEmbedder())
for t in range(10**6):
    show(tracker, (1, RED, t % 100, 10, 30, 40), (2, BLUE, 90, 60, 30, 40))
    tracker.save(sys.argv[1])
    print(t, flush=True)
"""


def test_killed_while_saving_in_a_loop(tmp_path):
    root = Path(__file__).parents[2]
    for n_saves in (1, 7):
        command = [sys.executable, "-c", SAVER, str(tmp_path)]
        env = {**os.environ, "PYTHONPATH": str(root)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=env)
        for _ in range(n_saves):
            saved = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        saved = max([saved, *map(int, process.stdout.read().split())])
        process.wait()
        tracker = InstanceID.load(tmp_path, ColourEmbedder())
        assert tracker._time in (saved + 1, saved + 2)
        ids = show(tracker, (1, RED, 50, 10, 30, 40), (2, BLUE, 90, 60, 30, 40)).ids
        assert ids.tolist() == [1, 2]


def test_a_gallery_file_that_is_missing_or_another_is_an_error(tmp_path):
    for folder, colour in (("a", RED), ("b", GREEN)):
        tracker = InstanceID(ColourEmbedder())
        show(tracker, (1, colour, 10, 10, 30, 40), (2, BLUE, 90, 10, 30, 40))
        tracker.save(tmp_path / folder)
    (gallery,) = (tmp_path / "a").glob("gallery-*")
    gallery.write_bytes(gallery.read_bytes()[:-3])
    with pytest.raises(ValueError, match="gallery-"):
        InstanceID.load(tmp_path / "a", ColourEmbedder())
    gallery.unlink()
    with pytest.raises(OSError, match="gallery-"):
        InstanceID.load(tmp_path / "a", ColourEmbedder())


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"gallery": "../elsewhere/gallery-1.bin"},
            "no gallery is named '../elsewhere/gallery-1.bin'",
        ),
        ({"gallery": 3}, "makes no sense"),
        ({"settings": {"colour": "red"}}, "makes no sense"),
        ({"parts": {}}, "makes no sense"),
        ({"abstain": [1]}, "not enough values"),
    ],
)
def test_a_whole_file_with_strange_content_is_an_error(tmp_path, change, message):
    InstanceID(ColourEmbedder()).save(tmp_path)
    path = tmp_path / "tracker.json"
    content = json.loads(path.read_text())
    content["state"].update(change)
    content["sha256"] = tracker_file._sha256(content["state"])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as raised:
        InstanceID.load(tmp_path, ColourEmbedder())
    assert "tracker.json" in str(raised.value)


def test_the_version_is_checked(tmp_path, monkeypatch):
    tracker = InstanceID(ColourEmbedder())
    monkeypatch.setattr(tracker_file, "VERSION", 99)
    tracker.save(tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="version 1, got instanceid tracker 99"):
        InstanceID.load(tmp_path, ColourEmbedder())

"""A save is one step: stopped anywhere in it, the old state loads or the new one."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instanceid_utils.tracking import tracker_file
from instanceid_utils.tracking.tracker import InstanceID
from tests.moving_shapes import HueEmbedder, Video
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
from tests.moving_shapes import HueEmbedder, Video
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


SETTINGS = {
    "threshold": np.float32(0.5),
    "place_cue": np.bool_(True),
    "place_weight": np.array(1.0),
    "assignment": np.str_("plain"),
    "clear_margin": np.float64(0.05),
    "abstain": np.int64(2),
    "abstain_band": np.float16(0.125),
    "n_neighbours": np.uint8(3),
    "confirm": np.int64(4),
    "across_classes": np.bool_(False),
}


def tracked(tracker):
    video = Video(3)
    for t in range(3):
        tracker.update(video[t], video.label_map(t))
    return tracker


def test_numpy_scalars_are_settings_that_can_be_saved(tmp_path):
    tracked(InstanceID(HueEmbedder(), **SETTINGS)).save(tmp_path / "t")
    state = json.loads((tmp_path / "t/tracker.json").read_text())["state"]
    plain = {name: SETTINGS[name].item() for name in SETTINGS if "abstain" not in name}
    assert state["settings"] == plain and state["abstain"] == [2, 0.125]
    assert tracked(InstanceID.load(tmp_path / "t", HueEmbedder())).threshold == 0.5


@pytest.mark.parametrize(
    "setting",
    [
        {"threshold": np.float32(np.nan)},
        {"threshold": np.array([0.5])},
        {"threshold": "0.5"},
        {"abstain": 1.5},
        {"place_cue": "no"},
        {"assignment": np.array(["plain"])},
        {"clear_margin": True},
    ],
)
def test_wrong_settings_are_refused_on_entry(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        InstanceID(HueEmbedder(), **setting)


def test_a_setting_that_was_replaced_by_a_numpy_scalar_is_saved(tmp_path):
    tracker = tracked(InstanceID(HueEmbedder()))
    tracker.threshold = np.float32(0.25)
    tracker.save(tmp_path / "t")
    assert InstanceID.load(tmp_path / "t", HueEmbedder()).threshold == 0.25


@pytest.mark.parametrize("broken", ["state", "gallery", "json"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch, broken, earlier):
    folder = tmp_path / "t"
    tracker = tracked(InstanceID(HueEmbedder()))
    if earlier:
        tracker.save(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    if broken == "state":
        tracker.n_neighbours = object()
    elif broken == "gallery":
        monkeypatch.setattr(tracker.gallery, "save", lambda path: path.write_bytes(b"x") / 0)
    else:

        def full(path, content):
            raise OSError(28, "No space left on device", str(path))

        monkeypatch.setattr(tracker_file, "write_atomically", full)
    with pytest.raises((TypeError, OSError, ArithmeticError)):
        tracker.save(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    assert folder.exists() == earlier


def test_an_error_after_the_new_state_took_its_place_leaves_it_whole(tmp_path, monkeypatch):
    tracker = InstanceID(ColourEmbedder())
    show(tracker, (1, RED, 10, 10, 30, 40))
    tracker.save(tmp_path)
    show(tracker, (1, RED, 12, 10, 30, 40), (2, GREEN, 90, 10, 30, 40))
    calls = iter(range(9))

    def fails(folder):
        if next(calls) == 1:  # first for the gallery, then for the state
            raise OSError("no more")

    monkeypatch.setattr("instanceid_utils.atomic_files.sync_folder", fails)
    with pytest.raises(OSError, match="no more"):
        tracker.save(tmp_path)
    assert len(InstanceID.load(tmp_path, ColourEmbedder()).gallery) == 2


class Falling:
    """A calibration that asks for less with each identity."""

    def threshold_for(self, n_identities):
        return 0.5 / (1 + n_identities)


def test_the_threshold_in_force_falls_with_the_gallery_and_is_saved(tmp_path):
    embedder = ColourEmbedder()
    embedder.calibration = Falling()
    tracker = InstanceID(embedder)
    assert tracker.threshold_in_force == min(embedder.threshold, 0.5)
    update = show(tracker, (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 10, 30, 40))
    assert tracker.threshold_in_force == 0.5 / 3
    update = show(tracker, (1, RED, 10, 10, 30, 40))
    assert update.decisions[0].threshold == 0.5 / 3
    tracker.save(tmp_path)
    assert InstanceID.load(tmp_path, embedder).threshold_in_force == 0.5 / 3
    assert InstanceID.load(tmp_path, ColourEmbedder()).threshold_in_force == tracker.threshold
    given = InstanceID(embedder, threshold=tracker.threshold, gallery=tracker.gallery)
    assert given.threshold_in_force == tracker.threshold  # by hand: it stays

"""Files are looked at twice: results have the final IDs, however the way there was broken off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instanceid_utils.app import checkpoints, second_pass, video_tracking
from instanceid_utils.app.video_tracking import Interrupted
from instanceid_utils.formats import read_masks
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.tracker import InstanceID
from instanceid_utils.video.reader import read_video
from tests.app.test_video_tracking import same_results, shapes, track
from tests.moving_shapes import write_folder

N = 24


class Forgets(InstanceID):
    """Forgets everybody before frame 12, so that all get new IDs."""

    def decide(self, observation):
        if self._time == 12:
            for id_ in self.gallery.ids.tolist():
                self.forget(id_)
        return super().decide(observation)


@pytest.fixture
def clip(tmp_path, monkeypatch):
    for module in (video_tracking, checkpoints):
        monkeypatch.setattr(module, "InstanceID", Forgets)
    return write_folder(tmp_path / "clip", shapes(N, seen=((0, 99), (0, 99))))


def ids_in(out):
    return {int(i) for frame in read_masks(out / "masks").values() for i in np.unique(frame.ids)}


def test_results_have_the_final_ids_and_say_what_was_changed(clip, tmp_path):
    live = track(clip[0], tmp_path / "live", clip[1], refine=False)
    assert live.n_ids == 4 and live.second_look is None
    result = track(clip[0], tmp_path / "out", clip[1], gallery=tmp_path / "known.gallery")
    out = result.out_dir
    assert result.complete and result.n_ids == 2 and result.n_frames == N
    assert result.second_look == {"n_cuts": 0, "n_joined": 2, "n_changed": 2 * N // 2}
    assert len(ids_in(out)) == 2
    lines = [json.loads(x) for x in (out / "decisions.jsonl").read_text().splitlines()]
    changed = [d for d in lines if "first_id" in d]
    assert len(changed) == N and all(d["first_id"] != d["id"] for d in changed)
    assert {d["id"] for d in lines} == ids_in(out) == set(Gallery.load(result.files["gallery"]).ids)
    assert set(np.loadtxt(out / "mot.txt", delimiter=",")[:, 1].astype(int)) == ids_in(out)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"] is True and summary["second_look"] == result.second_look
    assert len(list(read_video(out / "tracked.mp4"))) == N
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in live.out_dir.iterdir())
    assert all(path.exists() for path in result.files.values())


def test_where_nothing_changes_nothing_is_written_twice(tmp_path, monkeypatch):
    frames, masks = write_folder(tmp_path / "clip", shapes())
    monkeypatch.setattr(second_pass, "write_again", None)
    result = track(frames, tmp_path / "out", masks)
    assert result.complete and result.second_look["n_changed"] == 0


def test_stopped_in_the_second_pass_the_first_results_are_whole(clip, tmp_path, monkeypatch):
    whole = track(clip[0], tmp_path / "whole", clip[1]).out_dir
    deal, n = second_pass.deal_one, []

    def stops(*args):
        n.append(1)
        if len(n) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return deal(*args)

    parts = tmp_path / "parts"
    with monkeypatch.context() as patch:
        patch.setattr(second_pass, "deal_one", stops)
        with pytest.raises(Interrupted) as info:
            track(clip[0], parts, clip[1])
    assert info.value.result.n_frames == N and not info.value.result.complete
    assert json.loads((parts / "summary.json").read_text())["complete"] is False
    assert len(ids_in(parts)) == 4 and len(list(read_video(parts / "tracked.mp4"))) == N
    assert track(clip[0], parts, clip[1], resume=True).complete
    same_results(whole, parts)
    assert sorted(p.name for p in parts.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_stopped_in_the_first_pass(clip, tmp_path, monkeypatch):
    whole = track(clip[0], tmp_path / "whole", clip[1]).out_dir
    decide, parts = Forgets.decide, tmp_path / "parts"

    def stops(self, observation):
        if self._time == 14:
            os.kill(os.getpid(), signal.SIGTERM)
        return decide(self, observation)

    with monkeypatch.context() as patch:
        patch.setattr(Forgets, "decide", stops)
        with pytest.raises(Interrupted):
            track(clip[0], parts, clip[1])
    track(clip[0], parts, clip[1], resume=True)
    same_results(whole, parts)


def test_an_error_in_the_second_pass_is_told_and_gone_on_with(clip, tmp_path, monkeypatch):
    whole, parts = track(clip[0], tmp_path / "whole", clip[1]).out_dir, tmp_path / "parts"

    def full(*args):
        raise OSError(28, "No space left on device", "masks")

    with monkeypatch.context() as patch:
        patch.setattr(second_pass, "deal_one", full)
        with pytest.raises(OSError, match="No space left"):
            track(clip[0], parts, clip[1])
    assert len(ids_in(parts)) == 4
    track(clip[0], parts, clip[1], resume=True)
    same_results(whole, parts)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from tests.app import test_second_pass as t
from tests.app.test_second_pass import *
for module in (video_tracking, checkpoints):
    module.InstanceID = Forgets
name, at = sys.argv[5], int(sys.argv[6])
real, n = getattr(second_pass, name) if hasattr(second_pass, name) else None, []
where = second_pass.os if name == "replace" else second_pass
real = getattr(where, name)
def dies(*args, **options):
    if name != "replace" or "second" in str(args[0]):
        n.append(1)
        if len(n) == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)
setattr(where, name, dies)
track(sys.argv[2], sys.argv[3], sys.argv[4])
"""


@pytest.mark.parametrize(("name", "at"), [("deal_one", 9), ("replace", 3)])
def test_killed_while_writing_or_putting_in_place(clip, tmp_path, name, at):
    whole, parts = track(clip[0], tmp_path / "whole", clip[1]).out_dir, tmp_path / "parts"
    here = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, here, clip[0], parts, clip[1], name, str(at)],
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    assert json.loads((parts / "summary.json").read_text())["complete"] is False
    track(clip[0], parts, clip[1], resume=True)
    same_results(whole, parts)
    assert sorted(p.name for p in parts.iterdir()) == sorted(p.name for p in whole.iterdir())


def test_a_camera_cannot_be_looked_at_again(tmp_path):
    with pytest.raises(ValueError, match="cannot be looked at again"):
        track("rtsp://127.0.0.1:1/x", tmp_path / "out", refine=True)


def test_what_was_never_confirmed_is_told_and_left_out_if_wanted(tmp_path):
    frames, masks = write_folder(tmp_path / "clip", shapes(N, seen=((0, 99), (5, 7))))
    told = track(frames, tmp_path / "all", masks)
    summary = json.loads((told.out_dir / "summary.json").read_text())
    (crumb,) = summary["unconfirmed"]
    assert told.n_ids == 2 and crumb in ids_in(told.out_dir)
    left = track(frames, tmp_path / "left", masks, confirmed_only=True)
    summary = json.loads((left.out_dir / "summary.json").read_text())
    assert summary["unconfirmed"] == [crumb] and left.n_ids == summary["n_ids"] == 1
    (kept,) = ids_in(left.out_dir)
    assert kept != crumb
    assert set(np.loadtxt(left.out_dir / "mot.txt", delimiter=",")[:, 1].astype(int)) == {kept}
    lines = (left.out_dir / "decisions.jsonl").read_text().splitlines()
    assert len(lines) == N and all(json.loads(line)["confirmed"] for line in lines)
    at_once = track(frames, tmp_path / "live", masks, confirmed_only=True, refine=False)
    lines = (at_once.out_dir / "decisions.jsonl").read_text().splitlines()
    assert 0 < len(lines) < N and {json.loads(line)["id"] for line in lines} == {kept}

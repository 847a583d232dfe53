"""The command line: help, exit codes, one-line errors, and each command from end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from moving_shapes import Video
from test_video_tracking import write_folder

from instanceid_utils import cli, formats
from instanceid_utils.export import OUTPUTS
from instanceid_utils.video import read_video

COMMANDS = ("track", "extract", "convert", "train", "evaluate", "calibrate")


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture
def clip(tmp_path):
    return write_folder(tmp_path / "clip", Video(8))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        run(command, "--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"{cli.PROG} {command} " in text and "examples:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_can_be_parsed(command):
    for line in cli.EXAMPLES[command].splitlines()[1:]:
        words = line.format(prog="").split("#")[0].split()
        assert cli.build_parser().parse_args(words).command in COMMANDS


def test_the_parser_knows_what_the_package_knows():
    assert set(cli.FORMATS) == set(formats.FORMATS)
    assert cli.OUTPUTS == OUTPUTS


@pytest.mark.parametrize("words", [(), ("fly",), ("track",), ("track", "v", "--threshold", "low"),
                                   ("track", "v", "--threshold", 1, "--calibration", "c.json")])
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2 and "usage:" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        run("--version")
    assert re.match(r"instanceid_utils \d+\.\d+", capsys.readouterr().out)


def test_help_needs_no_tensorflow():
    code = ("import sys\nfrom instanceid_utils import cli\ncli.build_parser()\n"
            "sys.exit('tensorflow' in sys.modules or 'cv2' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("track", "nowhere.mp4"), "nowhere.mp4: no such file"),
        (("track", "{clip}/frames", "--masks", "{clip}/nothing"), "nothing: no such file"),
        (("track", "{clip}/frames", "--masks", "{clip}/masks", "--format", "coco"), "in a file"),
        (("track", "{clip}/frames", "--masks", "{clip}/masks", "--threshold", "7"), "threshold"),
        (("track", "{clip}/frames", "--weights", "{clip}/w.json"), "w.json"),
        (("track", "{clip}/frames", "--calibration", "{clip}/c.json"), "c.json"),
        (("track", "{clip}/frames", "--gallery", "{clip}/masks/00000.png"), "00000.png"),
        (("extract", "{clip}"), "clip: expected the DAVIS 2017 layout"),
        (("convert", "{clip}/nothing"), "nothing"),
        (("train", "{clip}"), "clip"),
        (("evaluate", "{clip}/nothing"), "nothing: no such folder"),
        (("calibrate", "{clip}"), "clip: expected the DAVIS 2017 layout"),
    ],
)
def test_errors_are_one_line_that_names_the_file(words, message, clip, capsys, monkeypatch):
    monkeypatch.chdir(clip[0].parent)
    code = run(*(str(word).format(clip=clip[0].parent) for word in words), "--quiet")
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1 and lines[0].startswith(f"{words[0]}: error: ") and message in lines[0]


def test_track(clip, tmp_path, capsys):
    out, gallery = tmp_path / "out", tmp_path / "known.gallery"
    words = ("track", clip[0], "--masks", clip[1], "--out", out, "--gallery", gallery,
             "--outputs", "video", "mot", "--fps", 12, "--abstain", 2)
    assert run(*words) == 0
    shown = capsys.readouterr()
    assert "8 frames, 3 IDs" in shown.out and str(out / "tracked.mp4") in shown.out
    assert "frames/s" in shown.err, "a progress bar with its rate"
    assert gallery.exists()
    assert [f.time for f in read_video(out / "tracked.mp4")] == pytest.approx(np.arange(8) / 12)


def test_ctrl_c_and_resume(tmp_path):
    video = Video(300)
    frames, masks = write_folder(tmp_path / "clip", video, suffix=".jpg")
    out = tmp_path / "out"
    words = [sys.executable, "-m", "instanceid_utils", "track", str(frames), "--masks", str(masks),
             "--out", str(out), "--outputs", "mot"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not (out / "mot.txt").exists() or not (out / "mot.txt").stat().st_size:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text = process.communicate()[1]
    assert process.returncode == 130
    last = text.strip().splitlines()[-1]
    assert re.match(r"track: stopped; the \d+ frames in .* --resume goes on$", last)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["complete"] is False and 0 < summary["n_frames"] < 300
    lines = (out / "mot.txt").read_text().splitlines()
    assert all(line.count(",") == 9 for line in lines)
    assert int(lines[-1].split(",")[0]) == summary["n_frames"]
    subprocess.run([*words, "--resume", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    assert json.loads((out / "summary.json").read_text())["n_frames"] == 300
    assert (out / "mot.txt").read_text().splitlines()[: len(lines)] == lines


def test_from_a_data_set_to_weights_of_ones_own(make_davis, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = [f"clip{i}" for i in range(6)]
    root = make_davis([(name, 24) for name in names], train=names[:3], val=names[3:])
    for path in (root / "JPEGImages").rglob("*.jpg"):  # identities that differ
        image = cv2.imread(str(path))
        shift = np.random.default_rng(int(path.parent.name[4:])).integers(-80, 80, 3)
        noise = rng.normal(0, 8, image.shape)
        cv2.imwrite(str(path), np.clip(image + shift + noise, 0, 255).astype(np.uint8))
    assert run("extract", root, "--out", "segments", "--quiet") == 0
    assert "288 crops of 12 identities from 144 frames" in capsys.readouterr().out
    assert run("convert", "segments", "--out", "mnist", "--quiet") == 0
    assert "144 images for training, 144 for testing" in capsys.readouterr().out

    from instanceid_utils import training

    recipe = training.Recipe(n_identities=4, n_instances=2, epochs=1, batches_per_epoch=2,
                             widths=(8, 8, 8), dim=16, crop_size=32)
    monkeypatch.setitem(training.PROFILES, "smoke", recipe)
    assert run("train", "segments", "--out", "w", "--quiet") == 0
    assert re.search(r"epoch 1: rank-1 [01]\.\d+, mAP .* threshold", capsys.readouterr().out)
    card = "w/weights.json"
    assert run("evaluate", root, "--weights", card, "--out", "table.csv", "--quiet") == 0
    assert "InstanceID" in capsys.readouterr().out
    assert "HSV histogram" in (tmp_path / "table.csv").read_text()
    assert run("evaluate", root, "--weights", card, "--tracking", "--sequences", "clip0",
               "--out", "table.md", "--quiet") == 0
    assert "| every 5th | IoU |" in (tmp_path / "table.md").read_text()
    capsys.readouterr()
    assert run("calibrate", root, "--weights", card, "--out", "mine.json", "--quiet") == 0
    assert re.match(r"threshold [\d.]+ from 12 identities: false reuse", capsys.readouterr().out)
    source = root / "JPEGImages/480p/clip0"
    masks = root / "Annotations/480p/clip0"
    assert run("track", source, "--masks", masks, "--weights", card, "--calibration", "mine.json",
               "--quiet", "--outputs", "mot") == 0
    assert os.path.exists("clip0_tracked/mot.txt")
    assert run("track", source, "--masks", masks, "--calibration", "mine.json", "--quiet") == 1
    assert "was calibrated for weights" in capsys.readouterr().err

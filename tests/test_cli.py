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

from instanceid_utils import cli, formats
from instanceid_utils.app.outputs import OUTPUTS
from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.training.losses import LOSSES
from instanceid_utils.video.reader import read_video
from tests.moving_shapes import HEIGHT, WIDTH, Video, write_folder

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
    assert set(cli.LOSSES) == set(LOSSES)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("fly",),
        ("track",),
        ("track", "v", "--threshold", "low"),
        ("track", "v", "--threshold", 1, "--calibration", "c.json"),
    ],
)
def test_wrong_usage(words, capsys):
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code == 2 and "usage:" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit):
        run("--version")
    assert re.match(r"instanceid_utils \d+\.\d+", capsys.readouterr().out)


def test_help_needs_no_tensorflow():
    code = (
        "import sys\nfrom instanceid_utils import cli\ncli.build_parser()\n"
        "sys.exit('tensorflow' in sys.modules or 'cv2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


MASKED = ("track", "frames", "--masks", "masks")


@pytest.fixture
def broken(clip, monkeypatch):
    """A folder with a clip and all that can be wrong with files, as working directory."""
    here = clip[0].parent
    monkeypatch.chdir(here)
    (here / "text.mp4").write_text("no video")
    (here / "empty").mkdir()
    (here / "file").write_text("in the way")
    (here / "broken.json").write_text('{"images": [')
    (here / "foreign.json").write_text('{"name": "package", "version": 1}')
    (here / "short.txt").write_text(f"0 1 1 {HEIGHT} {WIDTH} 05\n")
    (here / "small.txt").write_text("0 1 1 2 2 0120\n")
    (here / "masks.xyz").write_text("?")
    (here / "pickled").mkdir()
    np.savez(here / "pickled/00000.npz", masks=np.array([{}], object))
    (here / "theirs").mkdir()
    (here / "theirs/tracked.mp4").write_text("of somebody else")
    Gallery(48, weights_sha256="other").save(here / "other.gallery")
    return here


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("track", "nowhere.mp4"), "nowhere.mp4: no such file"),
        (("track", "text.mp4"), "text.mp4: cannot be opened as a video"),
        (("track", "empty"), "empty: no images"),
        (("track", "98"), "camera 98: cannot be opened"),
        (("track", "rtsp://127.0.0.1:1/x"), "rtsp://127.0.0.1:1/x: cannot be opened"),
        (("track", "frames", "--masks", "nothing"), "nothing: no such file"),
        (("track", "frames", "--masks", "empty"), "empty: expected PNG, TIFF, npz"),
        (("track", "frames", "--masks", "broken.json"), "broken.json: line 1: not JSON"),
        (("track", "frames", "--masks", "foreign.json"), "foreign.json: expected COCO or YouTube"),
        (("track", "frames", "--masks", "short.txt"), "short.txt: line 1: run lengths do not"),
        (("track", "frames", "--masks", "small.txt"), "small.txt: line 1: expected a mask of the"),
        (("track", "frames", "--masks", "masks.xyz"), "masks.xyz: expected a folder"),
        (("track", "frames", "--masks", "pickled"), "refused, it holds pickled"),
        ((*MASKED, "--format", "coco"), "masks: masks in the format 'coco' are in a file"),
        ((*MASKED, "--sequence", "a"), "sequence: 'palette' holds one video"),
        ((*MASKED, "--threshold", "7"), "threshold: expected an L2 distance"),
        ((*MASKED, "--threshold", "nan"), "threshold: expected an L2 distance"),
        ((*MASKED, "--abstain", "-1"), "abstain: expected"),
        ((*MASKED, "--fps", "0"), "fps: expected 0.001 to 1000, got 0.0"),
        ((*MASKED, "--tail", "-1"), "tail: expected 0 or more, got -1"),
        ((*MASKED, "--min-area", "-1"), "min_area: expected 0 or more, got -1"),
        ((*MASKED, "--min-score", "7"), "min_score: expected 0 to 1, got 7.0"),
        ((*MASKED, "--weights", "w.json"), "w.json"),
        ((*MASKED, "--calibration", "c.json"), "c.json"),
        ((*MASKED, "--gallery", "masks/00000.png"), "00000.png"),
        ((*MASKED, "--gallery", "other.gallery"), "weights"),
        ((*MASKED, "--gallery", "nowhere/a.gallery"), "nowhere/a.gallery: there is no such folder"),
        ((*MASKED, "--out", "file"), "file/masks: Not a directory"),
        ((*MASKED, "--out", "theirs"), "theirs/tracked.mp4: in the way, and not from an earlier"),
        ((*MASKED, "--out", "masks"), "masks: lies in masks, where results would replace it"),
        ((*MASKED, "--resume"), "frames_tracked: holds no unfinished run"),
        (("track", "frames", "--sensitivity", "0"), "sensitivity > 0"),
        (("extract", "."), ".: expected the DAVIS 2017 layout"),
        (("convert", "nothing"), "nothing"),
        (("train", "masks"), "masks"),
        (("evaluate", "nothing"), "nothing: no such folder"),
        (("calibrate", "."), ".: expected the DAVIS 2017 layout"),
    ],
)
def test_errors_are_one_line_that_names_the_file(words, message, broken, capfd):
    code = run(*words, "--quiet")
    lines = capfd.readouterr().err.strip().splitlines()
    assert code == 1
    assert len(lines) == 1 and lines[0].startswith(f"{words[0]}: error: ") and message in lines[0]
    assert (broken / "theirs/tracked.mp4").read_text() == "of somebody else"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "wrong",
    [
        ("--fps", 0),
        ("--tail", -1),
        ("--threshold", 7),
        ("--min-score", 7),
        ("--gallery", "other.gallery"),
        ("--gallery", "no/where"),
    ],
)
def test_a_wrong_argument_leaves_earlier_results_alone(broken, wrong):
    assert run(*MASKED, "--quiet") == 0
    before = contents(broken / "frames_tracked")
    assert run(*MASKED, *wrong, "--quiet") == 1
    assert contents(broken / "frames_tracked") == before


def test_track(clip, tmp_path, capsys):
    out, gallery = tmp_path / "out", tmp_path / "known.gallery"
    words = (
        "track",
        clip[0],
        "--masks",
        clip[1],
        "--out",
        out,
        "--gallery",
        gallery,
        "--outputs",
        "video",
        "mot",
        "--fps",
        12,
        "--abstain",
        2,
    )
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
    words = [
        sys.executable,
        "-m",
        "instanceid_utils",
        "track",
        str(frames),
        "--masks",
        str(masks),
        "--out",
        str(out),
        "--outputs",
        "mot",
    ]
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

    from instanceid_utils.training import recipe as recipes

    recipe = recipes.Recipe(
        n_identities=4,
        n_instances=2,
        epochs=1,
        batches_per_epoch=2,
        widths=(8, 8, 8),
        dim=16,
        crop_size=32,
    )
    monkeypatch.setitem(recipes.PROFILES, "smoke", recipe)
    assert run("train", "segments", "--out", "w", "--quiet") == 0
    assert re.search(r"epoch 1: rank-1 [01]\.\d+, mAP .* threshold", capsys.readouterr().out)
    card = "w/weights.json"
    assert run("evaluate", root, "--weights", card, "--out", "table.csv", "--quiet") == 0
    assert "InstanceID" in capsys.readouterr().out
    assert "HSV histogram" in (tmp_path / "table.csv").read_text()
    assert (
        run(
            "evaluate",
            root,
            "--weights",
            card,
            "--tracking",
            "--sequences",
            "clip0",
            "--out",
            "table.md",
            "--quiet",
        )
        == 0
    )
    assert "| every 5th | IoU |" in (tmp_path / "table.md").read_text()
    capsys.readouterr()
    assert run("calibrate", root, "--weights", card, "--out", "mine.json", "--quiet") == 0
    assert re.match(r"threshold [\d.]+ from 12 identities: false reuse", capsys.readouterr().out)
    source = root / "JPEGImages/480p/clip0"
    masks = root / "Annotations/480p/clip0"
    assert (
        run(
            "track",
            source,
            "--masks",
            masks,
            "--weights",
            card,
            "--calibration",
            "mine.json",
            "--quiet",
            "--outputs",
            "mot",
        )
        == 0
    )
    assert os.path.exists("clip0_tracked/mot.txt")
    assert run("track", source, "--masks", masks, "--calibration", "mine.json", "--quiet") == 1
    assert "was calibrated for weights" in capsys.readouterr().err

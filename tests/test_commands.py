"""Commands on what people bring: stray files, other layouts, few identities, a camera stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest

from instanceid_utils import cli
from instanceid_utils.app import video_tracking
from instanceid_utils.data import read_manifest, write_label_map
from instanceid_utils.embedding import Embedder
from instanceid_utils.formats import detect_format, read_masks
from instanceid_utils.gallery import Gallery
from instanceid_utils.mnist import read_mnist
from instanceid_utils.tracking import InstanceID
from instanceid_utils.video import VideoWriter, read_video
from tests.moving_shapes import Video, write_folder

N = 8


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function that makes trackers send Ctrl-C when they decide on a frame."""

    def patch(at):
        class Stops(InstanceID):
            n_decided = 0

            def decide(self, observation):
                self.n_decided += 1
                if self.n_decided == at + 1:
                    os.kill(os.getpid(), signal.SIGINT)
                return super().decide(observation)

        monkeypatch.setattr(video_tracking, "InstanceID", Stops)

    return patch


@pytest.fixture
def clip(tmp_path):
    return write_folder(tmp_path / "clip", Video(N))


@pytest.mark.parametrize("options", [(), ("--abstain", 3)])
@pytest.mark.parametrize("with_gallery", [True, False])
def test_a_stopped_stream_saves_what_was_learned(
    tmp_path, clip, stop_at, capsys, options, with_gallery
):
    with VideoWriter(tmp_path / "v.mp4", 10, crf=5) as writer:
        for t in range(N):
            writer.write(Video(N)[t])
    known, out = tmp_path / "known.gallery", tmp_path / "out"
    stop_at(4)
    words = ["track", f"file://{tmp_path}/v.mp4", "--masks", clip[1], "--out", out, "--quiet"]
    words += ["--gallery", known] if with_gallery else []
    assert run(*words, *options) == 130
    said = capsys.readouterr().err
    assert "the 5 frames in" in said and "--resume" not in said
    assert len(list(read_video(out / "tracked.mp4"))) == 5
    assert json.loads((out / "summary.json").read_text())["n_frames"] == 5
    assert sorted(p.name for p in out.glob("*")) == sorted(
        "tracked.mp4 masks mot.txt mots.txt youtube_vis.json decisions.jsonl contact_sheet.png "
        "timeline.png summary.json".split()
    )
    if with_gallery:
        assert f"the gallery is saved in {known}" in said
        assert len(Gallery.load(known)) == 3
    assert run(*words, "--resume") == 1
    assert "cannot be gone on with" in capsys.readouterr().err


def test_a_stopped_file_can_be_gone_on_with(tmp_path, clip, stop_at, capsys, monkeypatch):
    words = ["track", clip[0], "--masks", clip[1], "--out", tmp_path / "out", "--quiet"]
    words += ["--gallery", tmp_path / "known.gallery"]
    stop_at(4)
    assert run(*words) == 130
    assert "--resume goes on" in capsys.readouterr().err
    assert not (tmp_path / "known.gallery").exists()
    monkeypatch.undo()
    assert run(*words, "--resume") == 0 and (tmp_path / "known.gallery").exists()


def mots_numbers(out):
    lines = (out / "mots.txt").read_text().splitlines()
    return sorted({int(line.split()[0]) for line in lines})


@pytest.mark.parametrize(("options", "first"), [((), 1), (("--first-frame", 7), 7)])
def test_mots_frames_count_as_those_that_came_in(tmp_path, clip, options, first):
    frames, masks = (shutil.copytree(path, tmp_path / path.name) for path in clip)
    for folder in (frames, masks):
        for path in sorted(folder.iterdir(), reverse=True):
            path.rename(path.with_name(f"{int(path.stem) + 1:06d}.png"))
    words = ["track", frames, "--masks", masks, "--quiet", *options]
    assert run(*words, "--out", tmp_path / "a") == 0
    assert mots_numbers(tmp_path / "a") == list(range(first, N + first))
    vis = read_masks(tmp_path / "a/youtube_vis.json")
    assert len(vis) == N and all(len(frame.masks) >= 2 for frame in vis.values())
    if first == 1:  # and back
        words = ["track", frames, "--masks", tmp_path / "a/mots.txt", "--out", tmp_path / "b"]
        assert run(*words, "--quiet") == 0
        assert mots_numbers(tmp_path / "b") == list(range(1, N + 1))
    with VideoWriter(tmp_path / "v.mp4", 10) as writer:
        for t in range(N):
            writer.write(Video(N)[t])
    words = ["track", tmp_path / "v.mp4", "--masks", masks, "--first-number", 1, "--quiet"]
    assert run(*words, *options, "--out", tmp_path / "c") == 0
    assert mots_numbers(tmp_path / "c") == list(range(first, N + first))


def test_an_id_that_a_file_cannot_hold_is_said(tmp_path, clip, caplog):
    known = tmp_path / "known.gallery"
    words = ["track", clip[0], "--masks", clip[1], "--gallery", known, "--quiet", "--out"]
    assert run(*words, tmp_path / "first") == 0 and not caplog.text
    first = Gallery.load(known)
    gallery = Gallery(first.dim, weights_sha256=first.weights_sha256)
    gallery.add([10000, 70000, 5], np.concatenate([first.exemplars(i)[1][:1] for i in (1, 2, 3)]))
    gallery.save(known)
    assert run(*words, tmp_path / "out") == 0
    lines = (tmp_path / "out/mots.txt").read_text().splitlines()
    assert {line.split()[1] for line in lines} == {"70000", "5"}
    ids = [np.unique(frame.masks) for frame in read_masks(tmp_path / "out/masks").values()]
    assert set(np.concatenate(ids).tolist()) == {0, 5, 10000}
    assert caplog.text.count("mots.txt: ID 10000 is left out") == 1
    assert caplog.text.count("masks: IDs above 65535 are left out") == 1


def test_sixteen_bit_labels_beyond_mots_are_label_maps(tmp_path):
    label_map = np.zeros((48, 64), np.uint16)
    label_map[5:20, 5:20], label_map[25:40, 25:40] = 10000, 40000
    (tmp_path / "m").mkdir()
    write_label_map(tmp_path / "m/00000.png", label_map)
    assert detect_format(tmp_path / "m") == "palette"
    assert read_masks(tmp_path / "m")[0].ids.tolist() == [10000, 40000]


def leave_droppings(root):
    """Put the files beside all others that macOS leaves on foreign disks."""
    for path in [p for p in root.rglob("*") if not p.name.startswith(".")]:
        dropping = path.with_name(f"._{path.name}")
        if path.is_dir():
            dropping.mkdir()
        else:
            dropping.write_bytes(b"\0\5\26\7 Mac OS X")


def test_files_that_begin_with_a_dot_are_nobodys(make_davis, tmp_path, clip):
    root = make_davis(sequences=(("pond", 24), ("road", 24)))
    leave_droppings(root)
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 0
    assert len(read_manifest(tmp_path / "s")) == 24 * 2 * 2
    assert run("evaluate", root, "--quiet") == 0
    photos = tmp_path / "photos"
    for name in "abc":
        shutil.copytree(root / "JPEGImages/480p/pond", photos / name)
    assert run("convert", photos, "--out", tmp_path / "mnist", "--quiet") == 0
    n_images = [len(read_mnist(tmp_path / "mnist", side).labels) for side in ("train", "test")]
    assert sum(n_images) == 3 * 24
    leave_droppings(clip[0].parent)
    assert run("track", clip[0], "--masks", clip[1], "--out", tmp_path / "out", "--quiet") == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["n_masks_used"] == N


def test_annotations_whose_names_end_in_capitals(make_davis, tmp_path):
    root = make_davis()
    for path in root.glob("Annotations/480p/*/*.png"):
        path.rename(path.with_suffix(".PNG"))
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 0
    assert len(read_manifest(tmp_path / "s")) == 7 * 2


def test_a_folder_of_two_resolutions(make_davis, tmp_path, capsys):
    root = make_davis()
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(root / kind / "480p", root / kind / "1080p")
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 1
    assert "--resolution" in capsys.readouterr().err
    assert run("extract", root, "--out", tmp_path / "s", "--quiet", "--resolution", "480p") == 0
    assert len(read_manifest(tmp_path / "s")) == 7 * 2


def test_youtube_vos_has_no_resolutions(make_davis, tmp_path):
    root = make_davis()
    for kind in ("JPEGImages", "Annotations"):
        for folder in (root / kind / "480p").iterdir():
            folder.rename(root / kind / folder.name)
        (root / kind / "480p").rmdir()
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 0
    assert set(read_manifest(tmp_path / "s").sequence) == {"pond", "road"}


def test_an_empty_folder_is_no_test_identity(make_davis, tmp_path):
    photos = tmp_path / "photos"
    for name in "abcd":
        shutil.copytree(make_davis(root=tmp_path / name) / "JPEGImages/480p/pond", photos / name)
    for name in ("0", "e", "f", "g", "h", "i"):
        (photos / name).mkdir()
    for seed in range(5):
        words = ["convert", photos, "--out", tmp_path / "m", "--quiet", "--seed", seed]
        assert run(*words, "--test-fraction", 0.5) == 0
        sides = [np.unique(read_mnist(tmp_path / "m", side).labels) for side in ("train", "test")]
        assert [len(side) for side in sides] == [2, 2]


def test_the_files_of_mnist_have_its_names_on_demand(make_davis, tmp_path):
    root = make_davis(sequences=(("pond", 24), ("road", 24)))
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 0
    words = ["convert", tmp_path / "s", "--out", tmp_path / "m", "--quiet", "--mnist-names"]
    assert run(*words) == 0
    names = {path.name for path in (tmp_path / "m").glob("*-images-idx3-ubyte.gz")}
    assert names == {"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"}


def test_few_identities_say_which_option_to_lower(make_davis, tmp_path, capsys):
    sequences = [(f"s{i}", 6) for i in range(4)]
    root = make_davis(sequences=sequences)
    assert run("extract", root, "--out", tmp_path / "s", "--quiet") == 0
    words = ["train", tmp_path / "s", "--out", tmp_path / "w", "--quiet", "--epochs", 1]
    assert run(*words) == 1
    said = capsys.readouterr().err
    assert "6 identities for training, a batch has 16; lower that by --identities 6" in said
    assert run("extract", root, "--out", tmp_path / "s", "--quiet", "--test-fraction", 0.9) == 0
    assert run(*words) == 1 and "smaller --test-fraction" in capsys.readouterr().err


def test_quiet_is_quiet(make_davis, tmp_path, capfd):
    root = make_davis(sequences=(("pond", 30), ("road", 30)))
    assert run("calibrate", root, "--out", tmp_path / "c.json", "--quiet") == 0
    out, err = capfd.readouterr()
    assert out.startswith("threshold ") and "%|" not in err and "segments" not in err


def test_weights_adapted_to_a_camera_track_with_a_threshold_of_their_own(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :160]
    (tmp_path / "masks").mkdir()
    with VideoWriter(tmp_path / "gate.mp4", 10, crf=5) as writer:
        for t in range(12):  # one stands, one walks
            image = np.full((96, 160, 3), 70, np.uint8)
            labels = np.zeros((96, 160), np.uint8)
            for label, x, colour in ((1, 40, (200, 40, 40)), (2, 100 + t, (40, 60, 220))):
                disc = np.hypot(rows - 48, columns - x) < 14
                image[disc], labels[disc] = colour + rng.integers(-9, 10, (disc.sum(), 3)), label
            writer.write(image)
            write_label_map(tmp_path / "masks" / f"{t:05}.png", labels)
    video, masks = tmp_path / "gate.mp4", tmp_path / "masks"
    words = ["train", "--unlabelled", video, "--masks", masks, "--steps", 2, "--quiet"]
    assert run(*words, "--out", tmp_path / "mine") == 0
    assert "2 tracklets, 24 views; threshold" in capsys.readouterr().out
    card = tmp_path / "mine" / "weights.json"
    adapted, shipped = Embedder.pretrained(card), Embedder.pretrained()
    assert adapted.card["adapted_from"] == shipped.weights_sha256 != adapted.weights_sha256
    assert adapted.threshold > 0
    words = ["track", video, "--masks", masks, "--weights", card, "--out", tmp_path / "out"]
    assert run(*words, "--quiet") == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["n_ids"] == 2

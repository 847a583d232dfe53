"""Stages: made once, made anew when something changes, never half."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils import Embedder, InstanceID, pipeline, training
from instanceid_utils.data.image_files import write_rgba
from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.embedding.weights import calibration_path, load_weights, save_weights
from instanceid_utils.training.recipe import Recipe
from instanceid_utils.video.reader import image_files, read_video, video_info
from instanceid_utils.video.writer import VideoWriter


def maker(text, calls):
    def make(folder):
        calls.append(text)
        (folder / "result.txt").write_text(text)

    return make


def test_made_once_and_anew_for_other_facts(tmp_path):
    folder, calls = tmp_path / "stage", []
    for text, seed in (("a", 1), ("b", 1), ("c", 2)):
        pipeline.make_once(folder, {"seed": seed}, maker(text, calls))
    assert calls == ["a", "c"]
    assert (folder / "result.txt").read_text() == "c"


def test_a_stage_that_failed_is_made_anew(tmp_path):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipeline.make_once(tmp_path / "stage", {}, fail)
    pipeline.make_once(tmp_path / "stage", {}, maker("whole", []))
    assert sorted(p.name for p in (tmp_path / "stage").iterdir()) == [pipeline.NOTE, "result.txt"]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="empty folder"):
        pipeline.make_once(tmp_path, {}, maker("x", []))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_results_from_other_data_are_not_overwritten(make_davis, tmp_path):
    roots = [make_davis(root=tmp_path / name) for name in ("one", "other")]
    runs = tmp_path / "runs"
    manifest = pipeline.ensure_segments(roots[0], runs) / "manifest.csv"
    before = manifest.read_bytes()
    for ensure in (pipeline.ensure_segments, pipeline.ensure_mnist, pipeline.ensure_weights):
        with pytest.raises(FileExistsError, match='one, which .*other would.*output_dir=".*runs'):
            ensure(roots[1], runs)
    assert manifest.read_bytes() == before
    other = pipeline.ensure_segments(roots[1], runs / "other")  # as the sentence proposes
    assert other.parent == runs / "other" and pipeline.ensure_segments(roots[0], runs)


def test_a_folder_and_its_data_may_move_together(make_davis, tmp_path):
    make_davis(root=tmp_path / "here/data")
    pipeline.claim_output(tmp_path / "here/data", tmp_path / "here/runs")
    (tmp_path / "here").rename(tmp_path / "there")
    pipeline.claim_output(tmp_path / "there/data", tmp_path / "there/runs")
    with pytest.raises(FileExistsError):
        pipeline.claim_output(tmp_path / "data", tmp_path / "there/runs")


def test_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match="no-such"):
        pipeline.open_data(tmp_path / "no-such")


def test_an_excerpt_has_the_first_frames(tmp_path):
    with VideoWriter(tmp_path / "long.mp4", 12) as writer:
        for grey in range(0, 250, 50):
            writer.write(np.full((32, 48, 3), grey, np.uint8))
    assert pipeline.ensure_excerpt("long.mp4", tmp_path / "runs") == "long.mp4"
    short = pipeline.ensure_excerpt(tmp_path / "long.mp4", tmp_path / "runs", 3)
    assert [round(frame.image.mean() / 50) for frame in read_video(short)] == [0, 1, 2]
    assert video_info(short).fps == 12


def test_an_excerpt_of_a_folder_keeps_the_names(tmp_path):
    (tmp_path / "images").mkdir()
    for number in (9, 10, 11):
        write_rgba(tmp_path / f"images/f{number}.png", np.zeros((8, 8, 4), np.uint8))
    short = pipeline.ensure_excerpt(tmp_path / "images", tmp_path / "runs", 2)
    assert [file.name for file in image_files(short)] == ["f9.png", "f10.png"]


@pytest.fixture
def few(monkeypatch):
    """Eight identities of one colour each, and a training that takes a second."""
    rng = np.random.default_rng(0)
    crops = np.full((48, 64, 64, 4), 128, np.uint8)
    crops[..., 3] = 0
    identities = np.repeat(np.arange(8), 6)
    colours = rng.integers(0, 256, (8, 3))
    crops[:, 8:56, 16:48, :3] = colours[identities][:, None, None]
    crops[:, 8:56, 16:48, 3] = 255
    frames = np.tile(np.arange(6) * 25, 8)
    seen = SegmentSet(crops, identities, identities, frames)
    tiny = Recipe(n_identities=3, n_instances=2, epochs=1, batches_per_epoch=2, widths=(4, 4, 4))
    monkeypatch.setattr(pipeline, "from_manifest", lambda folder, split: seen)
    monkeypatch.setattr(pipeline, "ensure_segments", lambda *args: None)
    monkeypatch.setattr(training, "profile", lambda name, **changes: replace(tiny, **changes))


def test_own_weights_are_made_once_and_carry_a_threshold(few, tmp_path):
    card = pipeline.ensure_weights(tmp_path / "data", tmp_path / "runs")
    assert card == pipeline.own_weights(tmp_path / "runs")
    embedder = Embedder.pretrained(card)
    assert 0 < embedder.threshold <= 2
    before = card.stat().st_mtime_ns
    assert pipeline.ensure_weights(tmp_path / "data", tmp_path / "runs") == card
    assert card.stat().st_mtime_ns == before
    other = pipeline.ensure_weights(tmp_path / "other", tmp_path / "runs/other", seed=1)
    assert Embedder.pretrained(other).weights_sha256 != embedder.weights_sha256


def test_a_threshold_of_other_weights_does_not_stay_beside_new_ones(few, tmp_path):
    card = pipeline.ensure_weights(tmp_path / "data", tmp_path / "runs")
    network, facts = load_weights(card)
    save_weights(network, card, facts["architecture"])  # the same again
    assert calibration_path(card).exists()
    network.set_weights([0.5 * w for w in network.get_weights()])
    save_weights(network, card, facts["architecture"])
    assert not calibration_path(card).exists()
    with pytest.raises(ValueError, match="instanceid calibrate"):
        InstanceID(Embedder.pretrained(card))

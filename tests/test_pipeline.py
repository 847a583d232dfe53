"""Stages: made once, made anew when something changes, never half."""

import numpy as np
import pytest

from instanceid_utils import pipeline
from instanceid_utils.data.image_files import write_rgba
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

"""Stages: made once, made anew when something changes, never half."""

import pytest

from instanceid_utils import pipeline


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
    assert sorted(p.name for p in (tmp_path / "stage").iterdir()) == [
        pipeline.NOTE,
        "result.txt",
    ]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="empty folder"):
        pipeline.make_once(tmp_path, {}, maker("x", []))
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises((FileNotFoundError, ValueError), match="no-such"):
        pipeline.open_data(tmp_path / "no-such")

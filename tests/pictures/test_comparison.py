"""Runs side by side, on masks whose mistakes are known by construction."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.pictures.comparison import compare_runs, owners, plot_comparison, sightings

matplotlib.use("Agg")


def write(folder, frames):
    """Write one map a frame, with an 8x8 square for each ID at the places 0, 1, 2 that has one."""
    folder.mkdir()
    for t, ids in enumerate(frames):
        label_map = np.zeros((12, 36), np.uint8)
        for place, id_ in enumerate(ids):
            label_map[2:10, 12 * place + 2 : 12 * place + 10] = id_
        write_label_map(folder / f"{t:05d}.png", label_map)
    return folder


@pytest.fixture
def truth(tmp_path):
    return write(tmp_path / "truth", [[1, 2], [1, 2], [1, 2], [1, 2]])


def test_ids_alone_are_counted_without_a_truth(tmp_path):
    runs = {"a": write(tmp_path / "a", [[1, 2], [3, 2]]), "b": write(tmp_path / "b", [[5], [5]])}
    table = compare_runs(runs)
    assert table.to_dict() == {"ids": {"a": 3, "b": 1}}
    assert [ids.tolist() for ids, _ in sightings(runs["a"])] == [[1, 2], [2, 3]]


def test_mistakes_are_counted_with_one(tmp_path, truth):
    runs = {
        "right": write(tmp_path / "right", [[7, 9]] * 4),
        "flickers": write(tmp_path / "flickers", [[7, 9], [7, 9], [7, 8], [7, 8]]),
        "crumb": write(tmp_path / "crumb", [[7, 9, 4], [7, 9], [7, 9], [7, 9]]),
    }
    table = compare_runs(runs, truth)
    assert table.ids.to_dict() == {"right": 2, "flickers": 3, "crumb": 3}
    assert table.objects.tolist() == [2, 2, 2]
    assert table.switches.to_dict() == {"right": 0, "flickers": 1, "crumb": 0}
    assert table.IDF1["right"] == 1 > table.IDF1["crumb"] > table.IDF1["flickers"]


def test_whose_id_it_is(tmp_path, truth):
    run = write(tmp_path / "run", [[7, 9, 4], [7, 9], [9, 7], [7, 9]])
    ids, whose = sightings(run, truth)[0]
    assert dict(zip(ids.tolist(), whose.tolist())) == {7: 1, 9: 2, 4: 0}
    assert owners(run, truth) == {1: 7, 2: 9}


def test_frames_that_the_truth_lacks_are_left_out(tmp_path):
    truth = write(tmp_path / "truth", [[1]])
    run = write(tmp_path / "run", [[5], [6]])
    assert len(sightings(run, truth)) == 1
    assert compare_runs({"run": run}, truth).switches["run"] == 0


def test_the_picture_has_a_strip_for_each_run_and_a_row_for_each_object(tmp_path, truth):
    runs = {"a": write(tmp_path / "a", [[7, 9, 4]] * 4), "b": write(tmp_path / "b", [[7, 9]] * 4)}
    figure = plot_comparison(runs, truth)
    assert [ax.get_title() for ax in figure.axes] == ["a: 3 IDs", "b: 2 IDs"]
    rows = [[text.get_text() for text in ax.get_yticklabels()] for ax in figure.axes]
    assert rows == [["1", "2", "none"], ["1", "2"]]
    rows = [[t.get_text() for t in ax.get_yticklabels()] for ax in plot_comparison(runs).axes]
    assert rows == [["4", "7", "9"], ["7", "9"]]
    plt.close("all")

"""Timelines: runs by hand, and bars where the runs are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanceid_utils.pictures.timeline import (
    IdRuns,
    draw_runs,
    id_runs,
    plot_timeline,
    show_frames,
)
from instanceid_utils.video.overlay import id_colour


@pytest.fixture
def plt():
    plt = pytest.importorskip("matplotlib.pyplot")
    yield plt
    plt.close("all")


def test_runs_are_drawn_where_they_are_without_matplotlib():
    picture = draw_runs([(1, 1, 0, 50), (2, 2, 50, 100)], 100, cuts=[50], width=290)
    assert picture.dtype == np.uint8 and picture.shape[1:] == (290, 3)
    first, second = (np.array(id_colour(i)) for i in (1, 2))
    at = {  # 2 pixels a frame, from 70 on
        (22, 80): first,
        (22, 190): (255, 255, 255),
        (44, 80): (255, 255, 255),
        (44, 190): second,
        (22, 170): (150, 150, 150),
    }
    for (y, x), colour in at.items():
        assert (picture[y, x] == colour).all(), (y, x)


@pytest.mark.parametrize("n_frames", [0, 1, 7, 795, 10**6])
def test_any_number_of_frames_can_be_drawn(n_frames):
    assert draw_runs([(7, 7, 0, n_frames)] if n_frames else [], n_frames).size


def test_a_picture_of_very_many_ids_stays_small():
    n = 8_000
    picture = draw_runs([(i, i, i, i + 1) for i in range(1, n + 1)], n, width=290)
    assert len(picture) < 17_000
    assert (picture[12 + 2 * 4_000, 70 + 100] == id_colour(4_001)).all()


@given(st.lists(st.lists(st.integers(-1, 4), max_size=4, unique=True), max_size=12))
def test_runs_hold_every_sighting_once(ids):
    shown = {(t, i) for row, i, start, stop in id_runs(ids) for t in range(start, stop)}
    assert shown == {(t, i) for t, given in enumerate(ids) for i in given if i > 0}
    assert sum(stop - start for *_, start, stop in id_runs(ids)) == len(shown)
    for row, i, start, stop in id_runs(ids):  # no run goes on where it ends
        assert row == i and (start == 0 or i not in ids[start - 1])
        assert stop == len(ids) or i not in ids[stop]


@given(st.lists(st.lists(st.integers(-1, 4), max_size=4), max_size=12), st.integers(0, 12))
def test_runs_go_on_where_they_stood(ids, stop):
    first, second = IdRuns(), IdRuns()
    for given_ids in ids[:stop]:
        first.add(given_ids)
    second.restore(json.loads(json.dumps(first.state())))
    for given_ids in ids[stop:]:
        second.add(given_ids)
    assert second.sorted() == id_runs(ids) and second.n_frames == len(ids)


def test_a_lost_id_is_a_change_of_colour_in_its_row(plt):
    ids = [np.array([1, 2]), np.array([1, 2]), np.array([3, 2])]
    figure = plot_timeline(ids, rows=[[10, 20]] * 3, names={10: "cat"}, cuts=[2], title="who")
    ax = figure.axes[0]
    bars = [bar for bars in ax.collections for bar in bars.get_paths()]
    assert len(bars) == 3
    colours = [tuple(np.round(255 * c.get_facecolor()[0][:3]).astype(int)) for c in ax.collections]
    assert colours == [id_colour(1), id_colour(2), id_colour(3)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cat", "20"]
    assert ax.get_title() == "who" and ax.get_xlim() == (0, 3)


def test_nothing_seen_is_an_empty_timeline(plt):
    assert plot_timeline([[], []]).axes[0].get_xlim() == (0, 2)


def test_frames_in_a_grid(plt):
    figure = show_frames([np.zeros((20, 40, 3), np.uint8)] * 3, numbers=[0, 5, 10])
    assert [ax.get_title() for ax in figure.axes[:3]] == [f"frame {n}" for n in (0, 5, 10)]
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 0]


def test_frames_are_large_enough_to_read_their_ids(plt):
    figure = show_frames([np.zeros((216, 384, 3), np.uint8)] * 3, numbers=[0, 5, 10])
    figure.set_dpi(100)
    figure.canvas.draw()
    assert min(ax.bbox.width for ax in figure.axes) >= 480

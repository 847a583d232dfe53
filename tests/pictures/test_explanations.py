"""Decisions in words: each reason, the names, and nothing a page would take for markup."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from instanceid_utils.pictures.explanations import (
    crop_of,
    decision_html,
    first_crops,
    sentence,
    show_decision,
)
from instanceid_utils.tracking.decision import Decision

NEAR = ((7, 0.4), (2, 0.9))
REUSED = Decision(1, 7, "reused", 0.4, 0.0, NEAR, 0.6, 0.5)
CROP = np.full((64, 64, 4), 200, np.uint8)


@pytest.mark.parametrize(
    "decision, words",
    [
        (REUSED, ["ID 7 again: 0.40 away, below the threshold 0.60", "worse by 0.50"]),
        (replace(REUSED, place=0.25), ["less 0.25 for its place"]),
        (replace(REUSED, margin=None), ["ID 7 again"]),
        (replace(REUSED, margin=-0.1), ["Another answer was better by 0.10, but taken"]),
        (replace(REUSED, reason="ambiguous", margin=0.01), ["ID 7 again", "only 0.01"]),
        (replace(REUSED, reason="new", id=8), ["ID 8 is new", "ID 7, is 0.40 away", "not below"]),
        (replace(REUSED, reason="lost", id=8), ["ID 8 is new", "went to other segments"]),
        (replace(REUSED, reason="new", id=1, neighbours=()), ["ID 1 is new: the gallery was"]),
        (replace(REUSED, reason="ambiguous", place=None, provisional=True, id=8), ["for now"]),
        (replace(REUSED, reason="ambiguous", place=None), ["ID 7: the nearest, ID 7"]),
        (replace(REUSED, reason="empty", id=-1, neighbours=()), ["No ID"]),
    ],
)
def test_every_reason_has_its_sentence(decision, words):
    for word in words:
        assert word in sentence(decision)
    assert "{" not in sentence(decision) and "None" not in sentence(decision)


def test_names_are_said_instead_of_numbers():
    text = sentence(replace(REUSED, reason="new", id=8), {7: "Ann", 8: "Bo"})
    assert text.startswith("Bo is new: the nearest, Ann, is")


def test_the_strip_shows_the_segment_then_its_neighbours():
    figure = show_decision(REUSED, CROP, {7: CROP, 2: CROP}, {2: "Bo"})
    assert [ax.get_title() for ax in figure.axes] == ["this segment", "ID 7: 0.40", "Bo: 0.90"]
    plt.close(figure)
    html = decision_html(REUSED, CROP, {7: CROP}, {7: "<script>"})
    assert html.count("<img") == 2 and "<script>" not in html and "&lt;script&gt;" in html


def test_a_crop_is_that_of_the_segment_at_its_position():
    frame = np.zeros((30, 40, 3), np.uint8)
    masks = np.zeros((30, 40), np.uint8)
    masks[5:10, 5:10], masks[15:25, 20:30] = 3, 9
    frame[masks == 9] = 10, 20, 30
    crop = crop_of(frame, masks, 1, size=16)
    assert crop.shape == (16, 16, 4) and (crop[8, 8] == (10, 20, 30, 255)).all()
    first = first_crops([frame, frame], [np.zeros_like(masks), masks], [[], [4, 7]])
    assert list(first) == [4, 7] and (first[7][32, 32] == (10, 20, 30, 255)).all()

"""Sightings hold what was seen, in the order of the video, and know a good view from a bad one."""

from __future__ import annotations

import numpy as np
import pytest

from instanceid_utils.formats import FrameMasks
from instanceid_utils.tracking.observation import observe
from instanceid_utils.tracking.second_look.sightings import (
    good_views,
    make_sightings,
    sighting_dtype,
)
from tests.painted_scenes import BLUE, GREEN, RED, ColourEmbedder, paint


def test_what_was_dropped_is_no_sighting():
    frame, labels = paint(
        (1, RED, 10, 10, 20, 20), (2, BLUE, 60, 10, 20, 30), (3, GREEN, 150, 90, 50, 30)
    )
    masks = FrameMasks(0, labels, np.array([0.9, 0.1, 0.8]), ("cat", "dog", "cat"))
    seen = observe(ColourEmbedder(), frame, masks, min_score=0.5)
    found = make_sightings(4, 2, np.array([7, -1, 9]), seen)
    assert found["id"].tolist() == [7, 9]
    assert set(found["frame"]) == {4} and set(found["shot"]) == {2}
    assert found["area"].tolist() == [400, 1500] and found["at_border"].tolist() == [False, True]
    assert found["box_tlbr"][0].tolist() == [10, 10, 30, 30]
    assert found["vector"] == pytest.approx(seen.vectors, abs=1e-3)
    assert found["kind"][0] == found["kind"][1] > 0


def test_a_sliver_and_a_covered_view_are_not_good():
    track = np.zeros(40, sighting_dtype(2))
    track["area"], track["covered"] = 1000, 0.1
    track["area"][10], track["covered"][20] = 300, 0.6
    track["area"][30], track["at_border"][30] = 700, True
    assert np.flatnonzero(~good_views(track)).tolist() == [10, 20, 30]
    track["area"][5:25] = 300  # small for long: that is what it is
    assert good_views(track)[10]

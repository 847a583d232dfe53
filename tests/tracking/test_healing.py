"""An ID that learned two things is split, and only such a one."""

import json

import numpy as np
import pytest

from instanceid_utils.tracking.healing import Strains, younger_group
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, RED, ColourEmbedder, show


def unit(*angles):
    angles = np.radians(angles)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    "angles, younger",
    [
        ((0, 5, 80, 85), [2, 3]),
        ((80, 0, 85, 5), [1, 3]),  # the oldest stays, whichever it is
        ((0, 20, 40, 60, 80), None),  # linked by views in between
        ((0, 5, 80), None),  # one view is no group
        ((0, 80, 85, 90), None),
        ((0, 5, 60, 65, 120, 125), None),  # three things: not told apart
    ],
)
def test_groups(angles, younger):
    found = younger_group(unit(*angles), gap=0.5)
    assert (None if found is None else np.flatnonzero(found).tolist()) == younger


def test_strains_are_noted_beyond_the_gap_and_kept():
    strains = Strains(gap=1.5)
    strains.observe(np.array([1, 2]), np.array([0.3, 0.31]), threshold=0.2)
    assert 1 not in strains and 2 in strains
    other = Strains()
    other.restore(json.loads(json.dumps(strains.state())))
    other.rename(2, 5)
    assert 5 in other and 2 not in other
    other.forget([5])
    assert other.state() == []


def test_an_id_that_walked_over_to_somebody_else_is_split():
    tracker = InstanceID(ColourEmbedder(), place_weight=20.0)  # places decide all
    for shade in range(4):
        show(tracker, (1, (200, 20, 20 + 15 * shade), 60, 30, 20, 30))
    ids, splits, reasons = [], [], []
    for shade in range(4):
        update = show(tracker, (1, (20 + 15 * shade, 20, 200), 60, 30, 20, 30))
        ids += update.ids.tolist()
        splits.append(dict(update.split))
        reasons.append(update.decisions[0].reason)
    assert ids == [1, 2, 2, 2] and splits[1] == {2: 1} and reasons[1] == "split"
    assert splits[0] == splits[2] == {}
    tracker.new_video()
    assert show(tracker, (1, RED, 10, 10, 20, 30), (2, BLUE, 90, 10, 20, 30)).ids.tolist() == [1, 2]


def test_the_plain_rule_splits_nothing():
    tracker = InstanceID(ColourEmbedder(), place_cue=False, threshold=2.0)
    for colour in (RED, (200, 20, 40), BLUE, (40, 20, 200), (60, 20, 200)):
        assert show(tracker, (1, colour, 60, 30, 20, 30)).ids.tolist() == [1]

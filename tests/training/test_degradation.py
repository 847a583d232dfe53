"""What degradation does to crops, and what it leaves alone."""

import numpy as np
import pytest

from instanceid_utils.segments import FILL
from instanceid_utils.training.degradation import Degradation, degrade

NOTHING = Degradation(box=0, fault=0, stranger=0, small=0)


@pytest.fixture
def crops():
    """Six crops with a background of 50 and L-shaped objects of 200 and more."""
    out = np.full((6, 64, 64, 4), FILL, np.uint8)
    out[..., 3] = 0
    out[:, 8:56, 20:44, :3] = 50
    out[:, 12:52, 24:40, :3] = 200 + np.arange(6, dtype=np.uint8)[:, None, None, None]
    out[:, 12:52, 24:40, 3] = 255
    out[:, 12:40, 32:40] = 50, 50, 50, 0
    return out


def test_nothing_but_the_fill(crops):
    before = crops.copy()
    found = degrade(crops, np.random.default_rng(0), NOTHING)
    inside = crops[..., 3] > 0
    assert (found[..., 3] == crops[..., 3]).all() and (crops == before).all()
    assert (found[inside] == crops[inside]).all() and (found[~inside][:, :3] == FILL).all()


@pytest.mark.parametrize("name", ["box", "fault", "stranger", "small", "light", "interlaced"])
def test_each_does_something_and_keeps_a_segment(crops, name):
    clean = degrade(crops, np.random.default_rng(0), NOTHING)
    how = NOTHING.__class__(**{**vars(NOTHING), name: 1.0})
    found = degrade(crops, np.random.default_rng(0), how)
    same = (found == clean).all(axis=(1, 2, 3))
    assert same.sum() <= 1
    inside = found[..., 3] > 0
    assert (inside.sum(axis=(1, 2)) >= 30).all()
    assert set(np.unique(found[..., 3])) == {0, 255}
    assert (found[~inside][:, :3] == FILL).all()


def test_a_box_holds_background_and_a_mask_does_not(crops):
    boxes = degrade(crops, np.random.default_rng(0), Degradation(1, 0, 0, 0))
    assert all(200 + n in box[..., 0] for n, box in enumerate(boxes))
    taken = (boxes[..., 3] > 0) & (crops[..., 3] == 0)
    assert taken.any(axis=(1, 2)).all()


def test_a_mask_loses_what_a_stranger_hides_and_a_box_holds_it(crops):
    crops[1:, ..., :3] = np.where(crops[1:, ..., 3:] > 0, crops[1:, ..., :3] // 2, 50)
    masks = degrade(crops, np.random.default_rng(3), Degradation(0, 0, 1, 0))
    boxes = degrade(crops, np.random.default_rng(3), Degradation(1, 0, 1, 0))
    assert (masks[0, ..., 3] > 0).sum() < (crops[0, ..., 3] > 0).sum()
    assert set(np.unique(masks[0][masks[0, ..., 3] > 0][:, 0])) == {200}
    assert len(np.unique(boxes[0][boxes[0, ..., 3] > 0][:, 0])) > 1


def test_other_light_moves_colours_and_no_mask(crops):
    clean = degrade(crops, np.random.default_rng(0), NOTHING)
    lit = degrade(crops, np.random.default_rng(0), Degradation(0, 0, 0, 0, light=1))
    assert (lit[..., 3] == clean[..., 3]).all()
    inside = clean[..., 3] > 0
    moved = lit[inside].astype(int) - clean[inside]
    assert np.abs(moved[:, :3]).max() > 30
    assert (np.ptp(moved[:, :3], axis=1) > 3).any()  # a cast, not brightness alone


def test_interlacing_moves_every_second_row(crops):
    clean = degrade(crops, np.random.default_rng(0), NOTHING)
    woven = degrade(crops, np.random.default_rng(0), Degradation(0, 0, 0, 0, interlaced=1))
    assert (woven[:, ::2] == clean[:, ::2]).all()
    for one, other in zip(woven[:, 1::2, :, 3], clean[:, 1::2, :, 3]):
        moves = [move for move in range(-8, 9) if (one == np.roll(other, move, axis=1)).all()]
        assert moves and 0 not in moves


def test_the_same_seed_gives_the_same(crops):
    one, other = (degrade(crops, np.random.default_rng(5)) for _ in range(2))
    assert (one == other).all()

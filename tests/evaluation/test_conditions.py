"""The conditions cut the same objects, each in its own way."""

import numpy as np
import pytest

from instanceid_utils.embedding import hsv_histogram
from instanceid_utils.evaluation import CONDITIONS, MaskFaults, cut_conditions, score_conditions

HEIGHT, WIDTH = 120, 160
GREEN = (20, 160, 60)


def video(n_frames=41, colours=((200, 40, 40), (40, 40, 200))):
    """Rings that move on a green ground, noisy, 60 pixels high."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for time in range(n_frames):
        image = np.full((HEIGHT, WIDTH, 3), GREEN, np.int64)
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i, colour in enumerate(colours):
            radius = np.hypot(rows - 60, columns - 40 - 80 * i - time % 5)
            ring = (radius > 12) & (radius < 30)
            image[ring], labels[ring] = colour, i + 1
        image += rng.integers(-20, 20, image.shape)
        yield np.clip(image, 0, 255).astype(np.uint8), labels


def cut(**options):
    return cut_conditions([("a", video()), ("b", video(3))], progress=False, **options)


def test_every_condition_shows_the_same_objects():
    parts = cut(step=5, faults=MaskFaults())
    assert tuple(parts) == CONDITIONS
    perfect = parts["perfect masks"]
    assert len(np.unique(perfect.identities)) == 4 and perfect.frames.max() == 200
    for part in parts.values():
        order = np.lexsort((part.identities, part.frames, part.sequences))
        for name in ("identities", "sequences", "frames"):
            assert np.array_equal(getattr(part, name)[order], getattr(perfect, name))


def share_of_ground(crops):
    inside = crops[..., 3] > 127
    ground = np.abs(crops[..., :3].astype(int) - GREEN).max(-1) < 60
    return (inside & ground).sum() / inside.sum()


def test_boxes_hold_background_and_faulty_masks_hold_some():
    parts = cut(faults=MaskFaults(leak=0.5))
    ground = {name: share_of_ground(part.crops) for name, part in parts.items()}
    assert ground["perfect masks"] < 0.01 < 0.02 < ground["faulty masks"]
    assert ground["boxes"] > 0.1  # what is seen through the ring


def test_a_small_object_has_its_colours_without_their_grain():
    parts = cut(conditions=["perfect masks", "small"])
    rims = {name: part.crops[:, 30:34, 7:12, 1].astype(float) for name, part in parts.items()}
    assert np.abs(rims["small"].mean((1, 2)) - rims["perfect masks"].mean((1, 2))).mean() < 12
    grain = {name: np.abs(np.diff(rim, axis=1)).mean() for name, rim in rims.items()}
    assert grain["small"] < 0.8 * grain["perfect masks"]


def test_what_is_mostly_nobody_is_left_out():
    part = cut(conditions=["faulty masks"], faults=MaskFaults(crumbs=3.0))["faulty masks"]
    assert 2 * 44 <= len(part) < 2 * 44 + 0.1 * 3 * 44  # but a crumb inside a ring shows the ring


def test_a_seed_repeats_and_another_differs():
    def small(seed):
        return cut(conditions=["small"], seed=seed)["small"].crops

    assert np.array_equal(small(1), small(1)) and not np.array_equal(small(1), small(2))


def test_table_beside_an_embedding_that_knows_nothing():
    parts = cut_conditions([("a", video())], conditions=["perfect masks"], progress=False)
    blind = {"colour": hsv_histogram, "blind": lambda crops: np.ones((len(crops), 1), np.float32)}
    table = score_conditions(blind, parts, progress=False)
    assert table.loc[("perfect masks", "colour"), "rank-1"] == 1
    assert table.loc[("perfect masks", "blind"), "rank-1"] == 0
    assert table.loc[("perfect masks", "blind"), "TAR at FAR 1 %"] == 0


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="conditions.*fog"):
        cut(conditions=["fog"])
    empty = [("a", [(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))])]
    with pytest.raises(ValueError, match="perfect masks.*no segments"):
        cut_conditions(empty, progress=False)

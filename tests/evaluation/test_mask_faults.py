"""Every fault does what its name says, at its rate, to label maps painted by hand."""

import numpy as np
import pytest

from instanceid_utils.evaluation import mask_overlaps
from instanceid_utils.evaluation.mask_faults import (
    FAULTS,
    MIN_AREA,
    FaultyModel,
    MaskFaults,
    simulate,
)


def squares(*boxes, shape=(120, 200)):
    label_map = np.zeros(shape, np.int32)
    for label, (left, top, right, bottom) in enumerate(boxes, 1):
        label_map[top:bottom, left:right] = 1000 + label
    return label_map


ONE = squares((60, 30, 120, 90))
TWO = squares((20, 30, 60, 90), (60, 30, 110, 90))  # they touch
APART = squares((20, 30, 60, 90), (120, 30, 170, 90))


def watch(label_map, n_frames=300, seed=0, **faults):
    model = FaultyModel(MaskFaults(**faults), np.random.default_rng(seed))
    return [model.observe(label_map) for _ in range(n_frames)]


def runs(there):
    """Lengths of the runs of False."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], there, [True]])))
    return np.diff(edges)[::2]


def test_perfect_masks_come_in_random_order():
    seen = watch(TWO, 50)
    assert {tuple(s.areas) for s in seen} == {(2400, 3000), (3000, 2400)}
    assert all(s.labels.tolist() == [1, 2] for s in seen)
    assert all(np.allclose(np.sort(mask_overlaps(TWO, s).iou())[:, -1], 1) for s in seen)


def test_slivers_are_found_by_a_perfect_model_only():
    sliver = squares((20, 20, 23, 25))
    assert [len(watch(sliver, 1, **faults)[0]) for faults in ({}, {"cells": 28})] == [1, 0]


def test_single_misses():
    there = np.array([len(s) for s in watch(ONE, 1000, miss=0.2)]) > 0
    assert 1 - there.mean() == pytest.approx(0.2, abs=0.04)
    assert runs(there).mean() == pytest.approx(1.25, abs=0.15)


def test_misses_in_bursts():
    there = np.array([len(s) for s in watch(ONE, 3000, burst=0.2, burst_frames=6)]) > 0
    assert 1 - there.mean() == pytest.approx(0.2, abs=0.06)
    assert 4 < runs(there).mean() < 9


def test_crumbs_of_background_stay_for_a_while():
    seen = watch(ONE, 800, crumbs=0.5, lasting=4)
    extra = np.array([len(s) - 1 for s in seen])
    assert extra.mean() == pytest.approx(0.5, abs=0.12)
    with_crumb = [s.boxes_tlbr.tolist() for s in seen if len(s) == 2]
    assert any(a == b for a, b in zip(with_crumb, with_crumb[1:]))
    areas = np.concatenate([s.areas for s in seen])
    assert areas.min() >= MIN_AREA and np.median(areas[areas != 3600]) < 300


def test_crumbs_do_not_begin_on_objects():
    full = np.ones((50, 50), np.int32)
    assert all(len(s) == 1 for s in watch(full, 100, crumbs=3))


def test_rough_edges_stay_at_the_edge():
    seen = watch(ONE, 50, rough=0.3)
    iou = np.array([mask_overlaps(ONE, s).iou()[0, 0] for s in seen])
    assert len(set(iou)) > 40 and 0.8 < iou.min() and iou.max() < 1
    inner = ONE.copy()
    inner[40:80, 70:110] = 0
    assert all(mask_overlaps(ONE - inner, s).shared.max() == 1600 for s in seen)


def test_a_lost_part_stays_lost_for_an_episode():
    areas = np.array([s.areas[0] for s in watch(ONE, 2000, lost=0.3, lasting=5)])
    assert (areas < 3600).mean() == pytest.approx(0.3, abs=0.06)
    assert 0.5 < areas.min() / 3600 < 0.6
    assert 3 < runs(areas == 3600).mean() < 9
    sides = {tuple(s.boxes_tlbr[0] != (60, 30, 120, 90)) for s in watch(ONE, 400, lost=0.3)}
    assert len(sides) == 5  # none, and one of four


def test_a_leak_goes_into_the_neighbour():
    for found in watch(TWO, 100, leak=1):
        shared = mask_overlaps(TWO, found).shared
        assert (np.sort(shared, axis=1)[:, 0] > 20).all()
    for found in watch(APART, 100, leak=1):
        assert (
            found.areas.sum() > 5400
            and (np.sort(mask_overlaps(APART, found).shared)[:, 0] == 0).all()
        )


def test_a_split_gives_both_pieces():
    for found in watch(ONE, 50, split=1):
        assert len(found) == 2 and found.areas.sum() == 3600 and found.areas.min() > 1000
    n = np.array([len(s) for s in watch(ONE, 2000, split=0.25)])
    assert (n == 2).mean() == pytest.approx(0.25, abs=0.06)


def test_a_merge_lasts_as_long_as_they_touch():
    model = FaultyModel(MaskFaults(merge=0.5), np.random.default_rng(0))
    outcomes = []
    for _ in range(60):
        together = {len(model.observe(TWO)) for _ in range(8)}
        assert len(together) == 1
        assert {len(model.observe(APART)) for _ in range(8)} == {2}
        outcomes.append(together.pop())
    assert 0.3 < np.mean(np.array(outcomes) == 1) < 0.7


def test_a_merged_mask_is_the_union():
    (found,) = watch(TWO, 1, merge=1)
    assert found.areas.tolist() == [5400] and found.boxes_tlbr.tolist() == [[20, 30, 110, 90]]


def test_a_missed_object_is_in_no_merge():
    assert all(
        s.areas.tolist() in ([], [2400], [3000], [5400]) for s in watch(TWO, 200, merge=1, miss=0.5)
    )


def test_boxes_instead_of_masks_tremble():
    (still,) = watch(ONE, 1, boxes=True)
    assert still.boxes_tlbr.tolist() == [[60, 30, 120, 90]] and still.areas[0] < 0.6 * 3600
    boxes = np.concatenate([s.boxes_tlbr for s in watch(ONE, 500, boxes=True, jitter=0.05)])
    np.testing.assert_allclose(boxes.mean(axis=0), (60, 30, 120, 90), atol=0.6)
    np.testing.assert_allclose(boxes.std(axis=0), 3, atol=0.5)


def test_of_two_boxes_in_one_place_one_may_be_suppressed():
    behind = squares((40, 20, 100, 100), (50, 30, 100, 100))
    behind[20:30, 40:100] = 1001
    assert {len(s) for s in watch(behind, 30, boxes=True)} == {2}
    assert {tuple(s.areas > 2000) for s in watch(behind, 30, boxes=True, merge=1)} == {(True,)}


def test_low_resolution():
    disc = np.hypot(*np.mgrid[-60:60, -60:60]) < 55
    (coarse,) = watch(disc.astype(np.int32), 1, cells=8)
    (fine,) = watch(disc.astype(np.int32), 1, cells=60)
    loss = [1 - mask_overlaps(disc.astype(np.int32), s).iou()[0, 0] for s in (coarse, fine)]
    assert loss[0] > 2 * loss[1] and loss[0] < 0.2


def test_the_stream_is_the_same_for_a_seed_and_keeps_the_truth():
    frame = np.zeros((*TWO.shape, 3), np.uint8)
    stream = [(frame, TWO)] * 20
    runs = [
        [
            s.areas.tolist()
            for *_, s in simulate(stream, FAULTS["hard masks"], np.random.default_rng(i))
        ]
        for i in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    image, truth, _ = next(simulate(stream, FAULTS["masks"], np.random.default_rng(0)))
    assert image is frame and truth is TWO


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_there_and_objects_at_the_border(name):
    nothing = np.zeros((60, 80), np.int32)
    corner = squares((0, 0, 30, 40), (180, 90, 200, 120))
    model = FaultyModel(FAULTS[name], np.random.default_rng(0))
    for label_map in (nothing, corner):
        for _ in range(40):
            found = model.observe(label_map)
            height, width = label_map.shape
            for (left, top, right, bottom), area, patch in zip(
                found.boxes_tlbr.tolist(), found.areas, found.patches
            ):
                assert 0 <= left < right <= width and 0 <= top < bottom <= height
                assert patch.shape == (bottom - top, right - left) and patch.sum() == area > 0


def test_twice_the_rates():
    hard = MaskFaults(miss=0.1, merge=0.7, crumbs=0.8).times(2)
    assert (hard.miss, hard.merge, hard.crumbs) == (0.2, 1, 1.6)


@pytest.mark.parametrize(
    "wrong", [{"miss": 1.5}, {"crumbs": -1}, {"lasting": 0.5}, {"rough": np.nan}]
)
def test_impossible_rates(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MaskFaults(**wrong)

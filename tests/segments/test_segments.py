import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from instanceid_utils.segments.crops import FILL, cut_crops, square_boxes
from instanceid_utils.segments.segments import check_frame, find_segments


def slow_segments(label_map):
    """The definition, pixel by pixel."""
    for label in np.unique(label_map[label_map != 0]):
        rows, columns = np.nonzero(label_map == label)
        box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        yield int(label), [int(v) for v in box], len(rows)


def assert_segments(segments, label_map):
    expected = list(slow_segments(label_map))
    assert segments.frame_shape == label_map.shape
    assert segments.labels.tolist() == [label for label, _, _ in expected]
    assert segments.boxes_tlbr.tolist() == [box for _, box, _ in expected]
    assert segments.areas.tolist() == [area for _, _, area in expected]
    for patch, (label, (left, top, right, bottom), _) in zip(segments.patches, expected):
        assert patch.dtype == bool
        np.testing.assert_array_equal(patch, label_map[top:bottom, left:right] == label)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.int64, np.uint64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.integers(0, 4),
    )
)
def test_label_map_equals_the_definition(label_map):
    assert_segments(find_segments(label_map), label_map)


@given(
    hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=8)),
    st.sampled_from([lambda m: m, lambda m: m[:, ::-1], lambda m: m.transpose(0, 2, 1)]),
)
def test_stack_equals_the_definition(masks, view):
    masks = view(masks)
    segments = find_segments(masks)
    assert len(segments) == len(masks)
    assert segments.labels.tolist() == list(range(1, len(masks) + 1))
    for i, mask in enumerate(masks):
        if mask.any():
            one = segments.select([i])
            assert one.boxes_tlbr.tolist() == [next(slow_segments(mask.astype(int)))[1]]
            assert one.areas[0] == mask.sum() == one.patches[0].sum()
        else:
            assert segments.areas[i] == 0 and segments.boxes_tlbr[i].tolist() == [0] * 4


def test_runs_do_not_join_across_rows():
    label_map = np.zeros((2, 3), int)
    label_map[0, 2] = label_map[1, 0] = 5
    assert find_segments(label_map).boxes_tlbr.tolist() == [[0, 0, 3, 2]]
    assert find_segments(label_map).areas.tolist() == [2]


def test_blobs_of_one_label_are_one_segment():
    label_map = np.zeros((9, 20), np.uint8)
    label_map[1:3, 2:4] = label_map[6:8, 15:18] = 7
    segments = find_segments(label_map)
    assert segments.boxes_tlbr.tolist() == [[2, 1, 18, 8]] and segments.areas.tolist() == [10]


def test_huge_labels_cost_no_memory():
    label_map = np.zeros((4, 4), np.int64)
    label_map[1, 1], label_map[2, 2] = 2**63 - 1, 2**40
    assert find_segments(label_map).labels.tolist() == [2**40, 2**63 - 1]


@pytest.mark.parametrize("masks", [np.zeros((5, 6), np.uint8), np.zeros((0, 5, 6), bool)])
def test_nothing_there_gives_no_segments(masks):
    segments = find_segments(masks)
    assert len(segments) == 0 and segments.boxes_tlbr.shape == (0, 4)
    assert cut_crops(np.zeros((5, 6, 3), np.uint8), segments).shape == (0, 64, 64, 4)


@pytest.mark.parametrize(
    "masks, said",
    [
        (np.full((4, 4), np.nan), "float64 of shape .4, 4.; .*from_model takes"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4), bool), "masks.np.newaxis."),
        (np.zeros((2, 4, 4), np.uint8), "astype.bool."),
        (np.zeros((1, 2, 4, 4), bool), "bool of shape"),
        (np.full((4, 4), -1), ">= 0, got -1"),
        (np.full((4, 4), 2**64 - 1, np.uint64), "below 2"),
        (np.zeros((0, 4), int), "at least one pixel"),
        (None, "object"),
        ("masks", "expected an integer label map"),
    ],
)
def test_bad_masks_say_what_was_expected(masks, said):
    with pytest.raises(ValueError, match=said):
        find_segments(masks)


@pytest.mark.parametrize(
    "frame, said",
    [
        (np.zeros((4, 6, 3)), "float64"),
        (np.zeros((4, 6), np.uint8), r"\(4, 6\)"),
        (np.zeros((4, 6, 4), np.uint8), r"\(4, 6, 4\)"),
        (np.zeros((0, 6, 3), np.uint8), "expected uint8 RGB"),
        (None, "NoneType"),
        (np.zeros((6, 4, 3), np.uint8), "6x4, got 4x6"),
    ],
)
def test_bad_frames_say_what_was_expected(frame, said):
    with pytest.raises(ValueError, match=said):
        check_frame(frame, (4, 6))


def area_weights(start, stop, size, length):
    """Row i: how much of each of ``length`` source pixels lies in cell i of [start, stop)."""
    edges = np.linspace(start, stop, size + 1)
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.clip(overlap, 0, None) * size / (stop - start)


@pytest.mark.parametrize("box", [(0, 0, 300, 280), (37, 11, 171, 222), (250, 100, 320, 105)])
def test_shrunk_crops_are_area_means_of_the_segment(box):
    """An oracle in float64 for every pixel well inside or outside the segment."""
    rng = np.random.default_rng(3)
    left, top, right, bottom = box
    y, x = np.mgrid[:280, :320, :1][:2]
    frame = (128 + 100 * np.sin(x / (9, 7, 11) + 1) * np.cos(y / (8, 10, 6))).astype(np.uint8)
    mask = np.zeros(frame.shape[:2], bool)
    mask[top:bottom, left:right] = rng.random((bottom - top, right - left)) < 0.9
    mask[top, left] = mask[bottom - 1, right - 1] = True
    segments = find_segments(mask[np.newaxis])
    crop = cut_crops(frame, segments)[0]

    x0, y0, x1, y1 = square_boxes(segments.boxes_tlbr)[0]
    wy, wx = area_weights(y0, y1, 64, len(mask)), area_weights(x0, x1, 64, mask.shape[1])
    coverage = wy @ mask @ wx.T
    mean = np.stack([wy @ (channel * mask) @ wx.T for channel in frame.transpose(2, 0, 1)], -1)
    mean /= coverage.clip(1e-9)[..., np.newaxis]
    sure = abs(coverage - 0.5) > 0.1
    np.testing.assert_array_equal(crop[..., 3][sure], np.where(coverage > 0.5, 255, 0)[sure])
    inside = coverage > 0.6
    assert inside.any()
    error = np.abs(crop[inside][:, :3] - mean[inside])  # halving first is a little coarser
    assert error.max() <= 10 and error.mean() < 3
    assert (crop[coverage < 0.4] == (FILL, FILL, FILL, 0)).all()


def test_rim_has_the_colour_of_the_segment():
    frame = np.full((200, 300, 3), (0, 255, 0), np.uint8)
    label_map = np.zeros((200, 300), np.uint8)
    label_map[31:164, 47:122] = 9
    frame[label_map == 9] = 250, 10, 130
    crop = cut_crops(frame, find_segments(label_map))[0]
    inside = crop[..., 3] == 255
    assert np.abs(crop[inside][:, :3].astype(int) - (250, 10, 130)).max() <= 2
    assert (crop[~inside] == (FILL, FILL, FILL, 0)).all()
    height, width = np.ptp(np.nonzero(inside), axis=1) + 1
    assert abs(height - 64 / 1.2) <= 1 and abs(width - 64 / 1.2 * 75 / 133) <= 1


def test_an_unscaled_crop_holds_the_pixels_themselves():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    label_map = np.zeros((80, 80), np.int32)
    label_map[20:40, 60:80] = 1  # touches the right edge: the margin lies outside the frame
    crop = cut_crops(frame, find_segments(label_map), size=24)[0]
    np.testing.assert_array_equal(crop[2:22, 2:22, :3], frame[20:40, 60:80])
    assert (crop[..., 3] == np.pad(np.full((20, 20), 255), 2)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_slivers_are_cut_and_keep_some_pixels(shape):
    label_map = np.zeros((310, 310), np.uint8)
    label_map[: shape[0], 310 - shape[1] :] = 1
    frame = np.full((310, 310, 3), 7, np.uint8)
    crop = cut_crops(frame, find_segments(label_map))[0]
    inside = crop[..., 3] == 255
    assert inside.any() and np.abs(crop[inside][:, :3].astype(int) - 7).max() <= 7


@given(
    hnp.arrays(np.int64, (3, 2), elements=st.integers(0, 500)),
    hnp.arrays(np.int64, (3, 2), elements=st.integers(1, 900)),
    st.integers(1, 300),
    st.floats(0, 2),
)
def test_squares_hold_their_boxes_and_halve_exactly(corners, extents, size, margin):
    boxes = np.concatenate([corners, corners + extents], axis=1)
    squares = square_boxes(boxes, size, margin)
    assert (squares[:, :2] <= boxes[:, :2]).all() and (squares[:, 2:] >= boxes[:, 2:]).all()
    sides = squares[:, 2:] - squares[:, :2]
    assert (sides[:, 0] == sides[:, 1]).all()
    wanted = extents.max(axis=1) * (1 + 2 * margin)
    assert (sides[:, 0] >= wanted - 1e-6).all()
    assert (sides[:, 0] < wanted + np.maximum(wanted / size, 1) + 1e-6).all()
    off_centre = squares.reshape(3, 2, 2).sum(1) - boxes.reshape(3, 2, 2).sum(1)
    assert np.isin(off_centre, (-1, 0)).all()


@pytest.mark.parametrize(
    "size, margin, said",
    [(0, 0.1, "size"), (10**6, 0.1, "size"), (64, -0.1, "margin"), (64, float("nan"), "margin")],
)
def test_bad_size_or_margin(size, margin, said):
    segments = find_segments(np.ones((4, 4), int))
    with pytest.raises(ValueError, match=said):
        cut_crops(np.zeros((4, 4, 3), np.uint8), segments, size, margin)


def test_empty_masks_cannot_be_cut():
    masks = np.zeros((2, 4, 4), bool)
    masks[0] = True
    with pytest.raises(ValueError, match="label 2 is empty"):
        cut_crops(np.zeros((4, 4, 3), np.uint8), find_segments(masks))


@pytest.mark.real_data
def test_real_frames(davis_root):
    from instanceid_utils.data.davis import DavisDataset

    dataset = DavisDataset(davis_root)
    for sequence in dataset.sequences():
        frame = dataset.frame(sequence, 0)
        segments = find_segments(frame.label_map)
        assert_segments(segments, frame.label_map)
        crops = cut_crops(frame.image, segments)
        assert crops.shape == (len(segments), 64, 64, 4)
        assert (crops[..., 3] == 255).any(axis=(1, 2)).all()

"""Run lengths and polygons: equal to pycocotools where right, refused where wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from instanceid_utils.formats import FormatError, rle

MASKS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def runs_of(mask):
    """Run lengths by their definition: columns first, starting with background."""
    runs, value = [0], False
    for pixel in mask.ravel(order="F").tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@settings(max_examples=50)
@given(MASKS)
def test_compressed_run_lengths_of_pycocotools(mask):
    coded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    assert rle.encode(mask)["counts"] == coded["counts"].decode()
    for counts in (coded["counts"], coded["counts"].decode()):
        decoded = rle.decode({"size": list(mask.shape), "counts": counts}, "x")
        assert decoded.dtype == bool and np.array_equal(decoded, mask)
    assert rle._run_lengths(coded["counts"], "x").tolist() == runs_of(mask)


@settings(max_examples=50)
@given(MASKS)
def test_plain_run_lengths(mask):
    decoded = rle.decode({"size": list(mask.shape), "counts": runs_of(mask)}, "x", mask.shape)
    assert np.array_equal(decoded, mask)


@settings(max_examples=50)
@given(MASKS, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_patch_is_encoded_like_the_whole_mask(patch, left, top, right, bottom):
    mask = np.pad(patch, ((top, bottom), (left, right)))
    box = left, top, left + patch.shape[1], top + patch.shape[0]
    counts = rle.encode_patch(patch, box, mask.shape)
    assert counts == rle.encode(mask)["counts"]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [100_000, 100_000], "counts": "1" * 10}, "at most 67,108,864 pixels"),
        ({"size": [2**40, 2**40], "counts": [1]}, "at most"),
        ({"size": [-4, 4], "counts": "0"}, "at most"),
        ({"size": [4.5, 4], "counts": "0"}, "at most"),
        ({"size": [4, 4], "counts": "b'0'"}, "bytes literal.*counts.decode"),
        ({"size": [4], "counts": "0"}, r"a size \[height, width\]"),
        ({"size": "44", "counts": "0"}, r"a size \[height, width\]"),
        ({"size": [4, 4], "counts": "@1"}, "do not add up to 4x4"),
        ({"size": [4, 4], "counts": [3, 3]}, "do not add up to 4x4"),
        ({"size": [4, 4], "counts": [20, -4]}, "do not add up to 4x4"),
        ({"size": [4, 4], "counts": [2**70]}, "list of run lengths"),
        ({"size": [4, 4], "counts": [2**40]}, "list of run lengths"),
        ({"size": [4, 4], "counts": [[16]]}, "list of run lengths"),
        ({"size": [4, 4], "counts": [1.5, 14.5]}, "list of run lengths"),
        ({"size": [4, 4], "counts": ["16"]}, "list of run lengths"),
        ({"size": [4, 4], "counts": []}, "list of run lengths|do not add up"),
        ({"size": [4, 4], "counts": ""}, "compressed run lengths"),
        ({"size": [4, 4], "counts": "P"}, "compressed run lengths"),  # the last group goes on
        ({"size": [4, 4], "counts": "0 1"}, "compressed run lengths"),
        ({"size": [4, 4], "counts": "~"}, "compressed run lengths"),
        ({"size": [4, 4], "counts": "o" * 30 + "0"}, "too large for any picture"),
        ({"size": [4, 4], "counts": 16}, "text or a list"),
        ({"size": [4, 4]}, "run lengths {size, counts} or polygons"),
        ("0123", "run lengths {size, counts} or polygons"),
    ],
)
def test_hostile_run_lengths_are_refused(segmentation, message):
    with pytest.raises(FormatError, match=f"masks.json: annotations.7.: .*({message})"):
        rle.decode(segmentation, "masks.json: annotations[7]")


@settings(max_examples=50)
@given(
    st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=30),
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_any_text_is_a_mask_or_an_error(counts, height, width):
    try:
        mask = rle.decode({"size": [height, width], "counts": counts}, "x")
    except FormatError:
        return
    assert mask.shape == (height, width)
    assert runs_of(mask) is not None


def test_the_size_must_be_that_of_the_frame():
    coded = rle.encode(np.ones((4, 6), bool))
    with pytest.raises(FormatError, match="frame's size 8x6, got 6x4"):
        rle.decode(coded, "x", (6, 8))


def test_polygons():
    square = [2, 1, 6, 1, 6, 5, 2, 5]
    mask = rle.decode([square], "x", (8, 10))
    assert np.array_equal(mask, np.pad(np.ones((4, 4), bool), ((1, 3), (2, 4))))
    two = rle.decode([square, [7.0, 5.0, 9.0, 5.0, 9.0, 7.0, 7.0, 7.0]], "x", (8, 10))
    assert two.sum() == 16 + 4
    assert not rle.decode([], "x", (8, 10)).any()


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([[1, 2, 3, 4]], "three points or more"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three points or more"),
        ([[0, 0, 1e300, 0, 0, 5]], "reaches far out"),
        ([[0, 0, float("nan"), 0, 0, 5]], "reaches far out"),
        ([[0, 0, "a", 0, 0, 5]], "expected polygons"),
        ([None], "three points or more|expected polygons"),
        ([{"x": 1}], "expected polygons"),
    ],
)
def test_hostile_polygons_are_refused(polygons, message):
    with pytest.raises(FormatError, match=f"here: .*({message})"):
        rle.decode(polygons, "here", (8, 10))


def test_polygons_need_a_size():
    with pytest.raises(FormatError, match="need the size of the frame"):
        rle.decode([[0, 0, 3, 0, 3, 3]], "x")


def test_a_line_among_polygons_is_skipped_with_a_warning(caplog):
    square = [1, 1, 5, 1, 5, 5, 1, 5]
    alone = rle.decode([square], "here", (8, 8))
    assert np.array_equal(rle.decode([square, [1, 2, 3, 4]], "here", (8, 8)), alone)
    assert "here: skipped 1 polygons" in caplog.text


def test_sizes_that_json_made_floats():
    counts = rle.encode(np.eye(4, dtype=bool))["counts"]
    assert np.array_equal(rle.decode({"size": [4.0, 4.0], "counts": counts}, "here"), np.eye(4))

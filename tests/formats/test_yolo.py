"""Labels of Ultralytics: polygons and boxes in parts of the frame."""

import numpy as np
import pytest

from instanceid_utils.formats import FormatError, detect_format, read_masks

SHAPE = (120, 160)


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_polygons(tmp_path):
    write(tmp_path, street_1="2 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n0 0 0 .1 0 .1 .1 0.9\n")
    assert detect_format(tmp_path) == "yolo"
    frame = read_masks(tmp_path, frame_shape=SHAPE)[1]
    expected = np.zeros(SHAPE, bool)
    expected[30:60, 40:80] = True
    assert np.array_equal(frame.masks[0], expected)
    assert frame.masks.shape == (2, *SHAPE) and frame.classes == (2, 0)


def test_boxes_with_scores_and_ids(tmp_path):
    write(tmp_path, street_1="2 0.5 0.5 0.25 0.5\n", street_12="2 .5 .5 .25 .5 .9 7\n")
    reader = read_masks(tmp_path, frame_shape=SHAPE)
    assert list(reader) == [1, 12]
    assert reader[1].boxes.tolist() == [[60, 30, 100, 90]] and reader[1].scores is None
    assert reader[12].scores == pytest.approx([0.9]) and reader[12].ids.tolist() == [7]


def test_an_empty_file_is_a_frame_without_objects(tmp_path):
    assert len(read_masks(write(tmp_path, a_1=""), frame_shape=SHAPE)[1].boxes) == 0


@pytest.mark.parametrize("line", ["2 .5 .5 .5", "a .5 .5 .5 .5", "1.5 .5 .5 .5 .5", "2 nan 0 0 0"])
def test_a_wrong_line_is_named(tmp_path, line):
    with pytest.raises(FormatError, match=r"a_1\.txt: line 1: expected 'class x y"):
        read_masks(write(tmp_path, a_1=line), frame_shape=SHAPE)[1]


def test_pixels_and_a_missing_size_are_refused(tmp_path):
    write(tmp_path, a_1="2 80 60 40 60\n")
    with pytest.raises(FormatError, match="in parts of the frame"):
        read_masks(tmp_path, frame_shape=SHAPE)[1]
    with pytest.raises(FormatError, match="frame_shape="):
        read_masks(tmp_path)

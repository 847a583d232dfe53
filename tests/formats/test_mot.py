"""MOT-Challenge boxes: their corners by definition, what is wrong with its line."""

import numpy as np
import pytest

from instanceid_utils.formats import FormatError, detect_format, mot, read_masks
from instanceid_utils.segments import box_segments

DETECTIONS = """1,-1,11,6,20,30,0.95,-1,-1,-1
1,-1,51.5,6,20,30,0.3,-1,-1,-1
3,-1,12,7,20,30,0.9
"""
TRUTH = "1,4,11,6,20,30,1,2,0.9\n1,9,51,6,20,30,0,2,0.9\n"


def write(path, text):
    path.write_text(text)
    return path


def test_detections(tmp_path):
    path = write(tmp_path / "det.txt", DETECTIONS)
    assert detect_format(path) == "mot"
    reader = read_masks(path)
    assert list(reader) == [1, 3]
    frame = reader[1]
    assert frame.masks is None and frame.ids is None and frame.classes is None
    assert frame.boxes.tolist() == [[10, 5, 30, 35], [50.5, 5, 70.5, 35]]
    assert frame.scores == pytest.approx([0.95, 0.3])


def test_truth_has_ids_and_classes(tmp_path):
    frame = read_masks(write(tmp_path / "gt.txt", TRUTH))[1]
    assert frame.ids.tolist() == [4, 9] and frame.classes == (2, 2)


def test_spaces_will_do(tmp_path):
    path = write(tmp_path / "d.txt", "1 -1 11 6 20 30 0.95 -1\n")
    assert detect_format(path) == "mot" and read_masks(path)[1].boxes.tolist() == [[10, 5, 30, 35]]


def test_what_is_written_is_read_back(tmp_path):
    boxes = np.array([[10, 5, 30, 35], [50, 5, 70, 35]])
    lines = mot.format_lines(0, box_segments(boxes, (60, 80)), [4, 9], [0.5, 0.25])
    frame = read_masks(write(tmp_path / "mot.txt", lines))[1]
    assert frame.boxes.tolist() == boxes.tolist() and frame.ids.tolist() == [4, 9]
    assert frame.scores.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,-1,11,6,20", "line 2: expected 'frame, id"),
        ("1,-1,a,6,20,30,1", "line 2: expected 'frame, id"),
        ("1.5,-1,11,6,20,30,1", "line 2: expected 'frame, id"),
        ("1,-1,nan,6,20,30,1", "line 2: expected 'frame, id"),
        ("1,-1,1e300,6,20,30,1", "line 2: expected 'frame, id"),
        ("1,-1,11,6,-20,30,1", "line 2: expected a width"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, message):
    with pytest.raises(FormatError, match=f"det.txt: {message}"):
        read_masks(write(tmp_path / "det.txt", DETECTIONS.splitlines()[0] + "\n" + line), "mot")

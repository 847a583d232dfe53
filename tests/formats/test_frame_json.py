"""One JSON a frame: LabelMe, and what SAM's scripts write."""

import json

import numpy as np
import pytest

from instanceid_utils.formats import FormatError, detect_format, read_masks, rle

SHAPE = (120, 160)


def labelme(*shapes, **more):
    return {"version": "5.0", "shapes": list(shapes), "imageHeight": 120, "imageWidth": 160, **more}


def shape(points, kind="polygon", label="fish", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def square(left, top, side):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_labelme(tmp_path):
    corners = [[10, 20], [40, 20], [40, 50], [10, 50]]
    found = labelme(
        shape(corners, group_id=4),
        shape([[60, 20], [90, 50]], "rectangle", "crab", group_id=9),
        shape([[5, 5]], "point"),
        shape([[120, 60], [120, 70]], "circle", group_id=3),
    )
    write(tmp_path / "frame_007.json", found)
    assert detect_format(tmp_path) == "frame-json"
    frame = read_masks(tmp_path, frame_shape=SHAPE)[7]
    assert np.array_equal(frame.masks[0], square(10, 20, 30))
    assert np.array_equal(frame.masks[1], square(60, 20, 30))
    assert frame.masks[2].sum() == pytest.approx(np.pi * 100, rel=0.06)
    assert frame.classes == ("fish", "crab", "fish") and frame.ids.tolist() == [4, 9, 3]


def test_sam_as_a_folder_as_a_list_and_as_one_file(tmp_path):
    mask = square(10, 20, 30)
    one = {"segmentation": rle.encode(mask), "area": 900, "bbox": [10, 20, 30, 30]}
    contents = [
        [{**one, "predicted_iou": 0.9}],
        {"image": {"image_id": 1, "height": 120, "width": 160}, "annotations": [one]},
    ]
    for k, content in enumerate(contents):
        folder = tmp_path / str(k)
        folder.mkdir()
        path = write(folder / "000003.json", content)
        assert np.array_equal(read_masks(folder)[3].masks, mask[None])
        assert detect_format(path) == "frame-json"
        assert np.array_equal(read_masks(path)[0].masks, mask[None])
    assert read_masks(tmp_path / "0")[3].scores == pytest.approx([0.9])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (labelme(shape([[1, 2], [3, "a"]])), r"shapes\[0\]: expected points"),
        (labelme(shape([[1, 2]])), "three points or more"),
        (labelme(shape([[1, 2]], "rectangle")), r"expected two points of a rectangle, got 1"),
        (labelme(shape("abc")), r"shapes\[0\]: expected a field 'points'"),
        ({**labelme(), "imageHeight": 10**9}, "at most"),
        ([{"segmentation": 5}], r"annotations\[0\]: expected a field 'segmentation'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, content, message):
    path = write(tmp_path / "a_1.json", content)
    with pytest.raises(FormatError, match=rf"a_1\.json: .*{message}|a_1\.json: {message}"):
        read_masks(path, "frame-json")[0]

"""CVAT for video: boxes, polygons and runs of pixels; hostile XML is refused."""

import numpy as np
import pytest

from instanceid_utils.formats import FormatError, detect_format, read_masks

HEAD = "<original_size><width>160</width><height>120</height></original_size>"
BOX = '<box frame="{}" outside="{}" occluded="0" xtl="10" ytl="20" xbr="40" ybr="50"/>'
POLYGON = '<polygon frame="0" outside="0" points="10,20;40,20;40,50;10,50"/>'
MASK = '<mask frame="0" outside="0" left="10" top="20" width="3" height="2" rle="1, 2, 3"/>'


def write(path, *tracks, head=HEAD):
    body = "".join(
        f'<track id="{i}" label="{label}">{shapes}</track>'
        for i, (label, shapes) in enumerate(tracks)
    )
    path.write_text(f'<?xml version="1.0"?><annotations><meta>{head}</meta>{body}</annotations>')
    return path


def test_boxes_alone_stay_boxes(tmp_path):
    shapes = BOX.format(0, 0) + BOX.format(1, 0) + BOX.format(2, 1)
    path = write(tmp_path / "a.xml", ("car", shapes), ("dog", BOX.format(1, 0)))
    assert detect_format(path) == "cvat"
    reader = read_masks(path)
    assert list(reader) == [0, 1, 2]
    assert reader[0].boxes.tolist() == [[10, 20, 40, 50]]
    assert reader[1].ids.tolist() == [1, 2] and reader[1].classes == ("car", "dog")
    assert len(reader[2].boxes) == 0, "outside"


def test_polygons_and_masks(tmp_path):
    path = write(tmp_path / "a.xml", ("car", POLYGON), ("dog", MASK), ("cat", BOX.format(0, 0)))
    masks = read_masks(path)[0].masks
    square = np.zeros((120, 160), bool)
    square[20:50, 10:40] = True
    runs = np.zeros((120, 160), bool)
    runs[20, 11:13] = True
    assert np.array_equal(masks, [square, runs, square])


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (BOX.format("x", 0), "track 0: expected a number 'frame'"),
        (BOX.format(0, 0).replace('"40"', '"4"'), "upside down"),
        (POLYGON.replace("40,20", "40,b"), "expected numbers"),
        (MASK.replace("1, 2, 3", "1, 2, 4"), "add up to 3x2"),
        (MASK.replace('width="3"', 'width="300"'), "reaches out of its 160x120 frame"),
        ("", "expected tracks of box, polygon, mask"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, track, message):
    path = write(tmp_path / "a.xml", ("car", track), *([("dog", POLYGON)] if track else []))
    with pytest.raises(FormatError, match=rf"a\.xml: .*{message}|a\.xml: {message}"):
        read_masks(path)[0]


def test_hostile_files_are_refused(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY b "bbb">]><annotations>&b;</annotations>')
    with pytest.raises(FormatError, match="refused, it declares a document type"):
        read_masks(path)
    write(path, ("car", POLYGON), head="<size><width>99999</width><height>99999</height></size>")
    with pytest.raises(FormatError, match="at most"):
        read_masks(path)
    path.write_text("<annotations><track")
    with pytest.raises(FormatError, match="not XML"):
        read_masks(path)

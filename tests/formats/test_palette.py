"""Label maps: void, TIFF, transparency, and maps that were resized wrongly."""

import cv2
import numpy as np
import pytest
from PIL import Image

from instanceid_utils.data import davis_palette, read_label_map, write_label_map
from instanceid_utils.formats import FormatError, detect_format, read_masks


@pytest.fixture
def label_map():
    found = np.zeros((40, 50), np.uint8)
    found[5:20, 5:20], found[25:35, 10:40] = 1, 2
    return found


def with_void(path, label_map):
    marked = label_map.copy()
    marked[4, 5:20] = 255
    picture = Image.fromarray(marked)
    picture.putpalette(davis_palette().tobytes())
    picture.save(path)
    return marked


def test_void_is_nobody_s_unless_told(tmp_path, label_map):
    marked = with_void(tmp_path / "00000.png", label_map)
    assert np.array_equal(read_masks(tmp_path)[0].masks, label_map)
    kept = read_masks(tmp_path, keep_void=True)[0]
    assert np.array_equal(kept.masks, marked) and kept.ids.tolist() == [1, 2, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_255_in_grey_is_an_object(tmp_path, label_map, dtype):
    label_map = np.where(label_map == 2, 255, label_map).astype(dtype)
    cv2.imwrite(str(tmp_path / "0.png"), label_map)
    assert read_masks(tmp_path)[0].ids.tolist() == [1, 255]


def test_id_255_survives_our_own_files(tmp_path, label_map):
    label_map = np.where(label_map == 2, 255, label_map)
    write_label_map(tmp_path / "0.png", label_map)
    assert np.array_equal(read_label_map(tmp_path / "0.png"), label_map)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_tiff(tmp_path, label_map, dtype):
    label_map = label_map.astype(dtype) * (1 if dtype == np.uint8 else 700)
    Image.fromarray(label_map).save(tmp_path / "mask003.tif")
    assert detect_format(tmp_path) == "palette"
    assert np.array_equal(read_masks(tmp_path)[3].masks, label_map)


def test_the_pages_of_a_tiff_are_the_frames(tmp_path, label_map):
    pages = [Image.fromarray(label_map.astype(np.uint16) * k) for k in (1, 2, 3)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    reader = read_masks(tmp_path / "m.tif")
    assert [reader[k].masks.max() for k in reader] == [2, 4, 6]


def test_a_damaged_or_coloured_tiff_is_named(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "0.tif")
    with pytest.raises(FormatError, match=r"0\.tif: .*its mode is RGB"):
        read_masks(tmp_path)[0]
    (tmp_path / "0.tif").write_bytes(b"II*\0rubbish")
    with pytest.raises(FormatError, match=r"0\.tif"):
        read_masks(tmp_path)[0]


def test_what_is_transparent_is_background(tmp_path, label_map):
    rgba = np.full((40, 50, 4), 255, np.uint8)  # white
    rgba[..., 3] = 0
    rgba[label_map == 1] = 128, 0, 0, 255
    Image.fromarray(rgba).save(tmp_path / "0.png")
    assert np.array_equal(read_masks(tmp_path)[0].masks, np.where(label_map == 1, 1, 0))


def test_a_map_that_was_interpolated_is_warned_about_once(tmp_path, caplog):
    small = np.zeros((20, 20), np.uint8)
    cv2.circle(small, (10, 10), 6, 200, -1)
    large = cv2.resize(small, (160, 120), interpolation=cv2.INTER_LINEAR)
    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), large)
    list(read_masks(tmp_path).values())
    assert caplog.text.count("was it resized with interpolation?") == 1
    assert "0.png" in caplog.text


def test_jpeg_is_refused_with_the_reason(tmp_path, label_map):
    cv2.imwrite(str(tmp_path / "0.jpg"), label_map)
    with pytest.raises(FormatError, match="JPEG changes labels"):
        read_masks(tmp_path)

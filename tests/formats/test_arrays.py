"""One NumPy file for a whole video; damaged ones say where."""

import numpy as np
import pytest

from instanceid_utils.formats import FormatError, detect_format, read_masks


@pytest.fixture
def maps():
    maps = np.zeros((3, 12, 16), np.uint16)
    for t in range(3):
        maps[t, 2:6, 2 + t : 8 + t] = 700
    return maps


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_one_file_for_a_video(tmp_path, maps, kind):
    path = tmp_path / f"masks.{kind}"
    np.save(path, maps) if kind == "npy" else np.savez_compressed(path, maps)
    assert detect_format(path) == "npz"
    reader = read_masks(path, frame_shape=(12, 16))
    assert list(reader) == [0, 1, 2]
    assert np.array_equal(reader[2].masks, maps[2]) and reader[2].ids.tolist() == [700]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((12, 16), int), "expected label maps"),
        (np.zeros((2, 12, 16)), "expected label maps"),
        (np.zeros((2, 12, 17), int), "expected masks of the frame's size 16x12, got 17x12"),
        (np.array([None]), "refused, it holds pickled"),
    ],
)
def test_another_array_is_refused(tmp_path, array, message):
    np.save(tmp_path / "m.npy", array, allow_pickle=True)
    with pytest.raises(FormatError, match=rf"m\.npy: {message}"):
        read_masks(tmp_path / "m.npy", frame_shape=(12, 16))


def test_several_arrays_are_refused(tmp_path, maps):
    np.savez(tmp_path / "m.npz", a=maps, b=maps)
    with pytest.raises(FormatError, match="expected one array.* it holds a, b"):
        read_masks(tmp_path / "m.npz")


def test_a_header_that_is_cut_is_ours_to_say(tmp_path, maps):
    np.save(tmp_path / "m.npy", maps)
    whole = (tmp_path / "m.npy").read_bytes()
    for end in (0, 5, 9, 40, 100, 200):
        (tmp_path / "m.npy").write_bytes(whole[:end])
        with pytest.raises(FormatError, match=r"m\.npy"):
            read_masks(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes(whole.replace(b"'shape': (", b"'shape': (("))
    with pytest.raises(FormatError, match="expected a NumPy array"):
        read_masks(tmp_path / "m.npy")

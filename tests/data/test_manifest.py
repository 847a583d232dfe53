import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.data.image_files import write_rgba
from instanceid_utils.data.manifest import COLUMNS, load_crops, read_manifest, split_by_identity

ROW = {
    "sequence": "pond",
    "frame": "00012",
    "instance_id": "3",
    "identity": "pond_3",
    "left": "0",
    "top": "5",
    "right": "64",
    "bottom": "9",
    "area": "100",
    "frame_height": "48",
    "frame_width": "64",
    "crop": "crops/pond_3/00012.png",
    "split": "train",
}


def write(path, *rows, columns=COLUMNS):
    lines = [",".join(columns), *(",".join(row[c] for c in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reads_names_as_text_and_numbers_as_numbers(tmp_path):
    write(tmp_path / "manifest.csv", ROW, {**ROW, "frame": "NA", "identity": "nan"})
    manifest = read_manifest(tmp_path)
    assert manifest.frame.tolist() == ["00012", "NA"]
    assert manifest.identity.tolist() == ["pond_3", "nan"]
    assert manifest.bottom.dtype == np.int64 and manifest.bottom[0] == 9
    assert tuple(manifest.columns) == COLUMNS
    assert len(read_manifest(write(tmp_path / "other.csv"))) == 0


@pytest.mark.parametrize(
    "change, said",
    [
        ({"split": "val"}, r"a split of \('train', 'test'\) in line 3"),
        ({"right": "65"}, "a box inside the frame in line 3"),
        ({"bottom": "5"}, "a box inside"),
        ({"left": "-1"}, "a box inside"),
        ({"crop": "/etc/passwd"}, "a crop below the folder"),
        ({"crop": "../x.png"}, "a crop below the folder"),
        ({"crop": ""}, "a crop below the folder"),
        ({"identity": ""}, "an identity in line 3"),
        ({"area": "many"}, "expected whole numbers"),
        ({"split": "test"}, "identity 'pond_3' is in both splits"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, said):
    path = write(tmp_path / "m.csv", ROW, {**ROW, **change})
    with pytest.raises(ValueError, match=f"m.csv: .*{said}"):
        read_manifest(path)


def test_other_tables_are_refused(tmp_path):
    path = write(tmp_path / "m.csv", ROW, columns=("x", *COLUMNS[1:]))
    with pytest.raises(ValueError, match="m.csv: expected columns"):
        read_manifest(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="m.csv: expected a table"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(ValueError, match="m.csv: expected"):
        read_manifest(path)
    with pytest.raises(FileNotFoundError):
        read_manifest(tmp_path / "none.csv")


def test_load_crops(tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 4), dtype=np.uint8)
    names = ["b.png", "a.png"]
    for name, crop in zip(names, crops):
        write_rgba(tmp_path / name, crop)
    rows = [{**ROW, "crop": name} for name in names]
    manifest = read_manifest(write(tmp_path / "manifest.csv", *rows))
    np.testing.assert_array_equal(load_crops(manifest, tmp_path), crops)

    write_rgba(tmp_path / "a.png", crops[0, :8])
    with pytest.raises(ValueError, match="a.png: expected 16x16.*b.png, got 16x8"):
        load_crops(manifest, tmp_path)
    with pytest.raises(ValueError, match="at least one row"):
        load_crops(manifest[:0], tmp_path)


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from("abcdefg"), min_size=2).filter(lambda names: len(set(names)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 99),
)
def test_no_identity_is_on_both_sides(names, fraction, seed):
    split = split_by_identity(names, fraction, np.random.default_rng(seed))
    sides = {side: {n for n, s in zip(names, split) if s == side} for side in ("train", "test")}
    assert not sides["train"] & sides["test"] and sides["train"] and sides["test"]
    wanted = np.clip(round(fraction * len(set(names))), 1, len(set(names)) - 1)
    assert len(sides["test"]) == wanted
    again = split_by_identity(names[::-1], fraction, np.random.default_rng(seed))
    assert again[::-1].tolist() == split.tolist()  # the order of the crops does not matter


def test_nothing_to_split():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least two"):
        split_by_identity(["a", "a"], 0.5, rng)
    for fraction in (0, 1, float("nan")):
        with pytest.raises(ValueError, match="test_fraction"):
            split_by_identity(["a", "b"], fraction, rng)

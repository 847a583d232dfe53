import shutil
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from instanceid_utils.data.davis import DavisDataset, natural_key
from instanceid_utils.data.image_files import (
    davis_palette,
    read_image,
    read_label_map,
    read_rgba,
    write_label_map,
    write_rgba,
)


def test_reads_frames_in_order(make_davis):
    root = make_davis(train=["road"], val=["pond"])
    dataset = DavisDataset(root)
    assert dataset.resolution == "480p" and dataset.splits == ("train", "val")
    assert dataset.sequences() == ("pond", "road") and dataset.sequences("train") == ("road",)
    frames = list(dataset.frames("pond"))
    assert [frame.name for frame in frames] == ["00000", "00001", "00002", "00003"]
    for i, frame in enumerate(frames):
        assert frame.index == i and frame.image.dtype == np.uint8
        assert frame.label_map.shape == frame.image.shape[:2] == (48, 64)
        assert np.unique(frame.label_map).tolist() == [0, 1, 2]
        red, _, blue = frame.image[15, 10 + i].astype(int)
        assert red > blue + 100  # RGB, not BGR


def test_finds_the_folder_inside_and_the_only_resolution(make_davis, tmp_path):
    root = make_davis(root=tmp_path / "parent/DAVIS")
    assert DavisDataset(tmp_path / "parent").root == root
    shutil.copytree(root / "JPEGImages/480p", root / "JPEGImages/1080p")
    with pytest.raises(ValueError, match=r"\['1080p', '480p'\]: choose one by resolution="):
        DavisDataset(root)
    with pytest.raises(ValueError, match="Annotations/1080p is missing"):
        DavisDataset(root, resolution="1080p")
    assert DavisDataset(root, resolution="480p").n_frames("road") == 3


def test_other_layouts_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        DavisDataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="expected the DAVIS 2017 layout.*there is none"):
        DavisDataset(tmp_path)


def test_splits_and_names_are_checked(make_davis):
    root = make_davis(train=["road", "lake"], val=["../pond"])
    dataset = DavisDataset(root)
    for split, said in (
        ("train", "'lake' is not there"),
        ("val", "'../pond' is not"),
        ("x", "'x'"),
    ):
        with pytest.raises(ValueError, match=said):
            dataset.sequences(split)
    with pytest.raises(ValueError, match="'../pond' is not among"):
        dataset.frame("../pond", 0)
    with pytest.raises(ValueError, match="expected 0 to 2 in road, got 3"):
        dataset.frame("road", 3)
    assert DavisDataset(make_davis(root=root.parent / "bare")).splits == ()


def test_folders_without_usable_frames_are_refused(make_davis):
    root = make_davis()
    (root / "JPEGImages/480p/empty").mkdir()
    shutil.copy(root / "JPEGImages/480p/road/00001.jpg", root / "JPEGImages/480p/road/00001.JPEG")
    dataset = DavisDataset(root)
    with pytest.raises(ValueError, match="empty: expected frames"):
        dataset.frame_names("empty")
    with pytest.raises(ValueError, match="road: expected one file per frame"):
        dataset.frame_names("road")


def test_missing_annotation_gives_none(make_davis):
    root = make_davis()
    (root / "Annotations/480p/pond/00002.png").unlink()
    shutil.rmtree(root / "Annotations/480p/road")
    dataset = DavisDataset(root)
    assert [f.label_map is None for f in dataset.frames("pond")] == [False, False, True, False]
    assert all(frame.label_map is None for frame in dataset.frames("road"))


def test_sizes_that_differ_name_both_files(make_davis):
    root = make_davis()
    write_label_map(root / "Annotations/480p/pond/00001.png", np.zeros((64, 48), int))
    with pytest.raises(ValueError, match="pond/00001.png: expected 64x48.*00001.jpg, got 48x64"):
        DavisDataset(root).frame("pond", 1)


def test_natural_order():
    names = ["frame10", "frame9", "frame009b", "10", "9", "frame"]
    assert sorted(names, key=natural_key) == ["9", "10", "frame", "frame9", "frame009b", "frame10"]


# Label maps


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.int64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.integers(0, 255),
    ),
    st.sampled_from([1, 200]),
)
@settings(max_examples=50)
def test_label_maps_survive_and_pillow_agrees(tmp_path_factory, label_map, factor):
    label_map = label_map.astype(np.int64) * factor
    path = tmp_path_factory.getbasetemp() / "map.png"
    write_label_map(path, label_map)
    np.testing.assert_array_equal(read_label_map(path), label_map)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.array(image), label_map)
        if label_map.max() < 255:  # which a palette keeps for what is not to be judged
            assert image.mode == "P" and image.getpalette() == davis_palette().ravel().tolist()


def test_writing_is_deterministic_and_small(tmp_path):
    label_map = np.zeros((480, 854), np.uint8)
    cv2.circle(label_map, (400, 200), 120, 3, -1)
    for name in "ab":
        write_label_map(tmp_path / name, label_map)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_size < 4000


@pytest.mark.parametrize(
    "label_map, said",
    [
        (np.zeros((2, 2)), "float64"),
        (np.zeros((2, 2, 2), int), r"\(2, 2, 2\)"),
        (np.full((2, 2), -1), "-1 to -1"),
        (np.full((2, 2), 65536), "65536 to 65536"),
        (np.zeros((0, 2), int), r"\(0, 2\)"),
    ],
)
def test_bad_label_maps_are_not_written(tmp_path, label_map, said):
    with pytest.raises(ValueError, match=said):
        write_label_map(tmp_path / "map.png", label_map)
    assert not (tmp_path / "map.png").exists()


LABELS = np.array([[0, 1, 1], [2, 0, 3]])


def save(path, array, mode=None, **options):
    Image.fromarray(np.asarray(array), mode).save(path, **options)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_and_palette_of_every_depth(tmp_path, bits):
    labels = LABELS % 2**bits
    palette = Image.fromarray(labels.astype(np.uint8), "P")
    palette.putpalette([9, 9, 9] * 2**bits)  # the colours mean nothing, the index is the label
    palette.save(tmp_path / "palette.png", bits=bits)
    grey_bits = (tmp_path / "palette.png").read_bytes()
    np.testing.assert_array_equal(read_label_map(tmp_path / "palette.png"), labels)
    assert grey_bits[24] == bits

    (tmp_path / "grey.png").write_bytes(png(labels, bits))
    np.testing.assert_array_equal(read_label_map(tmp_path / "grey.png"), labels)


def png(labels, bits=8, size=None, colour_type=0, extra=b""):
    """A PNG file from its definition; ``size`` is a lie for the header."""
    height, width = labels.shape[:2]
    rows = b""
    for row in labels:
        digits = "".join(f"{value:0{bits}b}" for value in row.ravel())
        digits += "0" * (-len(digits) % 8)
        rows += b"\0" + bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8))
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def test_grey_16_bit_and_grey_with_alpha(tmp_path):
    labels = LABELS.astype(np.uint16) * 20000
    save(tmp_path / "16.png", labels)
    read = read_label_map(tmp_path / "16.png")
    assert read.dtype == np.uint16
    np.testing.assert_array_equal(read, labels)
    save(tmp_path / "la.png", np.dstack([LABELS, LABELS * 50]).astype(np.uint8), "LA")
    np.testing.assert_array_equal(read_label_map(tmp_path / "la.png"), LABELS)


@pytest.mark.parametrize("alpha", [False, True])
def test_colour_png(tmp_path, alpha):
    def colours(rgb):
        rgb = rgb.astype(np.uint8)
        return np.dstack([rgb, np.full(rgb.shape[:2], 77, np.uint8)]) if alpha else rgb

    path = save(tmp_path / "palette.png", colours(davis_palette()[LABELS]))
    np.testing.assert_array_equal(read_label_map(path), LABELS)

    coded = np.array([[0, 70000, 300], [5, 2**24 - 1, 128]])
    path = save(tmp_path / "rgb.png", colours(np.stack([coded >> s & 255 for s in (0, 8, 16)], -1)))
    read = read_label_map(path)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, coded)
    with pytest.raises(ValueError, match=r"rgb.png: expected colours of the DAVIS.*\(112, 17, 1\)"):
        read_label_map(path, colour="palette")


def test_colour_that_could_be_both(tmp_path):
    path = save(tmp_path / "both.png", np.full((2, 2, 3), (32, 0, 0), np.uint8))
    assert read_label_map(path)[0, 0] == read_label_map(path, colour="palette")[0, 0] == 64
    assert read_label_map(path, colour="rgb")[0, 0] == 32
    with pytest.raises(ValueError, match='expected "auto", "palette" or "rgb"'):
        read_label_map(path, colour="bgr")


def test_sixteen_bit_colour_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "c.png"), np.ones((2, 2, 3), np.uint16))
    with pytest.raises(ValueError, match="c.png: expected 8 bits per channel"):
        read_label_map(tmp_path / "c.png")


# Broken files


def noise(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.02, 0.5, 0.9, 0.999])
def test_cut_pictures_are_refused(tmp_path, suffix, part):
    path = tmp_path / f"frame{suffix}"
    cv2.imwrite(str(path), noise())
    data = path.read_bytes()
    assert read_image(path).shape == (60, 80, 3)
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=f"frame{suffix}: "):
        read_image(path)


@pytest.mark.parametrize("mode", ["palette", "grey", "colour"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_cut_or_damaged_label_maps_are_refused(tmp_path, mode, part):
    labels = noise()[..., 0].astype(int)
    path = tmp_path / "map.png"
    if mode == "palette":
        write_label_map(path, labels)
    else:
        cv2.imwrite(str(path), labels.astype(np.uint8) if mode == "grey" else noise())
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match="map.png: expected a whole picture"):
        read_label_map(path)
    path.write_bytes(data[: int(part * len(data))] + data[-12:])  # its middle is missing
    with pytest.raises(ValueError, match="map.png: "):
        read_label_map(path)


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "map.png"
    write_label_map(path, noise()[..., 0].astype(int))
    data = bytearray(path.read_bytes())
    data[2000] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match="map.png: cannot be decoded"):
        read_label_map(path)


@pytest.mark.parametrize("read", [read_image, read_label_map])
def test_huge_headers_are_refused_before_memory_is_claimed(tmp_path, read):
    path = tmp_path / "huge.png"
    path.write_bytes(png(np.zeros((4, 4), int), size=(100_000, 100_000)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="huge.png: expected at most .* got 100000x100000"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_huge_jpeg_header_is_refused(tmp_path):
    path = tmp_path / "huge.jpg"
    cv2.imwrite(str(path), noise())
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="got 65535x65535"):
        read_image(path)


@pytest.mark.parametrize("size", [(0, 4), (400, 400)])
def test_headers_that_lie_are_refused(tmp_path, size):
    (tmp_path / "lie.png").write_bytes(png(np.zeros((4, 4), int), size=size))
    with pytest.raises(ValueError, match="lie.png: "):
        read_label_map(tmp_path / "lie.png")


def test_foreign_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"GIF89a, not a PNG")
    with pytest.raises(ValueError, match="a.png: expected a JPEG, PNG or WebP.*GIF89a"):
        read_image(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.jpg"), noise())
    with pytest.raises(ValueError, match="a.jpg: expected a PNG label map, got JPEG"):
        read_label_map(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="none.png"):
        read_image(tmp_path / "none.png")


@pytest.mark.real_data
def test_real_sequences(davis_root):
    dataset = DavisDataset(davis_root)
    n_labels = {}
    for sequence in dataset.sequences():
        frame = dataset.frame(sequence, dataset.n_frames(sequence) // 2)
        n_labels[sequence] = frame.label_map.max()
        with Image.open(dataset.frame_paths(sequence, frame.index)[1]) as image:
            np.testing.assert_array_equal(frame.label_map, np.array(image))
    assert len({tuple(dataset.frame(s, 0).image.shape) for s in dataset.sequences()}) > 1
    assert all(n_labels[sequence] >= 1 for sequence in dataset.sequences("train"))


# Pictures with alpha


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))))
@settings(max_examples=50)
def test_rgba_survives_and_pillow_agrees(tmp_path_factory, image):
    path = tmp_path_factory.getbasetemp() / "rgba.png"
    write_rgba(path, image)
    np.testing.assert_array_equal(read_rgba(path), image)
    with Image.open(path) as other:
        np.testing.assert_array_equal(np.array(other), image)


def test_pictures_without_alpha_are_opaque(tmp_path):
    for mode, suffix in (("RGB", "png"), ("L", "png"), ("P", "png"), ("RGB", "jpg"), ("1", "png")):
        path = tmp_path / f"{mode}.{suffix}"
        Image.fromarray(noise()).convert(mode).save(path)
        image = read_rgba(path)
        assert image.shape == (60, 80, 4) and (image[..., 3] == 255).all()
        np.testing.assert_array_equal(image[..., :3], read_image(path))


@pytest.mark.parametrize(
    ("splits", "train", "test"),
    [
        ({}, (), ("a", "b", "c")),
        ({"train": ["a"], "val": ["b"]}, ("a",), ("b",)),
        ({"train": ["a"]}, ("a",), ("b", "c")),
        ({"train": ["a", "b", "c"]}, (), ("a", "b", "c")),
    ],
)
def test_sides_where_image_sets_say_them_or_not(make_davis, splits, train, test):
    root = make_davis(sequences=[(name, 2) for name in "abc"], **splits)
    assert DavisDataset(root).sides() == (train, test)

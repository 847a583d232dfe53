"""Every mask format: files written by its definition or another tool, hostile files, cleaning."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from instanceid_utils.formats import FormatError, FrameMasks, clean_masks, detect_format, read_masks

H, W = 24, 32


def label_maps(n=3):
    """Two objects that move; the second is away in the middle frame."""
    maps = np.zeros((n, H, W), np.uint8)
    for t in range(n):
        maps[t, 4:12, 2 + t : 10 + t] = 1
        if t != 1:
            maps[t, 14:20, 20 - t : 28 - t] = 2
    return maps


def coded(mask):
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def write_palette(folder, maps, numbers=(0, 5, 10)):
    folder.mkdir()
    for number, label_map in zip(numbers, maps):
        image = Image.fromarray(label_map)
        image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        image.save(folder / f"{number:05d}.png")
    return folder


def write_mots_png(folder, maps, numbers=(0, 5, 10)):
    """KITTI MOTS: 16 bits, 1000 class + instance, 10000 to be ignored."""
    folder.mkdir()
    for number, label_map in zip(numbers, maps):
        coded_map = np.where(label_map, label_map.astype(np.uint16) + 2000, 0).astype(np.uint16)
        coded_map[-1] = 10000
        Image.fromarray(coded_map).save(folder / f"{number:06d}.png")
    return folder


def write_mots_txt(path, maps, numbers=(0, 5, 10)):
    lines = []
    for number, label_map in zip(numbers, maps):
        for label in (1, 2):
            if (label_map == label).any():
                counts = coded(label_map == label)["counts"]
                lines.append(f"{number} {2000 + label} 2 {H} {W} {counts}")
        lines.append(f"{number} 10000 10 {H} {W} {coded(np.eye(H, W))['counts']}")
    path.write_text("\n".join(lines) + "\n")
    return path


def write_npz(folder, maps, numbers=(0, 5, 10)):
    folder.mkdir()
    for number, label_map in zip(numbers, maps):
        labels = np.unique(label_map)[1:]
        np.savez_compressed(
            folder / f"{number:05d}.npz",
            ids=labels,
            masks=label_map == labels[:, np.newaxis, np.newaxis],
        )
    return folder


def coco_dict(maps, numbers=(0, 5, 10)):
    annotations = []
    for i, label_map in enumerate(maps):
        for label in (1, 2):
            if (label_map == label).any():
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": 100 + i,
                        "category_id": 7,
                        "iscrowd": 0,
                        "segmentation": coded(label_map == label),
                        "track_id": label,
                        "area": int((label_map == label).sum()),
                    }
                )
    return {
        "images": [
            {"id": 100 + i, "file_name": f"clip/{number:05d}.jpg", "height": H, "width": W}
            for i, number in enumerate(numbers)
        ],
        "annotations": annotations,
        "categories": [{"id": 7, "name": "fish"}],
    }


def youtube_vis_dict(maps, numbers=(0, 5, 10)):
    return {
        "videos": [
            {
                "id": 3,
                "width": W,
                "height": H,
                "length": len(maps),
                "file_names": [f"clip/{number:05d}.jpg" for number in numbers],
            }
        ],
        "annotations": [
            {
                "id": label,
                "video_id": 3,
                "category_id": 7,
                "iscrowd": 0,
                "segmentations": [coded(m == label) if (m == label).any() else None for m in maps],
            }
            for label in (1, 2)
        ],
        "categories": [{"id": 7, "name": "fish"}],
    }


def write_json(path, content):
    path.write_text(json.dumps(content))
    return path


WRITERS = {
    "palette": lambda path, maps: write_palette(path / "palette", maps),
    "mots-png": lambda path, maps: write_mots_png(path / "mots", maps),
    "npz": lambda path, maps: write_npz(path / "npz", maps),
    "mots": lambda path, maps: write_mots_txt(path / "mots.txt", maps),
    "coco": lambda path, maps: write_json(path / "coco.json", coco_dict(maps)),
    "youtube-vis": lambda path, maps: write_json(path / "vis.json", youtube_vis_dict(maps)),
}


@pytest.mark.parametrize("format", WRITERS)
def test_every_format_gives_the_same_masks(tmp_path, format):
    maps = label_maps()
    path = WRITERS[format](tmp_path, maps)
    assert detect_format(path) == format
    reader = read_masks(path, frame_shape=(H, W))
    assert list(reader) == [0, 5, 10] and len(reader) == 3
    for number, label_map, frame in zip((0, 5, 10), maps, reader.values()):
        assert frame.number == number
        found = clean_masks(frame).masks
        assert np.array_equal(found > 0, label_map > 0)
        pairs = set(zip(found[found > 0].tolist(), label_map[found > 0].tolist()))
        assert [label for _, label in sorted(pairs)] == np.unique(label_map)[1:].tolist()
        assert frame.ids is not None
        assert (frame.ids % 1000).tolist() == np.unique(label_map)[1:].tolist()


@pytest.mark.parametrize("format", WRITERS)
def test_masks_of_another_size_than_the_frame(tmp_path, format):
    path = WRITERS[format](tmp_path, label_maps())
    reader = read_masks(path, format, frame_shape=(48, 64))
    with pytest.raises(FormatError, match=r"(?s)\.(png|npz|txt|json).*size 64x48, got 32x24"):
        reader[0]


def test_names_of_frames_are_known(tmp_path):
    for format in ("palette", "npz", "coco", "youtube-vis"):
        reader = read_masks(WRITERS[format](tmp_path, label_maps()), format)
        assert reader.names == {"00000": 0, "00005": 5, "00010": 10}
        assert reader[5].name == "00005"


def test_coco_polygons_and_scores(tmp_path):
    content = coco_dict(label_maps()[:1], numbers=(0,))
    square = {
        "id": 9,
        "image_id": 100,
        "category_id": 1,
        "score": 0.75,
        "segmentation": [[20.0, 2.0, 26.0, 2.0, 26.0, 8.0, 20.0, 8.0]],
    }
    content["annotations"] = [square, {**square, "iscrowd": 1, "score": None}]
    del content["annotations"][1]["score"]
    frame = read_masks(write_json(tmp_path / "c.json", content))[0]
    assert frame.masks.shape == (1, H, W), "regions of a crowd are no instances"
    assert frame.masks[0].sum() == 36 and frame.scores.tolist() == [0.75]
    assert frame.classes == (1,)


def test_coco_results_are_numbered_by_image_id(tmp_path):
    results = [
        {
            "image_id": i,
            "category_id": 1,
            "score": 0.9 - i / 10,
            "segmentation": coded(label_maps()[i] == 1),
        }
        for i in range(3)
    ]
    reader = read_masks(write_json(tmp_path / "results.json", results))
    assert [round(float(f.scores[0]), 2) for f in reader.values()] == [0.9, 0.8, 0.7]


def test_youtube_vis_results_and_several_videos(tmp_path):
    content = youtube_vis_dict(label_maps())
    results = [
        {
            "video_id": 3,
            "category_id": 7,
            "score": 0.5 + a["id"] / 10,
            "segmentations": a["segmentations"],
        }
        for a in content["annotations"]
    ]
    reader = read_masks(write_json(tmp_path / "r.json", results))
    assert list(reader) == [0, 1, 2]
    assert reader[2].scores == pytest.approx([0.6, 0.7])
    second = {**content["videos"][0], "id": 4, "file_names": ["other/0.jpg"], "length": 1}
    content["videos"].append(second)
    path = write_json(tmp_path / "two.json", content)
    with pytest.raises(FormatError, match=r"sequence= one of \['clip', 'other'\]"):
        read_masks(path)
    assert len(read_masks(path, sequence="clip")) == 3
    assert len(read_masks(path, sequence="4")) == 1
    with pytest.raises(ValueError, match="holds one video"):
        read_masks(WRITERS["palette"](tmp_path, label_maps()), sequence="clip")


def test_files_are_those_of_the_coco_tools(tmp_path):
    maps = label_maps()
    path = write_json(tmp_path / "coco.json", coco_dict(maps))
    coco = COCO(path)
    for i, frame in enumerate(read_masks(path).values()):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[100 + i]))
        assert np.array_equal(frame.masks, [coco.annToMask(a) for a in annotations])


def change(content, *path, value):
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("annotations",), None, "expected a list 'annotations'"),
        (("annotations", 1), 7, r"annotations\[1\]: expected an object"),
        (("annotations", 1, "image_id"), 5, r"annotations\[1\]: there is no image with id 5"),
        (("annotations", 1, "image_id"), [], r"annotations\[1\]: expected a field 'image_id'"),
        (("annotations", 1, "score"), "high", r"annotations\[1\]: expected a finite score"),
        (("annotations", 1, "score"), float("nan"), r"annotations\[1\]: expected a finite score"),
        (("annotations", 1, "segmentation"), 5, r"annotations\[1\]: expected a field 'segment"),
        (("annotations", 1, "segmentation"), [[1, 2]], r"annotations\[1\]: .*three points"),
        (("annotations", 1, "track_id"), "x", r"annotations\[1\]: expected a field 'track_id'"),
        (("annotations", 1, "track_id"), 2**64, r"annotations\[1\]: track_id is beyond 64 bits"),
        (("images", 0, "file_name"), "../../etc/passwd", r"images\[0\]: refused the path"),
        (("images", 0, "file_name"), "/etc/passwd", r"images\[0\]: refused the path"),
        (("images", 0, "file_name"), "C:\\boot.ini", r"images\[0\]: refused the path"),
        (("images", 0, "height"), 10**9, r"images\[0\]: expected a size of at most"),
        (("images", 1, "id"), 100, r"images\[1\]: the id 100 comes twice"),
        (("images", 1, "file_name"), "b/00000.jpg", "expected one video.*'00000' come twice"),
    ],
)
def test_wrong_coco_is_refused_with_its_place(tmp_path, path, value, message):
    content = coco_dict(label_maps())
    change(content, *path, value=value)
    file = write_json(tmp_path / "bad.json", content)
    with pytest.raises(FormatError, match=rf"bad\.json: .*{message}"):
        list(read_masks(file, "coco").values())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("videos", 0, "file_names"), None, r"videos\[0\]: expected a field 'file_names'"),
        (("videos", 0, "file_names", 1), "a/../../x.jpg", r"videos\[0\]: refused the path"),
        (("videos", 0, "file_names", 1), "clip/00000.jpg", r"videos\[0\]: a file name comes twice"),
        (("videos", 0, "width"), -3, "video 3: expected a size"),
        (("annotations", 0, "video_id"), "3", r"annotations\[0\]: expected a field 'video_id'"),
        (("annotations", 0, "segmentations"), [None], r"annotations\[0\]: expected 3 segmentation"),
        (("annotations", 0, "segmentations", 2), "x", r"annotations\[0\]: segmentations\[2\]"),
        (
            ("annotations", 0, "segmentations", 2),
            {"size": [H, W], "counts": "99"},
            r"annotations\[0\]: segmentations\[2\]: run lengths do not add up",
        ),
    ],
)
def test_wrong_youtube_vis_is_refused_with_its_place(tmp_path, path, value, message):
    content = youtube_vis_dict(label_maps())
    change(content, *path, value=value)
    file = write_json(tmp_path / "bad.json", content)
    with pytest.raises(FormatError, match=rf"bad\.json: .*{message}"):
        list(read_masks(file, "youtube-vis").values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ('{"images": [],\n"annotations": [}', "line 2: not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "expected COCO or YouTube-VIS"),
        ("[]", "expected COCO or YouTube-VIS"),
        ('{"a": 1}', "expected COCO or YouTube-VIS"),
    ],
)
def test_other_json_is_refused(tmp_path, text, message):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(FormatError, match=rf"m\.json: .*{message}"):
        read_masks(tmp_path / "m.json")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 1 2 24 32", "line 2: expected 'frame id"),
        ("a 1 2 24 32 0", "line 2: expected 'frame id"),
        ("-1 1 2 24 32 0", "line 2: expected 'frame id"),
        ("0 1 2 99999 99999 0", "line 2: .*at most"),
        ("0 1 2 24 32 00", "line 2: run lengths do not add up"),
    ],
)
def test_wrong_mots_text_is_refused_with_its_line(tmp_path, line, message):
    good = f"0 1001 1 {H} {W} {coded(np.eye(H, W))['counts']}"
    (tmp_path / "m.txt").write_text(f"{good}\n{line}\n")
    with pytest.raises(FormatError, match=rf"m\.txt: {message}"):
        list(read_masks(tmp_path / "m.txt").values())


def test_wrong_pngs_are_refused(tmp_path):
    folder = write_mots_png(tmp_path / "m", label_maps())
    data = (folder / "000005.png").read_bytes()
    (folder / "000005.png").write_bytes(data[:16] + b"\x00\x7f\xff\xff" * 2 + data[24:])
    (folder / "000010.png").write_bytes(data[: len(data) // 2])
    reader = read_masks(folder, "mots-png")
    for number in (5, 10):
        with pytest.raises(FormatError, match=rf"0000{number:02d}\.png: "):
            reader[number]
    with pytest.raises(FormatError, match=r"00000\.png: expected a 16-bit grey PNG"):
        read_masks(write_palette(tmp_path / "p", label_maps()), "mots-png")[0]
    (tmp_path / "p" / "00005.png").write_bytes(b"GIF89a")
    with pytest.raises(FormatError, match=r"00005\.png: expected a JPEG, PNG"):
        read_masks(tmp_path / "p", "palette")[5]


def npz_file(tmp_path, **arrays):
    (tmp_path / "n").mkdir(exist_ok=True)
    np.savez_compressed(tmp_path / "n" / "0.npz", **arrays)
    return tmp_path / "n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": np.zeros(3)}, "expected an array 'masks'"),
        ({"masks": np.array([{}, {}], object)}, "masks.npy: refused, it holds pickled"),
        ({"masks": np.zeros((2, 3))}, "expected a label map .* float64"),
        ({"masks": np.zeros(3, int)}, r"expected a label map .* \(3,\)"),
        ({"masks": np.full((2, 3), -1)}, "labels >= 0, got -1"),
        ({"masks": np.full((1, 2, 3), 7)}, "a stack of 0 and 1, got 7"),
        ({"masks": np.ones((2, 3, 3), bool), "scores": np.ones(3)}, "scores: expected one for"),
        ({"masks": np.eye(3, dtype=int), "ids": np.arange(2)}, "ids: expected one for"),
        ({"masks": np.ones((1, 3, 3), bool), "scores": np.array([np.nan])}, "scores: .*finite"),
        ({"masks": np.ones((1, 3, 3), bool), "ids": np.array([0.5])}, "ids: .*float64"),
        ({"masks": np.ones((20_000, 1, 1), bool)}, "at most 10,000 masks"),
    ],
)
def test_wrong_npz_is_refused(tmp_path, content, message):
    with pytest.raises(FormatError, match=rf"0\.npz: .*{message}"):
        read_masks(npz_file(tmp_path, **content))[0]


class Boom:
    def __reduce__(self):
        return exec, ("raise SystemExit('code from a file has run')",)


def test_a_pickle_in_an_npz_is_not_run(tmp_path):
    folder = npz_file(tmp_path, masks=np.array([Boom()], object))
    with pytest.raises(FormatError, match="pickled"):
        read_masks(folder)[0]
    (folder / "0.npz").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(FormatError, match=r"0\.npz: expected an \.npz file"):
        read_masks(folder)[0]


def test_an_npz_header_cannot_claim_memory(tmp_path):
    header = b"{'descr': '|b1', 'fortran_order': False, 'shape': (1000, 60000, 60000), }"
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 100
    (tmp_path / "n").mkdir()
    with zipfile.ZipFile(tmp_path / "n" / "0.npz", "w") as archive:
        archive.writestr("masks.npy", array)
    with pytest.raises(FormatError, match="3,600,000,000,000 bytes, but 100 follow"):
        read_masks(tmp_path / "n")[0]


def test_npz_round_trip_with_all_fields(tmp_path):
    frame = FrameMasks(
        0,
        label_maps()[0],
        scores=np.array([0.5, 0.25], np.float32),
        classes=("fish", "crab"),
        ids=np.array([4, 2**62]),
    )
    np.savez(
        tmp_path / "0.npz", **{k: getattr(frame, k) for k in ("masks", "scores", "classes", "ids")}
    )
    read = read_masks(tmp_path)[0]
    assert np.array_equal(read.masks, frame.masks)
    assert read.scores.tolist() == [0.5, 0.25] and read.classes == frame.classes
    assert read.ids.tolist() == [4, 2**62]


def test_what_is_not_there_or_not_known(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such"):
        read_masks(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="files with masks, there are none"):
        read_masks(tmp_path)
    with pytest.raises(ValueError, match="format: expected one of palette"):
        read_masks(tmp_path, "gif")
    with pytest.raises(FormatError, match="are in a file"):
        read_masks(tmp_path, "coco")
    (tmp_path / "m.bin").write_bytes(b"1")
    with pytest.raises(FormatError, match=r"m\.bin: expected a folder, \.json, \.txt"):
        read_masks(tmp_path / "m.bin")
    with pytest.raises(FormatError, match="are in a folder"):
        read_masks(tmp_path / "m.bin", "mots-png")


# --- cleaning ---------------------------------------------------------------------------------


def cleaned_by_definition(stack, scores, min_area, min_visible):
    """The rule of `clean_masks` in words, pixel by pixel."""
    key = [(-s, m.sum(), i) for i, (s, m) in enumerate(zip(scores, stack))]
    owner = np.full(stack.shape[1:], -1)
    for _, _, i in sorted(key):
        free = stack[i] & (owner == -1)
        if free.any() and free.sum() >= min_area and free.sum() >= min_visible * stack[i].sum():
            owner[free] = i
    kept = [i for i in range(len(stack)) if (owner == i).any()]
    label_map = np.zeros(owner.shape, int)
    for label, i in enumerate(kept, 1):
        label_map[owner == i] = label
    return label_map, kept


@settings(max_examples=60)
@given(st.data())
def test_cleaning_follows_its_rule(data):
    n = data.draw(st.integers(1, 5))
    stack = data.draw(arrays(bool, (n, 6, 7)))
    scores = np.array(
        data.draw(st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=n, max_size=n)), np.float32
    )
    min_area, min_visible = data.draw(st.integers(0, 9)), data.draw(st.sampled_from([0, 0.5, 1]))
    frame = FrameMasks(4, stack, scores=scores, ids=np.arange(n) + 10)
    cleaned = clean_masks(frame, min_score=0, min_area=min_area, min_visible=min_visible)
    expected, kept = cleaned_by_definition(stack, scores, min_area, min_visible)
    assert np.array_equal(cleaned.masks, expected)
    assert cleaned.ids.tolist() == [10 + i for i in kept]
    assert cleaned.scores.tolist() == scores[kept].tolist()


def test_low_scores_go_and_the_higher_score_wins():
    stack = np.zeros((3, 10, 10), bool)
    stack[0, :, :6] = stack[1, :, 5:] = stack[2, 2:8, 2:8] = True
    frame = FrameMasks(
        0, stack, scores=np.array([0.6, 0.9, 0.3], np.float32), classes=("a", "b", "c")
    )
    cleaned = clean_masks(frame)
    assert cleaned.classes == ("a", "b")
    assert np.array_equal(cleaned.masks, np.where(np.arange(10) < 5, 1, 2) * np.ones((10, 1)))


def test_without_scores_the_smaller_mask_lies_in_front():
    stack = np.zeros((2, 20, 20), bool)
    stack[0], stack[1, 5:15, 5:15] = True, True
    cleaned = clean_masks(FrameMasks(0, stack))
    assert (cleaned.masks == stack[1] + 1).all()


def test_what_was_found_twice_counts_once():
    stack = np.zeros((2, 30, 30), bool)
    stack[0, 2:28, 2:28] = stack[1, 4:28, 4:28] = True
    frame = FrameMasks(0, stack, scores=np.array([0.8, 0.9], np.float32))
    assert clean_masks(frame).scores.tolist() == pytest.approx([0.9])


def test_a_label_map_keeps_its_labels_and_loses_the_tiny():
    label_map = np.zeros((20, 20), np.int64)
    label_map[:5, :5], label_map[10:13, 10:13], label_map[15:, 15:] = 2**40, 7, 3
    cleaned = clean_masks(FrameMasks(0, label_map, ids=np.array([3, 7, 2**40])))
    assert np.unique(cleaned.masks).tolist() == [0, 3, 2**40]
    assert cleaned.ids.tolist() == [3, 2**40]
    assert clean_masks(FrameMasks(0, label_map), min_area=1).masks.tolist() == label_map.tolist()


def test_scores_must_be_as_many_as_masks():
    with pytest.raises(ValueError, match="scores: expected one for each of 2 masks, got 1"):
        clean_masks(FrameMasks(0, np.ones((2, 4, 4), bool), scores=np.ones(1, np.float32)))
    assert not clean_masks(FrameMasks(0, np.zeros((0, 4, 4), bool))).masks.any()
    assert not clean_masks(FrameMasks(0, np.zeros((4, 4), np.uint8))).masks.any()

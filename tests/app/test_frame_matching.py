"""Masks go to the frames that they belong to, whatever both are called; else it is said."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from instanceid_utils import cli
from instanceid_utils.app.frame_matching import Matching, divide
from instanceid_utils.data import read_label_map, write_label_map
from instanceid_utils.data.davis import natural_key
from instanceid_utils.formats import mots
from instanceid_utils.segments import find_segments
from instanceid_utils.video import VideoWriter

N, HEIGHT, WIDTH = 6, 120, 160


def label_map(t):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[20:50, 10 + 8 * t : 40 + 8 * t] = 1
    labels[70:105, 110 - 8 * t : 145 - 8 * t] = 2
    return labels


def picture(t):
    image = np.random.default_rng(t).integers(90, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image[label_map(t) == 1] = 200, 40, 40
    image[label_map(t) == 2] = 40, 60, 200
    return image


def write_frames(folder, name):
    folder.mkdir(exist_ok=True)
    for t in range(N):
        cv2.imwrite(str(folder / name(t)), picture(t)[..., ::-1])
    return folder


def write_masks(folder, name, frames=range(N)):
    folder.mkdir(exist_ok=True)
    for t in frames:
        write_label_map(folder / name(t), label_map(t))
    return folder


def write_video(path):
    with VideoWriter(path, 10, crf=5) as writer:
        for t in range(N):
            writer.write(picture(t))
    return path


def write_mots(path, start=0):
    lines = []
    for t in range(N):
        segments = find_segments(label_map(t))
        lines.append(mots.format_lines(t + start, segments, segments.labels))
    path.write_text("".join(lines))
    return path


@pytest.fixture
def track(tmp_path, capsys, caplog):
    """Return a function that runs the command and gives its code, words, masks and summary."""

    def run(video, masks, *options):
        caplog.clear()
        words = ["track", video, "--masks", masks, "--out", tmp_path / "out", "--quiet"]
        words += ["--outputs", "masks", "mots", *options]
        code = cli.main([str(word) for word in words])
        said = capsys.readouterr()
        summary = json.loads((tmp_path / "out/summary.json").read_text()) if code == 0 else None
        return code, said.out + said.err + caplog.text, tmp_path / "out/masks", summary

    return run


def check(result, frames=range(N), used=None, left=0):
    """Every frame has its own masks and none other's; the counts are right."""
    code, said, masks, summary = result
    assert code == 0, said
    written = sorted(masks.iterdir(), key=lambda path: natural_key(path.stem))
    assert len(written) == len(frames)
    for path, t in zip(written, frames):
        assert np.array_equal(read_label_map(path) > 0, label_map(t) > 0), (path, t)
    used = len(frames) if used is None else used
    counts = {"n_frames_with_masks": len(frames), "n_masks_used": used, "n_masks_left_over": left}
    assert {key: summary[key] for key in counts} == counts and summary["n_frames"] == N
    line = f"{len(frames)} frames with masks, {used} masks used, {left} masks left over"
    assert line in said


NAMES = {
    "Cellpose": ("img_{:03d}.png", "img_{:03d}_cp_masks.png", 1),
    "ends like it": ("{:05d}.jpg", "mask_{:05d}.png", 0),
    "both have an ending": ("a_{:06d}_leftImg8bit.png", "a_{:06d}_gtFine_labelIds.png", 3),
    "both have a beginning": ("rgb_{:d}.png", "seg_{:04d}.png", 8),
    "numbers of other lengths": ("{:d}.png", "{:05d}.png", 8),
    "Cell Tracking Challenge": ("t{:03d}.png", "man_seg{:03d}.png", 0),
    "a version": ("v2_{:03d}.png", "v2_{:03d}_mask_v10.png", 0),
}


@pytest.mark.parametrize("case", NAMES)
@pytest.mark.parametrize("annotated", [range(N), (2, 3)])
def test_a_folder_and_masks_by_name(tmp_path, track, case, annotated):
    frame, mask, first = NAMES[case]
    frames = write_frames(tmp_path / "f", lambda t: frame.format(t + first))
    masks = write_masks(tmp_path / "m", lambda t: mask.format(t + first), annotated)
    check(track(frames, masks), annotated)


@pytest.mark.parametrize(
    ("frame", "mask"),
    [
        ("img_{:03d}.png", "img_{:03d}_cp_masks.png"),
        ("{:05d}.jpg", "{:05d}.png"),
        ("frame_{:03d}.png", "mask_{:03d}.png"),
    ],
)
def test_frames_and_masks_in_one_folder(tmp_path, track, frame, mask):
    folder = write_frames(tmp_path / "f", frame.format)
    write_masks(folder, mask.format)
    check(track(folder, folder))
    assert cli.main(["track", str(folder), "--out", str(tmp_path / "other"), "--quiet"]) == 1


@pytest.mark.parametrize(
    "names",
    ["mask_1.png mask_2.png", "1.png 10.png 100.png", "img.png img_1.png img_2.png", "a.jpg b.png"],
)
def test_frames_of_one_kind_are_not_divided(tmp_path, names):
    files = [tmp_path / name for name in names.split()]
    assert divide(files) == (files, [])


def test_masks_among_frames_are_left_out_aloud(tmp_path, track):
    frames = write_frames(tmp_path / "f", "{:05d}.jpg".format)
    write_masks(frames, "{:05d}.png".format)
    result = track(frames, write_masks(tmp_path / "m", "{:05d}.png".format))
    check(result)
    assert "6 of its 12 images look like masks of the others" in result[1]


@pytest.mark.parametrize(
    "pattern", ["{t:05d}_{k}.png", "obj{k}_{t:05d}.png", "{t:05d}_obj_{k}.png"]
)
@pytest.mark.parametrize("source", ["folder", "video"])
def test_one_png_for_each_object_and_frame(tmp_path, track, pattern, source):
    masks = tmp_path / "m"
    masks.mkdir()
    for t in range(N):
        for k in (1, 2):
            binary = np.where(label_map(t) == k, 255, 0).astype(np.uint8)
            cv2.imwrite(str(masks / pattern.format(t=t, k=k)), binary)
    video = (
        write_video(tmp_path / "v.mp4")
        if source == "video"
        else write_frames(tmp_path / "f", "{:05d}.png".format)
    )
    result = track(video, masks)
    check(result, used=2 * N)
    for t in range(N):
        ids = read_label_map(sorted(result[2].iterdir())[t])
        assert [np.unique(ids[label_map(t) == k]).tolist() for k in (1, 2)] == [[1], [2]]


def test_masks_from_one_for_a_video_from_zero(tmp_path, track):
    video = write_video(tmp_path / "v.mp4")
    for masks in (
        write_masks(tmp_path / "m", lambda t: f"{t + 1:05d}.png"),
        write_mots(tmp_path / "mots.txt", 1),
    ):
        code, said, _, summary = track(video, masks)
        assert code == 0 and summary["n_masks_left_over"] == 1
        assert "1 of 6 masks belong to no frame" in said
        assert "at the beginning, have no masks (0)" in said
        assert "--first-number 1 would fit all" in said
        check(track(video, masks, "--first-number", "1"))


def test_frames_from_one_with_masks_from_zero(tmp_path, track):
    frames = write_frames(tmp_path / "f", lambda t: f"{t + 1:06d}.png")
    masks = write_masks(tmp_path / "m", "{:05d}.png".format)
    code, said, _, _ = track(frames, masks)
    assert code == 0 and "1 of 6 masks belong to no frame (00000)" in said
    assert "at the end, have no masks (000006)" in said and "--first-number 0 would fit all" in said
    result = track(frames, masks, "--first-number", "0")
    check(result)
    assert "no masks" not in result[1]


def test_coco_ids_and_names(tmp_path, track):
    content = {"images": [], "annotations": []}
    for t in range(N):
        size = {"height": HEIGHT, "width": WIDTH}
        content["images"].append({"id": t + 1, "file_name": f"{t:05d}.jpg", **size})
        for k in (1, 2):
            rows, columns = np.nonzero(label_map(t) == k)
            box = [int(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
            a, b, c, d = box
            content["annotations"].append(
                {
                    "id": 2 * t + k,
                    "image_id": t + 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "segmentation": [[a, b, c, b, c, d, a, d]],
                }
            )
    (tmp_path / "c.json").write_text(json.dumps(content))
    check(track(write_video(tmp_path / "v.mp4"), tmp_path / "c.json"))


def test_where_nothing_fits_the_command_refuses(tmp_path, track):
    frames = write_frames(tmp_path / "f", lambda t: f"{t + 100:06d}.png")
    masks = write_masks(tmp_path / "m", "{:05d}.png".format)
    code, said, _, _ = track(frames, masks)
    assert code == 1 and "no frame of" in said and "--first-number 0 would fit all" in said
    check(track(frames, masks, "--first-number", "0"))
    letters = write_masks(tmp_path / "letters", lambda t: f"{'abcdef'[t]}.png")
    code, said, _, _ = track(frames, letters)
    assert code == 1 and "its first frames are a, b, c" in said and "would fit" not in said


def test_frames_between_masks_are_no_problem():
    assert Matching({t: f"{t:05d}" for t in range(0, 12, 5)}, None, 12).problem(12) is None
    late = Matching({t: f"{t:05d}" for t in range(4, 12)}, None, 12).problem(12)
    assert late == "4 of 12 frames, at the beginning, have no masks (0, 1, 2, 3)"


def test_names_without_numbers():
    masks = {0: "cat_mask", 1: "mask-dog", 2: "cat-2", 3: "category"}
    matching = Matching(masks, ["cat", "dog", "rat"])
    assert [matching.keys(i) for i in range(3)] == [[0, 2], [], []]
    assert matching.problem(3).startswith("2 of 4 masks belong to no frame (mask-dog, category); 2")
    behind = Matching({0: "mask-dog", 1: "mask-rat"}, ["cat", "dog", "rat"])
    assert [behind.keys(i) for i in range(3)] == [[], [0], [1]]


def test_the_rule_that_gives_most_frames_a_mask_is_taken():
    frames = [str(t) for t in range(1, 7)]  # "00001_2" ends like frame 2, and is of frame 1
    masks = [f"{t:05d}_{k}" for t in range(1, 7) for k in (1, 2)]
    matching = Matching(dict(enumerate(masks)), frames)
    assert [matching.keys(t) for t in range(6)] == [[2 * t, 2 * t + 1] for t in range(6)]


def test_boxes_of_a_frame_in_several_files_are_together(tmp_path):
    frames, labels = write_frames(tmp_path / "frames", "{:03d}.png".format), tmp_path / "labels"
    labels.mkdir()
    for t in range(N):
        (labels / f"{t:03d}_cars.txt").write_text(f"0 {(25 + 8 * t) / WIDTH} .29 .19 .25\n")
        (labels / f"{t:03d}_dogs.txt").write_text(f"1 {(127 - 8 * t) / WIDTH} .73 .22 .29\n")
    out = tmp_path / "out"
    assert cli.main(["track", str(frames), "--masks", str(labels), "--out", str(out)]) == 0
    lines = [line.split(",") for line in (out / "mot.txt").read_text().splitlines()]
    assert len(lines) == 2 * N and {line[1] for line in lines} == {"1", "2"}

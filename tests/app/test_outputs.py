"""What is written is read back by other tools, and says the same."""

from __future__ import annotations

import json

import cv2
import motmetrics
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from instanceid_utils.app.outputs import TrackedFrame, TrackOutputs
from instanceid_utils.data.image_files import read_label_map
from instanceid_utils.formats import clean_masks, read_masks
from instanceid_utils.formats.palette import id_map
from instanceid_utils.pictures.contact_sheet import ContactSheet
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.decision import Decision
from instanceid_utils.video.overlay import id_colour
from instanceid_utils.video.reader import read_video

H, W, N = 48, 64, 6


def label_map(t):
    """Label 1 moves to the right; label 2 is away in frames 2 and 3."""
    out = np.zeros((H, W), np.uint8)
    out[5:20, 4 + t : 20 + t] = 1
    if t not in (2, 3):
        out[25:44, 30:50] = 2
    return out


def ids_of(t):
    return np.array([7, 300] if label_map(t).max() == 2 else [7], np.int64)


def tracked(t, masks=True):
    segments = find_segments(label_map(t)) if masks else None
    ids = ids_of(t) if masks else np.zeros(0, np.int64)
    decisions = tuple(
        Decision(int(i) % 10, int(i), "reused", 0.25, None, ((int(i), 0.25),), 0.5, None)
        for i in ids
    )
    return TrackedFrame(
        t,
        t / 10,
        f"{t:06d}",
        np.full((H, W, 3), 100, np.uint8),
        segments,
        ids,
        decisions,
        shot_cut=t == 4,
    )


def write_all(out_dir, **options):
    sink = TrackOutputs(out_dir, (W, H), 10, **options)
    for t in range(N):
        sink.write(tracked(t))
    return sink, sink.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("out"))[1]


def test_the_files_asked_for_are_there(files, tmp_path):
    assert all(path.exists() for path in files.values())
    assert set(files) == {
        "video",
        "masks",
        "mot",
        "mots",
        "youtube-vis",
        "decisions",
        "contact-sheet",
        "timeline",
        "summary",
    }
    _, some = write_all(tmp_path / "some", outputs=("mot",))
    assert sorted(p.name for p in (tmp_path / "some").iterdir()) == ["mot.txt", "summary.json"]
    assert set(some) == {"mot", "summary"}
    with pytest.raises(ValueError, match="expected some of"):
        TrackOutputs(tmp_path / "x", (W, H), 10, outputs=("avi",))


def test_mot_text_by_motmetrics(files):
    table = motmetrics.io.loadtxt(files["mot"], fmt="mot15-2D")
    assert sorted(table.index) == sorted((t + 1, i) for t in range(N) for i in ids_of(t))
    for (frame, id_), row in table.iterrows():
        segments = find_segments(label_map(frame - 1))
        left, top, right, bottom = segments.boxes_tlbr[ids_of(frame - 1).tolist().index(id_)]
        assert row[["X", "Y", "Width", "Height"]].tolist() == [
            left,
            top,
            right - left,
            bottom - top,
        ]


def test_mots_text_by_pycocotools(files):
    seen = {}
    for line in files["mots"].read_text().splitlines():
        frame, id_, class_, height, width, counts = line.split(" ")
        mask = coco_mask.decode({"size": [int(height), int(width)], "counts": counts})
        seen[int(frame), int(id_)] = mask
        assert class_ == "1"
    assert sorted(seen) == sorted((t, i) for t in range(N) for i in ids_of(t))
    for t in range(N):
        for label, id_ in enumerate(ids_of(t), 1):
            assert np.array_equal(seen[t, id_], label_map(t) == label)


def test_youtube_vis_by_pycocotools(files):
    content = json.loads(files["youtube-vis"].read_text())
    (video,) = content["videos"]
    assert video["length"] == N and video["file_names"][3] == "000003.jpg"
    assert (video["width"], video["height"]) == (W, H)
    assert [a["id"] for a in content["annotations"]] == [7, 300]
    for label, annotation in enumerate(content["annotations"], 1):
        assert annotation["category_id"] in [c["id"] for c in content["categories"]]
        for t, rle in enumerate(annotation["segmentations"]):
            truth = label_map(t) == label
            assert (rle is None) == (not truth.any())
            if rle is not None:
                assert np.array_equal(coco_mask.decode(rle), truth)
                assert annotation["areas"][t] == truth.sum()
                assert annotation["bboxes"][t] == coco_mask.toBbox(rle).tolist()


@pytest.mark.parametrize("key", ["masks", "mots", "youtube-vis"])
def test_what_we_write_we_read(files, key):
    reader = read_masks(files[key])
    assert list(reader) == list(range(N))
    for t, frame in reader.items():
        found = clean_masks(frame)
        assert sorted(found.ids) == ids_of(t).tolist()
        assert np.array_equal(found.masks > 0, label_map(t) > 0)


def test_masks_carry_the_lasting_ids(files):
    for t in range(N):
        ids = read_label_map(files["masks"] / f"{t:06d}.png")
        assert np.array_equal(ids, np.array([0, 7, 300])[label_map(t)])
        with Image.open(files["masks"] / f"{t:06d}.png") as image:
            assert np.array_equal(np.array(image), ids)
            assert (image.mode == "P") == (ids.max() < 256)


def test_id_map_leaves_out_what_has_no_place_in_it():
    segments = find_segments(np.arange(4).reshape(2, 2))
    assert id_map(segments, [-1, 65535, 65536]).tolist() == [[0, 0], [65535, 0]]
    assert id_map(segments, [1, 2, 3]).dtype == np.uint8


def test_decisions_are_json_lines(files):
    lines = [json.loads(line) for line in files["decisions"].read_text().splitlines()]
    assert [(d["frame"], d["id"]) for d in lines] == [(t, i) for t in range(N) for i in ids_of(t)]
    assert lines[0]["reason"] == "reused" and lines[0]["neighbours"] == [[7, 0.25]]


def test_the_video_shows_the_masks(files):
    frames = list(read_video(files["video"]))
    assert [f.time for f in frames] == pytest.approx(np.arange(N) / 10)
    inside, outside = frames[0].image[36, 40].astype(int), frames[0].image[40, 10]
    assert np.abs(outside - 100.0).max() < 6
    expected = 0.55 * 100 + 0.45 * np.array(id_colour(300))
    assert np.abs(inside - expected).max() < 25


def test_summary(files):
    summary = json.loads(files["summary"].read_text())
    assert summary["complete"] is True
    assert (summary["n_frames"], summary["n_ids"], summary["shot_cuts"]) == (N, 2, [4])
    assert summary["files"]["mots"] == "mots.txt"


def test_the_contact_sheet_has_a_row_for_each_id(files):
    sheet = cv2.imread(str(files["contact-sheet"]))[..., ::-1]
    assert sheet.shape[0] == 2 * 80
    assert tuple(sheet[40, 8]) == id_colour(7) and tuple(sheet[120, 8]) == id_colour(300)


def test_a_frame_without_masks_is_shown_and_has_no_lines(tmp_path):
    sink = TrackOutputs(tmp_path, (W, H), 10)
    for t in range(4):
        sink.write(tracked(t, masks=t != 1))
    files = sink.close()
    assert len(list(read_video(files["video"]))) == 4
    assert sorted(p.stem for p in files["masks"].iterdir()) == ["000000", "000002", "000003"]
    assert {line.split(" ")[0] for line in files["mots"].read_text().splitlines()} == set("023")
    assert sink._runs.sorted()[0] == (7, 7, 0, 4), "not annotated is not gone"


@pytest.mark.parametrize("cut", [0, 1, 3, N])
def test_going_on_after_a_checkpoint_gives_the_same_files(tmp_path, files, cut):
    sink = TrackOutputs(tmp_path, (W, H), 10)
    for t in range(cut):
        sink.write(tracked(t))
    notes, arrays = sink.checkpoint()
    state = json.loads(json.dumps(notes)), arrays
    for t in range(cut, min(cut + 2, N)):
        sink.write(tracked(t))  # what a killed process wrote after its last checkpoint
    for text in sink._texts._files.values():
        text.close()
    sink = TrackOutputs(tmp_path, (W, H), 10, state=state)
    for t in range(cut, N):
        sink.write(tracked(t))
    again = sink.close()
    for key in ("mot", "mots", "youtube-vis", "decisions", "summary", "contact-sheet"):
        assert again[key].read_bytes() == files[key].read_bytes(), key
    assert len(list(read_video(again["video"]))) == N
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        p.name for p in files["video"].parent.iterdir()
    )


def test_a_partial_result_says_so_and_has_no_masks_beyond_its_end(tmp_path):
    sink = TrackOutputs(tmp_path, (W, H), 10)
    for t in range(3):
        sink.write(tracked(t))
    state = sink.checkpoint()
    sink.write(tracked(3))
    for text in sink._texts._files.values():
        text.close()
    sink = TrackOutputs(tmp_path, (W, H), 10, state=state)
    files = sink.close(complete=False)
    assert json.loads(files["summary"].read_text())["complete"] is False
    assert len(list(read_video(files["video"]))) == 3
    assert sorted(p.stem for p in files["masks"].iterdir()) == ["000000", "000001", "000002"]


def test_an_earlier_run_is_replaced_and_nothing_else_is(tmp_path):
    out = tmp_path / "out"
    write_all(out)
    sink = TrackOutputs(out, (W, H), 10)
    sink.write(tracked(0))
    files = sink.close()
    assert [p.name for p in files["masks"].iterdir()] == ["000000.png"]
    foreign = tmp_path / "foreign"
    (foreign / "masks").mkdir(parents=True)
    (foreign / "masks" / "mine.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="masks: in the way"):
        TrackOutputs(foreign, (W, H), 10)
    assert (foreign / "masks" / "mine.png").read_bytes() == b"mine"


def test_frames_of_changing_size_leave_out_what_has_one_size_only(tmp_path, caplog):
    sink = TrackOutputs(tmp_path, (W, H), 10)
    sink.write(tracked(0))
    wide = TrackedFrame(
        1,
        0.1,
        "000001",
        np.zeros((30, 90, 3), np.uint8),
        find_segments(np.ones((30, 90), int)),
        np.array([7]),
    )
    sink.write(wide)
    files = sink.close()
    assert "youtube-vis" not in files and "left out" in caplog.text
    assert {f.image.shape for f in read_video(files["video"])} == {(H, W, 3)}


def test_a_contact_sheet_keeps_few_crops_from_all_along():
    sheet = ContactSheet(n_crops=4, size=16)
    segments = find_segments(np.pad(np.ones((10, 10), int), 5))
    for t in range(100):
        sheet.add(t, np.full((20, 20, 3), t, np.uint8), segments, [3])
    kept = [index for index, _ in sheet._rows[3][4]]
    assert 4 <= len(kept) < 8 and kept[0] == 0 and kept[-1] >= 80
    assert len(set(np.diff(kept))) == 1, "evenly spread"
    (page,) = sheet.pages()
    assert page.shape == (24, 190 + 4 * 20, 3)
    assert list(ContactSheet().pages()) == []
    for id_ in range(4, 90):
        sheet.add(100, np.zeros((20, 20, 3), np.uint8), segments, [id_])
    assert len(list(sheet.pages(rows_per_page=40))) == 3

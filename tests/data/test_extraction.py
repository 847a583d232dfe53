import shutil
import threading
import time

import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.extraction import _LOOK_AHEAD, _ordered_map, extract
from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.data.manifest import load_crops, read_manifest
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.segments.segments import find_segments


def run(root, out, **options):
    return extract(DavisDataset(root), out, progress=False, **options)


def snapshot(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_segment_becomes_a_crop_and_a_row(make_davis, tmp_path):
    root = make_davis(train=["road"], val=["pond"])
    done = run(root, tmp_path / "out", size=32)
    assert (done.n_frames, done.n_crops, done.n_identities) == (7, 14, 4)
    assert (done.n_small, done.n_unannotated) == (0, 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"crops", "manifest.csv"}

    manifest = read_manifest(done.manifest)
    crops = load_crops(manifest, tmp_path / "out")
    rows = manifest.itertuples()
    dataset = DavisDataset(root)
    for sequence in ("pond", "road"):
        for frame in dataset.frames(sequence):
            segments = find_segments(frame.label_map)
            for i, crop in enumerate(cut_crops(frame.image, segments, 32)):
                row = next(rows)
                assert (row.sequence, row.frame) == (sequence, frame.name)
                assert row.instance_id == segments.labels[i] and row.area == segments.areas[i]
                assert [row.left, row.top, row.right, row.bottom] == segments.boxes_tlbr[i].tolist()
                assert (row.frame_height, row.frame_width) == frame.label_map.shape
                assert row.identity == f"{sequence}_{row.instance_id}"
                assert row.crop == f"crops/{row.identity}/{frame.name}.png"
                assert row.split == {"pond": "test", "road": "train"}[sequence]
                np.testing.assert_array_equal(crops[row.Index], crop)
    assert next(rows, None) is None


def test_any_number_of_workers_gives_the_same_bytes(make_davis, tmp_path):
    root = make_davis()
    for workers in (1, 2, 5):
        run(root, tmp_path / str(workers), workers=workers)
    assert snapshot(tmp_path / "1") == snapshot(tmp_path / "2") == snapshot(tmp_path / "5")


def test_without_image_sets_identities_are_split(make_davis, tmp_path):
    root = make_davis()
    run(root, tmp_path / "a", test_fraction=0.5)
    manifest = read_manifest(tmp_path / "a")
    by_identity = manifest.groupby("identity").split.agg(["nunique", "first"])
    assert (by_identity["nunique"] == 1).all()
    assert sorted(by_identity["first"]) == ["test", "test", "train", "train"]
    splits = set()
    for seed in range(8):
        run(root, tmp_path / "a", test_fraction=0.5, rng=np.random.default_rng(seed))
        splits.add(tuple(read_manifest(tmp_path / "a").split))
    assert len(splits) > 1


def test_one_sided_image_sets_are_not_used(make_davis, tmp_path):
    root = make_davis(train=["road"], val=["pond"])
    run(root, tmp_path / "out", sequences=["pond"])
    assert set(read_manifest(tmp_path / "out").split) == {"train", "test"}


def test_small_empty_and_missing_are_counted(make_davis, tmp_path, caplog):
    root = make_davis()
    folder = root / "Annotations/480p/pond"
    label_map = np.zeros((48, 64), np.uint8)
    write_label_map(folder / "00000.png", label_map)
    label_map[0, :15] = 1
    label_map[5:7, :8] = 9
    write_label_map(folder / "00001.png", label_map)
    (folder / "00002.png").unlink()
    done = run(root, tmp_path / "out", sequences=["pond"])
    assert (done.n_crops, done.n_small, done.n_unannotated) == (3, 1, 1)
    assert read_manifest(tmp_path / "out").instance_id.tolist() == [9, 1, 2]
    assert "1 segments under 16 pixels, 1 frames without annotation" in caplog.text


def test_nothing_annotated(make_davis, tmp_path):
    root = make_davis()
    shutil.rmtree(root / "Annotations/480p/pond")
    done = run(root, tmp_path / "out", sequences=["pond"])
    assert done.n_crops == 0 and len(read_manifest(tmp_path / "out")) == 0


def test_a_broken_file_leaves_the_earlier_run(make_davis, tmp_path):
    root = make_davis()
    run(root, tmp_path / "out")
    before = snapshot(tmp_path / "out")
    broken = root / "JPEGImages/480p/road/00001.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(ValueError, match="road/00001.jpg"):
        run(root, tmp_path / "out", size=16)
    assert snapshot(tmp_path / "out") == before


def test_an_earlier_run_is_replaced_whole(make_davis, tmp_path):
    root = make_davis()
    run(root, tmp_path / "out")
    run(root, tmp_path / "out", sequences=["road"])
    assert not (tmp_path / "out/crops/pond_1").exists()


def test_a_foreign_folder_is_not_touched(make_davis, tmp_path):
    (tmp_path / "out/crops").mkdir(parents=True)
    (tmp_path / "out/crops/wheat.txt").write_text("mine")
    with pytest.raises(ValueError, match="it is not ours"):
        run(make_davis(), tmp_path / "out")
    assert (tmp_path / "out/crops/wheat.txt").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_keeps_order_and_looks_ahead_a_little(workers):
    lock, started = threading.Lock(), []

    def work(i):
        with lock:
            started.append(i)
        return i

    for taken, i in enumerate(_ordered_map(work, range(200), workers)):
        assert i == taken
        if i < 10:
            time.sleep(0.005)  # a slow consumer: time enough to run ahead
        assert len(started) <= taken + _LOOK_AHEAD * workers


def test_ordered_map_raises_in_its_place():
    seen = []
    with pytest.raises(ZeroDivisionError):
        for value in _ordered_map(lambda i: 1 // (5 - i), range(100), 2):
            seen.append(value)
    assert len(seen) == 5


@pytest.mark.real_data
def test_real_sequences(davis_root, tmp_path):
    dataset = DavisDataset(davis_root)
    sequence = dataset.sequences("val")[0]
    done = extract(dataset, tmp_path, sequences=[sequence], progress=False)
    assert done.n_frames == dataset.n_frames(sequence) and done.n_crops > 0
    manifest = read_manifest(tmp_path)
    for row in manifest.sample(5, random_state=0).itertuples():
        index = dataset.frame_names(sequence).index(row.frame)
        label_map = dataset.frame(sequence, index).label_map
        assert row.area == (label_map == row.instance_id).sum()
        box = label_map[row.top : row.bottom, row.left : row.right]
        assert row.area == (box == row.instance_id).sum()

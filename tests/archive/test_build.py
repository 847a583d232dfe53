"""Archives built from pictures, in this process and on workers: the same, whatever happens."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from instanceid_utils.archive import Archive, build_archive, tasks
from instanceid_utils.archive.build import Stopped
from instanceid_utils.gallery import Gallery
from instanceid_utils.gallery.file_lock import locked
from instanceid_utils.video.reader import read_video
from tests.moving_shapes import Video, write_folder

MASKS = "../masks/{stem}"
SEEN = {"a": ((0, 99), (0, 99)), "b": ((0, 99), (0, 99), (0, 99)), "c": ((0, 0), (0, 99), (0, 99))}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Three folders of pictures, and their masks beside them."""
    root = tmp_path_factory.mktemp("clips")
    for number, (name, seen) in enumerate(SEEN.items()):
        frames, masks = write_folder(root / "made" / name, Video(12, seen, seed=number))
        for path, kind in ((frames, "videos"), (masks, "masks")):
            (root / kind).mkdir(exist_ok=True)
            shutil.move(str(path), root / kind / name)
    return root / "videos"


def build(clips, out, names="abc", **options):
    options = {"masks": MASKS, "workers": 0, "progress": False, "say": lambda line: None, **options}
    return build_archive([str(clips / name) for name in names], out, **options)


@pytest.fixture(scope="module")
def built(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "archive"
    result = build(clips, out)
    assert result.failed == {} and result.n_tracked == 3
    return out


def content(folder, but=("hashes.json", "renumbered.csv")):
    """All files of an archive, by name."""
    return {
        path.relative_to(folder).as_posix(): shown(path)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in but and not path.name.startswith(".")
    }


def shown(path):
    """Bytes of a file; of a video its frames, coarsely: encoders with threads write other bytes."""
    if path.suffix != ".mp4":
        return path.read_bytes()
    return [(round(f.time, 3), f.image.shape, int(f.image.mean()) // 8) for f in read_video(path)]


def test_an_archive_says_who_was_seen_where(built):
    archive = Archive(built)
    seen = {}
    for s in archive.sightings():
        seen.setdefault(s.identity, []).append((s.video[0], s.local_id))
    assert [sorted(v for v, _ in found) for found in seen.values()] == [
        ["a", "b"],
        ["a", "b", "c"],
        ["b", "c"],
    ]
    assert archive.gallery().ids.tolist() == [1, 2, 3]
    assert Gallery.load(built / "archive.gallery").threshold == archive.index["threshold"]
    key = next(iter(archive.videos))
    assert archive.index["videos"][0]["n_frames"] == 12 and archive.pictures(key, 1)
    summary = json.loads((built / "videos" / key / "summary.json").read_text())
    assert summary["complete"] and (built / "videos" / key / "tracked.mp4").exists()


def test_results_of_a_video_have_the_ids_of_the_archive(built):
    archive = Archive(built)
    for key in archive.videos:
        lines = (built / "videos" / key / "mot.txt").read_text().splitlines()
        found = {int(line.split(",")[1]) for line in lines}
        assert found == {s.identity for s in archive.sightings() if s.video == key}


def test_added_one_by_one_and_in_any_order_it_is_the_same(clips, built, tmp_path):
    build(clips, tmp_path / "x", "c")
    build(clips, tmp_path / "x", "a", add=True)
    result = build(clips, tmp_path / "x", "b", add=True)
    assert result.n_tracked == 1 and content(tmp_path / "x") == content(built)


def test_what_is_done_is_not_done_again(clips, built, tmp_path, monkeypatch):
    shutil.copytree(built, tmp_path / "x")
    monkeypatch.setattr(tasks, "track_video", None)
    result = build(clips, tmp_path / "x", "", resume=True, masks=None)
    assert result.n_tracked == 0 and content(tmp_path / "x") == content(built)
    shutil.rmtree(next((tmp_path / "x" / "videos").iterdir()))
    build(clips, tmp_path / "x", resume=True)
    assert content(tmp_path / "x") == content(built)


def test_a_damaged_video_holds_up_nobody_and_is_tried_again(clips, built, tmp_path):
    videos = tmp_path / "videos"
    shutil.copytree(clips, videos)
    shutil.copytree(clips.parent / "masks", tmp_path / "masks")
    picture = videos / "b" / "00003.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:50])
    result = build(videos, tmp_path / "x")
    assert (
        list(result.failed) == [str(videos / "b")]
        and "00003.png" in result.failed[str(videos / "b")]
    )
    assert len(Archive(tmp_path / "x").videos) == 2 and result.n_tracked == 2
    assert not list((tmp_path / "x" / "tracks").glob("b-*"))
    picture.write_bytes(whole)
    result = build(videos, tmp_path / "x", "", resume=True)
    assert result.failed == {} and result.n_tracked == 1
    assert (tmp_path / "x" / "sightings.csv").read_bytes() == (built / "sightings.csv").read_bytes()


def test_what_is_in_the_way_is_told(clips, built, tmp_path):
    shutil.copytree(built, tmp_path / "x")
    with pytest.raises(FileExistsError, match="--resume goes on with it, --add adds to it"):
        build(clips, tmp_path / "x")
    with pytest.raises(ValueError, match="threshold: this archive was built with .*, not with 0.4"):
        build(clips, tmp_path / "x", resume=True, threshold=0.4)
    with pytest.raises(ValueError, match="/masks/a: not in this archive; --add"):
        build_archive([str(clips.parent / "masks" / "a")], tmp_path / "x", resume=True)
    with pytest.raises(FileNotFoundError, match="no archive to add to"):
        build(clips, tmp_path / "y", add=True)
    with pytest.raises(TypeError, match="settings: expected some of"):
        build(clips, tmp_path / "y", treshold=1)
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "holiday.jpg").touch()
    with pytest.raises(FileExistsError, match="z: in the way, and not an archive"):
        build(clips, tmp_path / "z")
    with locked(tmp_path / "x" / "archive.json"), pytest.raises(BlockingIOError):
        build(clips, tmp_path / "x", resume=True)
    assert content(tmp_path / "x") == content(built)


def test_the_same_video_twice_is_one(clips, built, tmp_path):
    shutil.copytree(clips, tmp_path / "videos")
    shutil.copytree(clips.parent / "masks", tmp_path / "masks")
    said = []
    videos = [str(clips / n) for n in "abc"] + [str(tmp_path / "videos" / "a")]
    build_archive(videos, tmp_path / "x", masks=MASKS, workers=0, progress=False, say=said.append)
    assert len(said) == 1 and "the same as" in said[0]
    assert (tmp_path / "x" / "sightings.csv").read_bytes() == (built / "sightings.csv").read_bytes()


def test_stopped_it_goes_on(clips, built, tmp_path, monkeypatch):
    real, n = tasks.track_video, []

    def stops(*args, **options):
        n.append(1)
        if len(n) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(tasks, "track_video", stops)
    with pytest.raises(Stopped, match="1 of 3 videos are tracked.*--resume"):
        build(clips, tmp_path / "x")
    with pytest.raises(ValueError, match="not finished"):
        Archive(tmp_path / "x")
    assert build(clips, tmp_path / "x", "", resume=True).n_tracked == 2
    assert content(tmp_path / "x") == content(built)


def test_a_full_disk_leaves_nothing_half_written(clips, built, tmp_path, monkeypatch):
    shutil.copytree(built, tmp_path / "x")
    with monkeypatch.context() as patch:
        patch.setattr(tasks.Tracks, "save", _full)
        result = build(clips, tmp_path / "y")
        assert len(result.failed) == 3 and "No space left" in str(result.failed)
        assert not list((tmp_path / "y" / "tracks").iterdir())
    with monkeypatch.context() as patch:
        patch.setattr("instanceid_utils.archive.records.write_atomically", _full)
        with pytest.raises(OSError, match="No space left"):
            build(clips, tmp_path / "x", resume=True)
    for out in "xy":
        build(clips, tmp_path / out, "", resume=True)
        assert content(tmp_path / out) == content(built)


def _full(*args, **options):
    raise OSError(28, "No space left on device")


def test_on_workers_it_is_the_same(clips, built, tmp_path):
    pytest.importorskip("distributed")
    result = build(clips, tmp_path / "x", workers=2)
    assert result.failed == {} and content(tmp_path / "x") == content(built)


def test_without_dask_it_says_what_to_install(clips, tmp_path):
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from instanceid_utils.cli import main\n"
        f"sys.exit(main(['archive', 'build', {str(clips)!r}, '--masks', {MASKS!r}, '--out', "
        f"{str(tmp_path / 'x')!r}, '--quiet']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert 'pip install "instanceid-utils[archive]"' in done.stderr

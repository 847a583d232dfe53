import json

import numpy as np
import pytest

from instanceid_utils.archive import Archive, Tracks
from tests.small_archives import make_archive


def test_what_was_written_is_read(tmp_path):
    archive = Archive(make_archive(tmp_path / "a"))
    seen = [(s.identity, s.video.split("-")[0], s.local_id) for s in archive.sightings()]
    assert seen == [
        (1, "gate", 1),
        (1, "yard", 2),
        (2, "gate", 2),
        (2, "hall", 1),
        (3, "gate", 3),
        (3, "yard", 1),
        (4, "hall", 2),
    ]
    assert [s.confidence for s in archive.sightings()][-2:] == [0.99, None]
    assert archive.gallery().ids.tolist() == [1, 2, 3, 4]
    key = next(iter(archive.videos))
    assert len(archive.tracks(key)) == 3 and len(archive.pictures(key, 1)) == 3
    text = (tmp_path / "a" / "identities.csv").read_text().splitlines()
    assert text[1].startswith("1,2,2,30,gate-")


def test_an_archive_that_is_not_finished_is_refused(tmp_path):
    folder = make_archive(tmp_path / "a")
    index = json.loads((folder / "archive.json").read_text())
    (folder / "archive.json").write_text(json.dumps({**index, "complete": False}))
    with pytest.raises(ValueError, match="not finished.*--resume"):
        Archive(folder)
    with pytest.raises(FileNotFoundError, match="no archive"):
        Archive(tmp_path)
    (folder / "archive.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="expected instanceid archive"):
        Archive(folder)


def test_damaged_tracks_are_refused(tmp_path):
    folder = make_archive(tmp_path / "a")
    archive = Archive(folder)
    key = next(iter(archive.videos))
    path = folder / "tracks" / key / "tracks.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="tracks.npz: no tracks of a video, or damaged"):
        archive.tracks(key)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match="damaged"):
        Tracks.load(path)

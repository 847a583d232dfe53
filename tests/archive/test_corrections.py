"""What a person decides: it holds at once, and when videos come later; nothing else changes."""

import shutil

import pytest

from instanceid_utils.archive import Archive, build_archive, merge, read_fixes, split
from instanceid_utils.cli import main
from tests.moving_shapes import Video, write_folder

OPTIONS = {"workers": 0, "progress": False}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Two videos of three discs each, which look the same in both, and one to be added later."""
    root = tmp_path_factory.mktemp("corrected")
    for seed, name in enumerate(("gate", "later", "yard")):
        seen = ((0, 99), (0, 99), (0, 99))
        frames, masks = write_folder(root / "x", Video(8, seen=seen, seed=seed))
        frames.rename(root / name)
        masks.rename(root / f"{name}_masks")
        (root / "x").rmdir()
    videos = [str(root / name) for name in ("gate", "yard")]
    build_archive(videos, root / "a", masks="{stem}_masks", outputs=("mot",), **OPTIONS)
    return root


@pytest.fixture
def folder(once, tmp_path):
    return shutil.copytree(once / "a", tmp_path / "a")


def who(folder):
    return {(s.video.split("-")[0], s.local_id): s.identity for s in Archive(folder).sightings()}


def is_valid(folder):
    """Check that tables, gallery and results of the videos say the same."""
    archive, given = Archive(folder), who(folder)
    assert archive.gallery().ids.tolist() == sorted(set(given.values()))
    for key in archive.videos:
        lines = (folder / "videos" / key / "mot.txt").read_text().splitlines()
        theirs = {i for (name, _), i in given.items() if key.startswith(name)}
        assert {int(line.split(",")[1]) for line in lines} == theirs


def test_a_split_holds_and_outlives_what_is_added(once, folder):
    before = who(folder)
    identity = before["gate", 1]
    assert before["yard", 1] == identity  # the same disc
    other = split(folder, identity, [("yard", 1)], **OPTIONS)
    after = who(folder)
    assert after["yard", 1] == other != after["gate", 1]
    assert len(set(after.values())) == len(set(before.values())) + 1
    is_valid(folder)
    build_archive([str(once / "later")], folder, masks="{stem}_masks", add=True, **OPTIONS)
    assert len(Archive(folder).videos) == 3
    after = who(folder)
    assert after["yard", 1] != after["gate", 1]
    assert after["yard", 2] == after["gate", 2] == after["later", 2]
    is_valid(folder)


def test_a_merge_undoes_a_split(folder):
    before = who(folder)
    other = split(folder, before["gate", 1], [("yard", 1)], **OPTIONS)
    assert merge(folder, [other, before["gate", 1]], **OPTIONS) == before["gate", 1]
    assert who(folder) == before
    same, different = read_fixes(folder)
    assert len(same) == 1 and different == []
    is_valid(folder)


def test_a_split_undoes_a_merge(folder):
    before = who(folder)
    alone = split(folder, before["gate", 1], [("yard", 1)], **OPTIONS)
    kept = merge(folder, [who(folder)["gate", 1], alone], **OPTIONS)
    split(folder, kept, [("gate", 1)], **OPTIONS)
    same, different = read_fixes(folder)
    assert same == [] and len(different) == 1
    is_valid(folder)


def test_what_cannot_be_changes_nothing(folder):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    given = who(folder)
    one, two = given["gate", 1], given["gate", 2]
    for wrong, message in (
        (lambda: merge(folder, [one, two], **OPTIONS), "cannot be the same: they.*at one time"),
        (lambda: merge(folder, [one, 99], **OPTIONS), "knows no identity 99"),
        (lambda: merge(folder, [one, one], **OPTIONS), "two identities or more"),
        (lambda: split(folder, one, [("yard", 2)], **OPTIONS), "yard-.*:2: is no sighting of"),
        (lambda: split(folder, one, [("attic", 2)], **OPTIONS), "attic: expected one video"),
        (lambda: split(folder, one, [("yard", 1), ("gate", 1)], **OPTIONS), "not all"),
        (lambda: split(folder, one, [], **OPTIONS), "some of its sightings"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_the_command_line_finds_and_corrects(folder, tmp_path, capsys):
    given = who(folder)
    one = given["gate", 1]
    assert (
        main(["archive", "find", str(folder), f"gate:3:{one}", "--out", str(tmp_path / "f")]) == 0
    )
    told = capsys.readouterr().out
    assert f"identity {one} is seen in gate" in told and "error rate" in told
    assert (tmp_path / "f.csv").exists() and (tmp_path / "f.png").exists()
    assert (
        main(["archive", "find", str(folder), str(tmp_path / "f.png"), "--box", "250,4,90,90"]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(set(given.values()))
    assert main(["archive", "fix", str(folder), "--split", str(one), "yard:1", "--quiet"]) == 0
    told = capsys.readouterr().out
    other = who(folder)["yard", 1]
    assert told.endswith(f"yard:1 are identity {other}\n") and other != one
    assert main(["archive", "fix", str(folder), "--merge", str(one), str(other), "--quiet"]) == 0
    assert who(folder) == given
    for words, message in (
        (("--split", "x", "yard:1"), "expected an identity, got 'x'"),
        (("--split", str(one), "yard"), "expected VIDEO:LOCAL_ID, got 'yard'"),
        (("--merge", str(one), "99"), "knows no identity 99"),
    ):
        assert main(["archive", "fix", str(folder), *words]) == 1
        assert message in capsys.readouterr().err

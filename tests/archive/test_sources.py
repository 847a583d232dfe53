import os

import pytest

from instanceid_utils.archive.sources import find_videos, look_at, masks_of


@pytest.fixture
def tree(tmp_path):
    for name in ("b10.mp4", "b9.mp4", "sub/c.MOV", "notes.md", "frames/1.png", "frames/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def names(folder, found):
    return [os.path.relpath(path, folder) for path in found]


def test_folders_patterns_and_lists(tree):
    everything = ["b9.mp4", "b10.mp4", "frames", "sub/c.MOV"]
    assert names(tree, find_videos([str(tree)])) == everything
    assert names(tree, find_videos([str(tree / "*.mp4"), str(tree / "b9.mp4")])) == everything[:2]
    (tree / "list.txt").write_text("# mine\nb9.mp4\n\nsub\n")
    assert names(tree, find_videos([str(tree / "list.txt")])) == ["b9.mp4", "sub/c.MOV"]


def test_what_stands_for_nothing_is_told(tree):
    with pytest.raises(FileNotFoundError, match=r"x\*.mp4: no file is named like that"):
        find_videos([str(tree / "x*.mp4")])
    (tree / "list.txt").write_text("b9.mp4\ngone.mp4\n")
    with pytest.raises(FileNotFoundError, match=r"list.txt: line 2: .*gone.mp4"):
        find_videos([str(tree / "list.txt")])
    (tree / "list.txt").write_text("list.txt\n")
    with pytest.raises(ValueError, match="a list that stands in another list"):
        find_videos([str(tree / "list.txt")])
    (tree / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="list.txt: expected a list of videos in UTF-8"):
        find_videos([str(tree / "list.txt")])
    (tree / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty: there are no videos in it"):
        find_videos([str(tree / "empty")])


def test_masks_by_a_pattern(tree):
    (tree / "b9.json").write_text("{}")
    source = str(tree / "b9.mp4")
    for pattern in (
        "{stem}.json",
        "{folder}/{stem}.json",
        "../{folder}/b9.json".replace("../", ""),
    ):
        assert masks_of(source, pattern) == str(tree / "b9.json")
    assert masks_of(source, None) is None
    with pytest.raises(FileNotFoundError, match="b9.mp4: no masks for it"):
        masks_of(source, "{stem}.txt")
    with pytest.raises(ValueError, match="expected a path with {stem}"):
        masks_of(source, "{frame}.json")
    with pytest.raises(ValueError, match="expected a path with {stem}"):
        masks_of(source, "{stem.__class__}{0}.json")


def test_a_key_is_of_the_content(tree):
    (tree / "b9.json").write_text("{}")
    named = [(str(tree / "b9.mp4"), "{stem}.json"), (str(tree / "b10.mp4"), "{stem}.json")]
    one, other = look_at(named, tree)
    assert one.key.startswith("b9-") and len(one.sha256) == 64 and one.error is None
    assert "no masks for it" in other.error and other.key == "b10-unread"
    assert look_at(named, tree)[0] == one
    (tree / "b9.json").write_text("[]")
    assert look_at(named, tree)[0].key != one.key
    (tree / "frames/1.png").rename(tree / "frames/3.png")
    (tree / "hashes.json").write_text("damaged")
    assert look_at([(str(tree / "frames"), None)], tree)[0].error is None

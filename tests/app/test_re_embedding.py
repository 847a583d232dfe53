"""A gallery of other weights, made of results that are there."""

import json
import shutil

import numpy as np
import pytest

from instanceid_utils.app import re_embed, track_video
from instanceid_utils.formats import FormatError
from instanceid_utils.gallery import Gallery
from instanceid_utils.gallery.gallery_file import GalleryFileError
from instanceid_utils.video import VideoError
from tests.moving_shapes import HueEmbedder, Video, write_folder


class Turned(HueEmbedder):
    """The same looks in other vectors: what new weights are to old ones."""

    weights_sha256 = "7" * 64

    def embed_crops(self, crops):
        return np.roll(super().embed_crops(crops), 1, axis=1)


@pytest.fixture
def tracked(tmp_path):
    frames, masks = write_folder(tmp_path, Video(12))
    known = tmp_path / "old.gallery"
    options = {"masks": masks, "gallery": known, "progress": False, "embedder": HueEmbedder()}
    result = track_video(frames, tmp_path / "out", **options)
    return frames, tmp_path / "out", known, result


def test_the_same_ids_by_other_weights(tracked, tmp_path):
    frames, results, old, _ = tracked
    new = tmp_path / "new.gallery"
    re_embed(results, new, embedder=Turned(), progress=False)
    before, after = Gallery.load(old), Gallery.load(new, weights_sha256="7" * 64)
    assert after.ids.tolist() == before.ids.tolist() == [1, 2, 3]
    again = track_video(
        frames,
        tmp_path / "again",
        masks=tmp_path / "masks",
        gallery=new,
        embedder=Turned(),
        progress=False,
    )
    assert again.n_ids == 3  # all of them known


@pytest.mark.parametrize("kept", ["mots.txt", "youtube_vis.json", "mot.txt"])
def test_other_results_do_where_the_masks_are_gone(tracked, tmp_path, kept):
    _, results, _, _ = tracked
    for name in {"masks", "mots.txt", "youtube_vis.json", "mot.txt"} - {kept}:
        path = results / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    known = re_embed(results, tmp_path / "new.gallery", embedder=Turned(), progress=False)
    assert known.ids.tolist() == [1, 2, 3]


def test_an_old_gallery_is_refused_with_the_way_out(tracked):
    frames, results, old, _ = tracked
    content = old.read_bytes()
    for use in (
        lambda: track_video(frames, results.parent / "x", gallery=old, embedder=Turned()),
        lambda: re_embed(results, old, embedder=Turned(), progress=False),
    ):
        with pytest.raises(GalleryFileError, match="old.gallery.*instanceid re-embed RESULTS"):
            use()
    assert old.read_bytes() == content


def test_a_moved_video_is_named(tracked, tmp_path):
    frames, results, _, _ = tracked
    new = tmp_path / "new.gallery"
    frames.rename(tmp_path / "moved")
    with pytest.raises(VideoError, match="frames"):
        re_embed(results, new, embedder=Turned(), progress=False)
    assert not new.exists()
    known = re_embed(results, new, embedder=Turned(), video=tmp_path / "moved", progress=False)
    assert len(known) == 3


def test_what_was_never_confirmed_is_left_out(tracked, tmp_path):
    _, results, _, _ = tracked
    summary = json.loads((results / "summary.json").read_text())
    (results / "summary.json").write_text(json.dumps({**summary, "unconfirmed": [2]}))
    known = re_embed(results, tmp_path / "new.gallery", embedder=Turned(), progress=False)
    assert known.ids.tolist() == [1, 3]


def test_results_that_are_none_are_named(tracked, tmp_path):
    new = tmp_path / "new.gallery"
    with pytest.raises(FileNotFoundError, match="nowhere.*summary.json"):
        re_embed(tmp_path / "nowhere", new, embedder=Turned(), progress=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(tracked[1] / "summary.json", empty)
    with pytest.raises(FormatError, match="empty.*mots.txt"):
        re_embed(empty, new, embedder=Turned(), progress=False)
    (empty / "summary.json").write_text("{}")
    with pytest.raises(FormatError, match="source"):
        re_embed(empty, new, embedder=Turned(), progress=False)

"""Segments in memory: from a data set and from a manifest they are the same."""

import numpy as np
import pytest

from instanceid_utils import pipeline
from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.segment_sets import SegmentSet, collect, from_manifest
from instanceid_utils.synthetic.dataset import generate


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "generated"
    return generate(root, seed=3, n_train=2, scale=0.1, workers=1, progress=False)


def test_a_manifest_gives_back_what_the_data_set_shows(root, tmp_path):
    seen = collect(DavisDataset(root), min_area=16, progress=False)
    folder = pipeline.ensure_segments(root, tmp_path)
    kept = from_manifest(folder)
    assert len(kept) == len(seen) > 50 and kept.names == seen.names
    key = lambda s: sorted(zip(np.array(s.names)[s.identities], s.frames))  # noqa: E731
    assert key(kept) == key(seen)
    of = {(s, n, f): c for s in (kept, seen) for n, f, c in zip(s.identities, s.frames, s.crops)}
    for n, f in zip(seen.identities, seen.frames):
        np.testing.assert_array_equal(of[kept, n, f], of[seen, n, f])


def test_splits_share_no_name(root, tmp_path):
    folder = pipeline.ensure_segments(root, tmp_path)
    train, test = from_manifest(folder, "train"), from_manifest(folder, "test")
    assert not set(train.names) & set(test.names)
    assert len(train) + len(test) == len(from_manifest(folder))


def test_ensure_segments_makes_them_once(root, tmp_path):
    folder = pipeline.ensure_segments(root, tmp_path)
    stamp = (folder / "manifest.csv").stat().st_mtime_ns
    assert pipeline.ensure_segments(root, tmp_path) == folder
    assert (folder / "manifest.csv").stat().st_mtime_ns == stamp


def test_a_data_set_without_segments_is_an_error(root):
    with pytest.raises(ValueError, match="no annotated segment"):
        collect(DavisDataset(root), ["cuts"], min_area=10**9, progress=False)


def test_selection_and_size_keep_rows_together():
    crops = np.zeros((6, 8, 8, 4), np.uint8)
    crops[:] = np.arange(6)[:, None, None, None]
    part = SegmentSet(crops, np.arange(6), np.arange(6) * 2, np.arange(6) * 3).select([4, 1])
    small = part.resized(4)
    assert small.crops.shape == (2, 4, 4, 4) and small.crops[:, 0, 0, 0].tolist() == [4, 1]
    assert small.identities.tolist() == [4, 1] and small.frames.tolist() == [12, 3]

"""Views of a crowd hold whole walkers, and say which of their pixels are seen."""

import numpy as np
import pytest

from instanceid_utils.synthetic.crowd_views import draw_crowd_views
from instanceid_utils.synthetic.populations import crowd_population


@pytest.fixture(scope="module")
def views():
    return draw_crowd_views([5, 0], 3, n_times=6, size=32)


def test_each_view_has_a_walker_in_its_box(views):
    assert views.shape[1:] == (3, 32, 32, 4) and len(views) >= 3
    kinds = views[..., 3].reshape(-1, 32 * 32)
    assert set(np.unique(kinds)) == {0, 1, 255}
    seen, box = (kinds == 255).sum(1), (kinds > 0).sum(1)
    assert (seen > 0.1 * box).all() and (seen < box).any()
    for crop in views.reshape(-1, 32, 32, 4):
        rows, columns = np.nonzero(crop[..., 3])
        inside = crop[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1, 3]
        assert (inside > 0).mean() > 0.9  # a rectangle, but for corners between pixels
        assert (crop[crop[..., 3] == 0][:, :3] == 128).all()


def test_walkers_of_one_crowd_are_neighbours_and_a_cache_is_read(tmp_path):
    one = crowd_population(1, 10, 5, tmp_path, workers=1, progress=False)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "away")
    again = crowd_population(1, 10, 5, tmp_path, workers=1, progress=False)
    assert (one.crops == again.crops).all() and (np.diff(one.identities) <= 1).all()
    assert len(one) == 10 * len(np.unique(one.identities))

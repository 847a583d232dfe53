"""The same population again: from the seed, from the cache, with and without background."""

import numpy as np
import pytest

from instanceid_utils.synthetic import populations as module
from instanceid_utils.synthetic.populations import population


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("population")


def test_a_population_is_drawn_once_and_read_after(cache, monkeypatch):
    drawn = population(6, 2, 5, cache, workers=1, progress=False)
    monkeypatch.setattr(module, "draw_tracklets", None)  # a second drawing would fail
    again = population(6, 2, 5, cache, workers=1, progress=False)
    np.testing.assert_array_equal(drawn.crops, again.crops)
    assert len(np.unique(drawn.identities)) == 6 and len(drawn) == 12


def test_populations_of_other_seeds_share_no_identity(cache):
    one = population(6, 2, 5, cache, workers=1, progress=False)
    other = population(4, 2, 6, cache, workers=1, progress=False)
    assert not set(one.identities) & set(other.identities)
    assert (one.crops[:8] != other.crops).any()


def test_background_kept_differs_in_colour_and_not_in_mask(cache):
    filled = population(6, 2, 5, cache, workers=1, progress=False)
    kept = population(6, 2, 5, cache, workers=1, progress=False, keep_background=True)
    np.testing.assert_array_equal(filled.crops[..., 3], kept.crops[..., 3])
    inside = filled.crops[..., 3] > 0
    differs = (filled.crops != kept.crops).any(-1)  # inside, at most at the rim
    assert differs[inside].mean() < 0.2 < differs[~inside].mean()

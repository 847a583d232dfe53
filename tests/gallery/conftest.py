"""What several tests of the gallery share."""

import numpy as np
import pytest

from instanceid_utils.gallery import Gallery
from tests.galleries import DIM, draw


@pytest.fixture
def gallery():
    gallery = Gallery(DIM, max_exemplars=3, policy="both")
    for time in range(4):
        gallery.add(np.arange(1, 11), draw(10, seed=time), time=time)
    return gallery

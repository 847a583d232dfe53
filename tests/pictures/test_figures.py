"""Pictures of crops, of as many as there are."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from instanceid_utils.pictures import show_crops, show_retrieval


@pytest.mark.parametrize("n", [0, 1, 3])
def test_crops_of_any_number_are_drawn(n):
    crops = np.zeros((5, 8, 8, 4), np.uint8)
    figure = show_crops([crops[:2]] * n, titles=[["a", "b"]] * n)
    assert sum(bool(ax.images) for ax in figure.axes) == 2 * n
    neighbours = np.zeros((n, 4), int)
    figure = show_retrieval(crops, np.arange(5), np.zeros(n, int), neighbours, neighbours * 1.0)
    assert sum(bool(ax.images) for ax in figure.axes) == 5 * n
    plt.close("all")

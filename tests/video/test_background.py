"""What is held is not learned; what is left behind is told from what has come."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from instanceid_utils.video.background import Background

H, W = 96, 160
HERE, MASK = (slice(30, 60), slice(50, 90)), np.ones((30, 40), bool)


def scene(rng, there):
    frame = np.full((H, W, 3), (110, 130, 100), np.uint8)
    if there:
        frame[HERE] = 200, 60, 50
    return np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)


def show(background, rng, there, n, held=None):
    """Show a scene for ``n`` frames, and return what has changed in the last one."""
    for _ in range(n):
        changed = background.changed(scene(rng, there))
        background.learn(held)
    return changed[HERE].mean() / 255


@pytest.mark.parametrize("was_there", [False, True])
def test_an_empty_place_is_told_from_an_object_by_its_edge(was_there):
    rng, background = np.random.default_rng(0), Background("mog2", 150, 1.0, holds=True)
    show(background, rng, was_there, 60)
    assert show(background, rng, not was_there, 2) > 0.9
    assert background.left_behind([(HERE, MASK)]) == [was_there]
    assert background.left_behind([]) == []


def test_what_is_held_is_not_learned():
    held = cv2.rectangle(np.zeros((H, W), np.uint8), (50, 30), (89, 59), 1, -1)
    for mask, low, high in ((held, 0.9, 1), (None, 0, 0.1)):
        rng, background = np.random.default_rng(0), Background("mog2", 20, 1.0, holds=True)
        show(background, rng, False, 60)
        assert low <= show(background, rng, True, 80, mask) <= high
        if mask is held:
            assert show(background, rng, False, 4, mask) < 0.1  # nothing is left behind

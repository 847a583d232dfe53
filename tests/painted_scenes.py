"""Painted scenes and an embedder that sees the mean colour, for tests of the tracker."""

import json

import numpy as np

H, W = 120, 200
RED, PINK, GREEN, BLUE = (200, 20, 20), (200, 60, 60), (20, 200, 20), (20, 20, 200)


class ColourEmbedder:
    """The mean colour of a segment as a unit vector: what is painted alike looks alike."""

    crop_size, margin, dim, threshold, weights_sha256 = 16, 0.1, 3, 0.3, "a" * 64

    def __init__(self):
        self.broken = False

    def embed_crops(self, crops):
        inside = crops[..., 3:] / 255.0
        mean = (crops[..., :3] * inside).sum(axis=(1, 2)) / inside.sum(axis=(1, 2))
        vectors = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return np.full_like(vectors, np.nan, np.float32) if self.broken else np.float32(vectors)


def paint(*things, size=(H, W), shade=90):
    """Paint (label, colour, left, top, width, height) onto a frame; later ones in front."""
    frame = np.full((*size, 3), shade, np.uint8)
    label_map = np.zeros(size, np.int64)
    for label, colour, left, top, width, height in things:
        region = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
        frame[region], label_map[region] = colour, label
    return frame, label_map


def show(tracker, *things, **options):
    return tracker.update(*paint(*things, **options))


PARTS = ("_places", "_habits", "_probation", "_strains", "_shots", "_abstention", "_classes")


def snapshot(tracker):
    gallery = tracker.gallery
    return (
        gallery.ids.tolist(),
        [gallery.exemplars(i)[1].tolist() for i in gallery.ids.tolist()],
        tracker._time,
        tracker._frame_shape,
        json.dumps(
            [
                tracker._places.state(),
                tracker._habits.state(),
                tracker._probation.state(),
                tracker._shots.state(),
            ]
        ),
        json.dumps(tracker._abstention.state()),
    )

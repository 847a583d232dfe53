"""Vectors to test the gallery with, and what one holds."""

import numpy as np

from instanceid_utils.gallery.gallery_file import dump

DIM = 16


def unit(vectors):
    """Scale to unit length, float32."""
    vectors = np.asarray(vectors, np.float64)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def draw(n, seed=0, dim=DIM):
    """Unit vectors in all directions, (n, dim)."""
    return unit(np.random.default_rng(seed).normal(size=(n, dim)))


def draw_clustered(n, seed=0, dim=64):
    """Look-alike groups of about 50, each vector .5 or so from its nearest."""
    rng = np.random.default_rng(seed)
    groups = unit(rng.normal(size=(max(1, n // 50), dim)))
    return unit(groups[rng.integers(0, len(groups), n)] + 0.6 * unit(rng.normal(size=(n, dim))))


def at_angles(*degrees):
    """Unit vectors of the plane, (n, 2)."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def squared_distances(queries, vectors):
    """Squared L2 distances, (Q, N) float64."""
    difference = queries[:, None].astype(np.float64) - vectors[None]
    return (difference**2).sum(axis=2)


def state(gallery):
    """All that the gallery holds, but for the cells, which only say where to look first."""
    notes, arrays = dump(gallery._contents)
    notes = {name: notes[name] for name in ("serial", "next_id", "most", "latest", "settings")}
    arrays = {
        name: np.concatenate(a) if isinstance(a, list) else a
        for name, a in arrays.items()
        if "." not in name
    }
    return notes, {name: (a.shape, a.tobytes()) for name, a in arrays.items()}

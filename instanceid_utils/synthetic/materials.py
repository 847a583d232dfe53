"""Solid textures: a material gives a colour to every 3-D point of the body it covers.

A texture that lives in the body's own space stays on the body when it turns or bends, as
paint, cloth and fur do (Perlin 1985, "An image synthesizer").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from instanceid_utils.synthetic.colours import draw_colour, near

KINDS = ("plain", "stripes", "bands", "patches", "dots", "checks", "gradient", "mottled", "print")
_SIDE = 64


@lru_cache(maxsize=1)
def _noise_volume() -> np.ndarray:
    """Periodic fractal noise, (64, 64, 64) float32, zero mean, unit deviation."""
    rng = np.random.default_rng(20)
    volume = np.zeros((_SIDE,) * 3, np.float32)
    for cells in (4, 8, 16, 32):
        lattice = rng.normal(size=(cells,) * 3).astype(np.float32)
        volume += (4 / cells) ** 0.9 * ndimage.zoom(
            lattice, _SIDE / cells, order=3, mode="grid-wrap", grid_mode=True
        )
    return (volume - volume.mean()) / volume.std()


def solid_noise(points: np.ndarray) -> np.ndarray:
    """Fractal noise at ``points`` (n, 3); features are about a unit long; float32 (n,)."""
    return ndimage.map_coordinates(
        _noise_volume(), points.T * (_SIDE / 4), order=1, mode="grid-wrap", prefilter=False
    )


def _step(x, sharpness):
    """Smooth step from 0 to 1 at x = 0; linear inside +-1 / sharpness."""
    return np.clip(0.5 + 0.5 * sharpness * x, 0, 1)


@dataclass(frozen=True)
class Material:
    """What a surface looks like.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    colours : ndarray of shape (3, 3), float32
        Base, second and third colour, linear RGB.
    frequency : float
        Features per unit of body length.
    axis : ndarray of shape (3,), float32
        Unit direction along which stripes, bands and gradients run.
    offset : ndarray of shape (3,), float32
        Where in the noise this material lives.
    warp, level, sharpness : float
        How much noise bends the pattern, where it is cut, how crisp its edges are.
    grain, grain_frequency, stretch : float
        Fine structure (fur, weave, dirt), its scale, its anisotropy.
    specular, gloss : float
        Weight and exponent of the highlight (Blinn 1977).
    """

    kind: str
    colours: np.ndarray
    frequency: float
    axis: np.ndarray
    offset: np.ndarray
    warp: float
    level: float
    sharpness: float
    grain: float
    grain_frequency: float
    stretch: float
    specular: float
    gloss: float

    def albedo(self, points: np.ndarray) -> np.ndarray:
        """Colour of the surface at ``points``.

        Parameters
        ----------
        points : ndarray of shape (n, 3), float32
            Positions in the space of the part, in body lengths.

        Returns
        -------
        ndarray of shape (n, 3), float32
            Linear RGB.
        """
        p = points + self.offset
        base, second, third = self.colours
        mix = self._pattern(points, p)[:, None]
        colour = base + (second - base) * mix
        if self.kind in ("bands", "mottled", "patches"):
            colour += (third - colour) * _step(solid_noise(p * 0.7 + 7) - 0.9, 3)[:, None] * 0.8
        if self.grain:
            stretched = p * (self.grain_frequency * np.array([1, self.stretch, 1], np.float32))
            colour = colour * np.exp(self.grain * solid_noise(stretched))[:, None]
        return colour

    def _pattern(self, points, p):
        """Share of the second colour at each point, (n,) in [0, 1]."""
        kind, f = self.kind, self.frequency
        if kind == "plain":
            return np.zeros(len(p), np.float32)
        if kind == "stripes":
            phase = 2 * np.pi * f * (p @ self.axis) + self.warp * solid_noise(p)
            return _step(np.sin(phase) - self.level, self.sharpness)
        if kind == "bands":
            along = np.floor(f * (p @ self.axis) + 0.3 * self.warp * solid_noise(p))
            return (np.sin(along * 12.9898 + self.offset[0] * 78.233) > self.level).astype(
                np.float32
            )
        if kind == "patches":
            return _step(solid_noise(p * (0.35 * f)) - self.level, self.sharpness)
        if kind == "dots":
            cell = (p * f) % 1.0 - 0.5
            return _step(0.38 + 0.1 * self.level - np.linalg.norm(cell, axis=1), 3 * self.sharpness)
        if kind == "checks":
            return (np.floor(p * f).sum(1) % 2).astype(np.float32)
        if kind == "gradient":
            return _step(
                points @ self.axis * 2.5 + 0.3 * self.warp * solid_noise(p) - self.level, 1.5
            )
        if kind == "print":
            centre = 0.16 * self.axis
            return _step(0.13 + 0.03 * self.level - np.abs(points - centre).max(1), 30.0)
        return _step(solid_noise(p * f) - self.level, 1.0)  # mottled


_USES = {
    # palette: (kinds, frequency range, grain range, grain frequency, specular range)
    "cloth": (
        "plain plain plain stripes bands patches checks dots gradient print",
        (2, 9),
        (0, 0.15),
        (4, 12),
        (0, 0.08),
    ),
    "fur": (
        "plain plain patches patches gradient gradient mottled stripes dots",
        (1.5, 6),
        (0.05, 0.5),
        (4, 16),
        (0, 0.1),
    ),
    "paint": (
        "plain plain plain bands stripes print print gradient",
        (1, 5),
        (0, 0.06),
        (2, 6),
        (0.1, 0.7),
    ),
    "any": (" ".join(KINDS), (1, 9), (0, 0.3), (3, 12), (0, 0.5)),
}
_PLAIN_USE = ("plain plain gradient mottled", (2, 6), (0, 0.2), (3, 10), (0, 0.3))


def draw_material(palette: str, rng: np.random.Generator) -> Material:
    """Draw a material whose colours come from ``palette`` (see ``colours.draw_colour``)."""
    kinds, frequency, grain, grain_frequency, specular = _USES.get(palette, _PLAIN_USE)
    base = draw_colour(palette, rng)
    second = near(base, rng, 0.3) if rng.random() < 0.35 else draw_colour(palette, rng)
    third = near(second, rng) if rng.random() < 0.5 else draw_colour(palette, rng)
    axis = rng.normal(size=3) * (0.6, 1.0, 0.4)
    if rng.random() < 0.6:  # stripes and bands mostly follow the body
        axis = np.eye(3)[rng.choice(3, p=(0.3, 0.6, 0.1))]
    return Material(
        kind=str(rng.choice(kinds.split())),
        colours=np.stack([base, second, third]).astype(np.float32),
        frequency=float(rng.uniform(*frequency)),
        axis=(axis / np.linalg.norm(axis)).astype(np.float32),
        offset=rng.uniform(-8, 8, 3).astype(np.float32),
        warp=float(rng.gamma(1.2, 0.5)),
        level=float(rng.uniform(-0.6, 0.6)),
        sharpness=float(np.exp(rng.uniform(0.3, 2.5))),
        grain=float(rng.uniform(*grain)),
        grain_frequency=float(rng.uniform(*grain_frequency)),
        stretch=float(np.exp(rng.uniform(-1.5, 0.3))),
        specular=float(rng.uniform(*specular)),
        gloss=float(np.exp(rng.uniform(1.0, 4.0))),
    )

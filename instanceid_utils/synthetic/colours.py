"""Colours as things have them: skin, hair, cloth, fur, paint. All are linear RGB in [0, 1]."""

from __future__ import annotations

import colorsys

import numpy as np

# Each row: hue centre, hue spread (turns), saturation range, value range (sRGB), weight.
_PALETTES = {
    "cloth": [
        (0.00, 0.50, (0.00, 0.10), (0.80, 1.00), 4),  # white
        (0.00, 0.50, (0.00, 0.15), (0.05, 0.22), 5),  # black
        (0.00, 0.50, (0.00, 0.10), (0.25, 0.75), 4),  # grey
        (0.61, 0.03, (0.35, 0.80), (0.15, 0.55), 5),  # navy, denim
        (0.58, 0.04, (0.40, 0.90), (0.50, 0.95), 3),  # blue
        (0.99, 0.03, (0.65, 1.00), (0.40, 0.95), 4),  # red
        (0.10, 0.03, (0.25, 0.55), (0.35, 0.80), 3),  # khaki
        (0.22, 0.06, (0.35, 0.75), (0.25, 0.60), 2),  # olive
        (0.14, 0.02, (0.60, 1.00), (0.75, 1.00), 2),  # yellow
        (0.36, 0.06, (0.40, 0.90), (0.25, 0.75), 2),  # green
        (0.06, 0.02, (0.70, 1.00), (0.70, 1.00), 1),  # orange
        (0.88, 0.05, (0.30, 0.80), (0.40, 0.95), 2),  # pink, purple
    ],
    "skin": [
        (0.060, 0.015, (0.25, 0.45), (0.75, 0.95), 3),
        (0.065, 0.015, (0.40, 0.60), (0.45, 0.75), 2),
        (0.060, 0.015, (0.45, 0.65), (0.20, 0.42), 1),
    ],
    "hair": [
        (0.07, 0.02, (0.20, 0.60), (0.05, 0.25), 4),
        (0.08, 0.02, (0.45, 0.75), (0.25, 0.50), 2),
        (0.11, 0.02, (0.30, 0.60), (0.60, 0.85), 1),
        (0.00, 0.50, (0.00, 0.08), (0.45, 0.85), 1),
    ],
    "fur": [
        (0.00, 0.50, (0.00, 0.12), (0.04, 0.18), 4),  # black
        (0.10, 0.03, (0.00, 0.15), (0.78, 1.00), 3),  # white, cream
        (0.07, 0.02, (0.45, 0.80), (0.20, 0.50), 4),  # brown
        (0.06, 0.02, (0.55, 0.85), (0.45, 0.80), 3),  # ginger
        (0.10, 0.02, (0.25, 0.50), (0.55, 0.90), 3),  # tan
        (0.08, 0.04, (0.00, 0.15), (0.30, 0.65), 3),  # grey
    ],
    "paint": [
        (0.00, 0.50, (0.00, 0.06), (0.85, 1.00), 4),
        (0.60, 0.06, (0.00, 0.12), (0.45, 0.80), 4),
        (0.60, 0.06, (0.00, 0.20), (0.05, 0.25), 4),
        (0.99, 0.02, (0.75, 1.00), (0.40, 0.90), 3),
        (0.60, 0.04, (0.50, 0.95), (0.25, 0.85), 3),
        (0.14, 0.03, (0.60, 1.00), (0.70, 1.00), 1),
        (0.35, 0.08, (0.40, 0.90), (0.20, 0.60), 1),
        (0.07, 0.02, (0.40, 0.95), (0.35, 0.90), 1),
    ],
    "rubber": [(0.60, 0.20, (0.00, 0.15), (0.04, 0.20), 1)],
    "glass": [(0.56, 0.06, (0.05, 0.35), (0.06, 0.35), 1)],
    "metal": [(0.60, 0.20, (0.00, 0.12), (0.35, 0.85), 1)],
    "lamp": [
        (0.12, 0.03, (0.05, 0.30), (0.85, 1.00), 2),
        (0.00, 0.02, (0.75, 1.00), (0.45, 0.85), 2),
    ],
    "beak": [(0.05, 0.06, (0.50, 0.95), (0.45, 0.95), 3), (0.1, 0.1, (0.0, 0.3), (0.05, 0.3), 2)],
    "ground": [
        (0.26, 0.05, (0.25, 0.65), (0.20, 0.60), 4),  # grass
        (0.09, 0.03, (0.15, 0.45), (0.30, 0.70), 3),  # earth, sand
        (0.10, 0.20, (0.00, 0.10), (0.30, 0.70), 3),  # asphalt, stone
        (0.55, 0.05, (0.15, 0.50), (0.30, 0.75), 2),  # water, sky
    ],
    "any": [(0.00, 0.50, (0.10, 0.95), (0.10, 1.00), 1)],
}


def to_linear(srgb):
    """Undo the sRGB transfer curve, approximately (gamma 2.2)."""
    return np.power(np.clip(srgb, 0, 1), 2.2).astype(np.float32)


def to_srgb(linear):
    """Apply the sRGB transfer curve, approximately (gamma 1 / 2.2)."""
    return np.power(np.clip(linear, 0, 1), 1 / 2.2).astype(np.float32)


def draw_colour(palette: str, rng: np.random.Generator) -> np.ndarray:
    """Draw one colour of a palette.

    Parameters
    ----------
    palette : str
        One of ``cloth``, ``skin``, ``hair``, ``fur``, ``paint``, ``rubber``, ``glass``,
        ``metal``, ``lamp``, ``beak``, ``ground``, ``any``.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (3,), float32
        Linear RGB in [0, 1].
    """
    rows = _PALETTES[palette]
    weights = np.array([row[4] for row in rows], float)
    hue, spread, saturation, value, _ = rows[rng.choice(len(rows), p=weights / weights.sum())]
    h = (hue + rng.uniform(-spread, spread)) % 1.0
    return to_linear(
        np.array(colorsys.hsv_to_rgb(h, rng.uniform(*saturation), rng.uniform(*value)))
    )


def near(colour: np.ndarray, rng: np.random.Generator, amount: float = 0.15) -> np.ndarray:
    """Draw a colour like ``colour``: another shade, with a slight tint."""
    shade = np.exp(rng.normal(0, 2 * amount)) * np.exp(rng.normal(0, amount / 2, 3))
    return np.clip(colour * shade, 0.002, 1).astype(np.float32)

"""Make of clean training crops what detectors, segmentation models and small pictures leave."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from instanceid_utils.segments.crops import filled
from instanceid_utils.segments.segments import BOX_FILL

_MIN_PIXELS = 30  # of a segment; a change that leaves less is not made


@dataclass(frozen=True)
class Degradation:
    """How often what happens to a training crop.

    Attributes
    ----------
    box : float
        Share of the crops that are known by a jittered box alone: the ellipse in it, with
        whatever surrounds the object there.
    fault : float
        Share whose mask has a fault: grown over its background, shrunk, leaked, or a part lost.
    stranger : float
        Share behind another segment of the batch; a mask loses what is hidden, a box holds it.
    small : float
        Share that is shrunk to 16 to 50 % of a crop's side, half of them compressed (JPEG), a
        third noisy, and enlarged again.
    light : float
        Share in other light: exposure (gain and gamma, clipped at white) and a cast of colour,
        far beyond the tint of ``training.augment``.
    interlaced : float
        Share whose odd rows are of another moment, moved sideways by up to an eighth of a crop.
    """

    box: float = 0.35
    fault: float = 0.2
    stranger: float = 0.2
    small: float = 0.3
    light: float = 0.0
    interlaced: float = 0.0


#: Crops as they come from perfect masks: their background is filled, and no more.
PERFECT = Degradation(box=0, fault=0, stranger=0, small=0)


def degrade(crops: np.ndarray, rng: np.random.Generator, how: Degradation | None = None):
    """Degrade crops, each on its own.

    Parameters
    ----------
    crops : ndarray of shape (B, S, S, 4), uint8
        RGBA with the background left in their boxes, see ``segments.with_background``; where a
        box holds more than what is seen of the object, the fourth channel is 1 there.
    rng : numpy.random.Generator
    how : Degradation, optional

    Returns
    -------
    ndarray of shape (B, S, S, 4), uint8
        As ``segments.cut_crops`` makes them: filled with grey where the mask is not.
    """
    how = how or Degradation()
    out = np.empty_like(crops)
    n = len(crops)
    kind, small, behind = rng.random(n), rng.random(n) < how.small, rng.random(n) < how.stranger
    others = rng.permutation(n)
    lit, woven = _share(how.light, n, rng), _share(how.interlaced, n, rng)
    for i, crop in enumerate(crops):
        pixels, mask = crop[..., :3].copy(), crop[..., 3] > 127
        box = cv2.boundingRect((crop[..., 3] > 0).view(np.uint8))
        hidden = np.zeros_like(mask)
        if behind[i]:
            hidden = _put_before(pixels, box, crops[others[i]], rng)
        if kind[i] < how.box:
            mask = _ellipse(mask.shape, box, rng)
        else:
            mask = _unless_tiny(mask & ~hidden, mask)
            if kind[i] < how.box + how.fault:
                mask = _unless_tiny(_FAULTS[rng.integers(len(_FAULTS))](mask, box, rng), mask)
        if lit[i]:
            pixels = _in_other_light(pixels, rng)
        if woven[i]:
            pixels, mask = _interlace(pixels, mask, rng)
        if small[i]:
            pixels, mask = _shrink(pixels, mask, rng)
        out[i] = filled(pixels, mask)
    return out


def _share(share, n, rng):
    """Choose whom something happens to; draws nothing where it happens to nobody."""
    return rng.random(n) < share if share else np.zeros(n, bool)


def _unless_tiny(changed, mask):
    return changed if changed.sum() >= _MIN_PIXELS else mask


def _put_before(pixels, box, other, rng):
    """Draw another segment over a side of the box; returns where it lies."""
    left, top, width, height = box
    mask = other[..., 3] > 127
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    size = len(mask)
    scale = rng.uniform(0.8, 1.2) * height / max(h, 1)
    side = 1 if rng.random() < 0.5 else -1
    centre_x = left + width / 2 + side * rng.uniform(0.35, 0.9) * (width + scale * w) / 2
    centre_y = top + height / 2 + rng.normal(0, 0.1) * height
    move = np.array(
        [[scale, 0, centre_x - scale * (x + w / 2)], [0, scale, centre_y - scale * (y + h / 2)]]
    )
    moved = cv2.warpAffine(other[..., :3], move, (size, size))
    there = cv2.warpAffine(mask.view(np.uint8), move, (size, size)) > 0
    inside = np.zeros_like(there)
    inside[top : top + height, left : left + width] = True
    there &= inside
    pixels[there] = moved[there]
    return there


def _ellipse(shape, box, rng):
    left, top, width, height = box
    half = np.array([width, height]) / 2 * BOX_FILL * rng.uniform(0.85, 1.2, 2)
    centre = np.array([left, top]) + np.array([width, height]) * rng.normal(0.5, 0.04, 2)
    out = np.zeros(shape, np.uint8)
    axes = np.maximum(np.rint(half), 1).astype(int).tolist()
    cv2.ellipse(out, np.rint(centre).astype(int).tolist(), axes, 0, 0, 360, 1, -1)
    return (out > 0) & _inside(shape, box)


def _inside(shape, box):
    left, top, width, height = box
    inside = np.zeros(shape, bool)
    inside[top : top + height, left : left + width] = True
    return inside


def _grown(mask, box, rng):
    kernel = np.ones((2 * int(rng.integers(1, 4)) + 1,) * 2, np.uint8)
    return (cv2.dilate(mask.view(np.uint8), kernel) > 0) & _inside(mask.shape, box)


def _shrunk(mask, box, rng):
    kernel = np.ones((2 * int(rng.integers(1, 3)) + 1,) * 2, np.uint8)
    return cv2.erode(mask.view(np.uint8), kernel) > 0


def _leaked(mask, box, rng):
    left, top, width, height = box
    out = mask.astype(np.uint8)
    centre = int(left + width * rng.random()), int(top + height * rng.random())
    axes = [max(1, int(side * rng.uniform(0.1, 0.35))) for side in (width, height)]
    cv2.ellipse(out, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return (out > 0) & _inside(mask.shape, box)


def _parted(mask, box, rng):
    left, top, width, height = box
    out, share = mask.copy(), rng.uniform(0.1, 0.45)
    side = int(rng.integers(4))
    if side < 2:
        cut = int(height * share)
        out[: top + cut] &= side != 0
        out[top + height - cut :] &= side != 1
    else:
        cut = int(width * share)
        out[:, : left + cut] &= side != 2
        out[:, left + width - cut :] &= side != 3
    return out


_FAULTS = (_grown, _shrunk, _leaked, _parted)


def _shrink(pixels, mask, rng):
    size = len(mask)
    side = int(size * rng.uniform(0.16, 0.5))
    pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))]
        pixels = cv2.imdecode(cv2.imencode(".jpg", pixels, quality)[1], cv2.IMREAD_COLOR)
    if rng.random() < 0.3:
        noisy = pixels + rng.normal(0, rng.uniform(2, 8), pixels.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    coarse = cv2.resize(mask * np.uint8(255), (side, side), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR) > 127
    return pixels, _unless_tiny(coarse, mask)


def _in_other_light(pixels, rng):
    levels = np.arange(256)[:, None] / 255
    gains = np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.12, 3))
    curves = np.clip(gains * levels ** np.exp(rng.normal(0, 0.2)), 0, 1)
    table = np.rint(255 * curves).astype(np.uint8)
    return table[pixels, np.arange(3)]


def _interlace(pixels, mask, rng):
    size = len(mask)
    move = int(rng.integers(1, size // 8 + 1)) * (1 if rng.random() < 0.5 else -1)
    pixels, woven = pixels.copy(), mask.copy()
    pixels[1::2] = np.roll(pixels[1::2], move, axis=1)
    woven[1::2] = np.roll(mask[1::2], move, axis=1)
    return pixels, _unless_tiny(woven, mask)

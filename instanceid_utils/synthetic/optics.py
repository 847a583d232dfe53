"""Light and camera: from linear radiance to the 8-bit JPEG that a real camera would store."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from instanceid_utils.synthetic.colours import to_srgb
from instanceid_utils.synthetic.render import Light


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the light of a shot, from overcast to low sun, exposed so that white is near 1."""
    direction = rng.normal(size=3) * (1, 0.6, 0.8) + (0, -0.9, 0.5)
    warm = np.array([1, rng.uniform(0.85, 1.0), rng.uniform(0.65, 1.0)], np.float32)
    cool = np.array([rng.uniform(0.75, 1.0), rng.uniform(0.9, 1.0), 1], np.float32)
    ground = np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    sun = rng.uniform(0.05, 0.85)
    sky = rng.uniform(0.75, 1.0) * (1 - 0.7 * sun)
    dapple = rng.uniform(0.3, 0.9) if rng.random() < 0.2 else 0.0
    return Light(
        direction=(direction / np.linalg.norm(direction)).astype(np.float32),
        sun=(sun * warm).astype(np.float32),
        sky=(sky * cool).astype(np.float32),
        bounce=(sky * rng.uniform(0.25, 0.75) * ground).astype(np.float32),
        dapple=float(dapple),
    )


@dataclass(frozen=True)
class CameraLook:
    """How one camera renders one shot.

    Attributes
    ----------
    gains : ndarray of shape (3,), float32
        White balance.
    exposure, contrast, saturation : float
        Factors around 1.
    haze : float
        Veiling light added everywhere, linear.
    noise : float
        Standard deviation of sensor noise at mid grey, sRGB units in [0, 1].
    blur : float
        Standard deviation of defocus, in pixels of a 480-line frame.
    quality : int
        JPEG quality.
    drift : ndarray of shape (3,), float32
        Amplitude (log exposure, log red gain) and frequency of the slow drift.
    """

    gains: np.ndarray
    exposure: float
    contrast: float
    saturation: float
    haze: float
    noise: float
    blur: float
    quality: int
    drift: np.ndarray

    def develop(self, linear, time, rng, motion=(0.0, 0.0)):
        """Turn linear radiance into the picture the camera stores.

        Parameters
        ----------
        linear : ndarray of shape (H, W, 3), float32
        time : float
            In frames, for the drift.
        rng : numpy.random.Generator
            For the sensor noise.
        motion : tuple of float
            Camera motion during the exposure, in pixels.

        Returns
        -------
        ndarray of shape (H, W, 3), uint8
            RGB, after compression.
        """
        swing = np.sin(self.drift[2] * time)
        gains = self.gains * np.exp(
            self.drift[0] * swing + self.drift[1] * swing * np.array([1, 0, -1])
        )
        image = linear * (self.exposure * gains).astype(np.float32) + self.haze
        if self.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.blur)
        image = _motion_blur(image, motion)
        image = to_srgb(image)
        grey = image.mean(2, keepdims=True)
        image = grey + self.saturation * (image - grey)
        image = 0.5 + self.contrast * (image - 0.5)
        image += self.noise * rng.standard_normal(image.shape, dtype=np.float32)
        pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
        stored = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.quality])[
            1
        ]
        return cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1]


def draw_look(rng: np.random.Generator, strength: float = 1.0) -> CameraLook:
    """Draw a camera's look; ``strength`` 0 is neutral, 1 is what real footage shows."""
    return CameraLook(
        gains=np.exp(strength * rng.normal(0, 0.07, 3)).astype(np.float32),
        exposure=float(np.exp(strength * rng.normal(0.05, 0.22))),
        contrast=float(1 + strength * rng.normal(0.08, 0.1)),
        saturation=float(1 + strength * rng.normal(0.0, 0.15)),
        haze=float(strength * max(0, rng.normal(0, 0.015))),
        noise=float(strength * rng.gamma(1.5, 0.007)),
        blur=float(strength * rng.gamma(1.2, 0.3)),
        quality=int(rng.integers(60, 97)),
        drift=np.array(
            [rng.gamma(1, 0.06), rng.gamma(1, 0.015), rng.uniform(0.01, 0.08)], np.float32
        ),
    )


def _motion_blur(image, motion):
    length = int(np.hypot(*motion))
    if length < 2:
        return image
    kernel = np.zeros((2 * length + 1,) * 2, np.float32)
    half = np.asarray(motion) / 2
    start, end = (tuple(np.round(length + s * half).astype(int).tolist()) for s in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def imperfect_mask(mask: np.ndarray, rng: np.random.Generator, level: float = 1.0) -> np.ndarray:
    """Spoil a mask as a segmentation model would: ragged, too small or large, leaking.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    rng : numpy.random.Generator
    level : float
        0 returns the mask as it is.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    if level <= 0 or not mask.any():
        return mask
    height, width = mask.shape
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8 + level * rng.gamma(1.5, 0.5))
    coarse = rng.normal(0, 0.12 * level, (height // 5 + 2, width // 5 + 2)).astype(np.float32)
    ragged = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    edge = 4 * soft * (1 - soft)  # noise far from the outline would be specks in the air
    found = soft + edge * ragged > 0.5 + level * rng.normal(0, 0.12)
    rows, columns = np.nonzero(mask)
    for grow in rng.random(2) < (0.12 * level, 0.12 * level):
        if grow:  # a leak into the background, or a bite out of the object
            i = rng.integers(len(rows))
            blob = np.zeros(mask.shape, np.uint8)
            side = np.sqrt(mask.sum())
            axes = tuple(int(1 + side * rng.uniform(0.03, 0.25)) for _ in range(2))
            centre = int(columns[i]), int(rows[i])
            cv2.ellipse(blob, centre, axes, rng.uniform(0, 180), 0, 360, (1,), -1)
            found = found | (blob > 0) if rng.random() < 0.5 else found & (blob == 0)
    return found

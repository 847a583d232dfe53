"""Scenes: bodies that move before a background, behind occluders, under a moving camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from instanceid_utils.synthetic.colours import draw_colour, near
from instanceid_utils.synthetic.optics import CameraLook, draw_light, draw_look
from instanceid_utils.synthetic.render import Light, render, view_rotation
from instanceid_utils.synthetic.skeleton import Body


@dataclass(frozen=True)
class Path:
    """Where a body is, how large, and which side it shows, as smooth functions of time.

    ``place``, ``turn`` and ``zoom`` each hold start, speed per frame, and the amplitude,
    frequency and phase of a swing; ``place`` is (5, 2) in frame heights, the others (5,).
    """

    place: np.ndarray
    turn: np.ndarray  # yaw, radians
    zoom: np.ndarray  # log of the size in frame heights
    pitch: float
    roll: np.ndarray  # (3,): amplitude, frequency, phase

    @staticmethod
    def _at(row, time):
        start, speed, amplitude, frequency, phase = row
        return start + speed * time + amplitude * np.sin(frequency * time + phase)

    def at(self, time):
        """Centre (x, y) and size in frame heights, and the view rotation (3, 3), at ``time``."""
        amplitude, frequency, phase = self.roll
        rotation = view_rotation(
            self._at(self.turn, time), self.pitch, amplitude * np.sin(frequency * time + phase)
        )
        return self._at(self.place, time), float(np.exp(self._at(self.zoom, time))), rotation

    def nearness(self, time):
        """Where its feet are at first: who is lower in the picture stands in front."""
        return self.place[0, 1] + 0.5 * np.exp(self.zoom[0])

    def stride(self, time):
        """How much of its motion the body makes, 0 to 1."""
        return 1.0


def draw_path(
    rng, *, size=(0.35, 0.75), aspect=16 / 9, travel=0.006, turning=1.0, tumbling=0.12, span=60
):
    """Draw a path for a clip of ``span`` frames, through the frame at its middle.

    ``tumbling`` is the chance that the body rolls over.
    """
    speed = rng.normal(0, travel, 2) * (1, 0.3)
    middle = np.array([rng.uniform(0.15, 0.85) * aspect, rng.uniform(0.35, 0.65)])
    yaw = rng.normal(0, turning * rng.choice([0.2, 0.7, 2.5], p=(0.4, 0.4, 0.2))) / span
    tumble = rng.random() < tumbling
    growth = rng.normal(0, 0.5) / span
    return Path(
        place=np.array([middle - speed * span / 2, speed, rng.normal(0, 0.02, 2), *_swing(rng, 2)]),
        turn=np.array([rng.uniform(0, 2 * np.pi), yaw, rng.gamma(1, 0.15), *_swing(rng)]),
        zoom=np.array(
            [
                np.log(rng.uniform(*size)) - growth * span / 2,
                growth,
                rng.gamma(1, 0.05),
                *_swing(rng),
            ]
        ),
        pitch=float(rng.normal(0.12, 0.15)),
        roll=np.array([rng.uniform(0.5, 3) if tumble else rng.gamma(1, 0.06), *_swing(rng)]),
    )


def _swing(rng, n=None):
    return rng.uniform(0.02, 0.12, n), rng.uniform(0, 2 * np.pi, n)


@dataclass(frozen=True)
class Actor:
    """A body on a path, with the value its pixels have in the label map."""

    label: int
    body: Body
    path: Any  # a Path, or what has its methods
    vigour: float = 1.0
    ragged: float = 0.1
    absent: tuple = ()  # (start, end) intervals in which it is out of sight


@dataclass(frozen=True)
class Scene:
    """A shot: what is there, under which light, seen by which camera.

    ``occluders`` are RGBA cut-outs of the size of ``backdrop``, linear, in front of everything.
    """

    height: int
    width: int
    light: Light
    look: CameraLook
    backdrop: np.ndarray
    occluders: np.ndarray | None
    actors: tuple
    pan: np.ndarray  # (4,): amplitude x, y in pixels, frequency, phase

    def frame(self, time: float, rng: np.random.Generator):
        """Draw one frame.

        Parameters
        ----------
        time : float
            In frames since the shot began.
        rng : numpy.random.Generator
            For sensor noise alone.

        Returns
        -------
        image : ndarray of shape (height, width, 3), uint8
            RGB.
        label_map : ndarray of shape (height, width), uint8
            The label of the actor seen at each pixel, 0 = background.
        """
        camera, motion = self._camera(time)
        image = _window(self.backdrop, camera * 0.5, self.height, self.width).copy()
        labels = np.zeros((self.height, self.width), np.uint8)
        for actor in sorted(self.actors, key=lambda actor: actor.path.nearness(time)):
            if not any(start <= time < end for start, end in actor.absent):
                self._draw(actor, time, camera, image, labels)
        if self.occluders is not None:
            front = _window(self.occluders, camera * 1.5 + 7, self.height, self.width)
            alpha = front[..., 3:]
            image += alpha * (front[..., :3] - image)
            labels[alpha[..., 0] > 0.5] = 0
        return self.look.develop(image, time, rng, motion), labels

    def silhouette(self, actor: Actor, time: float) -> np.ndarray:
        """All that would be seen of an actor if nobody stood before it; (height, width) bool."""
        labels = np.zeros((self.height, self.width), np.uint8)
        camera, _ = self._camera(time)
        self._draw(actor, time, camera, np.zeros((self.height, self.width, 3), np.float32), labels)
        return labels > 0

    def _camera(self, time):
        x, y, frequency, phase = self.pan
        offset = np.array([x, y]) * np.sin(frequency * time + phase)
        return offset, 0.5 * frequency * np.array([x, y]) * np.cos(frequency * time + phase)

    def _draw(self, actor, time, camera, image, labels):
        (x, y), size, view = actor.path.at(time)
        side = int(np.clip(size * self.height, 6, 3 * self.height))
        left, top = (
            int(x * self.height - camera[0] - side / 2),
            int(y * self.height - camera[1] - side / 2),
        )
        x0, y0, x1, y1 = (
            max(left, 0),
            max(top, 0),
            min(left + side, self.width),
            min(top + side, self.height),
        )
        if x1 <= x0 or y1 <= y0:
            return
        vigour = actor.vigour * actor.path.stride(time)
        colour, mask = render(
            actor.body, time, view, self.light, side, vigour=vigour, ragged=actor.ragged
        )
        inner = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        mask = mask[inner]
        image[y0:y1, x0:x1][mask] = colour[inner][mask]
        labels[y0:y1, x0:x1][mask] = actor.label


def _window(picture, offset, height, width):
    """Cut what a camera at ``offset`` sees out of a picture."""
    free = np.array(picture.shape[1::-1]) - (width, height)
    x, y = np.clip(free / 2 + offset, 0, free).astype(int)
    return picture[y : y + height, x : x + width]


def _fractal(shape, cells, rng):
    """Smooth noise in [0, 1] with detail at every scale."""
    total, weight = np.zeros(shape, np.float32), 0.0
    for octave in range(5):
        n = cells * 2**octave
        lattice = rng.random((n + 2, int(n * shape[1] / shape[0]) + 2), dtype=np.float32)
        total += 0.6**octave * cv2.resize(lattice, shape[::-1], interpolation=cv2.INTER_CUBIC)
        weight += 0.6**octave
    return np.clip(0.5 + 1.8 * (total / weight - 0.5), 0, 1)


def draw_backdrop(height, width, rng, palette="ground"):
    """Draw a background, a quarter larger than the frame each way; linear RGB float32."""
    shape = (int(height * 1.25), int(width * 1.25))
    first, second = draw_colour(palette, rng), draw_colour(palette, rng)
    mix = _fractal(shape, int(rng.integers(2, 8)), rng)[..., None]
    picture = first + (near(first, rng, 0.2) - first) * mix
    horizon = int(shape[0] * rng.uniform(0, 0.7))
    above = second + (near(second, rng, 0.3) - second) * _fractal(shape, 4, rng)[..., None]
    picture[:horizon] = above[:horizon]
    for _ in range(rng.integers(0, 8)):  # walls, signs, trunks
        x, y = rng.integers(0, shape[1]), rng.integers(0, shape[0])
        w, h = (rng.uniform(0.03, 0.3, 2) * shape[0]).astype(int) + 1
        patch = picture[y : y + h, x : x + w]
        patch += rng.uniform(0.4, 1) * (draw_colour("cloth", rng) - patch)
    return np.ascontiguousarray(picture, np.float32)


def draw_occluders(height, width, rng, n):
    """``n`` trunks, posts or bushes as one RGBA picture (linear, alpha 0 to 1), or None."""
    if n == 0:
        return None
    shape = (int(height * 1.25), int(width * 1.25))
    picture = np.zeros((*shape, 4), np.float32)
    rough = _fractal(shape, 6, rng)
    for _ in range(n):
        colour = draw_colour(str(rng.choice(["ground", "hair", "metal"])), rng)
        centre = rng.uniform(0, shape[1])
        rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        if rng.random() < 0.6:  # a post or trunk from top to bottom
            half = rng.uniform(0.02, 0.1) * height
            inside = np.abs(columns - centre - rng.normal(0, 0.15) * rows) < half * (
                0.7 + 0.6 * rough
            )
        else:  # a bush, leaves and gaps
            radius, y = rng.uniform(0.15, 0.4) * height, rng.uniform(0.5, 1.0) * shape[0]
            inside = np.hypot(columns - centre, rows - y) < radius * (0.4 + 1.2 * rough)
        picture[inside, :3] = colour * (0.5 + rough[inside, None])
        picture[inside, 3] = 1
    return picture


def draw_scene(actors, height, width, rng, *, n_occluders=0, shake=0.02, light=None, look=None):
    """Put actors into a new place: background, occluders, light, camera are drawn."""
    return Scene(
        height=height,
        width=width,
        light=light or draw_light(rng),
        look=look or draw_look(rng),
        backdrop=draw_backdrop(height, width, rng),
        occluders=draw_occluders(height, width, rng, n_occluders),
        actors=tuple(actors),
        pan=np.array(
            [*rng.normal(0, shake * height, 2), rng.uniform(0.05, 0.3), rng.uniform(0, 6.3)]
        ),
    )

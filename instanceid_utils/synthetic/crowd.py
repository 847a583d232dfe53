"""A crowd: many walkers of similar dress before a fixed camera, as on a square.

They walk along straight or gently bent lines, alone and in pairs, cross before and behind each
other, meet, stand together for a while and part, leave at one border and come back at another,
showing another side. Who is lower in the picture is nearer: larger, and in front.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instanceid_utils.synthetic.bodies import draw_body
from instanceid_utils.synthetic.colours import near
from instanceid_utils.synthetic.dataset import write_davis
from instanceid_utils.synthetic.render import view_rotation
from instanceid_utils.synthetic.scenes import Actor, draw_scene

VERSION = 1  # of what a seed stands for
HEIGHT, WIDTH = 288, 512
HEIGHTS = (52, 128)  # pixels: of bodies whose feet are at the horizon, and at the lower border
N_WALKERS = (8, 16)
N_FRAMES = 160

_ASPECT = WIDTH / HEIGHT
_HORIZON = 0.34  # of the feet of the farthest walkers, in frame heights
_FORESHORTENING = 0.4  # a step towards the camera, as a part of one across the picture
_SOLO, _PAIR, _MEETING = 0.5, 0.25, 0.25  # shares of the parties
_KNOTS = 40


def body_height(feet):
    """Height of a body in frame heights, by where its feet are (0 top, 1 bottom)."""
    far, near_ = (pixels / HEIGHT for pixels in HEIGHTS)
    return far + (near_ - far) * (feet - _HORIZON) / (1 - _HORIZON)


@dataclass(frozen=True)
class Visit:
    """A way through the picture: places of the feet (K, 2) in frame heights at times (K,)."""

    times: np.ndarray
    feet: np.ndarray
    yaws: np.ndarray  # radians, continuous

    def at(self, time):
        """Feet (x, y) and yaw at a time."""
        x, y, yaw = (
            np.interp(time, self.times, row)
            for row in (self.feet[:, 0], self.feet[:, 1], self.yaws)
        )
        return x, y, yaw

    def beside(self, aside):
        """Return the way of who walks ``aside`` (x, y) of it."""
        return replace(self, feet=self.feet + aside)


@dataclass(frozen=True)
class Walk:
    """All visits of a walker in order; the path of an `Actor`."""

    visits: tuple

    def _visit(self, time):
        return next((v for v in self.visits if time <= v.times[-1]), self.visits[-1])

    def at(self, time):
        """Centre (x, y) and size in frame heights, and the view rotation (3, 3), at ``time``."""
        x, y, yaw = self._visit(time).at(time)
        size = body_height(y)
        return np.array([x, y - size / 2]), float(size / 0.94), view_rotation(yaw, 0.15)

    def nearness(self, time):
        """Where the feet are: who is lower in the picture stands in front."""
        return self._visit(time).at(time)[1]

    def stride(self, time):
        """1 while it walks, little while it stands."""
        visit = self._visit(time)
        step = np.subtract(visit.at(time + 1)[:2], visit.at(time - 1)[:2])
        return float(np.clip(np.hypot(*step) / (0.03 * body_height(visit.at(time)[1])), 0.1, 1))

    def absent(self):
        """Intervals (start, end) in which it is out of the picture."""
        ends = [-np.inf, *(v.times[-1] for v in self.visits)]
        starts = [*(v.times[0] for v in self.visits), np.inf]
        return tuple(zip(ends, starts))


def _border(rng, not_at=None):
    """Draw a place of the feet just outside the picture: left, right or below."""
    sides = [side for side in ("left", "right", "below") if side != not_at]
    weights = np.array([{"left": 0.42, "right": 0.42, "below": 0.16}[s] for s in sides])
    side = str(rng.choice(sides, p=weights / weights.sum()))
    y = rng.uniform(_HORIZON, 0.97)
    room = 0.35 * body_height(y)
    if side == "below":
        return side, np.array([rng.uniform(0.1, 0.9) * _ASPECT, 1.48])
    return side, np.array([-room if side == "left" else _ASPECT + room, y])


def _draw_visit(rng, speed, start, hold=0.0, stop=None):
    """Draw a way from one border to another, with a halt of ``hold`` frames at ``stop``.

    ``speed`` is in body heights a frame.
    """
    side, first = _border(rng)
    _, last = _border(rng, not_at=side)
    middle = (first + last) / 2 + rng.normal(0, 0.08, 2)
    if stop is not None:
        middle = stop
    middle = np.clip(middle, (0.15, _HORIZON), (_ASPECT - 0.15, 1.0))
    bend = 2 * middle - (first + last) / 2  # the curve passes through the middle at its half
    u = np.linspace(0, 1, _KNOTS + 1)[:, None]
    feet = (1 - u) ** 2 * first + 2 * u * (1 - u) * bend + u**2 * last
    feet[:, 1] = np.maximum(feet[:, 1], _HORIZON)
    ground = np.diff(feet, axis=0) / (1, _FORESHORTENING)
    steps = np.hypot(*ground.T) / body_height((feet[1:, 1] + feet[:-1, 1]) / 2)
    times = start + np.concatenate([[0], np.cumsum(steps)]) / speed
    heading = np.unwrap(np.arctan2(-ground[:, 1], ground[:, 0]))
    yaws = np.concatenate([heading, heading[-1:]])
    if hold:
        half = _KNOTS // 2
        times = np.concatenate([times[: half + 1], times[half:] + hold])
        feet, yaws = (np.insert(row, half, row[half], axis=0) for row in (feet, yaws))
    return Visit(times, feet, yaws)


def _halt(visit):
    """When the halt of a visit begins."""
    return visit.times[_KNOTS // 2]


def _draw_party(kind, rng, start):
    """Draw the visits of a party: one for each of its members."""
    speed = rng.uniform(0.035, 0.075)
    hold = float(rng.integers(10, 45))
    if kind == "solo":
        return [_draw_visit(rng, speed, start, hold if rng.random() < 0.3 else 0.0)]
    if kind == "pair":
        visit = _draw_visit(rng, speed, start, hold if rng.random() < 0.2 else 0.0)
        return [visit, visit.beside(rng.choice([-1, 1]) * rng.uniform((0.07, 0.0), (0.13, 0.03)))]
    place = rng.uniform((0.3, _HORIZON + 0.05), (_ASPECT - 0.3, 0.9))
    aside = (rng.choice([-1, 1]) * rng.uniform(0.4, 0.6) * body_height(place[1]), 0.01)
    one = _draw_visit(rng, speed, start, hold, place)
    other = _draw_visit(rng, speed * rng.uniform(0.85, 1.15), start, hold, place + aside)
    late = _halt(one) - _halt(other) + rng.uniform(-4, 4)
    return [one, replace(other, times=other.times + late)]


def _draw_walks(n_walkers, n_frames, rng):
    """Draw all visits of all walkers, round by round, until the video ends."""
    visits = [[] for _ in range(n_walkers)]
    free = rng.uniform(-100, 25, n_walkers)  # most are under way when the video begins
    while free.min() < n_frames:
        waiting = rng.permutation(n_walkers).tolist()
        while waiting:
            kind = str(rng.choice(["solo", "pair", "meeting"], p=(_SOLO, _PAIR, _MEETING)))
            members = [waiting.pop() for _ in range(min(1 if kind == "solo" else 2, len(waiting)))]
            kind = kind if len(members) == 2 else "solo"
            party = _draw_party(kind, rng, max(free[i] for i in members))
            early = max(0.0, *(free[i] - v.times[0] for i, v in zip(members, party)))
            for i, visit in zip(members, party):
                visits[i].append(replace(visit, times=visit.times + early))
                free[i] = visits[i][-1].times[-1] + rng.uniform(8, 50)
    return [Walk(tuple(v)) for v in visits]


def _draw_walker(outfit, rng):
    """Draw a person in an outfit: build, hair and skin are its own, its clothes a bit different."""
    body = draw_body(rng, "biped")
    dress = {
        name: replace(
            outfit.materials[name],
            colours=np.stack([near(c, rng, 0.05) for c in outfit.materials[name].colours]),
        )
        for name in ("top", "legs", "shoes", "bag")
    }
    if rng.random() < 0.3:  # one piece of its own
        name = str(rng.choice(["legs", "shoes", "bag"]))
        dress[name] = body.materials[name]
    trunk = replace(body.bones[0], rest=0.3 * body.bones[0].rest)  # who walks stands upright
    bones = (trunk, *body.bones[1:])
    return replace(body, bones=bones, materials={**body.materials, **dress})


def draw_crowd(
    seed, n_frames: int = N_FRAMES, n_walkers: int | None = None, n_outfits: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a crowd frame by frame.

    Parameters
    ----------
    seed : int or sequence of int
        Same seed, same pictures.
    n_frames : int
    n_walkers : int, optional
        8 to 16, drawn, by default.
    n_outfits : int, optional
        What they wear, each one of these with small differences; 2 to 4, drawn, by default, as in
        teams. With as many as walkers it is a street.

    Yields
    ------
    image : ndarray of shape (HEIGHT, WIDTH, 3), uint8
        RGB.
    label_map : ndarray of shape (HEIGHT, WIDTH), uint8
        1 to ``n_walkers``, the same for the same walker throughout; 0 = background.

    Raises
    ------
    ValueError
        If there are too few or too many walkers, or no frame.
    """
    scene, rng = crowd_scene(seed, n_frames, n_walkers, n_outfits)
    for time in range(n_frames):
        yield scene.frame(time, rng)


def crowd_scene(seed, n_frames: int = N_FRAMES, n_walkers=None, n_outfits=None):
    """Draw the scene of a crowd, and the source of its sensor noise; see `draw_crowd`."""
    rng = np.random.default_rng(seed)
    if n_walkers is None:
        n_walkers = int(rng.integers(N_WALKERS[0], N_WALKERS[1] + 1))
    if not 1 <= n_walkers <= 255:
        raise ValueError(f"n_walkers: expected 1 to 255, got {n_walkers}")
    if n_frames < 1:
        raise ValueError(f"n_frames: expected at least 1, got {n_frames}")
    n_outfits = n_outfits or int(rng.integers(2, 5))
    outfits = [draw_body(rng, "biped") for _ in range(n_outfits)]
    actors = []
    for label, walk in enumerate(_draw_walks(n_walkers, n_frames, rng), 1):
        body = _draw_walker(outfits[rng.integers(len(outfits))], rng)
        actors.append(Actor(label, body, walk, 1.0, rng.uniform(0, 0.15), walk.absent()))
    n_occluders = int(rng.random() < 0.3)
    scene = draw_scene(actors, HEIGHT, WIDTH, rng, n_occluders=n_occluders, shake=0)
    return scene, rng


def generate_crowds(
    root: str | os.PathLike,
    *,
    seed: int = 0,
    n_train: int = 4,
    n_test: int = 4,
    n_frames: int = N_FRAMES,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write crowds in the DAVIS layout, unless they are there already.

    Parameters
    ----------
    root : path
        Folder to make; it appears only when it is complete.
    seed : int
    n_train, n_test : int
        Sequences to fit settings on (split "train") and to judge them by ("val"); no walker is
        in two sequences.
    n_frames : int
        Of each.
    workers : int
        Processes.
    progress : bool
        Show a bar.

    Returns
    -------
    pathlib.Path
        ``root``.

    Raises
    ------
    FileExistsError
        If ``root`` holds something else.
    """
    card = {"crowds": VERSION, "seed": seed, "n_train": n_train, "n_test": n_test}
    card["n_frames"] = n_frames
    names = [f"crowd-train-{i:02d}" for i in range(n_train)]
    test = [f"crowd-{i:02d}" for i in range(n_test)]
    drawn = {n: (draw_crowd, ([seed, 3, i], n_frames)) for i, n in enumerate([*names, *test])}
    return write_davis(root, f"{HEIGHT}p", drawn, test, card, workers, progress)

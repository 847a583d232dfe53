"""Draw a posed body: ray casting of ellipsoids and boxes under weak perspective, then shading."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from instanceid_utils.synthetic.materials import solid_noise
from instanceid_utils.synthetic.skeleton import Body

_RING_HOLE = 0.8  # inner radius of a ring, as a share of the outer


@dataclass(frozen=True)
class Light:
    """A sun, a sky and the ground that throws light back.

    Attributes
    ----------
    direction : ndarray of shape (3,), float32
        Unit vector towards the sun; x right, y down, z towards the viewer.
    sun, sky, bounce : ndarray of shape (3,), float32
        Linear RGB irradiance.
    dapple : float
        Depth of the moving shadows thrown by foliage, 0 for none.
    """

    direction: np.ndarray
    sun: np.ndarray
    sky: np.ndarray
    bounce: np.ndarray
    dapple: float = 0.0


def view_rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Rotation from body to view space: turn about y, nod about x, roll in the image plane."""
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def _half_extents(turn, part):
    """Half width and half height of a part's projection."""
    if part.shape == "box":
        return np.abs(turn[:2]) @ part.axes
    return np.sqrt((turn[:2] ** 2) @ np.square(part.axes))


def _hit(shape, axes, turn, dx, dy, rough):
    """Depth of the nearest hit of each viewing ray with a solid at the origin, or -inf."""
    inverse = (turn / axes).T  # view -> unit space, rows are unit-space axes
    direction = inverse[:, 2]
    origin = [inverse[i, 0] * dx + inverse[i, 1] * dy for i in range(3)]
    if shape == "box":
        safe = np.where(np.abs(direction) < 1e-6, 1e-6, direction)
        near = [(np.sign(safe[i]) - origin[i]) / safe[i] for i in range(3)]
        far = [(-np.sign(safe[i]) - origin[i]) / safe[i] for i in range(3)]
        depth = np.minimum(np.minimum(near[0], near[1]), near[2])
        depth[depth < np.maximum(np.maximum(far[0], far[1]), far[2])] = -np.inf
        return depth
    a = direction @ direction
    b = sum(direction[i] * origin[i] for i in range(3))
    c = sum(o * o for o in origin) - 1
    disc = b * b - a * c
    hit = disc > rough
    depth = np.where(hit, (-b + np.sqrt(np.maximum(disc, 0))) / a, -np.inf)
    if shape == "ring":
        flat = np.where(hit, depth, 0)
        radius = np.hypot(origin[0] + direction[0] * flat, origin[1] + direction[1] * flat)
        depth[radius < _RING_HOLE] = -np.inf
    return depth


def _normals(part, turn, local):
    """Return unit normals in view space at points given in the part's own unit space."""
    if part.shape == "box":
        face = np.abs(local).argmax(1)
        unit = np.zeros_like(local)
        rows = np.arange(len(local))
        unit[rows, face] = np.sign(local[rows, face])
    else:
        unit = local / np.asarray(part.axes, np.float32)
    normal = unit @ turn.T
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)


def render(
    body: Body,
    time: float,
    view: np.ndarray,
    light: Light,
    size: int,
    *,
    scale: float | None = None,
    vigour: float = 1.0,
    ragged: float = 0.0,
):
    """Render a body alone.

    Parameters
    ----------
    body : Body
    time : float
        In frames; fixes the pose and the shadows of foliage.
    view : ndarray of shape (3, 3)
        See ``view_rotation``.
    light : Light
    size : int
        Side of the square picture in pixels; the body's origin is at its centre.
    scale : float, optional
        Pixels per unit of body length; by default the body fills the picture.
    vigour : float
        Scales the body's own motion.
    ragged : float
        How uneven the outline is (fur, cloth), 0 to about 0.5.

    Returns
    -------
    colour : ndarray of shape (size, size, 3), float32
        Linear RGB, 0 outside the body.
    mask : ndarray of shape (size, size), bool
    """
    rotations, centres = body.pose(time, vigour)
    turns = np.einsum("ij,njk->nik", view, rotations)
    centres = centres @ view.T
    halves = np.stack([_half_extents(t, p) for t, p in zip(turns, body.parts)])
    if scale is None:
        low, high = (centres[:, :2] - halves).min(0), (centres[:, :2] + halves).max(0)
        centres[:, :2] -= (low + high) / 2
        scale = 0.94 * size / (high - low).max()
    axis = ((np.arange(size) + 0.5 - size / 2) / scale).astype(np.float32)
    depth = np.full((size, size), -np.inf, np.float32)
    owner = np.full((size, size), -1, np.int16)
    uneven = _rough(size, body, ragged)
    for k, (part, turn, centre, half) in enumerate(zip(body.parts, turns, centres, halves)):
        (x0, y0), (x1, y1) = (np.searchsorted(axis, centre[:2] + s * half) for s in (-1, 1))
        if x1 <= x0 or y1 <= y0:
            continue
        window = np.s_[y0:y1, x0:x1]
        z = (
            _hit(
                part.shape,
                np.asarray(part.axes, np.float32),
                turn,
                axis[None, x0:x1] - centre[0],
                axis[y0:y1, None] - centre[1],
                uneven[window],
            )
            + centre[2]
        )
        front = z > depth[window]
        depth[window][front] = z[front]
        owner[window][front] = k
    colour = _shade(body, turns, centres, axis, depth, owner, light, time)
    return colour, owner >= 0


def _rough(size, body, ragged):
    if ragged == 0:
        return np.zeros((size, size), np.float32)
    rng = np.random.default_rng(int(1e6 * body.tempo))
    coarse = rng.random((size // 3 + 2, size // 3 + 2), dtype=np.float32)
    return ragged * cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)


def _shade(body, turns, centres, axis, depth, owner, light, time):
    rows, columns = np.nonzero(owner >= 0)
    colour = np.zeros((*owner.shape, 3), np.float32)
    if not len(rows):
        return colour
    who = owner[rows, columns]
    order = np.argsort(who, kind="stable")  # each part becomes one slice
    rows, columns, who = rows[order], columns[order], who[order]
    points = np.stack([axis[columns], axis[rows], depth[rows, columns]], 1)
    albedo, normal = np.empty_like(points), np.empty_like(points)
    specular, gloss = np.empty(len(who), np.float32), np.empty(len(who), np.float32)
    starts = np.flatnonzero(np.diff(who, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(who)]):
        k, mine = who[start], slice(start, end)
        part, turn = body.parts[k], turns[k]
        local = (points[mine] - centres[k]) @ turn
        material = body.materials[part.material]
        albedo[mine] = material.albedo(local + np.float32(0.37) * k)
        inside = local / np.asarray(part.axes, np.float32)
        normal[mine] = _normals(part, turn, inside)
        specular[mine], gloss[mine] = material.specular, material.gloss
    occlusion = _ambient_occlusion(depth, owner)[rows, columns]
    facing = np.maximum(0, normal @ light.direction)
    if light.dapple:
        drift = np.array([0.02 * time, 0.5, 3], np.float32)
        leaves = solid_noise(points * (1, 1, 0) * 1.2 + drift)
        facing = facing * (1 - light.dapple * np.clip(0.5 + 1.5 * leaves, 0, 1))
    up = 0.5 - 0.5 * normal[:, 1:2]
    ambient = (light.sky * up + light.bounce * (1 - up)) * occlusion[:, None]
    shaded = albedo * (ambient + light.sun * facing[:, None])
    half = light.direction + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    highlight = specular * np.maximum(0, normal @ half) ** gloss * (facing > 0)
    mirror = specular * (1 - np.maximum(0, normal[:, 2])) ** 3
    colour[rows, columns] = shaded + highlight[:, None] * light.sun + mirror[:, None] * light.sky
    return colour


def _ambient_occlusion(depth, owner):
    """Darken what lies behind its neighbourhood: creases, far limbs. float32 in [0.35, 1]."""
    known = np.where(owner >= 0, depth, np.nan)
    filled = np.where(owner >= 0, depth, np.nanmin(known)).astype(np.float32)
    width = max(3, owner.shape[0] // 10) | 1
    behind = cv2.blur(filled, (width, width)) - filled
    return np.clip(1 - 1.5 * np.maximum(behind, 0), 0.35, 1)

"""Articulated bodies: bones that swing, and ellipsoids, boxes and rings of some material on them.

Body space: x forward, y down, z to the body's side; the unit is roughly the body's half height.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Bone:
    """A joint: where it hangs on its parent, how it rests, how far and how it swings."""

    parent: int
    pivot: tuple
    rest: float = 0.0  # radians about z: a bend in the body's own plane
    swing: float = 0.0  # amplitude of the gait, radians
    phase: float = 0.0  # of the gait, radians
    wander: float = 0.0  # amplitude of slow motion that belongs to no gait, radians
    splay: float = 0.0  # radians about x: sideways


@dataclass(frozen=True)
class Part:
    """A solid on a bone: ``shape`` is ellipsoid, box or ring; ``axes`` are its half lengths."""

    bone: int
    centre: tuple
    axes: tuple
    material: str
    shape: str = "ellipsoid"
    tilt: float = 0.0


@dataclass(frozen=True)
class Body:
    """One identity: its plan (bones, parts) and what it is made of."""

    plan: str
    bones: tuple
    parts: tuple
    materials: dict
    motion: np.ndarray = field(repr=False)  # (n_bones, 4): frequencies and phases of the wander
    tempo: float = 0.5  # gait cycles per 10 frames

    def pose(self, time: float, vigour: float = 1.0):
        """Place every part at a time.

        Parameters
        ----------
        time : float
            In frames.
        vigour : float
            Scales all swings; 0 is the rest pose.

        Returns
        -------
        rotations : ndarray of shape (n_parts, 3, 3), float32
        centres : ndarray of shape (n_parts, 3), float32
        """
        turn, at = [], []
        for bone, (f1, f2, p1, p2) in zip(self.bones, self.motion):
            gait = np.sin(2 * np.pi * self.tempo * time / 10 + bone.phase)
            slow = np.sin(f1 * time + p1) + 0.6 * np.sin(f2 * time + p2)
            angle = bone.rest + vigour * (bone.swing * gait + bone.wander * slow)
            local = _about_z(angle) @ _about_x(bone.splay)
            if bone.parent < 0:
                turn.append(local)
                at.append(np.asarray(bone.pivot, float))
            else:
                turn.append(turn[bone.parent] @ local)
                at.append(at[bone.parent] + turn[bone.parent] @ np.asarray(bone.pivot, float))
        rotations = np.stack([turn[p.bone] @ _about_z(p.tilt) for p in self.parts])
        centres = np.stack([at[p.bone] + turn[p.bone] @ np.asarray(p.centre) for p in self.parts])
        return rotations.astype(np.float32), centres.astype(np.float32)


def _about_z(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def _about_x(a):
    c, s = np.cos(a), np.sin(a)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])


def add_limb(
    bones,
    parts,
    parent,
    pivot,
    lengths,
    widths,
    materials,
    *,
    rest=(0, 0),
    swing=(0, 0),
    phase=0.0,
    wander=0.1,
    splay=0.0,
):
    """Hang a chain of ellipsoids, each from the end of the one before; returns the last bone."""
    last = parent
    for i, (length, width, material) in enumerate(zip(lengths, widths, materials)):
        bones.append(
            Bone(
                last,
                pivot,
                rest[min(i, len(rest) - 1)],
                swing[min(i, len(swing) - 1)],
                phase - 0.9 * i,
                wander,
                splay if i == 0 else 0.0,
            )
        )
        last = len(bones) - 1
        parts.append(Part(last, (0, length * 0.48, 0), (width, length * 0.6, width), material))
        pivot = (0, length * 0.95, 0)
    return last

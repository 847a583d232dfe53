"""Articulated bodies: bones that swing, and ellipsoids, boxes and rings of some material on them.

Body space: x forward, y down, z to the body's side; the unit is roughly the body's half height.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from instanceid_utils.synthetic.materials import Material, draw_material


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


def _limb(bones, parts, parent, pivot, lengths, widths, materials, *, rest=(0, 0), swing=(0, 0),
          phase=0.0, wander=0.1, splay=0.0):  # fmt: skip
    """Hang a chain of ellipsoids, each from the end of the one before; returns the last bone."""
    last = parent
    for i, (length, width, material) in enumerate(zip(lengths, widths, materials)):
        bones.append(
            Bone(last, pivot, rest[min(i, len(rest) - 1)], swing[min(i, len(swing) - 1)],
                 phase - 0.9 * i, wander, splay if i == 0 else 0.0)
        )  # fmt: skip
        last = len(bones) - 1
        parts.append(Part(last, (0, length * 0.48, 0), (width, length * 0.6, width), material))
        pivot = (0, length * 0.95, 0)
    return last


def _biped(rng):
    """People: torso, head, hair or helmet, arms, legs, shoes, sometimes a bag or a skirt."""
    bulk, tall = rng.uniform(0.8, 1.3), rng.uniform(0.85, 1.1)
    lean = rng.normal(0, 0.25)
    bones = [Bone(-1, (0, 0, 0), lean, 0.05, 0, 0.08)]
    parts = [
        Part(0, (0, -0.42 * tall, 0), (0.17 * bulk, 0.36 * tall, 0.24 * bulk), "top"),
        Part(0, (0, -0.66 * tall, 0), (0.14 * bulk, 0.12, 0.27 * bulk), "top"),
        Part(0, (0, -0.02, 0), (0.16 * bulk, 0.16, 0.2 * bulk), "legs"),
    ]
    bones.append(Bone(0, (0, -0.78 * tall, 0), -lean * 0.6, 0.04, 1, 0.15))
    r = rng.uniform(0.12, 0.16)
    parts += [
        Part(1, (0, 0, 0), (0.06, 0.09, 0.06), "skin"),
        Part(1, (0.02, -0.17, 0), (r, r * 1.25, r * 0.95), "skin"),
    ]
    if rng.random() < 0.25:
        parts.append(Part(1, (0, -0.2, 0), (r * 1.25, r * 1.2, r * 1.2), "hat"))
    elif rng.random() < 0.9:
        size = rng.uniform(0.95, 1.2)
        drop = rng.choice([0.0, 0.05, 0.15], p=(0.6, 0.2, 0.2))
        parts.append(Part(1, (-0.04, -0.22 + drop, 0), (r * size, r * (1.1 + 2 * drop), r * 1.05), "hair"))
    sleeve = "top" if rng.random() < 0.5 else "skin"
    trouser = "legs" if rng.random() < 0.65 else "skin"
    raised = rng.choice([0.0, 1.2, 2.6], p=(0.75, 0.15, 0.1))
    skirt = rng.random() < 0.15
    for side in (-1, 1):
        ph = np.pi if side > 0 else 0.0
        _limb(bones, parts, 0, (0, -0.68 * tall, side * 0.27 * bulk), (0.36, 0.34, 0.1),
              (0.075 * bulk, 0.058, 0.05), ("top" if rng.random() < 0.95 else "skin", sleeve, "skin"),
              rest=(-raised * rng.uniform(0.5, 1), -rng.uniform(0.1, 1.2), 0), swing=(0.6, 0.25, 0),
              phase=ph, wander=0.3, splay=-side * rng.uniform(0.05, 0.5))  # fmt: skip
        foot = _limb(bones, parts, 0, (0, 0.05, side * 0.11), (0.48, 0.46), (0.12 * bulk, 0.085),
                     ("legs", trouser), rest=(-rng.uniform(0, 0.5), rng.uniform(0.05, 0.7)),
                     swing=(0.6, 0.4), phase=ph + np.pi, wander=0.15)  # fmt: skip
        parts.append(Part(foot, (0.08, 0.5, 0), (0.16, 0.06, 0.07), "shoes"))
    if skirt:
        parts.append(Part(0, (0, 0.15, 0), (0.26, 0.3, 0.28), "legs"))
    if rng.random() < 0.25:
        parts.append(Part(0, (-0.24, -0.45, 0), (0.11, 0.24, 0.18), "bag", "box"))
    uses = dict(top="cloth", legs="cloth", skin="skin", hair="hair", hat="paint", shoes="cloth", bag="cloth")
    return bones, parts, uses


def _quadruped(rng):
    """Dogs, horses, cows, goats: trunk, neck, head, ears, four legs, tail, sometimes tack."""
    length, girth = rng.uniform(0.42, 0.7), rng.uniform(0.17, 0.32)
    leg, neck = rng.uniform(0.32, 0.75), rng.uniform(0.12, 0.5)
    shaggy = rng.random() < 0.4
    fur2 = "fur" if rng.random() < 0.6 else "fur2"
    bones = [Bone(-1, (0, 0, 0), 0.0, 0.08, 0, 0.1)]
    parts = [
        Part(0, (0, 0, 0), (length, girth, girth * 0.9), "fur"),
        Part(0, (length * 0.55, 0.02, 0), (girth * 1.15, girth * 1.1, girth * 0.9), "fur"),
        Part(0, (-length * 0.6, -0.02, 0), (girth * 1.1, girth * 1.05, girth * 0.9), fur2),
    ]
    if shaggy:
        parts.append(Part(0, (0, girth * 0.6, 0), (length * 0.9, girth * 0.8, girth), "fur2"))
    up = rng.uniform(0.3, 1.3)
    bones.append(Bone(0, (length * 0.8, -girth * 0.4, 0), -np.pi + up, 0.1, 0, 0.2))
    parts.append(Part(1, (0, neck * 0.5, 0), (girth * 0.55, neck * 0.7 + 0.08, girth * 0.5), "fur"))
    bones.append(Bone(1, (0, neck, 0), np.pi - up - 1.3 + rng.normal(0, 0.2), 0.06, 1, 0.25))
    head = rng.uniform(0.11, 0.17)
    face = "fur" if rng.random() < 0.5 else "face"
    muzzle = rng.uniform(0.8, 2.0)
    parts += [
        Part(2, (0, 0.05, 0), (head * 1.05, head * 1.2, head), face),
        Part(2, (0, head * (0.9 + 0.5 * muzzle), 0), (head * 0.6, head * muzzle * 0.7, head * 0.55), "face"),
        Part(2, (0, head * (0.8 + 1.1 * muzzle), 0), (head * 0.35, head * 0.3, head * 0.35), "nose"),
    ]
    droop = rng.choice([-0.12, 0.06])
    for side in (-1, 1):
        parts.append(Part(2, (-head * 0.9, -0.02 - droop * 0.3, side * head * 0.8), (0.1, 0.05, 0.04), "ears", tilt=droop * 8))
    lower = "socks" if rng.random() < 0.45 else "fur"
    for end in (1, -1):
        for side in (-1, 1):
            ph = (0 if end > 0 else 0.6 * np.pi) + (0 if side > 0 else np.pi * rng.uniform(0.2, 1))
            foot = _limb(bones, parts, 0, (end * length * 0.68, girth * 0.45, side * girth * 0.5),
                         (leg * 0.55, leg * 0.55), (girth * 0.42, girth * 0.24), ("fur" if end > 0 else fur2, lower),
                         rest=(0.25 * end, -0.3 * end), swing=(0.55, 0.35), phase=ph, wander=0.1)  # fmt: skip
            parts.append(Part(foot, (0.03, leg * 0.56, 0), (girth * 0.3, 0.04, girth * 0.25), "hoof"))
    _limb(bones, parts, 0, (-length * 0.95, -girth * 0.4, 0), (0.25, 0.25), (0.05, 0.06 if not shaggy else 0.1),
          ("fur", "tail"), rest=(rng.uniform(0.2, 2.6), rng.normal(0, 0.3)), swing=(0.2, 0.2), wander=0.4)  # fmt: skip
    if rng.random() < 0.3:
        parts.append(Part(1, (0, neck * 0.4, 0), (girth * 0.62, 0.04, girth * 0.6), "tack"))
    if rng.random() < 0.15:
        parts.append(Part(0, (0.02, -girth * 0.55, 0), (length * 0.35, girth * 0.6, girth * 0.85), "tack"))
    uses = dict(fur="fur", fur2="fur", face="fur", nose="hair", ears="fur", socks="fur", hoof="hair",
                tail="fur", tack="cloth")  # fmt: skip
    return bones, parts, uses


def _vehicle(rng):
    """Cars, vans, carts: hull, cabin with glass, wheels, lamps, bumpers, stripes, a load."""
    length, height, width = rng.uniform(0.7, 1.05), rng.uniform(0.16, 0.3), rng.uniform(0.34, 0.46)
    wheel = rng.uniform(0.14, 0.22)
    bones = [Bone(-1, (0, 0, 0), 0.0, 0.01, 0, 0.03)]
    parts = [Part(0, (0, 0, 0), (length, height, width), "hull", "box")]
    if rng.random() < 0.7:
        parts.append(Part(0, (0, height * 0.6, 0), (length * 1.02, height * 0.3, width * 1.02), "trim", "box"))
    if rng.random() < 0.85:
        long, back = rng.uniform(0.45, 0.8), rng.uniform(-0.3, 0.05)
        roof = rng.uniform(0.14, 0.3)
        y = -height - roof * 0.9
        parts += [
            Part(0, (back, y, 0), (length * long, roof, width * 0.88), "glass", "box"),
            Part(0, (back, y - roof * 0.8, 0), (length * long * 0.95, roof * 0.28, width * 0.9), "roof", "box"),
        ]
        for x in rng.uniform(-0.9, 0.9, rng.integers(1, 4)):
            parts.append(Part(0, (back + x * length * long, y, 0), (0.03, roof, width * 0.91), "hull", "box"))
        slope = rng.uniform(0.5, 1.0)
        for end in (-1, 1):
            parts.append(Part(0, (back + end * length * long, y + 0.05, 0), (roof * slope, roof * 0.8, width * 0.85), "glass"))
    elif rng.random() < 0.8:
        parts.append(Part(0, (rng.uniform(-0.3, 0.3), -height * 1.7, 0), (rng.uniform(0.2, 0.4), rng.uniform(0.15, 0.3), width * 0.8),
                          "load", str(rng.choice(["box", "ellipsoid"]))))  # fmt: skip
    parts += [
        Part(0, (length * 0.9, 0, 0), (0.22, height * 0.95, width * 0.97), "hull"),
        Part(0, (-length * 0.92, 0, 0), (0.16, height * 0.95, width * 0.97), "hull"),
    ]
    for end in (-1, 1):
        parts.append(Part(0, (end * (length + 0.06), height * 0.5, 0), (0.07, height * 0.28, width * 0.95), "bumper", "box"))
        for side in (-1, 1):
            spot = (end * (length + 0.08), -height * 0.25, side * width * 0.72)
            parts.append(Part(0, spot, (0.06, 0.07, 0.08), "lamp" if end > 0 else "rear"))
            hub = (end * length * rng.uniform(0.6, 0.66), height * 1.0, side * width * 0.92)
            parts += [
                Part(0, hub, (wheel, wheel, 0.09), "tyre"),
                Part(0, (hub[0], hub[1], hub[2] + side * 0.05), (wheel * 0.6, wheel * 0.6, 0.07), "hub"),
            ]
    uses = dict(hull="paint", roof="paint", trim="paint", glass="glass", tyre="rubber", hub="metal", lamp="lamp",
                rear="lamp", bumper="rubber", load="any")  # fmt: skip
    return bones, parts, uses


def _bird(rng):
    """Swans, hens, ducks: body, curved neck, head, beak, wings, tail, legs."""
    length, girth, neck = rng.uniform(0.4, 0.65), rng.uniform(0.2, 0.34), rng.uniform(0.1, 0.28)
    bones = [Bone(-1, (0, 0, 0), rng.uniform(-0.5, 0.2), 0.05, 0, 0.08)]
    parts = [Part(0, (0, 0, 0), (length, girth, girth * 0.9), "body")]
    last = _limb(bones, parts, 0, (length * 0.75, -girth * 0.3, 0), (neck * 1.3, neck, neck, neck),
                 (girth * 0.4, girth * 0.3, girth * 0.26, girth * 0.25), ("body", "neck", "neck", "neck"),
                 rest=(-np.pi + 0.8, -rng.uniform(0.1, 0.6), 0.2, 0.6), swing=(0.05, 0.05), wander=0.15)  # fmt: skip
    bones.append(Bone(last, (0, neck, 0), rng.uniform(0.5, 1.2), 0.1, 1, 0.2))
    parts += [
        Part(len(bones) - 1, (0, 0.03, 0), (0.09, 0.12, 0.09), "head"),
        Part(len(bones) - 1, (0, 0.18, 0), (0.035, rng.uniform(0.07, 0.15), 0.035), "beak"),
    ]
    for side in (-1, 1):
        bones.append(Bone(0, (length * 0.3, -girth * 0.4, side * girth * 0.7), 0.15, 0.1, 0, 0.15, -side * rng.uniform(0, 0.5)))
        parts.append(Part(len(bones) - 1, (-length * 0.6, girth * 0.3, 0), (length * 0.8, girth * 0.6, 0.07), "wing"))
        if rng.random() < 0.6:
            _limb(bones, parts, 0, (0, girth * 0.8, side * 0.1), (0.25, 0.2), (0.05, 0.03), ("body", "beak"),
                  rest=(0.2, -0.3), swing=(0.5, 0.3), phase=side)  # fmt: skip
    parts.append(Part(0, (-length * 1.05, -girth * 0.3, 0), (0.25, 0.07, 0.14), "tail", tilt=0.5))
    return bones, parts, dict(body="fur", neck="fur", head="fur", beak="beak", wing="fur", tail="fur")


def _cycle(rng):
    """Bicycles, karts, scooters: rings and rods, sometimes with a load or a rider's seat."""
    base, wheel = rng.uniform(0.45, 0.75), rng.uniform(0.22, 0.38)
    rod = rng.uniform(0.03, 0.06)
    solid = rng.random() < 0.4
    bones = [Bone(-1, (0, 0, 0), 0.0, 0.05, 0, 0.15)]
    parts = []
    for end in (-1, 1):
        sides = (-0.3, 0.3) if solid else (0.0,)
        for z in sides:
            shape = "ellipsoid" if solid else "ring"
            parts.append(Part(0, (end * base, 0.3, z), (wheel, wheel, 0.05), "tyre", shape))
            parts.append(Part(0, (end * base, 0.3, z), (wheel * 0.3, wheel * 0.3, 0.06), "hub"))
    for _ in range(rng.integers(4, 8)):
        a, b = rng.uniform((-base, -0.5), (base, 0.3)), rng.uniform((-base, -0.5), (base, 0.3))
        span = b - a
        parts.append(Part(0, (*((a + b) / 2), rng.uniform(-0.1, 0.1)), (np.hypot(*span) * 0.55 + 0.05, rod, rod),
                          str(rng.choice(["frame", "frame", "frame2"])), "box", np.arctan2(span[1], span[0])))  # fmt: skip
    parts.append(Part(0, (0, 0.2, 0), (base, rod * 1.2, rod * 2), "frame", "box"))
    parts.append(Part(0, (base * 0.8, -0.45, 0), (0.08, 0.05, rng.uniform(0.2, 0.4)), "seat"))
    parts.append(Part(0, (-base * 0.5, -0.35, 0), (0.2, 0.06, 0.1), "seat"))
    if rng.random() < 0.5:
        parts.append(Part(0, (rng.uniform(-0.3, 0.3), -0.1, 0), tuple(rng.uniform(0.15, 0.35, 3)), "load",
                          str(rng.choice(["box", "ellipsoid"]))))  # fmt: skip
    return bones, parts, dict(tyre="rubber", hub="metal", frame="paint", frame2="paint", seat="hair", load="any")


def _assembly(rng):
    """Things: a few solids put together, some of which move."""
    bones, parts = [Bone(-1, (0, 0, 0), rng.normal(0, 0.4), 0, 0, 0.1)], []
    for i in range(rng.integers(2, 8)):
        bones.append(Bone(int(rng.integers(0, len(bones))), tuple(rng.normal(0, 0.17, 3)), rng.normal(0, 0.8),
                          rng.uniform(0, 0.3), rng.uniform(0, 6), rng.uniform(0, 0.4)))  # fmt: skip
        parts.append(Part(i + 1, tuple(rng.normal(0, 0.12, 3)), tuple(np.exp(rng.normal(-1.4, 0.5, 3))),
                          f"m{rng.integers(0, 4)}", str(rng.choice(["box", "ellipsoid", "ellipsoid"]))))  # fmt: skip
    palette = ("any", "paint", "cloth", "fur")
    return bones, parts, {f"m{i}": str(rng.choice(palette)) for i in range(4)}


PLANS = {
    "biped": (_biped, 0.34),
    "quadruped": (_quadruped, 0.24),
    "vehicle": (_vehicle, 0.16),
    "bird": (_bird, 0.07),
    "cycle": (_cycle, 0.07),
    "assembly": (_assembly, 0.12),
}


def draw_body(rng: np.random.Generator, plan: str | None = None) -> Body:
    """Draw a new identity; ``plan`` (one of ``PLANS``) is drawn too unless given."""
    if plan is None:
        weights = np.array([w for _, w in PLANS.values()])
        plan = str(rng.choice(list(PLANS), p=weights / weights.sum()))
    bones, parts, uses = PLANS[plan][0](rng)
    motion = np.column_stack(
        [rng.uniform(0.02, 0.12, (len(bones), 2)), rng.uniform(0, 6.3, (len(bones), 2))]
    )
    materials = {name: draw_material(palette, rng) for name, palette in uses.items()}
    return Body(plan, tuple(bones), tuple(parts), materials, motion, float(rng.uniform(0.2, 1.0)))


def draw_lookalike(body: Body, rng: np.random.Generator, n_changes: int = 2) -> Body:
    """An identity of the same model with other details: ``n_changes`` materials are redrawn."""
    used = sorted({part.material for part in body.parts})
    palettes = PLANS[body.plan][0](np.random.default_rng(0))[2]
    changed: dict[str, Material] = {}
    for name in rng.choice(used, min(n_changes, len(used)), replace=False):
        changed[str(name)] = draw_material(palettes.get(str(name), "any"), rng)
    motion = body.motion + rng.uniform(0, 6.3, body.motion.shape) * (0, 0, 1, 1)
    return replace(body, materials={**body.materials, **changed}, motion=motion)

"""Body plans of what is made: vehicles, cycles, and assemblies of solids."""

from __future__ import annotations

import numpy as np

from instanceid_utils.synthetic.skeleton import Bone, Part


def vehicle(rng):
    """Cars, vans, carts: hull, cabin with glass, wheels, lamps, bumpers, stripes, a load."""
    length, height, width = rng.uniform(0.7, 1.05), rng.uniform(0.16, 0.3), rng.uniform(0.34, 0.46)
    wheel = rng.uniform(0.14, 0.22)
    bones = [Bone(-1, (0, 0, 0), 0.0, 0.01, 0, 0.03)]
    parts = [Part(0, (0, 0, 0), (length, height, width), "hull", "box")]
    if rng.random() < 0.7:
        parts.append(
            Part(
                0, (0, height * 0.6, 0), (length * 1.02, height * 0.3, width * 1.02), "trim", "box"
            )
        )
    if rng.random() < 0.85:
        long, back = rng.uniform(0.45, 0.8), rng.uniform(-0.3, 0.05)
        roof = rng.uniform(0.14, 0.3)
        y = -height - roof * 0.9
        parts += [
            Part(0, (back, y, 0), (length * long, roof, width * 0.88), "glass", "box"),
            Part(
                0,
                (back, y - roof * 0.8, 0),
                (length * long * 0.95, roof * 0.28, width * 0.9),
                "roof",
                "box",
            ),
        ]
        for x in rng.uniform(-0.9, 0.9, rng.integers(1, 4)):
            parts.append(
                Part(0, (back + x * length * long, y, 0), (0.03, roof, width * 0.91), "hull", "box")
            )
        slope = rng.uniform(0.5, 1.0)
        for end in (-1, 1):
            parts.append(
                Part(
                    0,
                    (back + end * length * long, y + 0.05, 0),
                    (roof * slope, roof * 0.8, width * 0.85),
                    "glass",
                )
            )
    elif rng.random() < 0.8:
        parts.append(
            Part(
                0,
                (rng.uniform(-0.3, 0.3), -height * 1.7, 0),
                (rng.uniform(0.2, 0.4), rng.uniform(0.15, 0.3), width * 0.8),
                "load",
                str(rng.choice(["box", "ellipsoid"])),
            )
        )
    parts += [
        Part(0, (length * 0.9, 0, 0), (0.22, height * 0.95, width * 0.97), "hull"),
        Part(0, (-length * 0.92, 0, 0), (0.16, height * 0.95, width * 0.97), "hull"),
    ]
    for end in (-1, 1):
        parts.append(
            Part(
                0,
                (end * (length + 0.06), height * 0.5, 0),
                (0.07, height * 0.28, width * 0.95),
                "bumper",
                "box",
            )
        )
        for side in (-1, 1):
            spot = (end * (length + 0.08), -height * 0.25, side * width * 0.72)
            parts.append(Part(0, spot, (0.06, 0.07, 0.08), "lamp" if end > 0 else "rear"))
            hub = (end * length * rng.uniform(0.6, 0.66), height * 1.0, side * width * 0.92)
            parts += [
                Part(0, hub, (wheel, wheel, 0.09), "tyre"),
                Part(
                    0,
                    (hub[0], hub[1], hub[2] + side * 0.05),
                    (wheel * 0.6, wheel * 0.6, 0.07),
                    "hub",
                ),
            ]
    uses = dict(
        hull="paint",
        roof="paint",
        trim="paint",
        glass="glass",
        tyre="rubber",
        hub="metal",
        lamp="lamp",
        rear="lamp",
        bumper="rubber",
        load="any",
    )
    return bones, parts, uses


def cycle(rng):
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
        parts.append(
            Part(
                0,
                (*((a + b) / 2), rng.uniform(-0.1, 0.1)),
                (np.hypot(*span) * 0.55 + 0.05, rod, rod),
                str(rng.choice(["frame", "frame", "frame2"])),
                "box",
                np.arctan2(span[1], span[0]),
            )
        )
    parts.append(Part(0, (0, 0.2, 0), (base, rod * 1.2, rod * 2), "frame", "box"))
    parts.append(Part(0, (base * 0.8, -0.45, 0), (0.08, 0.05, rng.uniform(0.2, 0.4)), "seat"))
    parts.append(Part(0, (-base * 0.5, -0.35, 0), (0.2, 0.06, 0.1), "seat"))
    if rng.random() < 0.5:
        parts.append(
            Part(
                0,
                (rng.uniform(-0.3, 0.3), -0.1, 0),
                tuple(rng.uniform(0.15, 0.35, 3)),
                "load",
                str(rng.choice(["box", "ellipsoid"])),
            )
        )
    return (
        bones,
        parts,
        dict(tyre="rubber", hub="metal", frame="paint", frame2="paint", seat="hair", load="any"),
    )


def assembly(rng):
    """Things: a few solids put together, some of which move."""
    bones, parts = [Bone(-1, (0, 0, 0), rng.normal(0, 0.4), 0, 0, 0.1)], []
    for i in range(rng.integers(2, 8)):
        bones.append(
            Bone(
                int(rng.integers(0, len(bones))),
                tuple(rng.normal(0, 0.17, 3)),
                rng.normal(0, 0.8),
                rng.uniform(0, 0.3),
                rng.uniform(0, 6),
                rng.uniform(0, 0.4),
            )
        )
        parts.append(
            Part(
                i + 1,
                tuple(rng.normal(0, 0.12, 3)),
                tuple(np.exp(rng.normal(-1.4, 0.5, 3))),
                f"m{rng.integers(0, 4)}",
                str(rng.choice(["box", "ellipsoid", "ellipsoid"])),
            )
        )
    palette = ("any", "paint", "cloth", "fur")
    return bones, parts, {f"m{i}": str(rng.choice(palette)) for i in range(4)}

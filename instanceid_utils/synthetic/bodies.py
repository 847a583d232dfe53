"""Draw identities: bodies of every plan, and look-alikes of a body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instanceid_utils.synthetic.creatures import biped, bird, quadruped
from instanceid_utils.synthetic.materials import Material, draw_material
from instanceid_utils.synthetic.skeleton import Body
from instanceid_utils.synthetic.things import assembly, cycle, vehicle

PLANS = {
    "biped": (biped, 0.34),
    "quadruped": (quadruped, 0.24),
    "vehicle": (vehicle, 0.16),
    "bird": (bird, 0.07),
    "cycle": (cycle, 0.07),
    "assembly": (assembly, 0.12),
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
    """Draw an identity of the same model: ``n_changes`` of its materials are others."""
    used = sorted({part.material for part in body.parts})
    palettes = PLANS[body.plan][0](np.random.default_rng(0))[2]
    changed: dict[str, Material] = {}
    for name in rng.choice(used, min(n_changes, len(used)), replace=False):
        changed[str(name)] = draw_material(palettes.get(str(name), "any"), rng)
    motion = body.motion + rng.uniform(0, 6.3, body.motion.shape) * (0, 0, 1, 1)
    return replace(body, materials={**body.materials, **changed}, motion=motion)


def identity_body(identity: int, seed: int, group: int = 4, share: float = 0.4):
    """Return the body of identity number ``identity`` in the population ``seed``.

    Identities come in groups of ``group``; in a ``share`` of the groups all members are
    look-alikes of the first, with one to three materials changed.
    """
    chief = identity - identity % group
    body = draw_body(np.random.default_rng([seed, chief, 1]))
    if identity == chief:
        return body
    if np.random.default_rng([seed, chief, 2]).random() < share:
        rng = np.random.default_rng([seed, identity, 3])
        return draw_lookalike(body, rng, int(rng.integers(1, 4)))
    return draw_body(np.random.default_rng([seed, identity, 1]))

"""Body plans of what lives: people, four-legged animals, birds."""

from __future__ import annotations

import numpy as np

from instanceid_utils.synthetic.skeleton import Bone, Part, add_limb


def biped(rng):
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
        parts.append(
            Part(1, (-0.04, -0.22 + drop, 0), (r * size, r * (1.1 + 2 * drop), r * 1.05), "hair")
        )
    sleeve = "top" if rng.random() < 0.5 else "skin"
    trouser = "legs" if rng.random() < 0.65 else "skin"
    raised = rng.choice([0.0, 1.2, 2.6], p=(0.75, 0.15, 0.1))
    skirt = rng.random() < 0.15
    for side in (-1, 1):
        ph = np.pi if side > 0 else 0.0
        add_limb(
            bones,
            parts,
            0,
            (0, -0.68 * tall, side * 0.27 * bulk),
            (0.36, 0.34, 0.1),
            (0.075 * bulk, 0.058, 0.05),
            ("top" if rng.random() < 0.95 else "skin", sleeve, "skin"),
            rest=(-raised * rng.uniform(0.5, 1), -rng.uniform(0.1, 1.2), 0),
            swing=(0.6, 0.25, 0),
            phase=ph,
            wander=0.3,
            splay=-side * rng.uniform(0.05, 0.5),
        )
        foot = add_limb(
            bones,
            parts,
            0,
            (0, 0.05, side * 0.11),
            (0.48, 0.46),
            (0.12 * bulk, 0.085),
            ("legs", trouser),
            rest=(-rng.uniform(0, 0.5), rng.uniform(0.05, 0.7)),
            swing=(0.6, 0.4),
            phase=ph + np.pi,
            wander=0.15,
        )
        parts.append(Part(foot, (0.08, 0.5, 0), (0.16, 0.06, 0.07), "shoes"))
    if skirt:
        parts.append(Part(0, (0, 0.15, 0), (0.26, 0.3, 0.28), "legs"))
    if rng.random() < 0.25:
        parts.append(Part(0, (-0.24, -0.45, 0), (0.11, 0.24, 0.18), "bag", "box"))
    uses = dict(
        top="cloth", legs="cloth", skin="skin", hair="hair", hat="paint", shoes="cloth", bag="cloth"
    )
    return bones, parts, uses


def quadruped(rng):
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
        Part(
            2,
            (0, head * (0.9 + 0.5 * muzzle), 0),
            (head * 0.6, head * muzzle * 0.7, head * 0.55),
            "face",
        ),
        Part(
            2, (0, head * (0.8 + 1.1 * muzzle), 0), (head * 0.35, head * 0.3, head * 0.35), "nose"
        ),
    ]
    droop = rng.choice([-0.12, 0.06])
    for side in (-1, 1):
        parts.append(
            Part(
                2,
                (-head * 0.9, -0.02 - droop * 0.3, side * head * 0.8),
                (0.1, 0.05, 0.04),
                "ears",
                tilt=droop * 8,
            )
        )
    lower = "socks" if rng.random() < 0.45 else "fur"
    for end in (1, -1):
        for side in (-1, 1):
            ph = (0 if end > 0 else 0.6 * np.pi) + (0 if side > 0 else np.pi * rng.uniform(0.2, 1))
            foot = add_limb(
                bones,
                parts,
                0,
                (end * length * 0.68, girth * 0.45, side * girth * 0.5),
                (leg * 0.55, leg * 0.55),
                (girth * 0.42, girth * 0.24),
                ("fur" if end > 0 else fur2, lower),
                rest=(0.25 * end, -0.3 * end),
                swing=(0.55, 0.35),
                phase=ph,
                wander=0.1,
            )
            parts.append(
                Part(foot, (0.03, leg * 0.56, 0), (girth * 0.3, 0.04, girth * 0.25), "hoof")
            )
    add_limb(
        bones,
        parts,
        0,
        (-length * 0.95, -girth * 0.4, 0),
        (0.25, 0.25),
        (0.05, 0.06 if not shaggy else 0.1),
        ("fur", "tail"),
        rest=(rng.uniform(0.2, 2.6), rng.normal(0, 0.3)),
        swing=(0.2, 0.2),
        wander=0.4,
    )
    if rng.random() < 0.3:
        parts.append(Part(1, (0, neck * 0.4, 0), (girth * 0.62, 0.04, girth * 0.6), "tack"))
    if rng.random() < 0.15:
        parts.append(
            Part(0, (0.02, -girth * 0.55, 0), (length * 0.35, girth * 0.6, girth * 0.85), "tack")
        )
    uses = dict(
        fur="fur",
        fur2="fur",
        face="fur",
        nose="hair",
        ears="fur",
        socks="fur",
        hoof="hair",
        tail="fur",
        tack="cloth",
    )
    return bones, parts, uses


def bird(rng):
    """Swans, hens, ducks: body, curved neck, head, beak, wings, tail, legs."""
    length, girth, neck = rng.uniform(0.4, 0.65), rng.uniform(0.2, 0.34), rng.uniform(0.1, 0.28)
    bones = [Bone(-1, (0, 0, 0), rng.uniform(-0.5, 0.2), 0.05, 0, 0.08)]
    parts = [Part(0, (0, 0, 0), (length, girth, girth * 0.9), "body")]
    last = add_limb(
        bones,
        parts,
        0,
        (length * 0.75, -girth * 0.3, 0),
        (neck * 1.3, neck, neck, neck),
        (girth * 0.4, girth * 0.3, girth * 0.26, girth * 0.25),
        ("body", "neck", "neck", "neck"),
        rest=(-np.pi + 0.8, -rng.uniform(0.1, 0.6), 0.2, 0.6),
        swing=(0.05, 0.05),
        wander=0.15,
    )
    bones.append(Bone(last, (0, neck, 0), rng.uniform(0.5, 1.2), 0.1, 1, 0.2))
    parts += [
        Part(len(bones) - 1, (0, 0.03, 0), (0.09, 0.12, 0.09), "head"),
        Part(len(bones) - 1, (0, 0.18, 0), (0.035, rng.uniform(0.07, 0.15), 0.035), "beak"),
    ]
    for side in (-1, 1):
        bones.append(
            Bone(
                0,
                (length * 0.3, -girth * 0.4, side * girth * 0.7),
                0.15,
                0.1,
                0,
                0.15,
                -side * rng.uniform(0, 0.5),
            )
        )
        parts.append(
            Part(
                len(bones) - 1,
                (-length * 0.6, girth * 0.3, 0),
                (length * 0.8, girth * 0.6, 0.07),
                "wing",
            )
        )
        if rng.random() < 0.6:
            add_limb(
                bones,
                parts,
                0,
                (0, girth * 0.8, side * 0.1),
                (0.25, 0.2),
                (0.05, 0.03),
                ("body", "beak"),
                rest=(0.2, -0.3),
                swing=(0.5, 0.3),
                phase=side,
            )
    parts.append(Part(0, (-length * 1.05, -girth * 0.3, 0), (0.25, 0.07, 0.14), "tail", tilt=0.5))
    return (
        bones,
        parts,
        dict(body="fur", neck="fur", head="fur", beak="beak", wing="fur", tail="fur"),
    )

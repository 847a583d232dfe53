"""Make the shipped weights: ``python -m instanceid_utils.pretrain``.

Draws generated identities, trains on them, chooses the threshold on others, and writes weights
and card. Stopped at any moment, the same command goes on where it was. Takes hours.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from instanceid_utils.synthetic.tracklets import draw_tracklets
from instanceid_utils.training import PROFILES, SegmentSet, train

BLOCK = 400  # identities in a file of the cache
GAP = 20  # frames between two views of a tracklet, as the retrieval rule counts them
VALIDATION_SEED = 9001  # another population: no identity in common with any training seed
PACKAGES = ("tensorflow", "tensorflow-addons", "numpy", "opencv-python-headless", "scipy")


def population(n_identities, n_views, seed, cache, *, workers=2, progress=True):
    """Draw a population of generated identities, or read what an earlier call drew.

    Parameters
    ----------
    n_identities, n_views, seed : int
        See ``synthetic.tracklets.draw_tracklets``.
    cache : path
        Folder for the crops, in blocks, each written whole.
    workers, progress
        See ``synthetic.tracklets.draw_tracklets``.

    Returns
    -------
    SegmentSet
        Each shot of an identity is a sequence.
    """
    cache = Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for first in range(0, n_identities, BLOCK):
        count = min(BLOCK, n_identities - first)
        path = cache / f"population-{seed}-{first}-{count}x{n_views}.npz"
        if not path.exists():
            crops, clips = draw_tracklets(
                count, n_views, seed, first=first, workers=workers, progress=progress
            )
            beside = path.with_suffix(".part.npz")
            np.savez(beside, crops=crops, clips=clips)
            os.replace(beside, path)
        with np.load(path, allow_pickle=False) as block:
            parts.append((block["crops"], block["clips"]))
    crops = np.concatenate([c for c, _ in parts])
    clips = np.concatenate([k for _, k in parts])
    identities = np.repeat(np.arange(n_identities) + seed * 1_000_000, n_views)
    return SegmentSet(
        crops=crops.reshape(-1, *crops.shape[2:]),
        identities=identities,
        sequences=identities * 16 + clips.ravel(),
        frames=np.tile(np.arange(n_views) * GAP, n_identities),
    )


def _arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/weights/instanceid.json"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"), help="cache, checkpoints")
    parser.add_argument("--identities", type=int, default=4000)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--validation", type=int, default=160, help="identities to validate on")
    parser.add_argument("--calibration", type=int, default=320, help="identities for the threshold")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=PROFILES["full"].epochs)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-root", type=Path, help="DAVIS folder to report on, never to tune on")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the whole of it; returns the card's path."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args = _arguments(argv)
    cache = args.work / "population"
    drawing = {"cache": cache, "workers": args.workers}
    data = population(args.identities, args.views, args.seed, **drawing)
    validation = population(args.validation, args.views, VALIDATION_SEED, **drawing)
    recipe = replace(PROFILES["full"], seed=args.seed, epochs=args.epochs)
    run = train(data, validation, recipe, args.work / "run")
    return run, args


if __name__ == "__main__":
    main()

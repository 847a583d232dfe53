"""Make the shipped weights: ``python -m instanceid_utils.training.pretrain``.

Draws generated identities and crowds, trains on them as detectors, segmentation models and small
pictures leave them, chooses the threshold on others, and writes weights and card. Stopped at any
moment, the same command goes on where it was. Takes hours.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.segment_sets import collect
from instanceid_utils.embedding.network import build_network
from instanceid_utils.embedding.weights import calibration_path, save_weights
from instanceid_utils.evaluation.calibration import calibrate_set
from instanceid_utils.evaluation.retrieval import evaluate_beside_baselines, format_table
from instanceid_utils.segments.crops import MARGIN
from instanceid_utils.synthetic.populations import crowd_population, population
from instanceid_utils.training.degradation import PERFECT, Degradation, degrade
from instanceid_utils.training.fit_evidence import main as fit_evidence
from instanceid_utils.training.fit_gallery_sizes import main as fit_gallery_sizes
from instanceid_utils.training.loop import embed_with, train
from instanceid_utils.training.recipe import PROFILES

#: The fixed colours that join the learned part; chosen on generated boxes and faulty masks.
COLOUR = {"colour_weight": 1.0, "colour_bands": 2}
VALIDATION_SEED, CALIBRATION_SEED = 9001, 9002  # other populations: no identity in common
CROWD_VIEWS = 10
PACKAGES = ("tensorflow", "tensorflow-addons", "numpy", "opencv-python-headless", "scipy")


def _arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("data/weights/instanceid.json"))
    parser.add_argument(
        "--work", type=Path, default=Path("runs/pretrain"), help="cache, checkpoints"
    )
    parser.add_argument("--identities", type=int, default=3200)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--crowds", type=int, default=64)
    parser.add_argument("--validation", type=int, default=160, help="identities to validate on")
    parser.add_argument("--calibration", type=int, default=320, help="identities for the threshold")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=22)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-root", type=Path, help="DAVIS folder, to report on only")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the whole of it and return the path of the card."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    args = _arguments(argv)
    cache = args.work / "population"
    recipe = replace(
        PROFILES["full"], seed=args.seed, epochs=args.epochs, degradation=Degradation()
    )

    def drawn(n_identities, seed):
        return population(
            n_identities, args.views, seed, cache, workers=args.workers, keep_background=True
        )

    data = drawn(args.identities, args.seed)
    if args.crowds:
        crowds = crowd_population(args.crowds, CROWD_VIEWS, args.seed, cache, workers=args.workers)
        data = data.joined(crowds)
    validation = degraded(drawn(args.validation, VALIDATION_SEED), Degradation())
    run = train(data, validation, recipe, args.work / "run")
    del data
    architecture = {**recipe.architecture, **COLOUR}
    network = build_network(**architecture)
    network.set_weights(run.network.get_weights())
    embed = partial(embed_with, network)
    held_out = degraded(drawn(args.calibration, CALIBRATION_SEED), PERFECT)
    parts = {"generated": held_out}
    if args.data_root:
        parts["real"] = collect(DavisDataset(args.data_root))
    reports = evaluate_beside_baselines(embed, parts)
    print(format_table(reports))
    digest = save_weights(
        network,
        args.out,
        architecture,
        margin=MARGIN,
        command=f"python -m instanceid_utils.training.pretrain {' '.join(_told(args))}",
        seed=args.seed,
        recipe=asdict(recipe),
        versions={name: version(name) for name in PACKAGES},
        metrics={
            title: {
                metric: round(value, 4)
                for metric, value in report.as_dict().items()
                if isinstance(value, float)
            }
            for title, report in reports.items()
            if title.endswith("InstanceID")
        },
        history=run.history,
    )
    calibration = calibrate_set(embed, held_out, weights_sha256=digest)
    calibration.to_json(calibration_path(args.out))
    for fit in (fit_evidence, fit_gallery_sizes):
        fit(["--weights", str(args.out)])
    print(f"{args.out.with_suffix('.npz')}: {digest}, threshold {calibration.threshold:.3f}")
    return args.out


def degraded(data, how):
    """Return a set of crops with their background as ``how`` leaves them."""
    return replace(data, crops=degrade(data.crops, np.random.default_rng(0), how))


def _told(args):
    """Return the arguments on which the weights depend, as words of a command."""
    names = ("identities", "views", "crowds", "validation", "seed", "epochs")
    return [f"--{name} {getattr(args, name)}" for name in names]


if __name__ == "__main__":
    main()

"""What each choice is worth: the same short training again and again, one thing changed.

``python -m instanceid_utils.training.ablation`` writes the table; rows that are there are kept.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.embedding.network import build_network
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.evaluation.conditions import cut_conditions
from instanceid_utils.evaluation.regimes import every
from instanceid_utils.evaluation.retrieval import evaluate_set
from instanceid_utils.synthetic.populations import crowd_population, population
from instanceid_utils.training.degradation import PERFECT, Degradation
from instanceid_utils.training.loop import embed_with, train
from instanceid_utils.training.pretrain import COLOUR, CROWD_VIEWS, VALIDATION_SEED, degraded
from instanceid_utils.training.recipe import Recipe

#: The recipe of the shipped weights, cut short; the fixed colours join the network afterwards.
REFERENCE = Recipe(run=4, threshold_weight=1.0, averaging=0.99, epochs=1, degradation=Degradation())

#: Name, without a comma -> what differs from the reference. Not of the recipe are ``crowds``
#: (False leaves them out), ``colour`` (the fixed colours that join) and ``steps``.
VARIANTS: dict[str, dict] = {
    "reference": {},
    "untrained": {"steps": 0},
    "learned part": {"colour": {}},
    "learned part untrained": {"colour": {}, "steps": 0},
    "colours of the whole": {"colour": {**COLOUR, "colour_bands": 1}},
    "no learned colours": {"n_bins": 0},
    "no degradation": {"degradation": PERFECT},
    "no crowds": {"crowds": False},
    "no augmentation": {"augmentation": False},
    "other light and interlacing": {"degradation": Degradation(light=0.3, interlaced=0.15)},
    "look-alikes mined": {"look_alikes": True},
    "views as sets": {"loss": "nearest-view"},
    "batch-hard alone": {"threshold_weight": 0.0, "loss": "batch-hard"},
    "plain pooling": {"pooling": "plain"},
    "wider": {"widths": (48, 96, 192)},
}
METRICS = ("rank1", "map", "auc", "tar_at_far_1pct")


def run_variant(name: str, sets: dict, steps: int, *, seed: int = 0, progress: bool = True) -> dict:
    """Train one variant and evaluate it.

    Parameters
    ----------
    name : str
        A key of ``VARIANTS``.
    sets : dict of str to SegmentSet
        ``train``, with the background kept; ``crowds`` to join to it, if there are any; and any
        number of sets to evaluate on, with the background as it is to be seen.
    steps : int
        Training steps.
    seed : int
    progress : bool
        Show a bar.

    Returns
    -------
    dict
        ``variant``, ``seed`` and, for each other set, its metrics as ``set metric``.
    """
    changes = dict(VARIANTS[name])
    colour, steps = changes.pop("colour", COLOUR), changes.pop("steps", steps)
    with_crowds = changes.pop("crowds", True)
    recipe = replace(REFERENCE, batches_per_epoch=steps, seed=seed, **changes)
    chosen = {key: part.resized(recipe.crop_size) for key, part in sets.items()}
    data, crowds = chosen.pop("train"), chosen.pop("crowds", None)
    if crowds is not None and with_crowds:
        data = data.joined(crowds)
    network = build_network(**recipe.architecture, **colour)
    network.set_weights(_trained(data, next(iter(chosen.values())), recipe, progress))
    row = {"variant": name, "seed": seed}
    for key, part in chosen.items():
        report = evaluate_set(partial(embed_with, network), part, n_bootstrap=0)
        row.update({f"{key} {metric}": round(report.as_dict()[metric], 4) for metric in METRICS})
    return row


def _trained(data, validation, recipe, progress):
    """Return the weights after ``recipe.batches_per_epoch`` steps, which may be none."""
    if not recipe.batches_per_epoch:
        tf.keras.utils.set_random_seed(recipe.seed)
        return build_network(**recipe.architecture).get_weights()
    with tempfile.TemporaryDirectory() as folder:
        return train(data, validation, recipe, folder, progress=progress).network.get_weights()


def write_table(path, rows, command):
    """Write the table as CSV under a comment with the command that makes it."""
    lines = [f"# {command}", ",".join(rows[0])]
    lines += [",".join(map(str, row.values())) for row in rows]
    write_atomically(path, "\n".join(lines) + "\n")


def read_table(path) -> tuple:
    """Read such a table.

    Returns
    -------
    command : str
    rows : list of dict
        Metrics as float, ``seed`` as int.
    """
    first, *lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [
        {
            "variant": row.pop("variant"),
            "seed": int(row.pop("seed")),
            **{metric: float(value) for metric, value in row.items()},
        }
        for row in csv.DictReader(lines)
    ]
    return first.lstrip("# "), rows


def draw_sets(n_identities: int, n_views: int, n_crowds: int, cache, workers: int = 2) -> dict:
    """Draw what `run_variant` takes: generated identities to train on, and others.

    Returns
    -------
    dict of str to SegmentSet
        ``train``, ``crowds``, ``generated`` and ``generated boxes``.
    """
    kept = {"cache": cache, "workers": workers, "keep_background": True}
    held_out = population(160, n_views, VALIDATION_SEED, **kept)
    return {
        "train": population(n_identities, n_views, 1, **kept),
        "crowds": crowd_population(n_crowds, CROWD_VIEWS, 1, cache, workers=workers),
        "generated": degraded(held_out, PERFECT),
        "generated boxes": degraded(held_out, Degradation(box=1, fault=0, small=0)),
    }


def _real_sets(root, step=4) -> dict[str, SegmentSet]:
    frames = every(DavisDataset(root), step=step)
    parts = cut_conditions(frames, conditions=("perfect masks", "boxes"), step=step)
    return dict(zip((root.name, f"{root.name} boxes"), parts.values()))


def main(argv=None):
    """Run all variants, with all seeds, that the table does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/ablations.csv"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"))
    parser.add_argument("--identities", type=int, default=800)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--crowds", type=int, default=24)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-root", type=Path, help="a DAVIS folder to report on as well")
    args = parser.parse_args(argv)
    cache = args.work / "population"
    sets = draw_sets(args.identities, args.views, args.crowds, cache, args.workers)
    told = ("identities", "views", "crowds", "steps", "seeds")
    command = " ".join(
        ["python -m instanceid_utils.training.ablation"]
        + [f"--{name} {getattr(args, name)}" for name in told]
    )
    if args.data_root:
        sets.update(_real_sets(args.data_root))
        command += f" --data-root {shlex.quote(args.data_root.name)}"
    old, rows = read_table(args.out) if args.out.exists() else (command, [])
    rows = rows if old == command else []
    done = {(row["variant"], row["seed"]) for row in rows}
    runs = [(name, seed) for seed in range(args.seeds) for name in VARIANTS]
    for name, seed in tqdm([run for run in runs if run not in done], desc="variants"):
        rows.append(run_variant(name, sets, args.steps, seed=seed, progress=False))
        write_table(args.out, rows, command)


if __name__ == "__main__":
    np.set_printoptions(precision=4)
    main()

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
from instanceid_utils.data.segment_sets import collect
from instanceid_utils.evaluation.retrieval import evaluate_set
from instanceid_utils.synthetic.populations import population
from instanceid_utils.training.loop import embed_with, train
from instanceid_utils.training.pretrain import VALIDATION_SEED
from instanceid_utils.training.recipe import Recipe

REFERENCE = Recipe(run=4, threshold_weight=1.0, averaging=0.99, epochs=1)

#: Name -> what differs from the reference; ``background`` is a choice of data, not of recipe.
VARIANTS: dict[str, dict] = {
    "reference": {},
    "semi-hard alone": {"threshold_weight": 0.0},
    "random triplets alone": {"threshold_weight": 0.0, "loss": "random"},
    "batch-hard alone": {"threshold_weight": 0.0, "loss": "batch-hard"},
    "batch-all alone": {"threshold_weight": 0.0, "loss": "batch-all"},
    "plain pooling": {"pooling": "plain"},
    "background kept": {"background": True},
    "no colour histogram": {"n_bins": 0},
    "no augmentation": {"augmentation": False},
    "crops of 32": {"crop_size": 32},
    "P 8, K 8": {"n_identities": 8, "n_instances": 8},
    "32 dimensions": {"dim": 32},
    "256 dimensions": {"dim": 256},
}
METRICS = ("rank1", "map", "auc", "eer", "tar_at_far_1pct")


def run_variant(name: str, sets: dict, steps: int, *, seed: int = 0, progress: bool = True) -> dict:
    """Train one variant and evaluate it.

    Parameters
    ----------
    name : str
        A key of ``VARIANTS``.
    sets : dict
        ``train`` and any number of sets to evaluate on, each a pair of SegmentSet: background
        filled, background kept. The second may be None where the variant does not need it.
    steps : int
        Training steps.
    seed : int
    progress : bool
        Show a bar.

    Returns
    -------
    dict
        ``variant`` and, for each other set, its metrics as ``set metric``.
    """
    changes = dict(VARIANTS[name])
    kept = int(changes.pop("background", False))
    recipe = replace(REFERENCE, batches_per_epoch=steps, seed=seed, **changes)
    chosen = {key: pair[kept].resized(recipe.crop_size) for key, pair in sets.items()}
    data = chosen.pop("train")
    first = next(iter(chosen.values()))
    with tempfile.TemporaryDirectory() as folder:
        network = train(data, first, recipe, folder, progress=progress).network
    row = {"variant": name}
    for key, part in chosen.items():
        report = evaluate_set(partial(embed_with, network), part, n_bootstrap=0)
        row.update({f"{key} {metric}": round(report.as_dict()[metric], 4) for metric in METRICS})
    return row


def _pair(n_identities, n_views, seed, cache, workers):
    kept = {"cache": cache, "workers": workers, "keep_background": True}
    return (
        population(n_identities, n_views, seed, cache, workers=workers),
        population(n_identities, n_views, seed, **kept),
    )


def write_table(path, rows, command):
    """Write the table as CSV under a comment with the command that makes it."""
    lines = [f"# {command}", ",".join(rows[0])]
    lines += [",".join(str(value).replace(",", " /") for value in row.values()) for row in rows]
    write_atomically(path, "\n".join(lines) + "\n")


def read_table(path) -> tuple:
    """Read such a table.

    Returns
    -------
    command : str
    rows : list of dict
        Metrics as float.
    """
    first, *lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = [
        {key: value if key == "variant" else float(value) for key, value in row.items()}
        for row in csv.DictReader(lines)
    ]
    return first.lstrip("# "), rows


def main(argv=None):
    """Run all variants that the table does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/ablations.csv"))
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain"))
    parser.add_argument("--identities", type=int, default=1200)
    parser.add_argument("--views", type=int, default=12)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--data-root", type=Path, help="a DAVIS folder to report on as well")
    args = parser.parse_args(argv)
    cache = args.work / "population"
    sets = {
        "train": _pair(args.identities, args.views, 1, cache, args.workers),
        "generated": _pair(160, args.views, VALIDATION_SEED, cache, args.workers),
    }
    command = f"python -m instanceid_utils.training.ablation --identities {args.identities} "
    command += f"--views {args.views} --steps {args.steps} --seed {args.seed}"
    if args.data_root:
        davis = DavisDataset(args.data_root)
        sets["davis"] = (collect(davis), collect(davis, keep_background=True))
        command += f" --data-root {shlex.quote(args.data_root.name)}"
    old, rows = read_table(args.out) if args.out.exists() else (command, [])
    rows = rows if old == command else []
    done = {row["variant"] for row in rows}
    for name in tqdm([n for n in VARIANTS if n.replace(",", " /") not in done], desc="variants"):
        rows.append(run_variant(name, sets, args.steps, seed=args.seed, progress=False))
        write_table(args.out, rows, command)


if __name__ == "__main__":
    np.set_printoptions(precision=4)
    main()

"""The identity benchmark: videos x what models do to masks x regimes x trackers.

``python benchmarks/bench_identity.py [--data-root FOLDER] [--video-root FOLDER]`` observes every
video once, lets each tracker decide on the same observations, and prints IDF1 beside the bound
that the detections allow, ID switches, HOTA and purity. The trackers' defaults are decided by the
generated video alone: the test video, and the crowd.
"""

import argparse
import os
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.evaluation import (
    FAULTS,
    REGIMES,
    IouTracker,
    final_ids,
    refined_ids,
    score_watched,
    watch,
    watch_boxes,
)
from instanceid_utils.gallery import Gallery
from instanceid_utils.pipeline import open_data
from instanceid_utils.synthetic import generate_crowds

REFINED = "InstanceID, refined"
BOUND = "bound of the detections"
#: Real detections: name -> files below --video-root, and the frames to watch (from 1).
REAL = {"vtest": ("vtest.avi", "vtest_detections.txt", "vtest_truth.txt", 583, 795)}


def trackers(embedder):
    """Name -> function that makes a tracker: the default, refined, and one change at a time."""

    def make(policy="exemplars", **options):
        def tracker():
            gallery = Gallery(embedder.dim, policy=policy)
            return InstanceID(embedder, gallery=gallery, **options)

        return tracker

    return {
        "InstanceID (default)": make(),
        REFINED: make(),
        "appearance only": make(place_cue=False),
        "half the place cue": make(place_weight=0.5),
        "moving average": make("mean"),
        "exemplars and average": make("both"),
        "plain rule": make(assignment="plain"),
        "abstain 5 updates": make(abstain=5),
        "IoU baseline": IouTracker,
    }


def score(make_trackers, watched):
    """Scores of each tracker on the same watched videos, by name."""
    rows = {}
    for name, make in make_trackers.items():
        look = refined_ids if name == REFINED else final_ids
        scorer = score_watched(partial(_answer, look, make), watched)
        rows[name] = {**scorer.scores(), "purity": scorer.purity(), "bound": scorer.bound()}
    return rows


def _answer(look, make, observations):
    return look(make(), observations)


def bench(embedder, dataset, sequences, options):
    """Yield (faults, regime) and the scores of each tracker."""
    for fault in options.faults:
        for regime in options.regimes:
            streams = REGIMES[regime](dataset, sequences=sequences)
            watched = [
                watch(
                    embedder,
                    tqdm(stream, f"{fault}, {regime}, {name}", leave=False, disable=None),
                    FAULTS[fault],
                    np.random.default_rng([options.seed, number]),
                )
                for number, (name, stream) in enumerate(streams)
            ]
            yield (fault, regime), score(options.make_trackers, watched)


def bench_boxes(embedder, root, make_trackers):
    """Yield (faults, regime) and the scores of each tracker on real detections."""
    for name, (video, detections, truth, first, last) in REAL.items():
        watched = watch_boxes(
            embedder, root / video, root / detections, root / truth, first=first, last=last
        )
        yield ("a detector's boxes", name), score(make_trackers, [watched])


def show(title, part):
    """Print tables, trackers down, regimes across; return that of IDF1."""
    regimes, names = part.index.unique("regime"), part.index.unique("tracker")
    for column in ("IDF1", "HOTA", "purity", "switches", "ids"):
        table = part[column].unstack("regime").loc[names, regimes]
        if column in ("switches", "ids"):
            table = table.astype(int)
        elif column == "IDF1":
            best = part["bound"].unstack("regime").loc[names[:1], regimes]
            table = pd.concat([table, best.set_axis([BOUND])])
        print(f"\n{title}: {column}\n{table.round(3).to_string()}", flush=True)
    return part["IDF1"].unstack("regime").loc[names, regimes]


def figure(tables, path):
    """Draw IDF1 as grouped bars, one panel for each data set and kind of fault."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(
        len(tables), 1, figsize=(10, 3.2 * len(tables)), squeeze=False, layout="constrained"
    )
    for ax, (title, table) in zip(axes[:, 0], tables.items()):
        table.T.plot.bar(ax=ax, rot=0, width=0.85, legend=False)
        ax.set(title=title, ylabel="IDF1", xlabel="", ylim=(0, 1.02))
    axes[0, 0].legend(fontsize="small", ncols=4, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root",
        default=os.environ.get("INSTANCEID_DAVIS_ROOT"),
        help="folder in the DAVIS layout (default: the variable INSTANCEID_DAVIS_ROOT)",
    )
    parser.add_argument(
        "--video-root",
        type=Path,
        default=os.environ.get("INSTANCEID_VIDEO_ROOT"),
        help="folder with vtest.avi, its detections and truth (default: INSTANCEID_VIDEO_ROOT)",
    )
    parser.add_argument("--generated", default="data/generated", help="made if it is not there")
    parser.add_argument("--crowd", default="data/crowd", help="made if it is not there")
    kinds = ("generated", "crowd", "root", "boxes")
    parser.add_argument("--data", nargs="*", choices=kinds, default=kinds)
    parser.add_argument("--faults", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--regimes", nargs="*", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--trackers", nargs="*", help="names as in the table; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated faults")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args()


def sources(options):
    """Title -> data set and sequences, of what is asked for and there."""
    found = {}
    if "generated" in options.data:
        dataset = open_data(options.generated)
        found["generated test video"] = dataset, dataset.sequences("val")
    if "crowd" in options.data:
        dataset = open_data(generate_crowds(options.crowd))
        found["crowd"] = dataset, dataset.sequences("val")
    if "root" in options.data and options.data_root:
        dataset = open_data(options.data_root)
        found["data root"] = dataset, dataset.sequences()
    return found


def main():
    """Print the tables, draw the figure."""
    options = parse()
    embedder = Embedder.pretrained()
    make = trackers(embedder)
    options.make_trackers = {name: make[name] for name in options.trackers or make}
    print(f"threshold (L2, not squared): {embedder.threshold:.3f}, from calibration")
    results = {
        title: bench(embedder, dataset, sequences, options)
        for title, (dataset, sequences) in sources(options).items()
    }
    if "boxes" in options.data and options.video_root:
        root = Path(options.video_root)
        results["real detections"] = bench_boxes(embedder, root, options.make_trackers)
    options.out.mkdir(parents=True, exist_ok=True)
    panels = {}
    for title, cells in results.items():
        rows = {}
        for fault, some in groupby(cells, key=lambda cell: cell[0][0]):
            for key, by_name in some:
                rows.update({(*key, name): row for name, row in by_name.items()})
            scores = pd.DataFrame.from_dict(rows, orient="index")
            scores.index.names = ["faults", "regime", "tracker"]
            scores.to_csv(options.out / f"identity_{title.replace(' ', '_')}.csv")
            panels[f"{title}, {fault}"] = show(f"{title}, {fault}", scores.loc[fault])
    figure(panels, options.out / "identity.png")
    print(f"\nfigure: {options.out / 'identity.png'}")


if __name__ == "__main__":
    main()

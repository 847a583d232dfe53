"""The identity benchmark: five regimes, generated test video and a data root of your own.

``python benchmarks/bench_identity.py [--data-root FOLDER]`` observes every video once, lets each
tracker decide on the same observations, and prints IDF1 and ID switches. The trackers' defaults
are decided by the first table (the generated video) alone.
"""

import argparse
import os
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.evaluation import REGIMES, IdentityScorer, IouTracker, record, replay
from instanceid_utils.gallery import Gallery
from instanceid_utils.pipeline import open_data
from instanceid_utils.tracking import final_id


def trackers(embedder):
    """Name -> function that makes a tracker: the default, and one change at a time."""

    def make(policy="exemplars", **options):
        def tracker():
            gallery = Gallery(embedder.dim, policy=policy)
            return InstanceID(embedder, gallery=gallery, **options)

        return tracker

    return {
        "InstanceID (default)": make(),
        "appearance only": make(place_cue=False),
        "half the place cue": make(place_weight=0.5),
        "moving average": make("mean"),
        "exemplars and average": make("both"),
        "plain rule": make(assignment="plain"),
        "abstain 5 updates": make(abstain=5),
        "IoU baseline": IouTracker,
    }


def run(make_tracker, videos):
    """Score a tracker on the observed videos of a regime."""
    scorer = IdentityScorer()
    for observations in videos:
        scorer.new_video()
        tracker = make_tracker()
        updates = replay(tracker, observations)
        renamed = tracker.settle() if hasattr(tracker, "settle") else {}
        for observation, update in zip(observations, updates):
            ids = [final_id(i, renamed) for i in update.ids.tolist()]
            scorer.add_ids(observation.every.labels, ids)
    return scorer.scores()


def bench(embedder, dataset, sequences):
    """Scores by (regime, tracker)."""
    rows = {}
    for regime, videos in REGIMES.items():
        streams = videos(dataset, sequences=sequences)
        observed = [
            record(embedder, tqdm(s, name, leave=False, disable=None)) for name, s in streams
        ]
        for name, make_tracker in trackers(embedder).items():
            rows[regime, name] = run(make_tracker, observed)
    return pd.DataFrame.from_dict(rows, orient="index")


def show(title, scores):
    """Print IDF1 and switches, trackers down, regimes across."""
    regimes, names = (list(dict.fromkeys(level)) for level in zip(*scores.index))
    for column, digits in (("IDF1", 3), ("HOTA", 3), ("switches", 0)):
        table = scores[column].unstack(0).loc[names, regimes].round(digits)
        table = table.astype(int) if column == "switches" else table
        print(f"\n{title}: {column}\n{table.to_string()}")
    return scores["IDF1"].unstack(0).loc[names, regimes]


def figure(tables, path):
    """Draw IDF1 as grouped bars, one panel a data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(
        len(tables), 1, figsize=(10, 3.2 * len(tables)), squeeze=False, layout="constrained"
    )
    for ax, (title, table) in zip(axes[:, 0], tables.items()):
        table.T.plot.bar(ax=ax, rot=0, width=0.85, legend=False)
        ax.set(title=title, ylabel="IDF1", ylim=(0, 1.02))
    axes[0, 0].legend(fontsize="small", ncols=4, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)


def main():
    """Print the tables, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root",
        default=os.environ.get("INSTANCEID_DAVIS_ROOT"),
        help="folder in the DAVIS layout (default: the variable INSTANCEID_DAVIS_ROOT)",
    )
    parser.add_argument("--generated", default="data/generated", help="made if it is not there")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    embedder = Embedder.pretrained()
    data = {"generated test video": (open_data(options.generated), "val")}
    if options.data_root:
        data["data root"] = (open_data(options.data_root), None)
    print(f"threshold (L2, not squared): {embedder.threshold:.3f}, from calibration")
    tables = {}
    for title, (dataset, split) in data.items():
        scores = bench(embedder, dataset, dataset.sequences(split))
        tables[title] = show(title, scores)
        options.out.mkdir(parents=True, exist_ok=True)
        scores.to_csv(options.out / f"identity_{title.replace(' ', '_')}.csv")
    figure(tables, options.out / "identity.png")
    print(f"\nfigure: {options.out / 'identity.png'}")


if __name__ == "__main__":
    main()

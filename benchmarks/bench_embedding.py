"""Embedding a crop against MobileNetV2 at 224 pixels, turn by turn in one run.

``python benchmarks/bench_embedding.py [--rounds N]`` prints a table of milliseconds a crop and
of the ratio to MobileNetV2: minimum, median and maximum over the rounds.
"""

import argparse
import time

import numpy as np

from instanceid_utils import Embedder
from instanceid_utils.embedding import tf

BATCHES = (1, 8, 32)


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


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
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


if __name__ == "__main__":
    main()

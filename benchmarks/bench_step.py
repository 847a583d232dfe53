"""How much of a step of the tracker, on a 480p frame, is the network's forward pass.

``python benchmarks/bench_step.py [--rounds N]`` prints, for 2, 5, 10 and 20 segments, the
milliseconds of `InstanceID.update`, of the forward pass in it, and the ratio of everything else
to the forward pass: minimum, median and maximum over the frames.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils import Embedder, InstanceID

HEIGHT, WIDTH = 480, 854
COUNTS = (2, 5, 10, 20)
GOAL = 0.3  # everything else, as a part of the forward pass, at 10 segments


class Stopwatch:
    """An embedder that notes how long its forward passes take."""

    def __init__(self, embedder):
        self.embedder, self.seconds = embedder, 0.0

    def __getattr__(self, name):
        return getattr(self.embedder, name)

    def embed_crops(self, crops):
        """Embed, and note the time."""
        start = time.perf_counter()
        vectors = self.embedder.embed_crops(crops)
        self.seconds = time.perf_counter() - start
        return vectors


def walk(n_segments, n_frames, rng):
    """Draw textured ellipses that walk over a textured ground."""
    ground = cv2.GaussianBlur(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 6)
    coats = [cv2.blur(rng.integers(0, 256, (160, 160, 3), np.uint8), (9, 9)) for _ in range(8)]
    columns = min(n_segments, 10)
    rows = -(-n_segments // columns)
    room = np.array([WIDTH / columns, HEIGHT / rows])
    axes = np.minimum(room / 2.4, (90, 110)).astype(int)
    phase = rng.uniform(0, 2 * np.pi, n_segments)
    for t in range(n_frames):
        frame, label_map = ground.copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
        for i in range(n_segments):
            place = room * (i % columns + 0.5, i // columns + 0.5)
            place += room * 0.05 * (np.cos(t / 5 + phase[i]), np.sin(t / 5 + phase[i]))
            cv2.ellipse(label_map, place.astype(int).tolist(), axes.tolist(), 0, 0, 360, i + 1, -1)
            coat = np.tile(np.roll(coats[i % 8], 20 * i, 0) // (1 + i // 8), (4, 6, 1))
            np.copyto(frame, coat[:HEIGHT, :WIDTH], where=(label_map == i + 1)[..., None])
        yield frame, label_map


def measure(embedder, n_segments, n_frames, rng):
    """Milliseconds of whole steps and of the forward passes in them, (n_frames, 2)."""
    watch = Stopwatch(embedder)
    tracker = InstanceID(watch, threshold=embedder.threshold or 0.7)
    times = []
    for frame, label_map in walk(n_segments, n_frames + 10, rng):
        start = time.perf_counter()
        ids = tracker.update(frame, label_map).ids
        times.append((time.perf_counter() - start, watch.seconds))
        assert len(ids) == n_segments
    return 1e3 * np.array(times[10:])  # the first ones warm up


def spread(values, digits=2):
    """Minimum, median and maximum as text."""
    return " ".join(f"{v:.{digits}f}" for v in (values.min(), np.median(values), values.max()))


def figure(results, path):
    """Draw the medians as stacked bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    forward = [np.median(times[:, 1]) for times in results.values()]
    rest = [np.median(times[:, 0] - times[:, 1]) for times in results.values()]
    fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
    names = [str(n) for n in results]
    ax.bar(names, forward, label="forward pass")
    ax.bar(names, rest, bottom=forward, label="everything else")
    ax.set(xlabel="segments in a 480p frame", ylabel="ms a frame (median)")
    ax.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)


def main():
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100, help="frames measured for each row")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    embedder = Embedder.pretrained()
    rng = np.random.default_rng(0)
    print(f"{'segments':>8} {'step ms':>20} {'forward pass ms':>20} {'rest / forward':>20}")
    results = {}
    for n_segments in COUNTS:
        times = results[n_segments] = measure(embedder, n_segments, options.rounds, rng)
        ratio = (times[:, 0] - times[:, 1]) / times[:, 1]
        cells = spread(times[:, 0]), spread(times[:, 1]), spread(ratio, 3)
        print(f"{n_segments:>8} " + " ".join(f"{cell:>20}" for cell in cells))
    print("each cell: minimum, median, maximum")
    ten = results[10]
    ratio = np.median((ten[:, 0] - ten[:, 1]) / ten[:, 1])
    print(f"rest / forward at 10 segments, median: {ratio:.3f} (goal: at most {GOAL})")
    figure(results, options.out / "step.png")
    print(f"figure: {options.out / 'step.png'}")


if __name__ == "__main__":
    main()

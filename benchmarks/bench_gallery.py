"""The gallery against a bare FAISS IndexFlatL2, from a thousand to a million identities.

``python benchmarks/bench_gallery.py [--quick] [--sizes N ...] [--threads N]`` prints four tables
and draws a figure into runs/bench/. A frame is 10 queries (the 5 nearest) and 10 updates, D = 128.
Both sides hold the same vectors, and take turns frame by frame in one run; ratios are of
the medians of batches of frames, as minimum, median and maximum over the batches.

The identities are drawn like real embeddings: in look-alike groups of 100, along directions of
decaying variance, with views of one identity at a distance of .53 (median) and the nearest other
identity of a million at .63.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
import time
from pathlib import Path

import faiss
import matplotlib
import numpy as np

from instanceid_utils.gallery import Gallery

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

DIM, PER_FRAME, K = 128, 10, 5
SIZES, QUICK_SIZES = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000)
CROSSOVER_SIZES = 1_000, 2_000, 5_000, 10_000, 20_000, 50_000
N_BATCHES = 15
GOAL_SMALL, GOAL_LARGE, GOAL_RECALL = 1.3, 30, 0.99
VIEW_NOISE = 0.6
BYTES = 4 * DIM


def unit(vectors):
    """Scale to unit length, in place."""
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def draw_identities(n, rng):
    """One vector per identity, (n, D) float32."""
    spread = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    spread /= np.linalg.norm(spread)
    groups = unit(rng.standard_normal((max(8, n // 100), DIM), np.float32) * spread)
    vectors = np.empty((n, DIM), np.float32)
    for first in range(0, n, 50_000):
        part = vectors[first : first + 50_000]
        part[:] = groups[rng.integers(0, len(groups), len(part))]
        part += 0.45 * spread * rng.standard_normal(part.shape, np.float32)
        unit(part)
    return vectors


def draw_views(vectors, rng):
    """Another view of each identity."""
    noise = rng.standard_normal(vectors.shape, np.float32) / np.float32(np.sqrt(DIM))
    return unit(vectors + np.float32(VIEW_NOISE) * noise)


def memory():
    """Bytes in use by this process, what the allocator merely keeps given back."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def fill(gallery, vectors, ids):
    """Add all vectors, in parts as large as a long video would."""
    for first in range(0, len(ids), 1000):
        gallery.add(ids[first : first + 1000], vectors[first : first + 1000])


class Bare:
    """What one writes without a gallery: an id is a label, an update removes and adds."""

    def __init__(self, vectors, ids):
        self.index = faiss.IndexIDMap2(faiss.IndexFlatL2(DIM))
        self.index.add_with_ids(vectors, ids)

    def frame(self, queries, ids):
        """Search, then replace."""
        self.index.search(queries, K)
        self.index.remove_ids(ids)
        self.index.add_with_ids(queries, ids)


def time_frames(bare, gallery, vectors, ids, n_frames, rng):
    """Seconds a frame: (n_frames, 2) for bare and gallery, after a warm-up."""
    times = []
    for _ in range(n_frames + 5):
        chosen = rng.choice(len(ids), PER_FRAME, replace=False)
        queries, theirs = draw_views(vectors[chosen], rng), ids[chosen]
        start = time.perf_counter()
        bare.frame(queries, theirs)
        middle = time.perf_counter()
        gallery.search(queries, K)
        gallery.add(theirs, queries)
        times.append((middle - start, time.perf_counter() - middle))
    return np.array(times[5:])


def recall(bare, gallery, queries):
    """Share of queries for which the gallery names the same nearest ID as exact search."""
    exact = bare.index.search(queries, 1)[1][:, 0]
    return float((gallery.search(queries, 1)[0][:, 0] == exact).mean())


def measure(n, n_frames, n_threads, rng):
    """One line of the main table."""
    vectors, ids = draw_identities(n, rng), np.arange(1, n + 1)
    before = memory()
    gallery = Gallery(DIM, max_exemplars=1, n_threads=n_threads)
    start = time.perf_counter()
    fill(gallery, vectors, ids)
    filled = time.perf_counter() - start
    own = (memory() - before) / n
    bare = Bare(vectors, ids)
    times = time_frames(bare, gallery, vectors, ids, n_frames, rng)
    known = draw_views(vectors[rng.integers(0, n, 1000)], rng)
    unknown = draw_views(draw_identities(1000, np.random.default_rng(99)), rng)
    batches = np.median(times.reshape(N_BATCHES, -1, 2), axis=1)
    gallery.check()
    return {
        "n": n,
        "times": np.median(times, axis=0).tolist(),
        "fill_seconds": filled,
        "ratios": (batches[:, 1] / batches[:, 0]).tolist(),
        "bytes_per_vector": own,
        "recall_known": recall(bare, gallery, known),
        "recall_unknown": recall(bare, gallery, unknown),
        "exact": gallery._contents.index.cells.serving is None,
    }


def measure_crossover(sizes, n_frames, rng):
    """Milliseconds a frame of exact search and of cells, and what making the cells adds."""
    lines = []
    for n in sizes:
        vectors, ids = draw_identities(n, rng), np.arange(1, n + 1)
        galleries = [Gallery(DIM, max_exemplars=1, exact_limit=limit) for limit in (n, n // 2)]
        for gallery in galleries:
            gallery.add(ids, vectors)
        times = []
        for _ in range(n_frames):
            chosen = rng.choice(n, PER_FRAME, replace=False)
            queries = draw_views(vectors[chosen], rng)
            for gallery in galleries:
                start = time.perf_counter()
                gallery.search(queries, K)
                gallery.add(ids[chosen], queries)
                times.append(time.perf_counter() - start)
        lines.append((n, *(1e3 * np.median(np.reshape(times, (-1, 2)), axis=0))))
    return lines


def measure_growth(n, rng):
    """Seconds of each update while a gallery grows by 10 new identities a frame.

    Of this thread's CPU time: a pause that the gallery makes shows, one that other programs on
    the machine make does not.
    """
    vectors, gallery = draw_identities(n, rng), Gallery(DIM, max_exemplars=1)
    seconds, making = [], []
    for first in range(0, n, PER_FRAME):
        ids = [gallery.new_id() for _ in range(PER_FRAME)]
        start = time.thread_time()
        gallery.add(ids, vectors[first : first + PER_FRAME])
        seconds.append(time.thread_time() - start)
        making.append(gallery._contents.index.cells.is_making)
    return np.array(seconds), np.array(making)


def spread(values, form):
    """Minimum, median and maximum in one cell."""
    return " ".join(form.format(v) for v in (min(values), np.median(values), max(values)))


def report(lines, n_threads):
    """Print the main table and what was aimed at."""
    print(
        f"\nFrame of {PER_FRAME} queries and {PER_FRAME} updates, {n_threads} thread(s), "
        "one view per identity"
    )
    print(
        f"{'identities':>10} {'bare ms':>9} {'gallery ms':>10} {'gallery / bare':>20} "
        f"{'times faster':>20} {'recall@1':>8} {'newcomers':>9} {'bytes each':>10} {'x raw':>6}"
    )
    for line in lines:
        bare, own = (1e3 * t for t in line["times"])
        faster = [1 / r for r in line["ratios"]]
        print(
            f"{line['n']:>10,} {bare:>9.3f} {own:>10.3f} {spread(line['ratios'], '{:.3f}'):>20} "
            f"{spread(faster, '{:.1f}'):>20} {line['recall_known']:>8.4f} "
            f"{line['recall_unknown']:>9.4f} {line['bytes_per_vector']:>10.0f} "
            f"{line['bytes_per_vector'] / BYTES:>6.2f}"
        )
    print(
        "recall@1 against exact search: for views of known identities, and for newcomers, whose "
        "nearest\nidentity says nothing; ratios as minimum, median, maximum over batches"
    )
    for line in lines:
        ratio, n = np.median(line["ratios"]), line["n"]
        if n <= 10_000:
            met = ratio <= GOAL_SMALL
            print(
                f"goal at {n:,}: at most {GOAL_SMALL} x bare: {ratio:.2f} "
                f"{'met' if met else 'MISSED'}"
            )
        if n >= 1_000_000:
            met = 1 / ratio >= GOAL_LARGE and line["recall_known"] >= GOAL_RECALL
            print(
                f"goal at {n:,}: {GOAL_LARGE} x faster, recall@1 {GOAL_RECALL}: "
                f"{1 / ratio:.0f} x, {line['recall_known']:.4f} {'met' if met else 'MISSED'}"
            )


def draw_figure(lines, crossover, growth, path):
    """Time a frame, where cells begin to pay, and the updates of a growing gallery."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), constrained_layout=True)
    sizes = [line["n"] for line in lines]
    for column, name in enumerate(("bare IndexFlatL2", "gallery")):
        left.loglog(sizes, [1e3 * line["times"][column] for line in lines], "o-", label=name)
    left.set(xlabel="identities", ylabel="ms per frame", title="10 queries and 10 updates")
    middle.loglog([c[0] for c in crossover], [c[1] for c in crossover], "o-", label="exact")
    middle.loglog([c[0] for c in crossover], [c[2] for c in crossover], "o-", label="cells")
    middle.set(xlabel="identities", ylabel="ms per frame", title="where cells begin to pay")
    seconds, making = growth
    at = PER_FRAME * np.arange(1, len(seconds) + 1)
    for label, which in (("at rest", ~making), ("making the next cells", making)):
        right.plot(at[which], 1e3 * seconds[which], ".", markersize=2, label=label)
    right.set(
        xlabel="identities",
        ylabel="ms of CPU per update of 10",
        yscale="log",
        title="growing by 10 a frame",
    )
    for axis in (left, middle, right):
        axis.legend()
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main():
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 identities only")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    lines = []
    for n in args.sizes or (QUICK_SIZES if args.quick else SIZES):
        per_batch = 20 if n <= 10_000 else 4 if n <= 100_000 else 2
        lines.append(measure(n, N_BATCHES * per_batch, args.threads, rng))
        print(f"measured {n:,} identities, filled in {lines[-1]['fill_seconds']:.1f} s", flush=True)
    report(lines, args.threads)

    crossover = measure_crossover(CROSSOVER_SIZES[: 4 if args.quick else None], 40, rng)
    print(f"\n{'identities':>10} {'exact ms':>9} {'cells ms':>9}")
    for n, exact, cells in crossover:
        print(f"{n:>10,} {exact:>9.3f} {cells:>9.3f}")

    growth = measure_growth(30_000 if args.quick else 100_000, rng)
    print(
        f"\nUpdates of 10 while growing to {PER_FRAME * len(growth[0]):,}, ms of CPU\n"
        f"{'':>22} {'share':>6} {'median':>8} {'99 %':>8} {'longest':>8}"
    )
    for name, which in (("at rest", ~growth[1]), ("making the next cells", growth[1])):
        ms = 1e3 * growth[0][which] if which.any() else np.zeros(1)
        print(
            f"{name:>22} {which.mean():>6.0%} {np.median(ms):>8.3f} "
            f"{np.quantile(ms, 0.99):>8.3f} {ms.max():>8.3f}"
        )

    args.out.mkdir(parents=True, exist_ok=True)
    draw_figure(lines, crossover, growth, args.out / "gallery.png")
    (args.out / "gallery.json").write_text(json.dumps({"lines": lines, "crossover": crossover}))
    print(f"\nfigure and figures: {args.out}/gallery.png, {args.out}/gallery.json")


if __name__ == "__main__":
    main()

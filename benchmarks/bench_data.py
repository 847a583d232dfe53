"""Extraction against decoding alone, IDX against NumPy's raw files, and peak memory of both.

``python benchmarks/bench_data.py [--data-root DAVIS] [--rounds N]`` measures turn by turn in one
run and prints ratios of speed as minimum, median and maximum over the rounds. Without a data
root it draws frames of 854x480 into a temporary folder.
"""

import argparse
import logging
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils.data import DavisDataset, extract, write_label_map
from instanceid_utils.mnist import IdxReader, IdxWriter, read_idx, write_idx

HEIGHT, WIDTH = 480, 854
N_DRAWN = 100  # different frames in a sequence
WORKERS = 2
GOAL_EXTRACTION, GOAL_IDX = 0.8, 0.5


def draw(root, n_segments, n_frames=N_DRAWN):
    """Write a sequence of walking ellipses; JPEG files of 90 to 110 kB, as in DAVIS."""
    rng = np.random.default_rng(n_segments)
    images = root / "JPEGImages/480p/walk"
    labels = root / "Annotations/480p/walk"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (600, 1000, 3), np.uint8), (0, 0), 1.2)
    coats = rng.integers(0, 256, (n_segments, HEIGHT, WIDTH, 3), np.uint8)
    coats = [cv2.blur(coat, (9, 9)) for coat in coats]
    for t in range(min(n_frames, N_DRAWN)):
        frame = ground[t : t + HEIGHT, t : t + WIDTH].copy()
        label_map = np.zeros((HEIGHT, WIDTH), np.uint8)
        for i in range(n_segments):
            place = (int(WIDTH * (i + 0.5) / n_segments), HEIGHT // 2 + int(80 * np.sin(t / 9 + i)))
            cv2.ellipse(label_map, place, (60, 110), 20 * i + t, 0, 360, i + 1, -1)
            np.copyto(frame, coats[i], where=(label_map == i + 1)[..., np.newaxis])
        cv2.imwrite(str(images / f"{t:05d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, 83])
        write_label_map(labels / f"{t:05d}.png", label_map)
    for t in range(N_DRAWN, n_frames):
        for folder, suffix in ((images, "jpg"), (labels, "png")):
            os.link(folder / f"{t % N_DRAWN:05d}.{suffix}", folder / f"{t:05d}.{suffix}")
    return root


def in_threads(function, jobs):
    """Run the jobs on both cores, and drop the results one by one."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting = deque()
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) > 8 * WORKERS:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()


def seconds(function, *arguments):
    """Seconds that one call takes."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def spread(ratios):
    """Minimum, median and maximum."""
    return f"{min(ratios):.2f} {np.median(ratios):.2f} {max(ratios):.2f}"


def bench_extraction(root, name, rounds, out):
    """Print the speed of extraction over the speed of decoding alone."""
    dataset = DavisDataset(root)
    jobs = [(s, i) for s in dataset.sequences() for i in range(dataset.n_frames(s))]

    def imread(sequence, index):
        for path in dataset.frame_paths(sequence, index):
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    def cut():
        with tempfile.TemporaryDirectory(dir=out) as fresh:
            start = time.perf_counter()
            done = extract(dataset, fresh, workers=WORKERS, progress=False)
            return time.perf_counter() - start, done

    done = cut()[1]  # warms up, too
    times = np.array(
        [
            (seconds(in_threads, dataset.frame, jobs), seconds(in_threads, imread, jobs), cut()[0])
            for _ in range(rounds)
        ]
    )
    ratios = times[:, :2] / times[:, 2:]
    print(
        f"{name:<14}{done.n_crops / done.n_frames:>9.2f}{len(jobs) / np.median(times[:, 2]):>11.0f}"
        f"{spread(ratios[:, 0]):>20}{spread(ratios[:, 1]):>20}"
    )


def bench_idx(folder, rounds):
    """Print the speed of IDX over that of tofile and fromfile, on fresh files."""
    rng = np.random.default_rng(0)
    raw, idx = folder / "raw", folder / "idx"
    for dtype in ("uint8", "int32", "float32"):
        n_items = 8000 // np.dtype(dtype).itemsize
        array = rng.integers(0, 256, (n_items, 64, 64, 3), np.uint8).astype(dtype)
        steps = {
            "raw write": (array.tofile, raw),
            "idx write": (write_idx, idx, array),
            "raw read": (np.fromfile, raw, dtype),
            "idx read": (read_idx, idx),
        }
        ratios = []
        for i in range(rounds):
            for path in (raw, idx):
                path.unlink(missing_ok=True)
            order = ("raw", "idx") if i % 2 else ("idx", "raw")  # the second finds a busier disk
            names = [f"{who} {what}" for what in ("write", "read") for who in order]
            times = {name: seconds(*steps[name]) for name in names}
            ratios.append([times[f"raw {w}"] / times[f"idx {w}"] for w in ("write", "read")])
        write, read = zip(*ratios)
        print(f"{dtype:<14}{array.nbytes / 1e6:>9.0f}{spread(write):>20}{spread(read):>20}")
    raw.unlink()
    idx.unlink()


def stream_idx(n_items, folder):
    """Write and read an IDX file item by item."""
    items = np.zeros((100, 64, 64, 3), np.uint8)
    with IdxWriter(Path(folder) / "x", items.shape[1:], np.uint8) as writer:
        for _ in range(n_items // 100):
            writer.append(items)
    for _ in IdxReader(Path(folder) / "x").batches(100):
        pass


def peak_memory(task, *arguments):
    """Peak memory in MB of a task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def run_task(task, argument, folder):
    """Do a task, then print the peak memory of this process in MB."""
    if task == "extract":
        extract(DavisDataset(argument), folder, workers=WORKERS, progress=False)
    else:
        stream_idx(int(argument), folder)
    status = Path("/proc/self/status")  # ru_maxrss would count the parent's memory, too
    if status.exists():
        kilobytes = re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]
    else:
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # macOS: bytes
    print(float(kilobytes) / 1024)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", help="folder in the DAVIS layout to extract from")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=10_000, help="of the longer memory run")
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # that a sequence of one segment cannot be split
    if options.task:
        return run_task(*options.task)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"Extraction: speed over decoding the same files alone, goal {GOAL_EXTRACTION}")
        print(
            f"{'data':<14}{'segments':>9}{'frames/s':>11}{'package readers':>20}{'cv2.imread':>20}"
        )
        if options.data_root:
            bench_extraction(options.data_root, "data root", options.rounds, folder)
        for n_segments in (1, 2, 4):
            root = draw(folder / f"walk{n_segments}", n_segments)
            bench_extraction(root, "drawn 854x480", options.rounds, folder)
        print(f"\nIDX: speed over tofile and fromfile, goal {GOAL_IDX}")
        print(f"{'type':<14}{'MB':>9}{'write':>20}{'read':>20}")
        bench_idx(folder, options.rounds)
        counts = options.frames // 10, options.frames
        print(f"\nPeak memory in MB, {counts[0]:,} and {counts[1]:,} frames or images")
        roots = [draw(folder / f"long{n}", 2, n) for n in counts]
        for task, arguments in (("extract", roots), ("idx", counts)):
            few, many = (peak_memory(task, argument, folder / "out") for argument in arguments)
            print(f"{task:<14}{few:>9.1f}{many:>11.1f}{many / few:>8.2f}")
    return None


if __name__ == "__main__":
    main()

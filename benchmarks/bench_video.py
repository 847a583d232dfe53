"""From a video file to a folder of results: speed beside the bare work, memory over 10,000 frames.

A generated sequence is looped into MP4 files. The bare work is what cannot be left out: decode,
embed and encode, overlapping in the same threads and with the same encoder. It and tracking run
by turns in one process, and their speeds are compared round by round. Then the long video is
tracked once, with all results, and the memory of the process noted on the way.

  python benchmarks/bench_video.py                            # some 6 minutes on 2 cores
  python benchmarks/bench_video.py --frames 600 --rounds 2 --round-frames 300   # a first look
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tqdm.auto import tqdm

from instanceid_utils import Embedder
from instanceid_utils.app import OUTPUTS, Ahead, Behind, track_video
from instanceid_utils.pipeline import open_data
from instanceid_utils.video import VideoWriter, read_video, video_info


class Loop(dict):
    """Masks of a sequence that goes to its end and back, over and over."""

    def __init__(self, maps, n_frames):
        super().__init__({t: None for t in range(n_frames)})
        self.maps = maps

    def __getitem__(self, t):
        return self.maps[there_and_back(t, len(self.maps))]


def there_and_back(t, n):
    """Position at time t: 0, 1, ..., n - 1, n - 2, ..., 1, 0, 1, ..."""
    return n - 1 - abs(t % (2 * n - 2) - n + 1)


def make_video(path, frames, n_frames):
    """Write the looped sequence."""
    with VideoWriter(path, fps=24) as writer:
        for t in tqdm(range(n_frames), desc="video", unit="frame", leave=False):
            writer.write(frames[there_and_back(t, len(frames))])
    return path


def bare(path, masks, embedder, out):
    """Decode, embed and encode, each in its thread."""
    writer = VideoWriter(out / "bare.mp4", video_info(path).fps)
    behind = Behind(lambda frame: writer.write(frame.image, frame.time))
    for frame in Ahead(read_video(path)):
        embedder.embed(frame.image, masks[frame.index])
        behind.put(frame)
    behind.close()
    writer.close()


def compare(path, masks, embedder, out, n_frames, rounds):
    """Time the bare work, tracking with a video alone, and with all results, by turns."""

    def track(outputs):
        track_video(
            path, out / "tracked", embedder=embedder, masks=masks, outputs=outputs, progress=False
        )

    jobs = {
        "decode, embed, encode": lambda: bare(path, masks, embedder, out),
        "track, video": lambda: track(("video",)),
        "track, all results": lambda: track(OUTPUTS),
    }
    for job in jobs.values():
        job()  # warm
    seconds = {name: [] for name in jobs}
    for _ in tqdm(range(rounds), desc="rounds", leave=False):
        for name, job in jobs.items():
            seconds[name].append(timed(job))
    base = np.array(seconds["decode, embed, encode"])
    print(
        f"\n{n_frames} frames, {rounds} rounds: min, median, max"
        f"\n{'':24}{'frames/s':^27}{'speed / bare':^21}"
    )
    for name, times in seconds.items():
        speeds, ratios = spread(n_frames / np.array(times)), spread(base / times)
        print(
            f"{name:24}"
            + "".join(f"{v:9.1f}" for v in speeds)
            + "".join(f"{v:7.2f}" for v in ratios)
        )


def spread(values):
    """Minimum, median and maximum."""
    return np.min(values), np.median(values), np.max(values)


def timed(function):
    """Call a function; return the seconds it took."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


class Watched(Loop):
    """Masks that note the memory of this process as those of some frames are asked for."""

    def __init__(self, maps, n_frames, at):
        super().__init__(maps, n_frames)
        self.resident = dict.fromkeys(at)

    def __getitem__(self, t):
        if t in self.resident:
            self.resident[t] = psutil.Process().memory_info().rss / 2**20
        return super().__getitem__(t)


def memory(path, maps, embedder, out, n_frames):
    """Track all frames with all results; print the memory on the way."""
    at = sorted({min(1000, n_frames // 2), *range(2000, n_frames, 2000), n_frames - 1})
    masks = Watched(maps, n_frames, at)
    seconds = timed(lambda: track_video(path, out / "long", embedder=embedder, masks=masks))
    print("\nframe   resident memory")
    for t, size in masks.resident.items():
        print(f"{t:6}  {size:.0f} MiB")
    growth = masks.resident[at[-1]] / masks.resident[at[0]] - 1
    print(
        f"growth from frame {at[0]} to {at[-1]}: {100 * growth:.1f} %; "
        f"all results at {n_frames / seconds:.1f} frames/s"
    )


def main():
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data-root", default="data/generated", help="made if missing (default %(default)s)")
    add("--sequence", default="crossing", help="that is looped (default %(default)s)")
    add("--frames", type=int, default=10_000, help="of the long video (default %(default)s)")
    add("--rounds", type=int, default=5, help="that are timed (default %(default)s)")
    add("--round-frames", type=int, default=1000, help="of each (default %(default)s)")
    args = parser.parse_args()
    clip = list(open_data(args.data_root).frames(args.sequence))
    images, maps = [f.image for f in clip], [f.label_map for f in clip]
    embedder = Embedder.pretrained()
    segments = np.mean([len(np.unique(m)) - 1 for m in maps])
    height, width = maps[0].shape
    print(f"{args.sequence}, {width}x{height}, {segments:.1f} segments a frame")
    with tempfile.TemporaryDirectory() as folder:
        out, n = Path(folder), args.round_frames
        short = make_video(out / "short.mp4", images, n)
        compare(short, Loop(maps, n), embedder, out, n, args.rounds)
        long = make_video(out / "long.mp4", images, args.frames)
        memory(long, maps, embedder, out, args.frames)


if __name__ == "__main__":
    main()

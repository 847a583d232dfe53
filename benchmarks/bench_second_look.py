"""What a second look at a long video costs beside tracking it.

A generated crowd, its masks as an imperfect model gives them, goes there and back until the video
is long. Tracking is timed on the crowd itself (observe and decide, pictures given), the second look
on the long video, in seconds of processor time. Memory is that of the sightings, which is told.

  python benchmarks/bench_second_look.py               # some 2 minutes
"""

import argparse
import time

import numpy as np

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.evaluation import FAULTS, simulate
from instanceid_utils.synthetic import draw_crowd
from instanceid_utils.tracking import look_again, make_sightings


def timed(function, *args):
    """Call a function; return its result and the processor time it took."""
    begin = time.process_time()
    result = function(*args)
    return result, time.process_time() - begin


def observe(embedder, clip):
    """Observe and decide on a clip once, as tracking does."""
    tracker, seen = InstanceID(embedder), []
    for frame, masks in clip:
        seen.append(tracker.observe(frame, masks))
        tracker.decide(seen[-1])
    return seen


def long_video(embedder, seen, n_frames, rng):
    """Track what was seen there and back; vectors differ a bit each time."""
    tracker, sightings, shot = InstanceID(embedder), [], 0
    for t in range(n_frames):
        at = len(seen) - 1 - abs(t % (2 * len(seen) - 2) - len(seen) + 1)
        vectors = seen[at].vectors + rng.normal(0, 0.005, seen[at].vectors.shape)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        observation = seen[at]._replace(vectors=vectors.astype(np.float32))
        update = tracker.decide(observation)
        shot += bool(update.shot_cut)
        sightings.append(make_sightings(t, shot, update.ids, observation))
    return np.concatenate(sightings)


def main():
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=10_000, help="default %(default)s")
    parser.add_argument("--faults", choices=sorted(FAULTS), default="masks")
    args = parser.parse_args()
    embedder, rng = Embedder.pretrained(), np.random.default_rng(0)
    crowd = draw_crowd(5, n_walkers=14)
    clip = [(frame, found) for frame, _, found in simulate(crowd, FAULTS[args.faults], rng)]
    observe(embedder, clip[:10])  # warm
    seen, seconds = timed(observe, embedder, clip)
    sightings = long_video(embedder, seen, args.frames, rng)
    found, again = timed(look_again, sightings, embedder.threshold)
    tracking = seconds / len(clip) * args.frames
    print(
        f"{args.frames} frames, {len(sightings) / args.frames:.1f} segments a frame, "
        f"{len(np.unique(sightings['id']))} IDs; {sightings.nbytes / 2**20:.0f} MiB of sightings\n"
        f"tracking {tracking:.0f} s, second look {again:.1f} s: {100 * again / tracking:.1f} %\n"
        f"{found.n_cuts} cut, {found.n_joined} joined"
    )


if __name__ == "__main__":
    main()

"""An archive: how fast it is built, how well it is joined, and what joining costs as it grows.

  python benchmarks/bench_archive.py                      # all parts; DAVIS if it is there
  python benchmarks/bench_archive.py joins season limits  # some of them

- ``joins``: simulated tracklets of 5 views each, two of every identity: time, memory, recall of
  the pairs that a full search joins, false joins and false splits.
- ``limits``: the same for limits around the one that is used, from 10 to 10,000 identities.
- ``speed``: videos an hour on 1 and 2 workers.
- ``season``: 40 generated clips of 12 identities that come back in other clips and light.
- ``davis``: each sequence cut in three videos, all in one archive, in three orders.

The simulated identities have the distances of generated ones: families of look-alikes, and views
that differ more in some tracklets than in others. False joins are the sightings that are in an
identity which is mostly another one; false splits are the comings-back that begin a new identity.
Intervals are 95 % bootstrap intervals over identities.
"""

import argparse
import os
import resource
import shutil
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils import Embedder
from instanceid_utils.archive import Archive, JoinLimits, Tracks, build_archive, join
from instanceid_utils.data import DavisDataset, read_label_map, write_label_map
from instanceid_utils.evaluation import IdentityScorer
from instanceid_utils.synthetic import draw_tracklets, draw_visits, write_clip

CACHE = Path("runs/bench/archive")
PARTS = ("joins", "limits", "speed", "season", "davis")
FAMILY, ALIKE, N_VIEWS = 64, 0.8, 5
UNEVEN = {"tracklets": 0.55, "views": 0.3}  # spread of the log of how much they differ


def spreads(embedder):
    """Mean of the embeddings of generated identities, and how identities, tracklets, views vary."""
    path = CACHE / f"spreads-{embedder.weights_sha256[:12]}.npz"
    if not path.exists():
        crops, _ = draw_tracklets(400, 2 * N_VIEWS, 7100, n_clips=2)
        size = crops.shape[2:]
        vectors = embedder.embed_crops(crops.reshape(-1, *size)).astype(np.float64)
        views = vectors.reshape(400, 2, N_VIEWS, -1)
        clips = views.mean(2)
        identities = clips.mean(1)
        of_views = _covariance(views - clips[:, :, None]) * N_VIEWS / (N_VIEWS - 1)
        of_clips = _covariance(clips - identities[:, None]) * 2 - of_views / N_VIEWS
        of_identities = _covariance(identities - identities.mean(0))
        of_identities -= (of_clips + of_views / N_VIEWS) / 2
        roots = map(_root, (of_identities, of_clips, of_views))
        np.savez(path, mean=identities.mean(0), **dict(zip(("b", "c", "v"), roots)))
    with np.load(path) as found:
        return tuple(found[name].astype(np.float32) for name in ("mean", "b", "c", "v"))


def _covariance(residuals):
    flat = residuals.reshape(-1, residuals.shape[-1])
    return flat.T @ flat / len(flat)


def _root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0))


def simulate(spread, n_identities, rng):
    """Two videos in which all identities are seen once, one after the other: {key: Tracks}."""
    mean, b, c, v = spread
    dim, family = len(mean), np.arange(n_identities) // FAMILY

    def normal(*shape):
        return rng.standard_normal((*shape, dim), np.float32)

    def uneven(sigma, *shape):
        return np.exp(sigma * rng.standard_normal(shape, np.float32) - sigma**2)

    share = np.sqrt(ALIKE * rng.random((family[-1] + 1, 1), np.float32))[family]
    looks = share * normal(family[-1] + 1)[family] + np.sqrt(1 - share**2) * normal(n_identities)
    looks = mean + looks @ b.T
    videos = {}
    for key in ("one", "two"):
        clips = looks + uneven(UNEVEN["tracklets"], n_identities, 1) * (normal(n_identities) @ c.T)
        views = np.empty((n_identities, N_VIEWS, dim), np.float16)
        scale = uneven(UNEVEN["views"], n_identities, 1)
        for number in range(N_VIEWS):
            one = clips + scale * (normal(n_identities) @ v.T)
            views[:, number] = one / np.linalg.norm(one, axis=1, keepdims=True)
        videos[key] = tracks_of(views)
    return videos


def tracks_of(views):
    """Make tracks of views (n, k, D), never two at one time."""
    n, k, dim = views.shape
    rows = np.arange(n)
    return Tracks(
        local_id=rows + 1,
        kind=np.zeros(n, np.int64),
        confirmed=np.ones(n, bool),
        n_frames=np.full(n, k),
        first_frame=rows * k,
        last_frame=rows * k + k - 1,
        first_time=rows * 1.0,
        last_time=rows * 1.0,
        runs=np.zeros((0, 3), np.int64),
        view_row=np.repeat(rows, k),
        view_frame=np.arange(n * k),
        view_box_tlbr=np.zeros((n * k, 4), np.int32),
        views=views.reshape(-1, dim),
        best_view=rows * k,
    )


def joins_and_splits(truth, found, rng=None):
    """Return false joins and false splits, each as rate, low and high end of its interval."""
    owner = {}
    for (identity, group), n in Counter(zip(truth.tolist(), found.tolist())).items():
        owner[group] = max(owner.get(group, (0, 0)), (n, -identity))
    wrong = truth != -np.array([owner[group][1] for group in found.tolist()])
    names, place = np.unique(truth, return_inverse=True)
    n_seen, n_wrong = np.bincount(place), np.bincount(place, wrong)
    pairs = np.unique(np.stack([place, found]), axis=1)[0]
    n_more = np.bincount(pairs, minlength=len(names)) - 1
    rng = rng or np.random.default_rng(0)
    draws = rng.integers(0, len(names), (300, len(names))) if len(names) < 20_000 else None
    out = []
    for above, below in ((n_wrong, n_seen), (n_more, np.maximum(n_seen - 1, 0))):
        rate = above.sum() / max(1, below.sum())
        if draws is None:
            half = 1.96 * np.sqrt(rate * (1 - rate) / below.sum())
            out.append((rate, max(rate - half, 0), rate + half))
        else:
            rates = above[draws].sum(1) / np.maximum(below[draws].sum(1), 1)
            out.append((rate, *np.quantile(rates, [0.025, 0.975])))
    return out


def told(rate):
    """Return a rate with its interval as text."""
    return "{:.3f} ({:.3f}-{:.3f})".format(*rate)


def bench_joins(args):
    """Time, memory and recall of joining as the archive grows."""
    embedder = Embedder.pretrained()
    spread = spreads(embedder)
    print(
        "| tracklets | processor seconds | MB more | recall of joins | false joins | false splits |"
    )
    print("|---|---|---|---|---|---|")
    for n_tracks in args.sizes:
        videos = simulate(spread, n_tracks // 2, np.random.default_rng([8, n_tracks]))
        truth = np.tile(np.arange(n_tracks // 2), 2)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begin = time.process_time()
        found = join(videos, embedder.threshold)
        seconds = time.process_time() - begin
        more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        recall = ""
        if n_tracks <= args.exact:
            exact = join(videos, embedder.threshold, exact=True)
            recall = f"{_recall(exact.identity, found.identity):.4f}"
        rates = joins_and_splits(truth, found.identity)
        print(
            f"| {n_tracks:,} | {seconds:.1f} | {more:.0f} | {recall} | {told(rates[0])} "
            f"| {told(rates[1])} |",
            flush=True,
        )


def _recall(exact, found):
    """Share of the tracks joined by a full search whose nearest companion is theirs here, too."""
    order = np.argsort(exact, kind="stable")
    same = exact[order][1:] == exact[order][:-1]
    kept = found[order][1:] == found[order][:-1]
    return (kept & same).sum() / max(1, same.sum())


def bench_limits(args):
    """Print false joins and splits by the limit, for some numbers of identities."""
    embedder, used = Embedder.pretrained(), JoinLimits()
    spread = spreads(embedder)
    print("| identities | limit used | " + " | ".join(f"{d:+.1f}" for d in (-0.2, -0.1, 0, 0.1)))
    for n in (10, 100, 1_000, 10_000):
        cells = []
        for change in (-0.2, -0.1, 0.0, 0.1):
            limits = used._replace(among_10=used.among_10 + change)
            truths, founds = [], []
            for number in range(max(1, 400 // n)):
                videos = simulate(spread, n, np.random.default_rng([9, n, number]))
                found = join(videos, embedder.threshold, limits=limits).identity
                truths.append(np.tile(np.arange(n), 2) + number * n)
                founds.append(found + number * 2 * n)
            joins, splits = joins_and_splits(np.concatenate(truths), np.concatenate(founds))
            cells.append(f"{joins[0]:.3f} + {splits[0]:.3f}")
        print(f"| {n:,} | {used.at(n):.2f} | " + " | ".join(cells), flush=True)


def overlaps(truth, found):
    """Return how many pixels each true and each given ID share, as {(true, given): pixels}."""
    inside = (truth > 0) & (found > 0)
    pairs, n = np.unique(np.stack([truth[inside], found[inside]]), axis=1, return_counts=True)
    return dict(zip(map(tuple, pairs.T.tolist()), n.tolist()))


def score(archive, truth_of, ids_of=None):
    """IDF1 over all videos, false joins and false splits, from the masks that were written.

    ``truth_of`` gives the label maps of a video by its key; ``ids_of`` other IDs than the
    archive's, by key and identity.
    """
    scorer, together = IdentityScorer(), Counter()
    local = {(s.video, s.identity): s.local_id for s in archive.sightings()}
    for number, key in enumerate(archive.videos):
        paths = sorted((archive.folder / "videos" / key / "masks").glob("*.png"))
        for truth_path, path in zip(truth_of(key), paths):
            truth, found = read_label_map(truth_path), read_label_map(path).astype(np.int64)
            if ids_of is not None:
                present = np.unique(found)
                new = [0 if i == 0 else ids_of(number, local.get((key, i), i)) for i in present]
                found = np.array(new)[np.searchsorted(present, found)]
            scorer.add_maps(truth, found)
            for (true, given), pixels in overlaps(truth, found).items():
                together[number, true, given] += pixels
    mostly = {}  # of each true instance in each video, the ID that covers most of it
    for (number, true, given), pixels in together.items():
        mostly[number, true] = max(mostly.get((number, true), (0, 0)), (pixels, given))
    truth = np.array([true for _, true in mostly])
    found = np.array([given for _, given in mostly.values()])
    found = np.unique(found, return_inverse=True)[1]
    return scorer.scores()["IDF1"], *joins_and_splits(truth, found)


def print_scores(name, scores):
    """Print a line of the tables of season and DAVIS."""
    print(f"| {name} | {scores[0]:.3f} | {told(scores[1])} | {told(scores[2])} |", flush=True)


def handed_on(videos, masks, truth_of, out):
    """Track the same videos one after the other with one gallery, and score that."""
    from instanceid_utils.app import track_video

    scorer, gallery, mostly = IdentityScorer(), out / "handed_on.gallery", {}
    gallery.unlink(missing_ok=True)
    for number, video in enumerate(videos):
        result = track_video(
            video,
            out / "handed_on" / str(number),
            masks=masks(video),
            gallery=gallery,
            outputs=("masks",),
            progress=False,
        )
        together = Counter()
        for truth_path, path in zip(truth_of(video), sorted(result.files["masks"].glob("*.png"))):
            truth, found = read_label_map(truth_path), read_label_map(path)
            scorer.add_maps(truth, found)
            together.update(overlaps(truth, found))
        for (true, given), pixels in together.items():
            mostly[number, true] = max(mostly.get((number, true), (0, 0)), (pixels, given))
    truth = np.array([true for _, true in mostly])
    found = np.array([given for _, given in mostly.values()])
    return scorer.scores()["IDF1"], *joins_and_splits(truth, found)


def fresh(name):
    """Return an empty place for an archive."""
    shutil.rmtree(CACHE / name, ignore_errors=True)
    return CACHE / name


def season_videos(args):
    """Return the generated clips, drawn unless they are there."""
    folder, videos = CACHE / f"season-{args.seed}", []
    folder.mkdir(parents=True, exist_ok=True)
    for number, frames in enumerate(draw_visits(40, 12, 4, 30, [args.seed, 14])):
        videos.append(folder / f"clip{number:03d}.mp4")
        if not videos[-1].with_suffix(".json").exists():  # written last
            shutil.rmtree(folder / f"{videos[-1].stem}_truth", ignore_errors=True)
            write_clip(folder, videos[-1].stem, frames, np.random.default_rng(number))
    return videos


def bench_season(args):
    """Accuracy on generated clips, beside one gallery handed on and no joining."""
    videos = [str(path) for path in season_videos(args)]
    folder = Path(videos[0]).parent
    options = {"masks": "{stem}.json", "outputs": ("masks",), "workers": args.workers}
    result = build_archive(videos, fresh("season"), **options)
    archive = Archive(result.folder)

    def truth_of(name):
        return sorted((folder / f"{Path(name).name.split('-')[0].split('.')[0]}_truth").glob("*"))

    print(f"{result.n_sightings} sightings, {result.n_identities} identities; {result.seconds}")
    print("| | IDF1 | false joins | false splits |\n|---|---|---|---|")
    print_scores("archive", score(archive, truth_of))
    passed_on = handed_on(videos, lambda v: v.replace(".mp4", ".json"), truth_of, CACHE)
    print_scores("one gallery handed on", passed_on)
    apart = score(archive, truth_of, lambda video, local: video * 1000 + local)
    print_scores("no joining", apart)


def bench_speed(args):
    """Videos an hour on 1 and 2 workers."""
    videos = [str(path) for path in season_videos(args)][:24]
    seconds = {}
    for workers in (1, 2):
        options = {"masks": "{stem}.json", "outputs": ("masks", "mot")}
        build_archive(videos[:workers], fresh("warm"), workers=workers, progress=False, **options)
        result = build_archive(videos, fresh("speed"), workers=workers, **options)
        seconds[workers] = result.seconds["track"]
        print(f"{workers} workers: {len(videos) / seconds[workers] * 3600:.0f} videos an hour")
    print(f"efficiency on 2 workers: {seconds[1] / seconds[2] / 2:.2f}")


def bench_davis(args):
    """Each sequence cut in three; three orders."""
    if not args.data_root:
        print("no DAVIS: --data-root or INSTANCEID_DAVIS_ROOT names it")
        return
    folder, n_known = CACHE / "davis", 0
    shutil.rmtree(folder, ignore_errors=True)
    dataset = DavisDataset(args.data_root)
    for sequence in dataset.sequences():
        n_known = _cut_in_three(dataset, sequence, folder, n_known)
    videos = sorted(str(path) for path in (folder / "videos").iterdir())
    seen = set()
    for number in range(3):
        order = list(np.random.default_rng(number).permutation(videos))
        options = {"masks": "../masks/{stem}", "outputs": ("masks",), "workers": args.workers}
        half = len(order) // 2 if number == 2 else len(order)
        result = build_archive(order[:half], fresh("davis_archive"), **options)
        if half < len(order):
            result = build_archive(order[half:], result.folder, add=True, **options)
        archive = Archive(result.folder)
        seen.add((archive.folder / "sightings.csv").read_text())
        scores = score(archive, lambda key: sorted((folder / "masks" / key[:-13]).glob("*")))
        print_scores(f"DAVIS, order {number}", scores)
    print("identical results" if len(seen) == 1 else "RESULTS DIFFER")


def _cut_in_three(dataset, sequence, folder, n_known):
    """Write a sequence as three videos, its labels counted on; return how many there are then."""
    n, most = dataset.n_frames(sequence), 0
    for index in range(n):
        part = f"{sequence}_{3 * index // n}"
        frame = dataset.frame(sequence, index)
        labels = frame.label_map.astype(np.uint8)
        most = max(most, int(labels[labels < 255].max(initial=0)))
        labels[(labels > 0) & (labels < 255)] += n_known
        labels[labels == 255] = 0
        for kind in ("videos", "masks"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        write_rgb(folder / "videos" / part / f"{index:05d}.png", frame.image)
        write_label_map(folder / "masks" / part / f"{index:05d}.png", labels)
    return n_known + most


def write_rgb(path, image):
    """Write a picture without loss."""
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def main():
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=str(PARTS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--exact", type=int, default=10_000, help="most that are searched in full")
    parser.add_argument("--seed", type=int, default=0, help="of the season")
    parser.add_argument("--workers", type=int, default=0, help="for season and davis (default 0)")
    parser.add_argument("--data-root", default=os.environ.get("INSTANCEID_DAVIS_ROOT"))
    args = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    for part in args.parts or PARTS:
        print(f"\n## {part}\n")
        globals()[f"bench_{part}"](args)


if __name__ == "__main__":
    main()

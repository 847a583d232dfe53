"""What the commands of `cli` do: each calls the functions that the notebooks call.

Modules are imported where they are used, so that no command waits for more than it needs.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np


def track(args: Namespace) -> None:
    """Track a video; see `app.track_video`."""
    from instanceid_utils.app.video_tracking import Interrupted, track_video
    from instanceid_utils.video.segmenters import make_segmenter

    embedder = _embedder(args)
    out = Path(args.out or f"{Path(args.video.rstrip('/')).stem}_tracked")
    options = {
        "place_cue": not args.no_place_cue,
        "assignment": args.assignment,
        "abstain": args.abstain,
        "across_classes": args.across_classes,
        "threshold": _threshold(args, embedder),
    }
    try:
        result = track_video(
            args.video,
            out,
            embedder=embedder,
            masks=args.masks,
            format=args.format,
            sequence=args.sequence,
            keep_void=args.keep_void,
            first_number=args.first_number,
            first_frame=args.first_frame,
            segmenter=None if args.masks else make_segmenter(args.segmenter, args.sensitivity),
            min_area=args.min_area,
            min_score=args.min_score,
            gallery=args.gallery,
            wait=args.wait,
            fps=args.fps,
            outputs=args.outputs,
            tail=args.tail,
            refine=False if args.live else None,
            confirmed_only=args.confirmed_only,
            resume=args.resume,
            progress=not args.quiet,
            **options,
        )
    except Interrupted as stop:
        raise KeyboardInterrupt(_stopped(stop.result, args.gallery)) from stop
    print(f"{result.n_frames} frames, {result.n_ids} IDs, {result.seconds:.1f} s")
    print(f"  {_mask_counts(result.masks)}")
    if result.second_look:
        print("  second look: {n_cuts} cut, {n_joined} joined".format(**result.second_look))
    for name, path in sorted(result.files.items()):
        print(f"  {name + ':':15}{path}")


def archive(args: Namespace) -> None:
    """Do what `archive_commands` has for the action."""
    from instanceid_utils import archive_commands

    getattr(archive_commands, args.action)(args)


def extract(args: Namespace) -> None:
    """Cut segments out; see `data.extract`."""
    from instanceid_utils.data.extraction import extract

    done = extract(
        _dataset(args),
        args.out,
        size=args.size,
        margin=args.margin,
        min_area=args.min_area,
        sequences=args.sequences,
        test_fraction=args.test_fraction,
        rng=np.random.default_rng(args.seed),
        progress=not args.quiet,
    )
    print(
        f"{done.n_crops} crops of {done.n_identities} identities from {done.n_frames} frames: "
        f"{done.manifest}"
    )


def convert(args: Namespace) -> None:
    """Convert to the MNIST format; see `mnist.write_mnist`."""
    from instanceid_utils.mnist.mnist_files import write_mnist

    counts = write_mnist(
        args.source,
        args.out,
        grey_size=args.grey_size,
        colour_size=args.colour_size,
        test_fraction=args.test_fraction,
        rng=np.random.default_rng(args.seed),
        mnist_names=args.mnist_names,
        progress=not args.quiet,
    )
    print(f"{counts['train']} images for training, {counts['test']} for testing: {args.out}")


def train(args: Namespace) -> None:
    """Train, save and calibrate; see `training.train`, or `training.adapt` without labels."""
    if (args.segments is None) == (args.unlabelled is None):
        raise ValueError("train: expected a folder of segments, or --unlabelled VIDEO")
    if args.unlabelled is not None:
        return _adapt(args)
    from instanceid_utils.data.segment_sets import from_manifest
    from instanceid_utils.embedding.weights import calibration_path, save_weights
    from instanceid_utils.evaluation.calibration import calibrate_set
    from instanceid_utils.training.loop import embed_with, train
    from instanceid_utils.training.recipe import PROFILES, profile

    changes = {"loss": args.loss, "seed": args.seed}
    if args.identities is not None:
        changes["n_identities"] = args.identities
        changes["run"] = min(PROFILES[args.profile].run, max(1, args.identities // 2))
    if args.epochs is not None:
        changes["epochs"] = args.epochs
    recipe = profile(args.profile, **changes)
    data, held_out = (from_manifest(args.segments, split) for split in ("train", "test"))
    for split, part in (("training", data), ("testing", held_out)):
        if not len(part):
            raise ValueError(f"{args.segments}: expected segments for {split}, there are none")
    _check_identities(args.segments, data, held_out, recipe)
    first_free = data.identities.max() + 1  # each split numbers its identities from 0
    held_out = replace(held_out, identities=held_out.identities + first_free)
    data, held_out = data.resized(recipe.crop_size), held_out.resized(recipe.crop_size)
    out = Path(args.out)
    run = train(data, held_out, recipe, out / "run", progress=not args.quiet)
    card = out / "weights.json"
    digest = save_weights(
        run.network,
        card,
        recipe.architecture,
        command=f"train --profile {args.profile} --loss {args.loss} --seed {args.seed}",
        history=run.history,
    )
    embed = partial(embed_with, run.network)
    calibration = calibrate_set(embed, held_out, weights_sha256=digest)
    calibration.to_json(calibration_path(card))
    print(
        f"epoch {run.best['epoch']}: rank-1 {run.best['rank1']:.3f}, mAP {run.best['map']:.3f} "
        f"on identities not trained on; threshold {calibration.threshold:.3f}: {card}"
    )


def _adapt(args):
    from itertools import islice

    from instanceid_utils.app.mask_feed import MaskFeed
    from instanceid_utils.embedding.embedder import Embedder
    from instanceid_utils.embedding.weights import calibration_path, save_weights
    from instanceid_utils.training.adapting import adapt, follow, recalibrate
    from instanceid_utils.video.reader import video_info

    embedder = _embedder(args)
    if embedder.calibration is None:
        raise ValueError(f"{args.weights}: expected weights with a calibration beside their card")
    feed = MaskFeed(args.unlabelled, video_info(args.unlabelled), args.masks)
    frames = islice(feed.frames(), args.frames)
    seen = follow(
        embedder,
        (
            (frame.image, found.find_segments(frame.image.shape[:2]))
            for frame, found in frames
            if found is not None
        ),
    )
    network = adapt(embedder, seen, steps=args.steps, seed=args.seed, progress=not args.quiet)
    card = Path(args.out) / "weights.json"
    digest = save_weights(
        network,
        card,
        embedder.card["architecture"],
        margin=embedder.margin,
        command=f"train --unlabelled {Path(args.unlabelled).name} --steps {args.steps} "
        f"--seed {args.seed}",
        adapted_from=embedder.weights_sha256,
    )
    vectors = Embedder(network, margin=embedder.margin).embed_crops(seen.crops)
    calibration = recalibrate(vectors, seen, embedder.calibration, digest)
    calibration.to_json(calibration_path(card))
    n = len(np.unique(seen.tracklets))
    print(f"{n} tracklets, {len(vectors)} views; threshold {calibration.threshold:.3f}: {card}")


def evaluate(args: Namespace) -> None:
    """Print a table of retrieval or of tracking."""
    embedder, dataset = _embedder(args), _dataset(args)
    table = (_tracking_table if args.tracking else _retrieval_table)(args, embedder, dataset)
    print(table.to_string(index=False))
    if args.out:
        text = table.to_csv(index=False) if args.out.endswith(".csv") else _markdown(table)
        Path(args.out).write_text(text, encoding="utf-8")


def calibrate(args: Namespace) -> None:
    """Choose a threshold; see `evaluation.calibrate_dataset`."""
    from instanceid_utils.evaluation.calibration import calibrate_dataset

    found = calibrate_dataset(
        _embedder(args),
        _dataset(args),
        args.sequences,
        rule=args.rule,
        target=args.target,
        reuse_cost=args.reuse_cost,
        progress=not args.quiet,
    )
    found.to_json(args.out)
    rates = ", ".join(
        "{} {:.3f} ({:.3f}-{:.3f})".format(
            name.replace("_", " "), getattr(found, name), *found.intervals[name]
        )
        for name in ("false_reuse", "false_new")
    )
    print(
        f"threshold {found.threshold:.3f} from {found.n_identities} identities: {rates}; {args.out}"
    )


def re_embed(args: Namespace) -> None:
    """Make a gallery of other weights; see `app.re_embed`."""
    from instanceid_utils.app.re_embedding import re_embed

    known = re_embed(
        args.results,
        args.gallery,
        embedder=_embedder(args),
        video=args.video,
        progress=not args.quiet,
    )
    print(f"{len(known)} identities: {args.gallery}")


def export(args: Namespace) -> None:
    """Write the network for another runtime; see `embedding.export`."""
    from instanceid_utils.embedding.export import export

    model, note = export(args.weights, args.out)
    print(f"{model}, and what goes in and comes out: {note}")


def _stopped(result, gallery):
    """Say what holds after a stop: a live source has ended with it, a file can be gone on with."""
    said = f"stopped; the {result.n_frames} frames in {result.out_dir} are whole"
    if not result.complete:
        return f"{said} and marked as partial; the same command with --resume goes on"
    return said if gallery is None else f"{said}, the gallery is saved in {gallery}"


def _mask_counts(counts):
    """Say how many frames have masks, and how many masks were used."""
    said = [f"{counts['n_frames_with_masks']} frames with masks"]
    if "n_masks_used" in counts:
        said += [
            f"{counts['n_masks_used']} masks used",
            f"{counts['n_masks_left_over']} masks left over",
        ]
    return ", ".join(said)


def _check_identities(source, data, held_out, recipe):
    """Say what to change where there are too few identities, before anything is trained."""
    there = len(np.unique(data.identities))
    if there < 2:
        raise ValueError(
            f"{source}: expected two identities or more for training, there is {there}; give "
            "the command extract a smaller --test-fraction"
        )
    if there < recipe.n_identities:
        raise ValueError(
            f"{source}: {there} identities for training, a batch has {recipe.n_identities}; lower "
            f"that by --identities {there}"
        )
    if len(np.unique(held_out.identities)) < 2:
        raise ValueError(
            f"{source}: expected two identities or more for testing, there is one; give the "
            "command extract a larger --test-fraction"
        )


def _dataset(args):
    from instanceid_utils.pipeline import open_data

    return open_data(args.data_root, args.resolution, args.colour)


def _embedder(args):
    from instanceid_utils.embedding.embedder import Embedder

    return Embedder.pretrained(args.weights)


def _threshold(args, embedder):
    if args.calibration:
        from instanceid_utils.embedding.calibration_record import Calibration

        return Calibration.from_json(args.calibration).require_weights(embedder.weights_sha256)
    if args.threshold is None and embedder.threshold is None:
        raise ValueError(f"{args.weights}: has no calibrated threshold; give --threshold")
    return args.threshold


def _retrieval_table(args, embedder, dataset):
    import pandas as pd

    from instanceid_utils.data.segment_sets import collect
    from instanceid_utils.evaluation.retrieval import evaluate_beside_baselines

    data = collect(
        dataset,
        args.sequences,
        size=embedder.crop_size,
        margin=embedder.margin,
        progress=not args.quiet,
    )
    reports = evaluate_beside_baselines(embedder.embed_crops, {"data": data})
    rows = [
        {"embedding": name.split(": ")[1], **_numbers(report)} for name, report in reports.items()
    ]
    return pd.DataFrame(rows).round(3)


def _numbers(report):
    return {k: v for k, v in report.as_dict().items() if isinstance(v, float)}


def _tracking_table(args, embedder, dataset):
    import pandas as pd

    from instanceid_utils.evaluation.identity import IdentityScorer
    from instanceid_utils.evaluation.iou_tracker import IouTracker
    from instanceid_utils.evaluation.regimes import REGIMES, score_regime
    from instanceid_utils.tracking.tracker import InstanceID

    rows = []
    for regime, videos in REGIMES.items():
        for name, make in (("InstanceID", lambda: InstanceID(embedder)), ("IoU", IouTracker)):
            scorer = score_regime(make, videos(dataset, sequences=args.sequences), IdentityScorer())
            rows.append({"regime": regime, "tracker": name, **scorer.scores()})
    return pd.DataFrame(rows).round(3)


def _markdown(table):
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

"""What the actions of ``instanceid archive`` do."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

# Options of the command line by other names: (setting, value that the option stands for).
_OTHERWISE: dict[str, tuple[str, Any]] = {
    "no_place_cue": ("place_cue", False),
    "live": ("refine", False),
}
_NO_SETTINGS = {
    *("command", "action", "videos", "out", "masks", "resume", "add", "scheduler", "workers"),
    *("wait", "quiet", "calibration"),
}


def build(args: Namespace) -> None:
    """Build an archive; see `archive.build_archive`."""
    from instanceid_utils.archive.build import build_archive

    result = build_archive(
        args.videos,
        args.out,
        masks=args.masks,
        resume=args.resume,
        add=args.add,
        workers=args.workers,
        scheduler=args.scheduler,
        wait=args.wait,
        progress=not args.quiet,
        **_settings(args),
    )
    spent = ", ".join(f"{what} {seconds:.1f} s" for what, seconds in result.seconds.items())
    print(
        f"{result.n_videos} videos ({result.n_tracked} tracked now), {result.n_identities} "
        f"identities in {result.n_sightings} sightings: {result.folder} ({spent})"
    )
    if result.failed:
        told = "\n".join(f"  {source}: {why}" for source, why in sorted(result.failed.items()))
        raise SystemExit(f"archive: error: {len(result.failed)} videos are left out:\n{told}")


def find(args: Namespace) -> None:
    """Search an archive; see `archive.find`."""
    from instanceid_utils.archive.search import find

    found = find(args.folder, args.query, box=args.box, k=args.k)
    if found.asked is not None:
        where = ", ".join(f"{s.video}:{s.local_id}" for s in found.asked.sightings)
        print(f"identity {found.asked.identity} is seen in {where}; like it are")
    print("identity  distance  error rate  sightings  videos")
    for _, identity, distance, rate, n, videos in found.rows():
        rate = "" if rate is None else f"{rate:.3f}"
        print(f"{identity:8}  {distance:8.3f}  {rate:>10}  {n:9}  {' '.join(videos)}")
    if args.out:
        for path, save in (
            (f"{args.out}.csv", found.to_csv),
            (f"{args.out}.png", found.save_sheet),
        ):
            save(path)
            print(f"  {path}")


def fix(args: Namespace) -> None:
    """Merge or split by hand; see `archive.merge` and `archive.split`."""
    from instanceid_utils.archive.corrections import merge, split

    options = {"workers": 0, "progress": not args.quiet, "wait": args.wait}
    if args.merge:
        kept = merge(args.folder, args.merge, **options)
        print(f"{args.folder}: {', '.join(map(str, args.merge))} are one, identity {kept}")
        return
    identity, sightings = _number(args.split[0], "an identity"), args.split[1:]
    parts = [name.rpartition(":") for name in sightings]
    out = [(video, _number(local, "VIDEO:LOCAL_ID")) for video, _, local in parts]
    other = split(args.folder, identity, out, **options)
    print(f"{args.folder}: {', '.join(sightings)} are identity {other}")


def _number(text, what):
    if not text.isdecimal():
        raise ValueError(f"--split: expected {what}, got {text!r}")
    return int(text)


def _settings(args):
    """Return the settings that were told; what is not told is that of the archive."""
    told = {name: value for name, value in vars(args).items() if name not in _NO_SETTINGS}
    settings = {}
    for name, value in told.items():
        settings.update([_OTHERWISE.get(name, (name, value))])
    if getattr(args, "calibration", None):
        from instanceid_utils.embedding.calibration_record import Calibration
        from instanceid_utils.embedding.embedder import Embedder

        embedder = Embedder.pretrained(settings.get("weights"))
        found = Calibration.from_json(args.calibration)
        settings["threshold"] = found.require_weights(embedder.weights_sha256)
    return settings

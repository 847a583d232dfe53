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

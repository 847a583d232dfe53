"""The command line: ``python -m instanceid_utils COMMAND --help``.

Exit codes: 0 done, 1 something is wrong with a file or an argument's value (one line on stderr
says what), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from instanceid_utils import __version__

PROG = "instanceid"
FORMATS = (  # of `formats.FORMATS`
    "palette",
    "mots-png",
    "npz",
    "mots",
    "mot",
    "yolo",
    "coco",
    "youtube-vis",
    "frame-json",
    "cvat",
)
LOSSES = (  # of `training.LOSSES`
    "random",
    "semi-hard",
    "batch-hard",
    "batch-all",
    "nearest-view",
    "semi-hard-sorted",
)
OUTPUTS = ("video", "masks", "mot", "mots", "youtube-vis", "decisions", "contact-sheet", "timeline")

EXAMPLES = {
    "track": """examples:
  {prog} track street.mp4                       # fixed camera, built-in segmenter
  {prog} track street.mp4 --masks results.json  # COCO, YouTube-VIS, MOTS, PNG, npz
  {prog} track frames/ --masks masks/ --fps 24 --out tracked
  {prog} track street.mp4 --masks det.txt       # boxes: MOT-Challenge, Ultralytics, CVAT
  {prog} track cam2.mp4 --masks cam2.txt --gallery known.gallery
  {prog} track street.mp4 --resume              # after Ctrl-C""",
    "archive": """examples:
  {prog} archive build shop/ --out shop_archive
  {prog} archive find shop_archive photo.jpg --box 40,20,110,240
  {prog} archive fix shop_archive --merge 3 7
  {prog} archive build --help""",
    "archive build": """examples:
  {prog} archive build dives/*.mp4 --masks "{{stem}}.json" --out season
  {prog} archive build --resume --out season           # after Ctrl-C, or a power cut
  {prog} archive build new/*.mp4 --masks "{{stem}}.json" --add --out season
  {prog} archive build week.txt --out shop --scheduler tcp://10.0.0.1:8786
  {prog} track gate.mp4 --gallery season/archive.gallery""",
    "archive find": """examples:
  {prog} archive find season photo.jpg --box 40,20,110,240
  {prog} archive find season gate:120:7         # like identity 7 in frame 120 of gate.mp4
  {prog} archive find season photo.jpg --out who  # who.csv and who.png""",
    "archive fix": """examples:
  {prog} archive fix season --merge 3 7         # they are one
  {prog} archive fix season --split 3 gate:2 yard:1  # these sightings of 3 are another one
  {prog} archive build --add new/ --out season  # what was decided still holds""",
    "extract": """examples:
  {prog} extract data/generated --out segments
  {prog} extract DAVIS --sequences soapbox dogs-jump --size 96""",
    "convert": """examples:
  {prog} convert segments --out mnist           # of the command extract
  {prog} convert photos --out mnist             # photos/0/a.png, photos/1/b.png, ...""",
    "train": """examples:
  {prog} train segments                         # a minute or two
  {prog} train segments --profile full --loss batch-hard --out my_weights
  {prog} train --unlabelled gate.mp4 --masks boxes.txt --out gate_weights
  {prog} track street.mp4 --weights my_weights/weights.json""",
    "evaluate": """examples:
  {prog} evaluate data/generated
  {prog} evaluate DAVIS --tracking --sequences soapbox bmx-trees""",
    "re-embed": """examples:
  {prog} re-embed gate_tracked --gallery new.gallery
  {prog} re-embed yard_tracked --gallery new.gallery  # the next video, into the same one
  {prog} track street.mp4 --gallery new.gallery""",
    "export": """examples:
  {prog} export embedding.onnx                  # for any ONNX runtime
  {prog} export embedding.tflite --weights my_weights/weights.json""",
    "calibrate": """examples:
  {prog} calibrate DAVIS --out mine.json
  {prog} track street.mp4 --calibration mine.json""",
}


def build_parser() -> argparse.ArgumentParser:
    """Make the argument parser of all commands."""
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="A lasting identity for every segmented object of a video.",
        epilog=f"{PROG} COMMAND --help tells more, with examples.",
    )
    parser.add_argument("--version", action="version", version=f"instanceid_utils {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (add_arguments, text) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=EXAMPLES[name].format(prog=PROG),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_arguments(command)
        if name != "archive":
            command.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _track(parser):
    add = parser.add_argument
    add("video", help="video file, folder of images, stream URL or camera index")
    add(
        "--masks",
        help="masks or boxes of the video; without them, what moves before a fixed camera",
    )
    add("--out", metavar="DIR", help="folder of the results (default: VIDEO's name + _tracked)")
    add("--gallery", metavar="FILE", help="go on with the IDs of this gallery, and save it there")
    add("--wait", action="store_true", help="if another process updates the gallery, wait for it")
    add("--resume", action="store_true", help="go on where the same command was stopped")
    _how(parser)


def _how(parser):
    """Add how a video is tracked, which is the same for one and for an archive of them."""
    add = parser.add_argument
    add("--format", choices=FORMATS, help="of the masks; told from the file by default")
    add("--sequence", help="which video of a YouTube-VIS or CocoVID file, by name or id")
    add("--keep-void", action="store_true", help="255 in palette PNGs is an object")
    add(
        "--first-number",
        type=int,
        metavar="N",
        help="number that the masks have for the first frame "
        "(default: by the names, else 0 in a video file)",
    )
    add(
        "--first-frame",
        type=int,
        metavar="N",
        help="number of the first frame in mots.txt (default: that of masks or frames, else 0)",
    )
    add(
        "--segmenter",
        choices=("mog2", "knn", "torchvision"),
        default="mog2",
        help="without masks (default mog2; torchvision needs torch and torchvision)",
    )
    add("--sensitivity", type=float, default=1.0, help="of mog2 and knn (default 1)")
    add("--min-area", type=int, metavar="PIXELS", help="smallest segment (default 16)")
    add("--min-score", type=float, help="of masks that have scores (default 0.5)")
    add(
        "--outputs",
        nargs="+",
        choices=OUTPUTS,
        default=OUTPUTS,
        metavar="NAME",
        help=f"some of: {', '.join(OUTPUTS)}",
    )
    add("--weights", metavar="CARD", help="weights (.json) other than the shipped ones")
    either = parser.add_mutually_exclusive_group().add_argument
    either(
        "--threshold",
        type=float,
        help="L2 distance below which an ID is taken again; "
        "lower if IDs merge, higher if they flicker",
    )
    either("--calibration", metavar="FILE", help="threshold from the command calibrate")
    add(
        "--abstain",
        type=int,
        default=0,
        metavar="N",
        help="leave ambiguous IDs open for N frames (default 0)",
    )
    add("--no-place-cue", action="store_true", help="go by the looks alone")
    add("--across-classes", action="store_true", help="let an ID go from one class to another")
    add(
        "--assignment",
        choices=("optimal", "plain"),
        default="optimal",
        help="when two segments want one ID (default optimal)",
    )
    add("--fps", type=float, help="frame rate of a folder of images (default 24)")
    add("--tail", type=int, default=20, metavar="N", help="frames in a tail (default 20)")
    add(
        "--live",
        action="store_true",
        help="leave the IDs as each frame gave them; by default a file is looked at twice",
    )
    add(
        "--confirmed-only",
        action="store_true",
        help="leave out what was seen too seldom or too badly to be found again",
    )


def _archive(parser):
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (add_arguments, text) in _ACTIONS.items():
        action = actions.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=EXAMPLES[f"archive {name}"].format(prog=PROG),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_arguments(action)


def _archive_build(parser):
    add = parser.add_argument
    add(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="videos, folders of them or of images, patterns, lists (.txt) of these",
    )
    add("--out", required=True, metavar="DIR", help="folder of the archive")
    add(
        "--masks",
        metavar="PATTERN",
        help="masks or boxes of each video, with {stem}, {name} or {folder}, such as "
        "'{stem}.json'; without them, what moves before a fixed camera",
    )
    add("--resume", action="store_true", help="go on where a build was stopped or killed")
    add("--add", action="store_true", help="add videos to an archive")
    either = parser.add_mutually_exclusive_group().add_argument
    either("--scheduler", metavar="ADDRESS", help="of Dask, to use its workers: tcp://HOST:8786")
    either(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this machine (default: one for each core; 0: none, without Dask)",
    )
    add("--wait", action="store_true", help="if another process builds this archive, wait for it")
    add("--quiet", action="store_true", help="no progress bar")
    n_own = len(parser._actions)
    _how(parser)
    for action in parser._actions[n_own:]:  # what is not told is that of the archive
        action.default = argparse.SUPPRESS


def _archive_find(parser):
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of the archive")
    add("query", metavar="IMAGE|VIDEO:FRAME:ID", help="a picture, or an identity where it is seen")
    add("--box", type=_box, metavar="X,Y,W,H", help="of the object in the picture (default: all)")
    add("--k", type=int, default=10, metavar="N", help="how many to find (default 10)")
    add("--out", metavar="NAME", help="write the table to NAME.csv, the pictures to NAME.png")


def _archive_fix(parser):
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of the archive")
    either = parser.add_mutually_exclusive_group(required=True).add_argument
    either("--merge", nargs="+", type=int, metavar="ID", help="two identities or more that are one")
    either(
        "--split",
        nargs="+",
        metavar=("ID", "VIDEO:LOCAL_ID"),
        help="an identity, and those of its sightings (sightings.csv) that are somebody else",
    )
    add("--wait", action="store_true", help="if another process changes the archive, wait for it")
    add("--quiet", action="store_true", help="no progress bar")


def _box(text):
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"expected four numbers as in 40,20,110,240, got {text!r}")
    return numbers


def _data_root(add):
    add("data_root", help="folder in the DAVIS layout; one named 'generated' is made if missing")
    add("--sequences", nargs="+", metavar="NAME", help="all by default")
    add("--resolution", metavar="NAME", help="where JPEGImages holds several, such as 480p")
    add(
        "--colour",
        choices=("auto", "palette", "rgb"),
        default="auto",
        help="how colour PNGs code labels (default auto)",
    )


def _extract(parser):
    add = parser.add_argument
    _data_root(add)
    add("--out", default="segments", metavar="DIR", help="default: segments")
    add("--size", type=int, default=64, help="of a crop in pixels (default 64)")
    add("--margin", type=float, default=0.1, help="round the segment (default 0.1)")
    add("--min-area", type=int, default=16, metavar="PIXELS", help="default 16")
    _split(add)


def _convert(parser):
    add = parser.add_argument
    add("source", help="folder of the command extract, or with a folder of images per identity")
    add("--out", default="mnist", metavar="DIR", help="default: mnist")
    add("--grey-size", type=int, default=28, help="side of the grey images (default 28)")
    add("--colour-size", type=int, default=64, help="side of the colour images (default 64)")
    add("--mnist-names", action="store_true", help="call the test files t10k-, as MNIST does")
    _split(add)


def _split(add):
    add("--test-fraction", type=float, default=0.25, help="of the identities (default 0.25)")
    add("--seed", type=int, default=0, help="of that split (default 0)")


def _train(parser):
    add = parser.add_argument
    add("segments", nargs="?", help="folder of the command extract")
    add(
        "--unlabelled",
        metavar="VIDEO",
        help="instead: adapt weights to a camera by a video of it that nobody has labelled",
    )
    add("--masks", help="masks or boxes of that video, see track; by default what moves in it")
    add("--frames", type=int, metavar="N", help="of that video, from its start (default: all)")
    add("--weights", metavar="CARD", help="weights to adapt, other than the shipped ones")
    add("--steps", type=int, default=150, help="of that adaptation (default 150)")
    add("--out", default="weights", metavar="DIR", help="default: weights")
    add(
        "--profile",
        choices=("smoke", "full"),
        default="smoke",
        help="smoke: a minute or two (default); full: hours",
    )
    add("--loss", choices=LOSSES, default="semi-hard", help="default semi-hard")
    add("--epochs", type=int, help="default: the profile's")
    add("--identities", type=int, metavar="N", help="in a batch (default: the profile's)")
    add("--seed", type=int, default=0)


def _evaluate(parser):
    add = parser.add_argument
    _data_root(add)
    add("--weights", metavar="CARD", help="weights (.json) other than the shipped ones")
    add(
        "--tracking",
        action="store_true",
        help="score tracking in the regimes of the identity benchmark instead of retrieval",
    )
    add("--out", metavar="FILE", help="write the table there too (CSV or Markdown by its name)")


def _calibrate(parser):
    add = parser.add_argument
    _data_root(add)
    add("--weights", metavar="CARD", help="weights (.json) other than the shipped ones")
    add(
        "--rule",
        choices=("cost", "false-reuse", "eer", "far"),
        default="cost",
        help="how the threshold is chosen (default cost)",
    )
    add("--target", type=float, help="rate for the rules false-reuse and far")
    add(
        "--reuse-cost",
        type=float,
        default=1.0,
        help="how much worse an old ID for a newcomer is than the reverse (default 1)",
    )
    add("--out", default="calibration.json", metavar="FILE", help="default: calibration.json")


def _re_embed(parser):
    add = parser.add_argument
    add("results", help="folder of the command track")
    add("--gallery", required=True, metavar="FILE", help="new one, or one of the new weights")
    add("--video", help="where the video is now, if it has moved")
    add("--weights", metavar="CARD", help="weights (.json) other than the shipped ones")


def _export(parser):
    add = parser.add_argument
    add("out", help="name of the file, which ends in .onnx or .tflite")
    add("--weights", metavar="CARD", help="weights (.json) other than the shipped ones")


_ACTIONS = {
    "build": (_archive_build, "track many videos and join who they show into one set of IDs"),
    "find": (_archive_find, "find the identities that look most like a picture, or like another"),
    "fix": (_archive_fix, "merge identities by hand, or split one"),
}
_COMMANDS = {
    "track": (_track, "track the objects of a video, from a file to a folder of results"),
    "archive": (_archive, "many videos, one set of identities"),
    "extract": (_extract, "cut the segments of a data set out as crops with a manifest"),
    "convert": (_convert, "convert crops to files in the MNIST format"),
    "train": (_train, "train an embedding with triplet loss on extracted segments"),
    "evaluate": (_evaluate, "measure retrieval, or tracking, on annotated video"),
    "export": (_export, "write the network for other runtimes, with how to use it"),
    "re-embed": (_re_embed, "make a gallery of other weights out of a folder of results"),
    "calibrate": (_calibrate, "choose the threshold on one's own annotated video"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    args = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    from instanceid_utils import commands

    try:
        getattr(commands, args.command.replace("-", "_"))(args)
    except KeyboardInterrupt as stop:
        print(f"{args.command}: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("instanceid_utils"):
            raise
        print(f"{args.command}: error: {_missing(error)}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        print(f"{args.command}: error: {_one_line(error)}", file=sys.stderr)
        return 1
    return 0


def _missing(error):
    if error.name in ("torch", "torchvision"):
        return str(error)
    extra = "archive" if (error.name or "").split(".")[0] in ("dask", "distributed") else "train"
    return f'needs {error.name}, which is not installed: pip install "instanceid-utils[{extra}]"'


def _one_line(error):
    if getattr(error, "filename", None) and error.strerror:  # the system's own: "[Errno 20] ..."
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__

"""The default data set: generated video in the DAVIS 2017 layout."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from pathlib import Path as FilePath

import cv2
import numpy as np

from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.synthetic.bodies import draw_body, draw_lookalike
from instanceid_utils.synthetic.parallel import in_processes
from instanceid_utils.synthetic.scenes import Actor, draw_path, draw_scene

VERSION = 1  # of what a seed stands for; counts up when the pictures change
RESOLUTION = "216p"
HEIGHT, WIDTH = 216, 384
CARD = "generated.json"


@dataclass(frozen=True)
class Plot:
    """What happens in a sequence.

    Attributes
    ----------
    n_frames, n_actors : int
    n_shots : int
        Shots between cuts; the cast returns in each, in another place and light.
    n_occluders : int
        Trunks, posts and bushes in front.
    lookalikes : bool
        All actors are of one model and differ in details.
    returns : bool
        Actors leave for a third of the sequence and come back.
    absences : tuple of tuple of (int, int)
        For each actor when it is out of sight in every shot (start and end, in frames), instead
        of ``returns``.
    travel, shake : float
        How fast actors cross the frame (frame heights per frame), how far the camera swings.
    turning : float
        How much of their other side actors show.
    """

    n_frames: int = 30
    n_actors: int = 4
    n_shots: int = 1
    n_occluders: int = 0
    lookalikes: bool = False
    returns: bool = False
    absences: tuple = ()
    travel: float = 0.006
    shake: float = 0.02
    turning: float = 1.0


TEST_PLOTS = {
    "crossing": Plot(60, 4, travel=0.02),
    "lookalikes": Plot(60, 4, lookalikes=True),
    "occluders": Plot(60, 3, n_occluders=4, travel=0.012),
    "returns": Plot(60, 4, returns=True),
    "cuts": Plot(60, 4, n_shots=4),
    "turning": Plot(60, 3, turning=3.0, shake=0.08),
}


def _train_plot(rng):
    return Plot(
        n_frames=30,
        n_actors=int(rng.integers(3, 6)),
        n_shots=int(rng.choice([1, 2], p=(0.7, 0.3))),
        n_occluders=int(rng.choice([0, 1, 3], p=(0.6, 0.2, 0.2))),
        lookalikes=bool(rng.random() < 0.3),
        returns=bool(rng.random() < 0.2),
        travel=float(rng.uniform(0.002, 0.02)),
        shake=float(rng.uniform(0, 0.08)),
        turning=float(rng.uniform(0.5, 2.5)),
    )


def _cast(plot, rng):
    first = draw_body(rng)
    others = [
        draw_lookalike(first, rng, 2) if plot.lookalikes else draw_body(rng)
        for _ in range(plot.n_actors - 1)
    ]
    return [first, *others]


def draw_shot(cast, plot: Plot, n_frames: int, rng: np.random.Generator):
    """Put the cast into one place, spread from left to right so that most of it is seen."""
    actors = []
    columns = rng.permutation(len(cast))
    for label, (body, column) in enumerate(zip(cast, columns), 1):
        wheeled = body.plan in ("vehicle", "cycle")
        size, tumbling = ((0.4, 0.75), 0.0) if wheeled else ((0.3, 0.62), 0.12)
        path = draw_path(
            rng,
            size=size,
            travel=plot.travel,
            turning=plot.turning,
            tumbling=tumbling,
            span=n_frames,
        )
        x = (column + rng.uniform(0.25, 0.75)) / len(cast) * WIDTH / HEIGHT
        path.place[0, 0] = x - path.place[1, 0] * n_frames / 2
        absent = plot.absences[label - 1] if plot.absences else ()
        if plot.returns and label % 2:
            start = rng.uniform(0.25, 0.4) * n_frames
            absent = ((start, start + n_frames / 3),)
        actors.append(Actor(label, body, path, rng.uniform(0.5, 1.5), rng.uniform(0, 0.3), absent))
    return draw_scene(actors, HEIGHT, WIDTH, rng, n_occluders=plot.n_occluders, shake=plot.shake)


def draw_sequence(plot: Plot, seed):
    """Draw a sequence frame by frame.

    Parameters
    ----------
    plot : Plot
    seed : int or sequence of int

    Yields
    ------
    image : ndarray of shape (HEIGHT, WIDTH, 3), uint8
        RGB.
    label_map : ndarray of shape (HEIGHT, WIDTH), uint8
        Labels 1 to ``plot.n_actors``, the same for the same actor throughout; 0 = background.
    """
    rng = np.random.default_rng(seed)
    cast = _cast(plot, rng)
    lengths = np.diff(np.linspace(0, plot.n_frames, plot.n_shots + 1).astype(int))
    for n_frames in lengths:
        scene = draw_shot(cast, plot, int(n_frames), rng)
        for time in range(n_frames):
            yield scene.frame(time, rng)


def write_sequence(job):
    """Draw and write one sequence.

    Parameters
    ----------
    job : tuple
        Root, resolution and name (its folders), a function that yields images and label maps,
        and its arguments: all of which can go to another process.

    Returns
    -------
    str
        The name.
    """
    root, resolution, name, draw, arguments = job
    pictures = root / "JPEGImages" / resolution / name
    annotations = root / "Annotations" / resolution / name
    pictures.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for index, (image, label_map) in enumerate(draw(*arguments)):
        # The camera compressed the picture already; 95 keeps what it left.
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
        (pictures / f"{index:05d}.jpg").write_bytes(data.tobytes())
        write_label_map(annotations / f"{index:05d}.png", label_map)
    return name


def generate(
    root: str | os.PathLike,
    *,
    seed: int = 0,
    n_train: int = 20,
    scale: float = 1.0,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write the generated data set, unless it is there already.

    Train and test share no identity: each sequence has a cast of its own.

    Parameters
    ----------
    root : path
        Folder to make; it appears only when it is complete.
    seed : int
        Same seed, same pictures.
    n_train : int
        Sequences to train on; the six test sequences are those of ``TEST_PLOTS``.
    scale : float
        Factor on the length of every sequence, for quick tests.
    workers : int
        Processes.
    progress : bool
        Show a bar.

    Returns
    -------
    pathlib.Path
        ``root``.

    Raises
    ------
    FileExistsError
        If ``root`` holds something else than this data set.
    """
    card = {"version": VERSION, "seed": seed, "n_train": n_train, "scale": scale}
    plots = {
        f"train-{i:02d}": _train_plot(np.random.default_rng([seed, 1, i])) for i in range(n_train)
    }
    plots.update(TEST_PLOTS)
    drawn = {
        name: (
            draw_sequence,
            (replace(plot, n_frames=max(2, round(plot.n_frames * scale))), [seed, 2, i]),
        )
        for i, (name, plot) in enumerate(plots.items())
    }
    return write_davis(root, RESOLUTION, drawn, TEST_PLOTS, card, workers, progress)


def write_davis(root, resolution, drawn, test, card, workers=2, progress=True):
    """Write sequences in the DAVIS layout, whole or not at all; keep what is there already.

    Parameters
    ----------
    root : path
    resolution : str
        Name of the folder below "JPEGImages" and "Annotations".
    drawn : dict of str to (callable, tuple)
        For each sequence the function that draws it, and its arguments.
    test : container of str
        The sequences of the split "val"; all others are in "train".
    card : dict
        What the pictures depend on; stored beside them.
    workers, progress
        As for `generate`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileExistsError
        If ``root`` holds something else.
    """
    root = FilePath(root)
    if root.exists() and any(root.iterdir()):
        if (root / CARD).exists() and json.loads((root / CARD).read_text()) == card:
            return root
        raise FileExistsError(
            f"{root}: expected nothing there, or generated data made with {card}; "
            "remove the folder or name another"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    beside = FilePath(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        jobs = [(beside, resolution, name, *how) for name, how in drawn.items()]
        list(in_processes(write_sequence, jobs, workers, "generated video", progress))
        sets = beside / "ImageSets" / "2017"
        sets.mkdir(parents=True)
        (sets / "train.txt").write_text("".join(f"{n}\n" for n in drawn if n not in test))
        (sets / "val.txt").write_text("".join(f"{n}\n" for n in drawn if n in test))
        (beside / CARD).write_text(json.dumps(card) + "\n")
        if root.exists():
            root.rmdir()
        os.chmod(beside, 0o755)
        os.replace(beside, root)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return root

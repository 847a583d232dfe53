"""The course's stages, each made if it is missing: any notebook can be opened first.

A stage leaves its results in a folder of its own with a note of what they were made from. Asked
for the same again, it reads them; asked for something else, it makes them anew. Results from two
data sets never share an output folder: see `claim_output`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.extraction import extract
from instanceid_utils.data.manifest import split_by_identity
from instanceid_utils.data.segment_sets import from_manifest
from instanceid_utils.embedding.embedder import Embedder
from instanceid_utils.embedding.weights import calibration_path, read_card, save_weights
from instanceid_utils.mnist.mnist_files import write_mnist
from instanceid_utils.synthetic import clips
from instanceid_utils.synthetic import dataset as generated
from instanceid_utils.video.reader import Source, image_files, read_video, video_info
from instanceid_utils.video.writer import VideoWriter

logger = logging.getLogger(__name__)
NOTE = "made_from.json"
EXCERPT = "excerpt.mp4"


def open_data(
    data_root: str | os.PathLike, resolution: str | None = None, colour: str = "auto"
) -> DavisDataset:
    """Open a data set in the DAVIS layout; one named ``generated`` is made if it is not there.

    Parameters
    ----------
    data_root : path
        ``data/generated``, or any folder in the layout of DAVIS 2017 or YouTube-VOS.
    resolution, colour
        See `data.DavisDataset`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such folder, or it is laid out otherwise.
    """
    root = Path(data_root)
    if root.name == "generated" and not root.exists():
        generated.generate(root)
    return DavisDataset(root, resolution, colour)


def claim_output(data_root: str | os.PathLike, output_dir: str | os.PathLike) -> Path:
    """Keep an output folder for the results from one data set, the first that asks for it.

    Parameters
    ----------
    data_root : path
        See `open_data`. It is noted as seen from ``output_dir``: both may move together.
    output_dir : path
        Where the notebooks leave their results; made if it is not there.

    Returns
    -------
    pathlib.Path
        ``output_dir``.

    Raises
    ------
    FileExistsError
        If it holds results from another data set, which would be overwritten.
    """
    output_dir, root = Path(output_dir), Path(data_root).resolve()
    note = output_dir / NOTE
    if not note.exists():
        output_dir.mkdir(parents=True, exist_ok=True)
        seen_from = os.path.relpath(root, output_dir.resolve())
        write_atomically(note, json.dumps({"data_root": Path(seen_from).as_posix()}))
    earlier = (output_dir / json.loads(note.read_text())["data_root"]).resolve()
    if earlier != root:
        raise FileExistsError(
            f"{output_dir}: holds results from {earlier}, which those from {root} would "
            f'overwrite; give these a folder of their own: output_dir="{output_dir / root.name}"'
        )
    return output_dir


def make_once(
    folder: str | os.PathLike, facts: dict[str, Any], make: Callable[[Path], object]
) -> Path:
    """Call ``make(folder)`` unless its results from the same ``facts`` are there already.

    Parameters
    ----------
    folder : path
        Holds nothing but the results.
    facts : dict
        What the results depend on (JSON values).
    make : callable
        Fills the empty folder. If it raises, the next call starts anew.

    Returns
    -------
    pathlib.Path
        ``folder``.

    Raises
    ------
    FileExistsError
        If the folder holds something that this function did not make.
    """
    folder, facts = Path(folder), json.loads(json.dumps(facts, default=str))
    note = folder / NOTE
    if note.exists() and json.loads(note.read_text()) == {"complete": True, **facts}:
        return folder
    if folder.exists() and any(folder.iterdir()) and not note.exists():
        raise FileExistsError(f"{folder}: expected an empty folder or results of the course")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Said before it is so: a folder left half made is known as ours, and made anew.
    write_atomically(note, json.dumps({"complete": False, **facts}))
    make(folder)
    write_atomically(note, json.dumps({"complete": True, **facts}, indent=1))
    return folder


def ensure_segments(data_root: str | os.PathLike, output_dir: str | os.PathLike) -> Path:
    """Return the folder with the crops and the manifest of notebook 1.

    Parameters
    ----------
    data_root : path
        See `open_data`.
    output_dir : path
        Where the notebooks leave their results.

    Raises
    ------
    FileExistsError
        If it holds results from another data set.
    """
    return make_once(
        claim_output(data_root, output_dir) / "01_extract_instances",
        {"data_root": Path(data_root).resolve()},
        lambda folder: extract(open_data(data_root), folder),
    )


def ensure_mnist(data_root: str | os.PathLike, output_dir: str | os.PathLike) -> Path:
    """Return the folder with the MNIST files of notebook 2; arguments as `ensure_segments`."""
    segments = ensure_segments(data_root, output_dir)
    return make_once(
        Path(output_dir) / "02_convert_to_mnist_format",
        {"data_root": Path(data_root).resolve()},
        lambda folder: write_mnist(segments, folder),
    )


def own_weights(output_dir: str | os.PathLike) -> Path:
    """Path of the card of the learner's own weights, which notebook 3 leaves."""
    return Path(output_dir) / "03_train_triplet_embedding" / "mine" / "mine.json"


def ensure_weights(
    data_root: str | os.PathLike, output_dir: str | os.PathLike, seed: int = 0
) -> Path:
    """Return the card of the learner's own weights, with their calibrated threshold beside it.

    What notebook 3 left is taken; otherwise its network is trained here, in its small profile.
    The threshold is that of notebook 4, from identities that the network has not seen.

    Parameters
    ----------
    data_root, output_dir
        As `ensure_segments`.
    seed : int
        Of a training.
    """
    card = own_weights(claim_output(data_root, output_dir))
    if not _is_of(card, data_root):
        _train_own(card, data_root, output_dir, seed)
    if not calibration_path(card).exists():
        _calibrate_own(card, data_root, output_dir)
    return card


def _is_of(card, data_root):
    facts = read_card(card) if card.exists() else {}
    return facts.get("data_root") == str(Path(data_root).resolve())


def _train_own(card, data_root, output_dir, seed):
    from instanceid_utils.training import profile, train

    rows = from_manifest(ensure_segments(data_root, output_dir), "train")
    n_identities = len(np.unique(rows.identities))
    share = max(0.2, min(0.5, 2 / n_identities))
    side = split_by_identity(rows.identities, share, np.random.default_rng(seed))
    data, validation = rows.select(side == "train"), rows.select(side == "test")
    recipe = profile("smoke", seed=seed)
    n_identities = min(recipe.n_identities, len(np.unique(data.identities)))
    recipe = replace(recipe, n_identities=n_identities)
    run = train(data, validation, recipe, card.parents[1] / "run", resume=False)
    told = {"seed": seed, "history": run.history, "data_root": str(Path(data_root).resolve())}
    save_weights(run.network, card, recipe.architecture, **told)


def _calibrate_own(card, data_root, output_dir):
    from instanceid_utils.evaluation import calibrate_set

    seen = from_manifest(ensure_segments(data_root, output_dir), "test")
    embedder = Embedder.pretrained(card)
    calibration = calibrate_set(embedder.embed_crops, seen, weights_sha256=embedder.weights_sha256)
    calibration.to_json(calibration_path(card))


def ensure_clips(output_dir: str | os.PathLike) -> Path:
    """Return the folder with the generated clips of notebook 7; see `synthetic.clips`.

    Parameters
    ----------
    output_dir : path
        Where the notebooks leave their results.
    """
    return make_once(
        Path(output_dir) / "07_your_own_video" / "clips", {"version": 1}, clips.write_clips
    )


def ensure_visits(output_dir: str | os.PathLike) -> Path:
    """Return the folder with the generated clips of notebook 8; see `synthetic.clips`.

    Parameters
    ----------
    output_dir : path
        Where the notebooks leave their results.
    """
    return make_once(
        Path(output_dir) / "08_a_whole_archive" / "clips", {"version": 1}, clips.write_visits
    )


def ensure_excerpt(
    source: Source, output_dir: str | os.PathLike, n_frames: int | None = None
) -> Source:
    """Return the first frames of a video, as a video of its own.

    Parameters
    ----------
    source : path-like, str or int
        As for `video.read_video`.
    output_dir : path
        Where the notebooks leave their results.
    n_frames : int, optional
        ``source`` itself is returned unless told.

    Returns
    -------
    path-like, str or int
        A video file; of a folder of images, a folder of the images with the same names.
    """
    if n_frames is None:
        return source

    def make(folder):
        if Path(str(source)).is_dir():
            for file in image_files(source)[:n_frames]:
                shutil.copy(file, folder)
            return
        info = video_info(source)
        with VideoWriter(folder / EXCERPT, info.fps, pixel_aspect=info.pixel_aspect) as writer:
            for frame in read_video(source, stop=n_frames):
                writer.write(frame.image, frame.time)

    facts = {"source": Path(str(source)).resolve(), "n_frames": n_frames}
    folder = make_once(Path(output_dir) / "07_your_own_video" / "excerpt", facts, make)
    return folder / EXCERPT if (folder / EXCERPT).exists() else folder

"""Walk a data set, cut every segment out and note where it came from, as a stream."""

from __future__ import annotations

import csv
import logging
import os
import shutil
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.data.image_files import write_rgba
from instanceid_utils.data.manifest import COLUMNS, split_by_identity
from instanceid_utils.segments.crops import CROP_SIZE, MARGIN, cut_crops
from instanceid_utils.segments.segments import find_segments

logger = logging.getLogger(__name__)

_LOOK_AHEAD = 8  # frames per worker that may wait to be written


@dataclass(frozen=True)
class Extraction:
    """What `extract` has done.

    Attributes
    ----------
    manifest : pathlib.Path
    n_frames, n_crops, n_identities : int
    n_small : int
        Segments left out because they have fewer than ``min_area`` pixels.
    n_unannotated : int
        Frames without a label map, left out.
    """

    manifest: Path
    n_frames: int
    n_crops: int
    n_identities: int
    n_small: int
    n_unannotated: int


def extract(
    dataset,
    out_dir: str | os.PathLike,
    *,
    size=CROP_SIZE,
    margin=MARGIN,
    min_area: int = 16,
    sequences: Sequence | None = None,
    test_fraction: float = 0.25,
    rng: np.random.Generator | None = None,
    workers: int = 2,
    progress: bool = True,
):
    """Cut every segment of a data set out, and write a manifest of the crops.

    Writes ``data.csv`` and ``crops/<sequence>_<instance ID>/<frame>.png`` (RGBA). Both
    appear when all is done, in place of those of an earlier run; memory does not grow with the
    number of frames, and the result does not depend on the number of workers.

    The split is that of the data set, if its ImageSets give both sides a sequence: "train" is
    for training, all others are for testing. Otherwise it is `split_by_identity`.

    Parameters
    ----------
    dataset : DavisDataset
    out_dir : path-like
    size, margin
        Of the crops, see `cut_crops`.
    min_area : int
        Segments with fewer pixels are left out, and counted.
    sequences : sequence of str, optional
        All, by default.
    test_fraction : float
        Fraction of the identities for testing, where the data set has no split.
    rng : numpy.random.Generator, optional
        For that split; seeded with 0 by default.
    workers : int
        Threads.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Extraction

    Raises
    ------
    ValueError
        If a file is broken, frame and label map differ in size, or ``out_dir`` holds a folder
        ``crops`` that is not from here. What was in ``out_dir`` before is as it was.
    """
    out_dir = Path(out_dir)
    if (out_dir / "crops").exists() and not (out_dir / "manifest.csv").exists():
        raise ValueError(f"{out_dir}: has a folder 'crops' but no manifest.csv, so it is not ours")
    sequences = tuple(dataset.sequences() if sequences is None else sequences)
    jobs = [(name, i) for name in sequences for i in range(dataset.n_frames(name))]
    _keep_freed_memory()
    part = out_dir / ".extract.part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "crops").mkdir(parents=True)

    def work(job):
        return _extract_frame(dataset.frame(*job), part, size, margin, min_area)

    try:
        n_small, n_unannotated = _write_rows(part, work, jobs, workers, progress)
        splits = _choose_splits(dataset, part, sequences, test_fraction, rng)
        n_crops = _add_splits(part, splits)
        shutil.rmtree(out_dir / "crops", ignore_errors=True)
        os.replace(part / "crops", out_dir / "crops")
        os.replace(part / "manifest.csv", out_dir / "manifest.csv")
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if n_small or n_unannotated:
        logger.warning(
            "left out: %d segments under %d pixels, %d frames without annotation",
            n_small,
            min_area,
            n_unannotated,
        )
    return Extraction(
        out_dir / "manifest.csv", len(jobs), n_crops, len(splits), n_small, n_unannotated
    )


def _keep_freed_memory():
    # By default glibc returns the memory of each frame to the system, and the next one pays for
    # it again, page by page. It keeps what is smaller than the largest block it has seen freed.
    np.empty(2**24, np.uint8)


def _extract_frame(frame, folder, size, margin, min_area):
    """Write the crops of a frame; return its rows and how many segments were too small."""
    if frame.label_map is None:
        return None
    found = segments = find_segments(frame.label_map)
    if (found.areas < min_area).any():
        segments = found.select(found.areas >= min_area)
    crops = cut_crops(frame.image, segments, size, margin)
    rows = []
    for label, box, area, crop in zip(
        segments.labels.tolist(), segments.boxes_tlbr.tolist(), segments.areas.tolist(), crops
    ):
        identity = f"{frame.sequence}_{label}"
        path = f"crops/{identity}/{frame.name}.png"
        try:
            write_rgba(f"{folder}/{path}", crop)
        except FileNotFoundError:
            (folder / "crops" / identity).mkdir(exist_ok=True)
            write_rgba(f"{folder}/{path}", crop)
        shape = segments.frame_shape
        rows.append((frame.sequence, frame.name, label, identity, *box, area, *shape, path))
    return rows, len(found) - len(segments)


def _write_rows(folder, work, jobs, workers, progress):
    n_small = n_unannotated = 0
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        results = _ordered_map(work, jobs, workers)
        bar = tqdm(results, "extract", len(jobs), unit="frame", disable=not progress)
        for result in bar:
            if result is None:
                n_unannotated += 1
                continue
            writer.writerows(result[0])
            n_small += result[1]
    return n_small, n_unannotated


def _ordered_map(function, items, workers):
    """Like map, in threads; no more than a few results wait for their turn."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        waiting = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= _LOOK_AHEAD * max(1, workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _rows(folder):
    with open(folder / "rows.csv", newline="", encoding="utf-8") as file:
        yield from csv.reader(file)


def _choose_splits(dataset, folder, sequences, test_fraction, rng):
    """Split of each identity that was found."""
    identities = sorted({(row[0], row[3]) for row in _rows(folder)})
    train = set(dataset.sequences("train")) if "train" in dataset.splits else set()
    if set(sequences) & train and set(sequences) - train:
        return {name: "train" if sequence in train else "test" for sequence, name in identities}
    names = [name for _, name in identities]
    if len(names) < 2:
        logger.warning("fewer than two identities: nothing to split, all is for training")
        return dict.fromkeys(names, "train")
    rng = np.random.default_rng(0) if rng is None else rng
    return dict(zip(names, split_by_identity(names, test_fraction, rng).tolist()))


def _add_splits(folder, splits):
    n_rows = 0
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for n_rows, row in enumerate(_rows(folder), 1):  # noqa: B007 - it is the count
            writer.writerow([*row, splits[row[3]]])
    return n_rows

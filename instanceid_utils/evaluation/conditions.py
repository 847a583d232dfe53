"""An embedding under the conditions that a video may bring, and that perfect masks hide.

The same objects are cut out by perfect masks, by their boxes, by the masks of a model that errs,
and from small, compressed pictures. Each is a set of segments for `evaluation.retrieval`, with
its protocol: a query is found in another sequence or at least `MIN_GAP` frames away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.evaluation.mask_faults import FAULTS, MIN_AREA, FaultyModel, MaskFaults
from instanceid_utils.evaluation.overlaps import mask_overlaps
from instanceid_utils.evaluation.retrieval import evaluate_set
from instanceid_utils.segments.crops import CROP_SIZE, MARGIN, cut_crops
from instanceid_utils.segments.segments import box_segments, find_segments

CONDITIONS = ("perfect masks", "boxes", "faulty masks", "small")
COLUMNS = {"rank1": "rank-1", "auc": "AUC", "tar_at_far_1pct": "TAR at FAR 1 %"}
SMALL = (24, 80)  # pixels: how high an object is in a small picture
QUALITY = (30, 80)  # of its JPEG
_LABELS = 1 << 16  # identity = number of the video * _LABELS + label
_AROUND = 0.15  # of what surrounds a small object, as a part of its longer side


def cut_conditions(
    videos: Iterable,
    *,
    size: int = CROP_SIZE,
    margin: float = MARGIN,
    conditions: Iterable[str] = CONDITIONS,
    faults: MaskFaults = FAULTS["masks"],
    step: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, SegmentSet]:
    """Cut the same objects out of the same frames, once under each condition.

    Parameters
    ----------
    videos : iterable of (str, iterable of (ndarray (H, W, 3) uint8, ndarray (H, W) int))
        Name and annotated frames, as from `regimes.every`; labels are constant in a video.
    size, margin
        See ``segments.cut_crops``.
    conditions : iterable of str
        Some of `CONDITIONS`.
    faults : MaskFaults
        Of the faulty masks. A mask belongs to the object that most of its pixels show; where
        that is none, it is left out.
    step : int
        Frames of the video from one frame that is given to the next.
    seed : int
        Of faults, sizes and compression.
    progress : bool
        Show a bar, over the frames.

    Returns
    -------
    dict of str to SegmentSet

    Raises
    ------
    ValueError
        For another condition, or a video without segments.
    """
    unknown = set(conditions) - set(CONDITIONS)
    if unknown:
        raise ValueError(f"conditions: expected some of {CONDITIONS}, got {sorted(unknown)}")
    found: dict[str, list] = {condition: [] for condition in conditions}
    with tqdm(desc="conditions", unit="frame", disable=not progress) as bar:
        for number, (_, stream) in enumerate(videos):
            rng = np.random.default_rng([seed, number])
            model = FaultyModel(faults, rng)
            for index, (image, label_map) in enumerate(stream):
                for condition in found:
                    crops, labels = _CUT[condition](image, label_map, model, rng, size, margin)
                    where = np.full((2, len(labels)), [[number], [index * step]])
                    found[condition].append((crops, number * _LABELS + labels, *where))
                bar.update()
    return {condition: _joined(condition, parts) for condition, parts in found.items()}


def _joined(condition, parts):
    if not sum(len(crops) for crops, *_ in parts):
        raise ValueError(f"{condition}: the videos have no segments")
    return SegmentSet(*(np.concatenate(column) for column in zip(*parts)))


def _seen(label_map):
    segments = find_segments(label_map)
    return segments.select(segments.areas >= MIN_AREA)


def _perfect(image, label_map, model, rng, size, margin):
    truth = _seen(label_map)
    return cut_crops(image, truth, size, margin), truth.labels


def _boxes(image, label_map, model, rng, size, margin):
    truth = _seen(label_map)
    boxes = box_segments(truth.boxes_tlbr, truth.frame_shape)
    return cut_crops(image, boxes, size, margin), truth.labels


def _faulty(image, label_map, model, rng, size, margin):
    found = model.observe(label_map)
    overlaps = mask_overlaps(label_map, found)
    if not overlaps.shared.size:
        return np.zeros((0, size, size, 4), np.uint8), np.zeros(0, np.int64)
    most = overlaps.shared.max(axis=0) >= 0.5 * overlaps.areas
    labels = overlaps.truth_ids[overlaps.shared.argmax(axis=0)]
    return cut_crops(image, found.select(most), size, margin), labels[most]


def _small(image, label_map, model, rng, size, margin):
    truth = _seen(label_map)
    crops = [_far_away(image, truth.select([i]), rng, size, margin) for i in range(len(truth))]
    return np.stack(crops) if crops else np.zeros((0, size, size, 4), np.uint8), truth.labels


def _far_away(image, one, rng, size, margin):
    """Cut an object out as if it were small in a compressed picture; it is never enlarged."""
    (left, top, right, bottom), patch = one.boxes_tlbr[0].tolist(), one.patches[0]
    pad = 2 + int(_AROUND * max(right - left, bottom - top))
    y0, x0 = max(top - pad, 0), max(left - pad, 0)
    around = image[y0 : bottom + pad, x0 : right + pad]
    mask = np.zeros(around.shape[:2], np.uint8)
    mask[top - y0 : bottom - y0, left - x0 : right - x0] = patch * np.uint8(255)
    factor = min(1.0, rng.integers(SMALL[0], SMALL[1] + 1) / (bottom - top))
    shape = [max(2, round(side * factor)) for side in mask.shape[::-1]]
    mask = cv2.resize(mask, shape, interpolation=cv2.INTER_AREA)
    around = cv2.resize(around, shape, interpolation=cv2.INTER_AREA)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(QUALITY[0], QUALITY[1] + 1))]
    around = cv2.imdecode(cv2.imencode(".jpg", around, quality)[1], cv2.IMREAD_COLOR)
    inside = mask >= min(128, mask.max())  # the best pixels of a hair-thin segment stay
    return cut_crops(around, find_segments(inside[np.newaxis]), size, margin)[0]


_CUT: dict[str, Callable] = dict(zip(CONDITIONS, (_perfect, _boxes, _faulty, _small)))


def score_conditions(
    embeddings: dict[str, Callable], parts: dict[str, SegmentSet], *, progress: bool = True
) -> pd.DataFrame:
    """Measure embeddings under each condition, all on the same crops.

    Parameters
    ----------
    embeddings : dict of str to callable
        Each takes crops (N, S, S, 4) and returns vectors (N, D).
    parts : dict of str to SegmentSet
        From `cut_conditions`.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        Rows (condition, embedding); columns `COLUMNS`, ``identities`` and ``segments``.
    """
    rows = {}
    pairs = [(condition, name) for condition in parts for name in embeddings]
    for condition, name in tqdm(pairs, desc="embeddings", disable=not progress):
        report = evaluate_set(embeddings[name], parts[condition], n_bootstrap=0)
        rows[condition, name] = {
            **{title: getattr(report, metric) for metric, title in COLUMNS.items()},
            "identities": report.n_identities,
            "segments": report.n_segments,
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(table.index, names=["condition", "embedding"])
    return table

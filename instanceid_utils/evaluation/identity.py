"""How well identities were kept: IDF1, MOTA, ID switches (motmetrics) and HOTA.

Truth and prediction are compared segment by segment. Where a tracker was given the true masks,
only their IDs are compared; where the masks are its own, they are matched by mask IoU. Where it
was given what a model found, masks or boxes, no tracker can be better than these detections: that
bound, and how pure the IDs are, is counted too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import motmetrics
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from instanceid_utils.evaluation.overlaps import Overlaps, box_overlaps, mask_overlaps

COLUMNS = ("IDF1", "MOTA", "switches", "HOTA", "DetA", "AssA", "identities", "ids", "segments")
MORE_COLUMNS = ("purity", "bound")
_ALPHAS = np.arange(0.05, 0.99, 0.05)
_COUNTS = ["idf1", "mota", "num_switches", "num_objects"]


class IdentityScorer:
    """Collect a tracker's IDs frame by frame, then score them.

    Parameters
    ----------
    min_iou : float
        Mask IoU from which a predicted segment can be a true one, for all but HOTA.

    Examples
    --------
    >>> scorer = IdentityScorer()
    >>> scorer.add_ids([1, 2], [10, 20])
    >>> scorer.add_ids([1, 2], [10, 21])        # the second one lost its ID
    >>> scorer.scores()["IDF1"], scorer.scores()["switches"]
    (0.75, 1)
    """

    def __init__(self, min_iou: float = 0.5):
        self.min_iou = min_iou
        self._frames = []  # (truth (T,), predicted (P,), similarity (T, P)) by running numbers
        self._names = ({}, {})
        self._video = 0
        self._detected = np.zeros(3, int)  # hits at best, true segments, detections

    def new_video(self):
        """Start another video, where the same numbers mean other identities on both sides."""
        self._video += 1

    def add_ids(self, truth_ids: Sequence, predicted_ids: Sequence):
        """Add a frame whose masks are the true ones.

        Parameters
        ----------
        truth_ids, predicted_ids : sequence of int, length N
            Of the same segments. A true ID of 0 or less is no object, a predicted one is no
            prediction.

        Raises
        ------
        ValueError
            If they differ in length.
        """
        truth, predicted = np.asarray(truth_ids), np.asarray(predicted_ids)
        if truth.shape != predicted.shape or truth.ndim != 1:
            raise ValueError(
                f"expected as many predicted as true IDs, got {predicted.shape} and {truth.shape}"
            )
        similarity = np.eye(len(truth))
        similarity = similarity[np.ix_(truth > 0, predicted > 0)]
        self._add(truth[truth > 0], predicted[predicted > 0], similarity)

    def add_maps(self, truth_map: np.ndarray | None, predicted_map: np.ndarray):
        """Add a frame whose masks may differ from the true ones.

        Parameters
        ----------
        truth_map : ndarray of shape (H, W), int, or None
            None where the annotation is missing: such a frame does not count.
        predicted_map : ndarray of shape (H, W), int
        """
        if truth_map is not None:
            self._add(*mask_iou(truth_map, predicted_map))

    def add_overlaps(self, overlaps: Overlaps, predicted_ids: Sequence):
        """Add a frame in which a model found objects and a tracker gave them IDs.

        Parameters
        ----------
        overlaps : overlaps.Overlaps
            Of the true objects with those found.
        predicted_ids : sequence of int, length P
            Of those found; 0 or less is no prediction. Fragments that share an ID count as one.

        Raises
        ------
        ValueError
            If it is not an ID for each object found.
        """
        ids = np.asarray(predicted_ids, np.int64)
        if ids.shape != (len(overlaps.areas),):
            raise ValueError(f"expected {len(overlaps.areas)} predicted IDs, got shape {ids.shape}")
        found = overlaps.iou()
        hits = len(_matches(found, self.min_iou)[0])
        given = np.unique(ids[ids > 0])
        similarity = overlaps.united(ids, given).iou()
        self._add(overlaps.truth_ids, given, similarity, (hits, *found.shape))

    def add_segments(self, truth_map: np.ndarray, segments, predicted_ids: Sequence):
        """Add a frame by the masks that a model found; see `add_overlaps`.

        Parameters
        ----------
        truth_map : ndarray of shape (H, W), int
            True identities, 0 = background.
        segments : segments.Segments
            May overlap.
        predicted_ids : sequence of int, length N
        """
        self.add_overlaps(mask_overlaps(truth_map, segments), predicted_ids)

    def add_boxes(self, truth_ids, truth_boxes, boxes, predicted_ids: Sequence):
        """Add a frame by the boxes that a detector found; see `add_overlaps`.

        Parameters
        ----------
        truth_ids : sequence of int, length T
        truth_boxes, boxes : ndarray of shape (T, 4) and (P, 4)
            left, top, right, bottom; right and bottom exclusive.
        predicted_ids : sequence of int, length P
        """
        self.add_overlaps(box_overlaps(truth_ids, truth_boxes, boxes), predicted_ids)

    def _add(self, truth, predicted, similarity, detected=None):
        numbers = [
            np.array([names.setdefault((self._video, int(i)), len(names)) for i in ids], np.int64)
            for names, ids in zip(self._names, (truth, predicted))
        ]
        for side, ids in zip(("true", "predicted"), numbers):
            if len(set(ids.tolist())) < len(ids):
                raise ValueError(f"a {side} ID stands twice in one frame")
        self._frames.append((*numbers, similarity))
        if detected is None:
            detected = len(_matches(similarity, self.min_iou)[0]), *similarity.shape
        self._detected += detected

    def purity(self) -> float:
        """Share of the hits of all IDs that are on the main identity of their ID, in [0, 1].

        An ID that passes from one object to another is a mixture; one that is lost and replaced
        is not. NaN without a hit.
        """
        hits = np.zeros([len(names) for names in self._names], np.int64)
        for truth, predicted, similarity in self._frames:
            rows, columns = _matches(similarity, self.min_iou)
            hits[truth[rows], predicted[columns]] += 1
        return float(hits.max(axis=0, initial=0).sum() / hits.sum()) if hits.any() else np.nan

    def bound(self) -> float:
        """IDF1 that no tracker can exceed which gives an ID to all these detections, in [0, 1].

        As if every detection that can be matched, frame by frame, had the right ID:
        ``2 hits / (true segments + detections)``. NaN where there is neither.

        Notes
        -----
        A tracker that rightly gives no ID to some false alarm may come out above it.
        """
        hits, n_truth, n_detections = self._detected.tolist()
        return 2 * hits / (n_truth + n_detections) if n_truth + n_detections else np.nan

    def scores(self) -> dict:
        """Score all frames so far.

        Returns
        -------
        dict
            ``IDF1`` (Ristani et al. 2016), ``MOTA`` and ``switches`` (Bernardin and
            Stiefelhagen 2008), ``HOTA``, ``DetA``, ``AssA`` (Luiten et al. 2021), the number of
            true ``identities``, of ``ids`` given, and of true ``segments``. All rates in [0, 1]
            but MOTA, which can be negative; NaN where nothing was there to score.
        """
        accumulator = motmetrics.MOTAccumulator(auto_id=True)
        for truth, predicted, similarity in self._frames:
            distance = np.where(similarity >= self.min_iou, 1 - similarity, np.nan)
            accumulator.update(truth, predicted, distance)
        if self._frames:
            row = motmetrics.metrics.create().compute(accumulator, metrics=_COUNTS).iloc[0]
        else:
            row = {"idf1": np.nan, "mota": np.nan, "num_switches": 0, "num_objects": 0}
        n_truth, n_predicted = map(len, self._names)
        return {
            "IDF1": float(row["idf1"]),
            "MOTA": float(row["mota"]),
            "switches": int(row["num_switches"]),
            **hota(self._frames, n_truth, n_predicted),
            "identities": n_truth,
            "ids": n_predicted,
            "segments": int(row["num_objects"]),
        }


def _matches(similarity, min_iou):
    """Rows and columns of as many pairs as can be had, those of larger overlap first."""
    possible = similarity >= min_iou
    rows, columns = linear_sum_assignment(possible * (1 + 1e-3 * similarity), maximize=True)
    kept = possible[rows, columns]
    return rows[kept], columns[kept]


def hota(frames, n_truth, n_predicted):
    """Higher order tracking accuracy.

    Parameters
    ----------
    frames : sequence of (ndarray (T,), ndarray (P,), ndarray (T, P))
        Per frame: numbers of the true identities in [0, n_truth), of the predicted ones in
        [0, n_predicted), and their similarities in [0, 1].
    n_truth, n_predicted : int

    Returns
    -------
    dict
        ``HOTA``, ``DetA`` and ``AssA``, averaged over 19 similarity thresholds; NaN where there
        is neither truth nor prediction.

    Notes
    -----
    Luiten et al. 2021, "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking",
    equations 2 to 9.
    """
    together = np.zeros((n_truth, n_predicted))
    n_frames_truth, n_frames_predicted = np.zeros(n_truth), np.zeros(n_predicted)
    for truth, predicted, similarity in frames:
        union = similarity.sum(0)[None] + similarity.sum(1)[:, None] - similarity
        together[np.ix_(truth, predicted)] += similarity / np.maximum(union, 1e-12)
        n_frames_truth[truth] += 1
        n_frames_predicted[predicted] += 1
    union = n_frames_truth[:, None] + n_frames_predicted[None]
    alignment = together / np.maximum(union - together, 1e-12)

    matches = np.zeros((len(_ALPHAS), n_truth, n_predicted))
    for truth, predicted, similarity in frames:
        weight = alignment[np.ix_(truth, predicted)] * similarity
        rows, columns = linear_sum_assignment(weight, maximize=True)
        close = similarity[rows, columns] >= _ALPHAS[:, None] - 1e-9
        matches[:, truth[rows], predicted[columns]] += close

    true_positives = matches.sum(axis=(1, 2))
    total = n_frames_truth.sum() + n_frames_predicted.sum()
    if not total:
        return {"HOTA": np.nan, "DetA": np.nan, "AssA": np.nan}
    detection = true_positives / (total - true_positives)
    association = (matches * (matches / np.maximum(union - matches, 1e-12))).sum(axis=(1, 2))
    association /= np.maximum(true_positives, 1)
    return {
        "HOTA": float(np.sqrt(detection * association).mean()),
        "DetA": float(detection.mean()),
        "AssA": float(association.mean()),
    }


def assigned_idf1(shared: Mapping, n_true: int, n_given: int) -> float:
    """IDF1 where it is known which segments show which identity.

    Parameters
    ----------
    shared : mapping of (identity, ID) to int
        In how many frames a segment of this identity has this ID.
    n_true, n_given : int
        Segments with an identity, and with an ID, in all frames.

    Returns
    -------
    float
        In [0, 1], for the best assignment of IDs to identities, one to one; 0 without segments.

    Examples
    --------
    >>> assigned_idf1({(1, "a"): 3, (1, "b"): 2, (2, "b"): 1}, 6, 10)
    0.5
    """
    rows, columns = (
        {name: n for n, name in enumerate(dict.fromkeys(pair[side] for pair in shared))}
        for side in (0, 1)
    )
    frames = np.zeros((len(rows), len(columns)), np.int64)
    for (identity, id_), n in shared.items():
        frames[rows[identity], columns[id_]] = n
    hits = frames[linear_sum_assignment(frames, maximize=True)].sum()
    return float(2 * hits / max(n_true + n_given, 1))


def mask_iou(truth_map: np.ndarray, predicted_map: np.ndarray) -> tuple:
    """Intersection over union of all pairs of segments of two label maps.

    Parameters
    ----------
    truth_map, predicted_map : ndarray of shape (H, W), int
        0 = background.

    Returns
    -------
    truth_ids : ndarray of shape (T,), int64
    predicted_ids : ndarray of shape (P,), int64
    iou : ndarray of shape (T, P), float64

    Raises
    ------
    ValueError
        If the maps differ in size or are no label maps.

    Examples
    --------
    >>> mask_iou(np.array([[0, 3, 3, 4]]), np.array([[0, 9, 8, 8]]))[2].round(2)
    array([[0.33, 0.5 ],
           [0.5 , 0.  ]])
    """
    maps = np.asarray(truth_map), np.asarray(predicted_map)
    for name, array in zip(("truth_map", "predicted_map"), maps):
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: expected an integer label map (H, W), got {array.dtype} {array.shape}"
            )
    if maps[0].shape != maps[1].shape:
        raise ValueError(f"label maps differ in size: {maps[0].shape} and {maps[1].shape}")
    inside = (maps[0] != 0) | (maps[1] != 0)
    truth_ids, row = np.unique(maps[0][inside], return_inverse=True)
    predicted_ids, column = np.unique(maps[1][inside], return_inverse=True)
    shape = len(truth_ids), len(predicted_ids)
    pixels = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1]).reshape(shape)
    union = pixels.sum(1, keepdims=True) + pixels.sum(0, keepdims=True) - pixels
    iou = (pixels / np.maximum(union, 1))[np.ix_(truth_ids != 0, predicted_ids != 0)]
    ids = (x[x != 0].astype(np.int64) for x in (truth_ids, predicted_ids))
    return (*ids, iou)


def score_table(scorers: dict, columns: Sequence = COLUMNS) -> pd.DataFrame:
    """Put the scores of several trackers side by side.

    Parameters
    ----------
    scorers : dict of str to IdentityScorer
    columns : sequence of str
        Out of `COLUMNS`, and of `MORE_COLUMNS` for what a model's detections allow.

    Returns
    -------
    pandas.DataFrame
        One row a tracker, in the order given; rates to 3 decimals.
    """
    rows = {
        name: {**scorer.scores(), "purity": scorer.purity(), "bound": scorer.bound()}
        for name, scorer in scorers.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(columns)).round(3)

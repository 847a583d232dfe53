"""Adapt a network to a camera by video that nobody has labelled.

What a video says by itself is enough to learn from. An object followed from frame to frame, as
long as nothing casts doubt on it, is a *tracklet*: two of its views are a positive pair. Two
tracklets that are in one frame are two objects: a negative pair. Of two that are never there
together nothing is known, and nothing is learned. The network is held near to where it was, so
that it gets better at this camera without getting worse at all others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.evaluation.pairs import MIN_GAP, pairwise_distances, verification
from instanceid_utils.segments.crops import cut_crops
from instanceid_utils.tracking.boxes import box_iou
from instanceid_utils.tracking.habits import at_border, covered_share
from instanceid_utils.training.augmentation import augment

_OVERLAP, _RIVAL, _DOUBT = 0.4, 0.2, 0.6  # IoU to go on, share of another one, L2 of a change
_FEWEST = 6  # views of a tracklet
_VIEWS, _OBJECTS, _FRAMES = 4, 6, 4  # of a batch: views of each, objects in a frame, frames


class Tracklets(NamedTuple):
    """Views of what was followed without a doubt; one row a view."""

    crops: np.ndarray  # (N, S, S, 4), uint8
    tracklets: np.ndarray  # (N,), int64, from 0
    frames: np.ndarray  # (N,), int64
    vectors: np.ndarray  # (N, D), float32, by the network that is to be adapted

    def together(self) -> list:
        """Return the tracklets of each frame that has two or more, without repetition."""
        found = {}
        for frame in np.unique(self.frames):
            group = np.unique(self.tracklets[self.frames == frame])
            if len(group) > 1:
                found[tuple(group)] = group
        return list(found.values())


def follow(embedder: Any, frames_and_segments: Iterable) -> Tracklets:
    """Follow the objects of a video, each until the first doubt.

    A tracklet ends where its object meets another one, touches the border, jumps, changes its
    looks, or is not found; it may begin again as another one.

    Parameters
    ----------
    embedder : embedding.Embedder
    frames_and_segments : iterable of (ndarray (H, W, 3) uint8, Segments)

    Returns
    -------
    Tracklets

    Raises
    ------
    ValueError
        If no two objects could be followed in one frame: there is nothing to learn from.
    """
    rows, last, n = [], (np.zeros((0, 4)), np.zeros((0, embedder.dim)), np.zeros(0, int)), 0
    for number, (frame, segments) in enumerate(frames_and_segments):
        boxes = segments.boxes_tlbr
        clear = (segments.areas > 0) & ~at_border(boxes, segments.frame_shape)
        clear &= covered_share(boxes) < _RIVAL
        segments = segments.select(np.flatnonzero(clear))
        crops = cut_crops(frame, segments, embedder.crop_size, embedder.margin)
        vectors = embedder.embed_crops(crops)
        names = _continued(segments.boxes_tlbr, vectors, *last)
        fresh = names < 0
        names[fresh] = n + np.arange(fresh.sum())
        n += int(fresh.sum())
        rows.append((crops, names, np.full(len(names), number), vectors))
        last = segments.boxes_tlbr, vectors, names
    found = Tracklets(*(np.concatenate(column) for column in zip(*rows))) if rows else None
    if found is not None:
        counts = np.bincount(found.tracklets, minlength=n)
        long = counts[found.tracklets] >= _FEWEST
        found = Tracklets(*(column[long] for column in found))
    if found is None or not found.together():
        raise ValueError(
            f"video: expected two objects or more that can be followed for {_FEWEST} frames at "
            "the same time; a longer part of it may do"
        )
    return found


def _continued(boxes, vectors, boxes_before, vectors_before, names):
    """Return which tracklet each segment goes on with; -1 for none."""
    out = np.full(len(boxes), -1)
    if not len(boxes) or not len(names):
        return out
    iou = box_iou(boxes, boxes_before)
    for i, j in np.argwhere(iou >= _OVERLAP):
        alone = (iou[i] > _RIVAL).sum() == 1 and (iou[:, j] > _RIVAL).sum() == 1
        if alone and np.linalg.norm(vectors[i] - vectors_before[j]) < _DOUBT:
            out[i] = names[j]
    return out


def adapt(
    embedder: Any,
    seen: Tracklets,
    *,
    steps: int = 150,
    learning_rate: float = 3e-4,
    margin: float = 0.3,
    hold: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Fine-tune an embedder's network on tracklets.

    Parameters
    ----------
    embedder : embedding.Embedder
        Stays as it is.
    seen : Tracklets
        From `follow`.
    steps : int
    learning_rate : float
    margin : float
        By which a positive has to be nearer than a negative; L2, not squared.
    hold : float
        Weight of the squared distance to where the views were embedded before.
    seed : int
    progress : bool
        Show a bar.

    Returns
    -------
    tf.keras.Model
    """
    tf.keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    network = tf.keras.models.clone_model(embedder.network)
    network.set_weights(embedder.network.get_weights())
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    groups = seen.together()
    members = {name: np.flatnonzero(seen.tracklets == name) for name in np.unique(seen.tracklets)}
    for _ in tqdm(range(steps), desc="adapting", disable=not progress):
        rows, group = _batch(groups, members, rng)
        same = seen.tracklets[rows, None] == seen.tracklets[None, rows]
        apart = (group[:, None] == group[None]) & ~same
        crops = augment(seen.crops[rows], rng)
        with tf.GradientTape() as tape:
            vectors = network(crops, training=False)  # statistics of a few objects are none
            moved = tf.reduce_mean(tf.reduce_sum((vectors - seen.vectors[rows]) ** 2, -1))
            loss = _hardest(vectors, same, apart, margin) + hold * moved
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables))
    return network


def _batch(groups, members, rng):
    """Draw views of objects that are together, of several moments; rows, and number of each."""
    rows, group = [], []
    for number, at in enumerate(rng.integers(len(groups), size=_FRAMES)):
        for name in rng.permutation(groups[at])[:_OBJECTS]:
            rows.append(rng.choice(members[name], _VIEWS))
            group.append(np.full(_VIEWS, number))
    return np.concatenate(rows), np.concatenate(group)


def _hardest(vectors, same, apart, margin):
    """Batch-hard triplet loss where only pairs that are known count (Hermans et al. 2017)."""
    squared = tf.reduce_sum((vectors[:, None] - vectors[None]) ** 2, -1)
    distances = tf.sqrt(squared + 1e-12)
    farthest = tf.reduce_max(tf.where(same, distances, 0.0), 1)
    nearest = tf.reduce_min(tf.where(apart, distances, 2.0), 1)
    return tf.reduce_mean(tf.nn.relu(farthest - nearest + margin))


def recalibrate(vectors: np.ndarray, seen: Tracklets, old: Calibration, sha256: str) -> Calibration:
    """Choose the threshold for adapted weights.

    Where the old one accepted as many of the pairs of strangers in this video as the new one, it
    trades the two mistakes as the old one did.

    Parameters
    ----------
    vectors : ndarray of shape (N, D), float32
        Of the views, by the adapted weights.
    seen : Tracklets
    old : Calibration
        Of the weights before.
    sha256 : str
        Of the adapted weights.

    Returns
    -------
    Calibration
        With rates of this video's pairs; the evidence is the old one.
    """
    strangers, same = _pairs(seen)
    before = np.sort(pairwise_distances(seen.vectors)[strangers])
    distances = pairwise_distances(vectors)
    after = np.sort(distances[strangers])
    share = np.searchsorted(before, old.threshold) / len(before)
    threshold = float(np.quantile(after, share)) if 0 < share < 1 else old.threshold
    far = float((after <= threshold).mean())
    frr = float((distances[same] > threshold).mean()) if same.any() else 0.0
    eer = verification(distances[same], after)["eer"] if same.any() else 0.0
    return replace(
        old,
        threshold=round(min(max(threshold, 0.05), 2.0), 3),
        far=far,
        frr=frr,
        eer=eer,
        n_identities=len(np.unique(seen.tracklets)),
        n_segments=len(vectors),
        galleries=None,
        weights_sha256=sha256,
    )


def _pairs(seen):
    """Tell the pairs of strangers, seen together, from those of one, some frames apart."""
    names = np.unique(seen.tracklets, return_inverse=True)[1]
    together = np.zeros((names.max() + 1,) * 2, bool)
    for group in seen.together():
        index = np.searchsorted(np.unique(seen.tracklets), group)
        together[np.ix_(index, index)] = True
    one = names[:, None] == names[None]
    upper = np.triu(np.ones(one.shape, bool), 1)
    far = np.abs(seen.frames[:, None] - seen.frames[None]) >= MIN_GAP
    return together[names[:, None], names[None]] & ~one & upper, one & far & upper

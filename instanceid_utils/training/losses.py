"""Triplet losses with one signature, ``loss(labels, embeddings, margin) -> scalar``.

Everywhere labels are (B,) or (B, 1) integers, embeddings (B, D) unit vectors, and distances
are L2, not squared. `get_loss` takes a loss from the registry `LOSSES` and puts the guards of
`instanceid_utils.training.loss_guards` round it: use that in a training loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from instanceid_utils.embedding.tensorflow import tf, tfa
from instanceid_utils.training import loss_guards as guards
from instanceid_utils.training.triplet_math import (
    l2_distances,
    linear_loss,
    pair_masks,
    semi_hard_negatives,
    sort_negatives,
    spread,
)


def random_triplet_loss(labels, embeddings, margin, rng=None):
    """Each positive pair with one random negative: no mining.

    Parameters
    ----------
    labels, embeddings, margin
        See the module.
    rng : tf.random.Generator, optional
        TensorFlow's own kind, because it moves on inside a `tf.function` too. Default: the
        global one.

    Returns
    -------
    tf.Tensor of shape (), float32
        Mean over the ordered positive pairs, 0 if there are none.
    """
    rng = tf.random.get_global_generator() if rng is None else rng
    distances = l2_distances(embeddings)
    positive, negative = pair_masks(labels)
    n_negatives = tf.reduce_sum(tf.cast(negative, tf.int32), 1, keepdims=True)  # (B, 1)
    negatives_first = tf.argsort(tf.cast(positive | ~negative, tf.int32), 1, stable=True)
    draw = tf.cast(rng.uniform(tf.shape(distances)) * tf.cast(n_negatives, tf.float32), tf.int32)
    draw = tf.clip_by_value(draw, 0, tf.maximum(n_negatives - 1, 0))  # (B, B)
    chosen = tf.gather(negatives_first, draw, batch_dims=1)  # (B, B) [anchor, positive]
    d_an = tf.gather(distances, chosen, batch_dims=1)
    counted = tf.cast(positive & (n_negatives > 0), distances.dtype)
    losses = tf.maximum(distances - d_an + margin, 0.0) * counted
    return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(counted))


def semi_hard_loss(labels, embeddings, margin):
    """`tfa.losses.TripletSemiHardLoss` (Schroff et al. 2015, FaceNet, section 3.2).

    For each positive pair the nearest negative that is farther than the positive, else the
    farthest negative. Memory grows with B^3; NaN if there is no positive pair.
    """
    return tfa.losses.TripletSemiHardLoss(margin=margin)(labels, embeddings)


def batch_hard_loss(labels, embeddings, margin):
    """`tfa.losses.TripletHardLoss`: per anchor the farthest positive, the nearest negative.

    Hermans et al. 2017, equation 5.
    """
    return tfa.losses.TripletHardLoss(margin=margin)(labels, embeddings)


def batch_all_loss(labels, embeddings, margin):
    """Mean over all triplets with a positive loss (Hermans et al. 2017, equation 6).

    Memory grows with B^2. Returns 0 with zero gradient if no triplet is active.
    """
    distances = l2_distances(embeddings)
    n_active, position = _active_triplets(labels, distances, margin)  # (B, B) [anchor, positive]
    n_total = tf.cast(tf.reduce_sum(n_active), distances.dtype)
    # The n negatives active with a positive are the n nearest ones.
    ups = tf.cast(n_active, distances.dtype)
    downs = spread(tf.zeros_like(n_active), n_active, tf.cast(n_active > 0, distances.dtype))
    use = ups - tf.gather(downs, position, batch_dims=1)
    value = tf.reduce_sum(use * distances) + margin * n_total
    return tf.math.divide_no_nan(linear_loss(value, distances, use), n_total)


def nearest_view_loss(labels, embeddings, margin):
    """Per anchor the nearest positive and the nearest negative: views as a set.

    A gallery keeps several views of an instance, and the nearest of them decides: an anchor needs
    one of its own to be nearer than everybody else's, and its other views may be far away. Easy
    positives with hard negatives, Xuan et al. 2020, "Improved Embeddings with Easy Positive
    Triplet Mining". Returns 0 with zero gradient if no anchor has both.
    """
    distances = l2_distances(embeddings)
    positive, negative = pair_masks(labels)
    far = tf.constant(float("inf"), distances.dtype)
    own = tf.reduce_min(tf.where(positive, distances, far), 1)
    others = tf.reduce_min(tf.where(negative, distances, far), 1)
    usable = tf.math.is_finite(own) & tf.math.is_finite(others)
    own, others = tf.boolean_mask(own, usable), tf.boolean_mask(others, usable)
    total = tf.reduce_sum(tf.maximum(own - others + margin, 0.0))
    return tf.math.divide_no_nan(total, tf.cast(tf.size(own), total.dtype))


def semi_hard_sorted_loss(labels, embeddings, margin):
    """TFA's semi-hard loss in O(B^2) memory, and without its NaN.

    Equal to `semi_hard_loss` in value and gradient, ties included, wherever the batch has a
    positive pair and a negative; elsewhere 0 with zero gradient.
    """
    distances = l2_distances(embeddings)  # (B, B), [anchor, positive] and [anchor, negative]
    positive, negative = pair_masks(labels)
    d_ap = tf.stop_gradient(distances)
    d_an, position = sort_negatives(d_ap, negative)
    chosen, start, stop, at_max = semi_hard_negatives(d_ap, d_an)

    losses = margin + (d_ap - chosen)
    counted = positive & tf.reduce_any(negative, 1, keepdims=True)
    active = tf.cast(counted & (losses >= 0.0), distances.dtype)

    # Tied negatives share the gradient. At the maximum of a row TFA gives 1/B to each of them
    # and the rest to all that are tied there, be they negatives or not.
    n_samples = tf.cast(tf.shape(distances)[0], distances.dtype)
    n_tied = tf.cast(tf.maximum(stop - start, 1), distances.dtype)
    share = tf.where(at_max, 1.0 / n_samples, 1.0 / n_tied)
    downs = tf.gather(spread(start, stop, active * share), position, batch_dims=1)
    is_max = tf.cast(d_ap == tf.reduce_max(d_ap, 1, keepdims=True), distances.dtype)
    rest = tf.where(at_max, active * (1.0 - n_tied / n_samples), 0.0)
    is_max *= tf.math.divide_no_nan(
        tf.reduce_sum(rest, 1, keepdims=True), tf.reduce_sum(is_max, 1, keepdims=True)
    )
    total = linear_loss(
        tf.reduce_sum(tf.where(active > 0, losses, 0.0)), distances, active - downs - is_max
    )
    return tf.math.divide_no_nan(total, tf.reduce_sum(tf.cast(positive, distances.dtype)))


def _active_triplets(labels, distances, margin):
    """How many negatives violate the margin with each positive pair.

    Returns
    -------
    n_active : tf.Tensor of shape (B, B), int32
        [anchor, positive]; 0 where that is no positive pair.
    position : tf.Tensor of shape (B, B), int32
        From `sort_negatives`.
    """
    positive, negative = pair_masks(labels)
    d_an, position = sort_negatives(distances, negative)
    n_active = tf.searchsorted(d_an, tf.stop_gradient(distances) + margin, side="left")
    return tf.where(positive, n_active, 0), position


def fraction_active(labels, embeddings, margin):
    """Share of the valid triplets whose loss is positive: d_ap + margin > d_an.

    Returns
    -------
    tf.Tensor of shape (), float32
        In [0, 1]; 0 if the batch has no valid triplet. Training stands still as it nears 0.
    """
    positive, negative = pair_masks(labels)
    n_active, _ = _active_triplets(labels, l2_distances(embeddings), margin)
    per_anchor = [tf.reduce_sum(tf.cast(mask, tf.float32), 1) for mask in (positive, negative)]
    n_valid = tf.reduce_sum(per_anchor[0] * per_anchor[1])
    return tf.math.divide_no_nan(tf.cast(tf.reduce_sum(n_active), tf.float32), n_valid)


LOSSES = {
    "random": random_triplet_loss,
    "semi-hard": semi_hard_loss,
    "batch-hard": batch_hard_loss,
    "batch-all": batch_all_loss,
    "nearest-view": nearest_view_loss,
    "semi-hard-sorted": semi_hard_sorted_loss,
}


def get_loss(
    name: str,
    margin: float = 0.3,
    *,
    on_degenerate: str = "raise",
    normalise: bool = False,
    seed: int = 0,
    max_gib: float = 4.0,
) -> Callable:
    """Return a guarded loss: its value is finite and means something, or it says why not.

    Parameters
    ----------
    name : str
        A key of `LOSSES`.
    margin : float
        In units of L2 distance, so above 0 and below 2.
    on_degenerate : {"raise", "skip"}
        What to do with a batch that has no positive pair or no negative: an error, or a loss
        of 0 with zero gradient, so that the step changes nothing.
    normalise : bool
        Bring the embeddings to unit length here. Default: those that are not are an error.
    seed : int
        For "random".
    max_gib : float
        Refuse batches for which TFA's semi-hard loss would take more memory than this.

    Returns
    -------
    callable
        ``loss(labels, embeddings) -> tf.Tensor of shape (), float32``; works inside
        `tf.function` and as the loss of `keras.Model.compile`. It raises ValueError for
        shapes and types, tf.errors.InvalidArgumentError for values, and logs one warning if
        all embeddings of a batch coincide, from where the gradient leads nowhere.

    Raises
    ------
    ValueError
        If there is no such loss, or the margin is out of range.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss named {name!r}; there are: {', '.join(LOSSES)}")
    if not 0.0 < margin < 2.0:
        raise ValueError(
            f"margin must be in (0, 2), the range of L2 between unit vectors: {margin}"
        )
    if on_degenerate not in ("raise", "skip"):
        raise ValueError(f"on_degenerate must be 'raise' or 'skip': {on_degenerate!r}")
    function: Any = LOSSES[name]
    if name == "random":
        function = functools.partial(function, rng=tf.random.Generator.from_seed(seed))
    warn_if_collapsed = guards.CollapseWarning()

    def loss(labels, embeddings):
        labels, embeddings = guards.check_batch(labels, embeddings)
        if name == "semi-hard":
            guards.check_memory(embeddings, max_gib)
        if normalise:
            embeddings = tf.math.l2_normalize(embeddings, axis=1)
        checks = [guards.assert_unit_length(embeddings), warn_if_collapsed(embeddings)]
        if on_degenerate == "raise":
            with tf.control_dependencies([*checks, *guards.assert_usable(labels)]):
                return function(labels, tf.identity(embeddings), margin)
        with tf.control_dependencies(checks):
            return tf.cond(
                guards.is_usable(labels),
                lambda: function(labels, embeddings, margin),
                lambda: 0.0 * tf.reduce_sum(embeddings),
            )

    loss.__name__ = f"{name.replace('-', '_')}_loss"
    return loss


SHARPNESS = 12.0  # of the soft hinge, per unit of L2


def threshold_loss(labels, embeddings, threshold, *, slack=0.1, hardest=0.05):
    """Soft hinge on both sides of a threshold.

    Positive pairs are pulled below ``threshold - slack``; of the negative pairs the ``hardest``
    share, which alone matters at a low false-accept rate, is pushed above ``threshold + slack``.

    Parameters
    ----------
    labels : tf.Tensor of shape (B,), int
    embeddings : tf.Tensor of shape (B, D), float32
        Unit length.
    threshold : tf.Tensor or tf.Variable of shape (), float32
        L2 (not squared); it may learn too.
    slack : float
        In units of L2.
    hardest : float
        Share of the negative pairs that count, in (0, 1].

    Returns
    -------
    tf.Tensor of shape (), float32
        Sum of the two means; a side without pairs gives 0.
    """
    distances = l2_distances(embeddings)  # (B, B)
    positive, negative = pair_masks(labels)
    near = tf.boolean_mask(distances, positive)
    far = tf.boolean_mask(distances, negative)
    n_hard = tf.cast(tf.math.ceil(hardest * tf.cast(tf.size(far), tf.float32)), tf.int32)
    hard = -tf.math.top_k(-far, n_hard).values
    return _mean_hinge(near - threshold + slack) + _mean_hinge(threshold + slack - hard)


def _mean_hinge(excess):
    total = tf.reduce_sum(tf.nn.softplus(SHARPNESS * excess)) / SHARPNESS
    return tf.math.divide_no_nan(total, tf.cast(tf.size(excess), tf.float32))

"""What the triplet losses share: distances, masks, and counting along sorted negatives.

Once the triplets of a batch are chosen, a triplet loss is linear in the distances: a positive
distance counts up, a negative one down, each as often as it is used. The sorted losses
therefore compute *how often*, without a gradient, and let `linear_loss` do the rest. Among the
negatives of an anchor in order of distance, all questions ("the nearest beyond this positive",
"all nearer than this positive plus the margin") are a binary search: O(B^2) memory where the
table of all triplets takes O(B^3).
"""

from __future__ import annotations

from instanceid_utils.embedding.tensorflow import tf


def l2_distances(embeddings):
    """Pairwise L2 distances, not squared; a distance of 0 has gradient 0, not NaN.

    Same arithmetic as `tfa.losses.metric_learning.pairwise_distance`, so that comparisons
    between distances come out alike to the last bit.

    Parameters
    ----------
    embeddings : tf.Tensor of shape (B, D), float32

    Returns
    -------
    tf.Tensor of shape (B, B), float32
    """
    rows = tf.reduce_sum(tf.square(embeddings), 1, keepdims=True)  # (B, 1)
    columns = tf.reduce_sum(tf.square(tf.transpose(embeddings)), 0, keepdims=True)  # (1, B)
    squared = rows + columns - 2.0 * tf.matmul(embeddings, tf.transpose(embeddings))
    squared = tf.linalg.set_diag(squared, tf.zeros(tf.shape(embeddings)[:1], squared.dtype))
    apart = squared > 0.0
    # The square root never sees a 0: its infinite slope would turn the gradient to NaN.
    return tf.where(apart, tf.sqrt(tf.where(apart, squared, 1.0)), 0.0)


def pair_masks(labels):
    """Which pairs are positive (same identity, not itself) and which negative.

    Parameters
    ----------
    labels : tf.Tensor of shape (B,) or (B, 1), integer

    Returns
    -------
    positive, negative : tf.Tensor of shape (B, B), bool
    """
    labels = tf.reshape(labels, [-1])
    same = labels[:, None] == labels[None, :]
    itself = tf.eye(tf.size(labels), dtype=tf.bool)
    return same & ~itself, ~same


def sort_negatives(distances, negative):
    """Negatives of each anchor by increasing distance.

    Returns
    -------
    d_an : tf.Tensor of shape (B, B)
        Sorted distances to the negatives, +inf behind the last.
    position : tf.Tensor of shape (B, B), int32
        Where each column went: ``gather(d_an, position, batch_dims=1)`` undoes the sort.
    """
    candidates = tf.stop_gradient(tf.where(negative, distances, float("inf")))
    order = tf.argsort(candidates, axis=1, stable=True)
    return tf.gather(candidates, order, batch_dims=1), tf.argsort(order, axis=1)


def semi_hard_negatives(d_ap, d_an):
    """For each anchor and positive, the distance to the semi-hard negative and where it is.

    Parameters
    ----------
    d_ap : tf.Tensor of shape (B, B)
    d_an : tf.Tensor of shape (B, B)
        From `sort_negatives`.

    Returns
    -------
    chosen : tf.Tensor of shape (B, B)
        Distance to the nearest negative beyond the positive, else to the farthest negative.
    start, stop : tf.Tensor of shape (B, B), int32
        The columns of `d_an` that hold it: more than one if there is a tie.
    at_max : tf.Tensor of shape (B, B), bool
        Whether it lies beyond the positive, at the maximum of the row of `d_ap`.
    """
    row_max = tf.reduce_max(d_ap, 1, keepdims=True)  # (B, 1)
    n_negatives = tf.reduce_sum(tf.cast(tf.math.is_finite(d_an), tf.int32), 1, keepdims=True)
    farthest = tf.gather(d_an, tf.maximum(n_negatives - 1, 0), batch_dims=1)

    start = tf.searchsorted(d_an, d_ap, side="right")
    beyond = start < n_negatives
    # TFA compares distances less the maximum of the row, which may tie what differs in the
    # last bit.
    shifted = d_an - row_max
    nearest = tf.gather(shifted, tf.minimum(start, tf.shape(d_an)[1] - 1), batch_dims=1)
    stop = tf.searchsorted(shifted, nearest, side="right")
    first_farthest = tf.searchsorted(d_an, farthest, side="left")
    chosen = tf.where(beyond, nearest + row_max, farthest)
    start = tf.where(beyond, start, first_farthest)
    stop = tf.where(beyond, stop, n_negatives)
    return chosen, start, stop, beyond & (nearest == 0.0)


def _count_at(index, weights):
    """Add up `weights` (B, B) by the column that `index` (B, B) points to -> (B, B + 1)."""
    n = tf.shape(index)[0]
    flat = index + (n + 1) * tf.range(n, dtype=index.dtype)[:, None]
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(weights, [-1]), tf.reshape(flat, [-1]), n * (n + 1)
    )
    return tf.reshape(sums, [n, n + 1])


def spread(first, last, weights):
    """Give `weights` (B, B) to each column of the ranges [first, last) -> (B, B)."""
    steps = _count_at(first, weights) - _count_at(last, weights)
    return tf.cumsum(steps, axis=1)[:, :-1]


def linear_loss(value, distances, use):
    """`value` going forward, ``sum(use * distances)`` going backward."""
    linear = tf.reduce_sum(tf.stop_gradient(use) * distances)
    return linear + tf.stop_gradient(value - linear)

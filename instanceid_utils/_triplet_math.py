"""What the triplet losses share: distances, masks, and counting along sorted negatives.

Once the triplets of a batch are chosen, a triplet loss is linear in the distances: a positive
distance counts up, a negative one down, each as often as it is used. The sorted losses
therefore compute *how often*, without a gradient, and let `linear_loss` do the rest. Among the
negatives of an anchor in order of distance, all questions ("the nearest beyond this positive",
"all nearer than this positive plus the margin") are a binary search: O(B^2) memory where the
table of all triplets takes O(B^3).
"""

from __future__ import annotations

from instanceid_utils._tensorflow import tf


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


def count_starts(index, weights):
    """Add up `weights` (B, B) by the column that `index` (B, B) points to -> (B, B + 1)."""
    n = tf.shape(index)[0]
    flat = index + (n + 1) * tf.range(n, dtype=index.dtype)[:, None]
    sums = tf.math.unsorted_segment_sum(
        tf.reshape(weights, [-1]), tf.reshape(flat, [-1]), n * (n + 1)
    )
    return tf.reshape(sums, [n, n + 1])


def spread(first, last, weights):
    """Give `weights` (B, B) to each column of the ranges [first, last) -> (B, B)."""
    steps = count_starts(first, weights) - count_starts(last, weights)
    return tf.cumsum(steps, axis=1)[:, :-1]


def linear_loss(value, distances, use):
    """`value` going forward, ``sum(use * distances)`` going backward."""
    linear = tf.reduce_sum(tf.stop_gradient(use) * distances)
    return linear + tf.stop_gradient(value - linear)

"""A loss for the decision itself: same below one threshold, different above it.

A triplet loss ranks distances within an anchor's row and says nothing of their absolute size;
the tracker compares distances with one threshold for all. This term, beside the triplet loss,
makes that one threshold work for everybody.
"""

from __future__ import annotations

from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.training.triplet_math import l2_distances, pair_masks

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

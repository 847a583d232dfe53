"""Checks that stop a triplet loss from failing in silence.

Shapes and types are known when the graph is built and raise ValueError; values are checked
inside the graph, where TensorFlow raises `tf.errors.InvalidArgumentError`.
"""

from __future__ import annotations

import logging

from instanceid_utils.embedding.tensorflow import tf

logger = logging.getLogger(__name__)

UNIT_TOLERANCE = 0.01
COLLAPSE_TOLERANCE = 1e-3  # float32 leaves distances of a few 1e-4 between equal unit vectors
TFA_BYTES_PER_TRIPLET = 22  # measured: 2.9 GB at B = 512


def check_batch(labels, embeddings):
    """Labels as (B,) integers and embeddings as (B, D) float32, or an error that says why.

    Raises
    ------
    ValueError
        For labels that are no integers, one-hot or of another length than the embeddings, and
        for embeddings that are not (B, D).
    """
    labels, embeddings = tf.convert_to_tensor(labels), tf.convert_to_tensor(embeddings)
    if embeddings.shape.rank != 2 or not embeddings.dtype.is_floating:
        raise ValueError(
            "embeddings must be floats of shape (B, D), got "
            f"{embeddings.dtype.name} of shape {embeddings.shape}"
        )
    rank = labels.shape.rank
    if rank == 2 and labels.shape[1] not in (1, None):
        raise ValueError(
            f"labels must be identities of shape (B,) or (B, 1), got shape {labels.shape}: they "
            "look one-hot, use tf.argmax(labels, axis=1)"
        )
    if rank not in (1, 2) or not labels.dtype.is_integer:
        raise ValueError(
            "labels must be integers of shape (B,) or (B, 1), got "
            f"{labels.dtype.name} of shape {labels.shape}"
        )
    if not labels.shape[:1].is_compatible_with(embeddings.shape[:1]):
        raise ValueError(f"{labels.shape[0]} labels for {embeddings.shape[0]} embeddings")
    return tf.reshape(labels, [-1]), tf.cast(embeddings, tf.float32)


def check_memory(embeddings, max_gib):
    """Refuse a batch whose table of all triplets would not fit.

    Raises
    ------
    ValueError
        If the batch is too large, or its size is not known when the graph is built.
    """
    n_samples = embeddings.shape[0]
    if n_samples is None:
        raise ValueError(
            "the 'semi-hard' loss needs a fixed batch size, or its memory cannot be foreseen: "
            "fix it (drop_remainder=True), or use 'semi-hard-sorted'"
        )
    gib = TFA_BYTES_PER_TRIPLET * n_samples**3 / 2**30
    if gib > max_gib:
        raise ValueError(
            f"the 'semi-hard' loss would take about {gib:.1f} GiB for a batch of {n_samples} "
            f"(limit {max_gib:g} GiB): use 'semi-hard-sorted', which is equal to it and takes "
            "O(B^2), or a smaller P x K"
        )


def assert_unit_length(embeddings):
    """Fail on embeddings with NaN or of another length than 1: the margin has their scale."""
    length = tf.norm(embeddings, axis=1)
    return tf.debugging.Assert(
        tf.reduce_all(tf.abs(length - 1.0) < UNIT_TOLERANCE),  # false for NaN as well
        [
            "embeddings must be finite and of unit length (end the network in an L2 "
            "normalisation, or pass normalise=True); lengths:",
            length,
        ],
        summarize=8,
    )


def _has_pairs(labels):
    same = labels[:, None] == labels[None, :]
    n_same = tf.reduce_sum(tf.cast(same, tf.int32))
    n_samples = tf.size(labels)
    return n_same > n_samples, n_same < n_samples * n_samples


def is_usable(labels):
    """Whether a batch has both a positive pair and a negative."""
    return tf.logical_and(*_has_pairs(labels))


def assert_usable(labels):
    """Fail on a batch without a positive pair (TFA: NaN) or a negative (TFA: nonsense)."""
    has_positive, has_negative = _has_pairs(labels)
    advice = "draw P x K batches with PKSampler, and no ragged last one; labels:"
    return [
        tf.debugging.Assert(has_positive, [f"no positive pair in the batch: {advice}", labels]),
        tf.debugging.Assert(has_negative, [f"no negative in the batch: {advice}", labels]),
    ]


class CollapseWarning:
    """Logs one warning, ever, if all embeddings of a batch (more than one) coincide."""

    def __init__(self):
        self.given = False

    def __call__(self, embeddings):
        """Return an op to depend on."""
        away = tf.reduce_max(tf.norm(embeddings - embeddings[:1], axis=1))
        collapsed = (away < COLLAPSE_TOLERANCE) & (tf.shape(embeddings)[0] > 1)
        return tf.cond(collapsed, self._warn_from_graph, lambda: tf.constant(False))

    def _warn_from_graph(self):
        return tf.py_function(self._warn, [], tf.bool)

    def _warn(self):
        if not self.given:
            self.given = True
            logger.warning(
                "all embeddings of the batch coincide: the loss stays at the margin with no "
                "gradient to leave it. Lower the learning rate, or start from other weights"
            )
        return True

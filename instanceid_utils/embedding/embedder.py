"""From segments to embeddings: the trained network behind one small class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.embedding import weights
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.segments.crops import MARGIN, cut_crops
from instanceid_utils.segments.segments import check_frame, find_segments

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Embedder:
    """Turn segments into points on the unit sphere, near each other for the same instance.

    Parameters
    ----------
    network : tf.keras.Model
        From crops (B, S, S, 4) to unit vectors (B, D), see ``embedding.build_network``.
    threshold : float, optional
        L2 distance (not squared) below which two embeddings are taken for one instance.
    weights_sha256 : str, optional
        Names the weights; galleries and thresholds made with them carry it.
    margin : float
        Of the crops the network was trained on, see ``segments.cut_crops``.

    Attributes
    ----------
    dim, crop_size : int
    margin, threshold, weights_sha256
        As given.
    card : dict
        What is known of the weights; empty if they come from no file.

    Examples
    --------
    >>> embedder = Embedder.pretrained()
    >>> frame = np.zeros((48, 64, 3), np.uint8)
    >>> masks = np.zeros((48, 64), np.uint8)
    >>> masks[8:30, 10:30], masks[5:40, 40:60] = 1, 2
    >>> embedder.embed(frame, masks).shape == (2, embedder.dim)
    True
    """

    def __init__(
        self,
        network: Any,
        *,
        threshold: float | None = None,
        weights_sha256: str | None = None,
        margin: float = MARGIN,
        card: dict[str, Any] | None = None,
    ):
        self.network = network
        self.threshold = threshold
        self.weights_sha256 = weights_sha256
        self.margin = margin
        self.card = dict(card or {})
        self.crop_size, self.dim = network.input_shape[1], network.output_shape[1]
        self._forward = tf.function(
            lambda crops: network(tf.cast(crops, tf.float32), training=False),
            input_signature=[tf.TensorSpec((None, *network.input_shape[1:]), tf.uint8)],
        )

    @classmethod
    def pretrained(cls, card: str | os.PathLike | None = None) -> Embedder:
        """Load weights, by default the shipped ones, with their calibrated threshold.

        Parameters
        ----------
        card : path, optional
            Card of other weights, as ``embedding.save_weights`` wrote it.

        Raises
        ------
        FileNotFoundError, ValueError
            If there are none, or their hash is not that of the card or of the calibration.
        """
        card_path = Path(card) if card is not None else weights.shipped()
        network, facts = weights.load_weights(card_path)
        calibrated, threshold = weights.calibration_path(card_path), None
        if calibrated.exists():
            threshold = Calibration.from_json(calibrated).require_weights(facts["sha256"])
        return cls(
            network,
            threshold=threshold,
            weights_sha256=facts["sha256"],
            margin=facts.get("margin", MARGIN),
            card=facts,
        )

    def embed(self, frame: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Embed every segment of a frame.

        Parameters
        ----------
        frame : ndarray of shape (H, W, 3), uint8
            RGB.
        masks : ndarray
            Integer label map (H, W), 0 = background, or bool masks (N, H, W).

        Returns
        -------
        ndarray of shape (N, dim), float32
            Unit length, in order of increasing label or of the masks.

        Raises
        ------
        ValueError
            For another dtype or shape, or a mask without pixels.
        """
        segments = find_segments(masks)
        check_frame(frame, segments.frame_shape)
        return self.embed_crops(cut_crops(frame, segments, self.crop_size, self.margin))

    def embed_crops(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops.

        Parameters
        ----------
        crops : ndarray of shape (N, crop_size, crop_size, 4), uint8
            RGBA, as ``segments.cut_crops`` makes them.

        Returns
        -------
        ndarray of shape (N, dim), float32
            Unit length.
        """
        crops = np.asarray(crops)
        if crops.dtype != np.uint8 or crops.shape[1:] != (self.crop_size, self.crop_size, 4):
            raise ValueError(
                f"crops: expected uint8 (N, {self.crop_size}, {self.crop_size}, 4), "
                f"got {crops.dtype} {crops.shape}"
            )
        out = np.empty((len(crops), self.dim), np.float32)
        for start in range(0, len(crops), BATCH_SIZES[-1]):
            part = crops[start : start + BATCH_SIZES[-1]]
            out[start : start + len(part)] = self._forward(_pad(part)).numpy()[: len(part)]
        return out


def _pad(crops):
    """Fill a batch up to one of ``BATCH_SIZES``: few shapes, so kernels are chosen but once."""
    size = next(size for size in BATCH_SIZES if size >= len(crops))
    if size == len(crops):
        return crops
    return np.concatenate([crops, np.zeros((size - len(crops), *crops.shape[1:]), np.uint8)])

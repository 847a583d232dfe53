"""From segments to embeddings: the trained network behind one small class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.embedding import weights
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.runtimes import BACKENDS, BATCH_SIZES, KerasNetwork, OnnxNetwork
from instanceid_utils.segments.crops import MARGIN, cut_crops
from instanceid_utils.segments.segments import check_frame, find_segments


class Embedder:
    """Turn segments into points on the unit sphere, near each other for the same instance.

    Parameters
    ----------
    network : tf.keras.Model or OnnxNetwork
        From crops (B, S, S, 4) to unit vectors (B, D), see ``embedding.build_network``.
    threshold : float, optional
        L2 distance (not squared) below which two embeddings are taken for one instance.
    weights_sha256 : str, optional
        Names the weights; galleries and thresholds made with them carry it.
    margin : float
        Of the crops the network was trained on, see ``segments.cut_crops``.
    evidence : dict of str to float, optional
        The numbers of `tracking.Evidence` for these weights.

    Attributes
    ----------
    dim, crop_size : int
    margin, threshold, weights_sha256, evidence
        As given.
    card : dict
        What is known of the weights; empty if they come from no file.
    calibration : Calibration or None
        Of the weights, where it lies beside their card.

    Notes
    -----
    Can be pickled and copied, and used in a forked process.

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
        card: dict | None = None,
        evidence: dict | None = None,
    ):
        self.card = dict(card or {})
        keras = not isinstance(network, OnnxNetwork)
        self._run = KerasNetwork(network, self.card.get("architecture")) if keras else network
        self.calibration: Calibration | None = None
        self._card_path: Path | None = None
        self.threshold, self.evidence = threshold, evidence
        self.weights_sha256 = weights_sha256
        self.margin = margin
        self.crop_size, self.dim = self._run.crop_size, self._run.dim

    @classmethod
    def pretrained(
        cls,
        card: str | os.PathLike | None = None,
        *,
        backend: str | None = None,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> Embedder:
        """Load weights, by default the shipped ones, with their calibrated threshold.

        Parameters
        ----------
        card : path, optional
            Card of other weights, as ``embedding.save_weights`` wrote it.
        backend : {"onnx", "keras"}, optional
            ONNX Runtime by default, where the weights have an ONNX file beside them. Keras needs
            TensorFlow, ``pip install "instanceid-utils[train]"``.
        providers, threads
            Of ONNX Runtime, see `embedding.OnnxNetwork`.

        Raises
        ------
        FileNotFoundError, ValueError
            If there are none, or their hash is not that of the card or of the calibration.
        ImportError
            If what the backend needs is not installed.
        """
        card_path = Path(card) if card is not None else weights.shipped()
        facts = weights.read_card(card_path)
        if backend is None:
            backend = "onnx" if weights.onnx_path(card_path).exists() else "keras"
        if backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {BACKENDS}, got {backend!r}")
        network: Any
        if backend == "onnx":
            model = weights.load_onnx(card_path, facts)
            network = OnnxNetwork(model, providers=providers, threads=threads)
        else:
            network = _load_keras(card_path)
        calibration = weights.read_calibration(card_path, facts)
        embedder = cls(
            network,
            threshold=None if calibration is None else calibration.threshold,
            evidence=None if calibration is None else calibration.evidence,
            weights_sha256=facts["sha256"],
            margin=facts.get("margin", MARGIN),
            card=facts,
        )
        embedder._card_path, embedder.calibration = card_path, calibration
        return embedder

    @property
    def backend(self) -> str:
        """What computes the embeddings: "onnx" or "keras"."""
        return "onnx" if isinstance(self._run, OnnxNetwork) else "keras"

    @property
    def network(self) -> Any:
        """The network in Keras, to train further from; it is loaded when it is asked for."""
        if isinstance(self._run, KerasNetwork):
            return self._run.model
        if self._card_path is None:
            raise ValueError("network: this embedder was made of an ONNX model alone")
        return _load_keras(self._card_path)

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
            out[start : start + len(part)] = self._run(part)
        return out


def _load_keras(card_path):
    if find_spec("tensorflow") is None:
        raise ImportError(
            f"{card_path}: these weights need TensorFlow (they have no ONNX file, or Keras was "
            'asked for): pip install "instanceid-utils[train]"'
        )
    return weights.load_weights(card_path)[0]

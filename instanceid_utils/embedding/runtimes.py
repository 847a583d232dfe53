"""What computes the network: ONNX Runtime, which runs anywhere, or Keras, which trains.

Both take crops (B, S, S, 4), uint8, and give unit vectors (B, D), float32. Both can be pickled,
and go on in a forked process.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

BACKENDS = ("onnx", "keras")
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


class OnnxNetwork:
    """A network in ONNX Runtime.

    Parameters
    ----------
    model : bytes
        Content of an ONNX file, as `embedding.save_weights` writes it.
    providers : sequence of str, optional
        Execution providers of ONNX Runtime in order of preference, such as
        ``["CUDAExecutionProvider", "CPUExecutionProvider"]``; the CPU by default.
    threads : int, optional
        For one batch; ONNX Runtime chooses by default.

    Raises
    ------
    ValueError
        If it is no such model, or a provider is not there.
    """

    def __init__(
        self, model: bytes, *, providers: Sequence[str] | None = None, threads: int | None = None
    ):
        self._model = bytes(model)
        self._providers = list(providers or ["CPUExecutionProvider"])
        self._threads = threads
        self._session: Any = None
        self._pid = -1
        entry, exit_ = (self._open().get_inputs()[0], self._open().get_outputs()[0])
        self.crop_size, self.dim = int(entry.shape[1]), int(exit_.shape[1])
        self._name = entry.name

    def _open(self):
        """Return the session of this process: a fork has none of its parent's threads."""
        if self._pid != os.getpid():
            if self._session is not None:
                # To free it would wait for threads that are not here. It stays, whatever happens.
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
            self._session, self._pid = self._start(), os.getpid()
        return self._session

    def _start(self):
        import onnxruntime

        there = onnxruntime.get_available_providers()
        missing = [name for name in self._providers if name not in there]
        if missing:
            raise ValueError(
                f"providers: {missing[0]} is not in this ONNX Runtime, which has {', '.join(there)}"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = self._threads or 0
        try:
            return onnxruntime.InferenceSession(self._model, options, providers=self._providers)
        except Exception as error:  # ONNX Runtime raises many kinds for what is no model
            raise ValueError(f"expected an ONNX model of the embedding ({error})") from error

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops (B, S, S, 4), uint8; returns (B, D), float32."""
        return self._open().run(None, {self._name: crops})[0]

    def __getstate__(self):
        return {**vars(self), "_session": None, "_pid": -1}


class KerasNetwork:
    """A network in Keras, as it was trained.

    Parameters
    ----------
    model : tf.keras.Model
    architecture : dict, optional
        Arguments of ``embedding.build_network`` that made it; without them it cannot be pickled.
    """

    def __init__(self, model: Any, architecture: dict | None = None):
        self.model, self.architecture = model, architecture
        self.crop_size, self.dim = model.input_shape[1], model.output_shape[1]
        self._forward: Any = None

    def _compiled(self):
        from instanceid_utils.embedding.tensorflow import tf

        return tf.function(
            lambda crops: self.model(tf.cast(crops, tf.float32), training=False),
            input_signature=[tf.TensorSpec((None, *self.model.input_shape[1:]), tf.uint8)],
        )

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops (B, S, S, 4), uint8; returns (B, D), float32."""
        self._forward = self._forward or self._compiled()
        return self._forward(_padded(crops)).numpy()[: len(crops)]

    def __reduce__(self):
        if self.architecture is None:
            raise TypeError(
                "an embedder of a bare Keras network cannot be copied: save_weights, and load it "
                "by Embedder.pretrained"
            )
        return _rebuilt, (self.architecture, self.model.get_weights())


def _rebuilt(architecture, arrays):
    from instanceid_utils.embedding.network import build_network

    model = build_network(**architecture)
    model.set_weights(arrays)
    return KerasNetwork(model, architecture)


def _padded(crops):
    """Fill a batch up to one of ``BATCH_SIZES``: few shapes, so kernels are chosen but once."""
    size = next((size for size in BATCH_SIZES if size >= len(crops)), len(crops))
    if size == len(crops):
        return crops
    return np.concatenate([crops, np.zeros((size - len(crops), *crops.shape[1:]), np.uint8)])

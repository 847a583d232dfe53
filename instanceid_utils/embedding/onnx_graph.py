"""The embedding network as an ONNX graph, spelled out from its arrays.

No TensorFlow is needed, only the package ``onnx``. Batch normalisation is folded into the layers
before or after it, and the fixed colour histogram is made of plain operators, so that any runtime
can compute the whole way from the bytes of a crop to the embedding.
"""

from __future__ import annotations

import json
import re

import numpy as np

OPSET, IR_VERSION = 13, 8  # as old as the graph allows: more runtimes read it
INPUT, OUTPUT = "crops", "embeddings"
_EPSILON = 1e-3  # of Keras' batch normalisation
_BLOCK = re.compile(r"block_(\d+)_(add|project_BN)")
_WIDTHS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
_HALVING = (1, 3, 6, 13)  # blocks of MobileNetV2 (Sandler et al. 2018, table 2) with stride 2


def can_export(architecture):
    """Tell whether `build_graph` knows a network: our own, and MobileNetV2 up to some block."""
    backbone, layers = architecture.get("backbone"), architecture.get("backbone_layers") or ()
    known = backbone == "MobileNetV2" and layers and all(_BLOCK.fullmatch(x) for x in layers)
    return not backbone or bool(known)


def build_graph(architecture, arrays, notes=None):
    """Spell a network out.

    Parameters
    ----------
    architecture : dict
        Arguments of ``embedding.build_network``.
    arrays : list of ndarray
        What ``get_weights`` of the network gives, in its order.
    notes : dict of str to str, optional
        Metadata of the model.

    Returns
    -------
    onnx.ModelProto
        From ``crops`` (B, S, S, 4), uint8, RGBA, to ``embeddings`` (B, D), float32 of unit length.

    Raises
    ------
    ImportError
        Without the package ``onnx``.
    ValueError
        If the network has a backbone of Keras, or the arrays do not fit the architecture.
    """
    onnx = _onnx()
    if not can_export(architecture):
        raise ValueError(
            f"network: there is no ONNX graph for one with the backbone "
            f"{architecture['backbone']}, only for our own and for the blocks of MobileNetV2; "
            "it runs with backend='keras'"
        )
    try:
        graph = _Graph(onnx, architecture["crop_size"], list(arrays))
        _spell(graph, **architecture)
    except (IndexError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"network: its arrays do not fit its architecture ({error})") from error
    if graph.arrays:
        raise ValueError(f"network: {len(graph.arrays)} arrays too many for its architecture")
    model = graph.model({str(key): _text(value) for key, value in (notes or {}).items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def _onnx():
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "writing ONNX needs the package onnx: pip install 'instanceid-utils[train]'"
        ) from error
    return onnx


def _text(value):
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


class _Graph:
    """Nodes and constants of a graph, and the arrays that are not yet used."""

    def __init__(self, onnx, crop_size, arrays):
        self.onnx, self.crop_size, self.arrays = onnx, crop_size, arrays
        self.nodes, self.constants = [], {}

    def take(self, *shape):
        """Take the next array; None in ``shape`` fits any number."""
        array = np.asarray(self.arrays.pop(0), np.float32)
        if len(array.shape) != len(shape) or any(
            n not in (None, m) for n, m in zip(shape, array.shape)
        ):
            raise ValueError(f"expected shape {shape}, got {array.shape}")
        return array

    def constant(self, values, dtype=np.float32):
        """Return the name of a constant; equal ones share one."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            name = f"c{len(self.constants)}"
            self.constants[key] = self.onnx.numpy_helper.from_array(array, name)
        return self.constants[key].name

    def __getattr__(self, operator):
        """Give a function that adds a node: ``graph.Add(a, b)`` returns its output's name."""

        def add(*inputs, out=None, **attributes):
            inputs = [i if isinstance(i, str) else self.constant(i) for i in inputs]
            out = out or f"{operator.lower()}{len(self.nodes)}"
            node = self.onnx.helper.make_node(operator, inputs, [out], name=out, **attributes)
            self.nodes.append(node)  # named, as ONNX Runtime 1.18 fuses several of no name into one
            return out

        if not operator[:1].isupper():
            raise AttributeError(operator)
        return add

    def shape(self, *dims):
        """Name a constant of int64, as shapes and axes are."""
        return self.constant(dims, np.int64)

    def model(self, notes):
        """Put all of it together."""
        helper, types = self.onnx.helper, self.onnx.TensorProto
        dim = self.dim
        side = self.crop_size
        graph = helper.make_graph(
            self.nodes,
            "instanceid",
            [helper.make_tensor_value_info(INPUT, types.UINT8, ["batch", side, side, 4])],
            [helper.make_tensor_value_info(OUTPUT, types.FLOAT, ["batch", dim])],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        model.producer_name = "instanceid-utils"
        helper.set_model_props(model, notes)
        return model


def _spell(
    g,
    crop_size=64,
    dim=128,
    *,
    widths=(32, 64, 128),
    n_bins=64,
    pooling="masked",
    backbone=None,
    backbone_layers=(),
    backbone_weights=None,
    colour_weight=0.0,
    colour_bands=1,
):
    """Add the nodes of ``embedding.build_network``, in the order of its arrays."""
    planes = g.Cast(g.Transpose(INPUT, perm=[0, 3, 1, 2]), to=1)  # (B, 4, S, S), float32
    scale = np.array([1 / 127.5] * 3 + [1 / 255], np.float32).reshape(4, 1, 1)
    shift = np.array([-1, -1, -1, 0], np.float32).reshape(4, 1, 1)
    scaled = g.Add(g.Mul(planes, scale), shift)  # colours in [-1, 1], mask in [0, 1]
    if backbone:
        maps = _mobilenet(g, g.Slice(scaled, g.shape(0), g.shape(3), g.shape(1)), backbone_layers)
    else:
        maps = [(_features(g, scaled, widths), widths[-1], 8)]
    mask = g.Slice(scaled, g.shape(3), g.shape(4), g.shape(1))
    pooled, lengths = [], []
    for x, width, shrunk in maps:
        n_places = (crop_size // shrunk) ** 2
        weights = np.ones((1, n_places, 1), np.float32)
        if pooling == "masked":
            cell = [shrunk, shrunk]
            weights = g.AveragePool(mask, kernel_shape=cell, strides=cell)
            weights = g.Reshape(weights, g.shape(0, n_places, 1))
        pooled.append(_masked_pooling(g, x, weights, width, n_places))
        lengths.append(2 * width)
    if n_bins:
        pooled.append(_soft_histogram(g, scaled, n_bins, (crop_size // 4) ** 2))
        lengths.append(n_bins)
    vectors = _dense(g, pooled, lengths, dim)
    g.dim = dim
    if colour_weight:
        fixed = _hsv_histogram(g, planes, crop_size, colour_bands)
        fixed = g.Mul(fixed, np.float32(colour_weight))
        vectors = g.Concat(_unit(g, vectors), fixed, axis=1)
        g.dim += 128 * colour_bands
    _unit(g, vectors, out=OUTPUT)


def _features(g, x, widths):
    """Three stages of a convolution that halves and a residual block; (B, C, S / 8, S / 8)."""
    channels = 4
    for width in widths:
        x = _convolution(g, x, channels, width, stride=2)
        y = _convolution(g, x, width, width)
        y = _convolution(g, y, width, width, activate=False)
        x = g.Relu(g.Add(x, y))
        channels = width
    return x


def _convolution(g, x, channels, width, stride=1, activate=True):
    x = _normalised(g, x, g.take(3, 3, channels, width), stride)
    return g.Relu(x) if activate else x


def _mobilenet(g, x, layers):
    """Blocks of MobileNetV2 as Keras lays them; (features, channels, shrunk) of each in layers."""
    blocks = [int(_BLOCK.fullmatch(name).group(1)) for name in layers]
    x = _clipped(g, _normalised(g, x, g.take(3, 3, 3, 32), 2))
    width, shrunk, out = 32, 2, {}
    for n in range(max(blocks) + 1):
        y, wide, stride = x, width, 2 if n in _HALVING else 1
        if n:
            wide = 6 * width
            y = _clipped(g, _normalised(g, y, g.take(1, 1, width, wide)))
        depthwise = g.take(3, 3, wide, 1).transpose(0, 1, 3, 2)
        y = _clipped(g, _normalised(g, y, depthwise, stride, group=wide))
        y = _normalised(g, y, g.take(1, 1, wide, _WIDTHS[n]))
        joined = width == _WIDTHS[n] and stride == 1
        x, before, width, shrunk = y, x, _WIDTHS[n], shrunk * stride
        out[f"block_{n}_project_BN"] = x, width, shrunk
        if joined:
            x = g.Add(before, y)
            out[f"block_{n}_add"] = x, width, shrunk
    return [out[name] for name in layers]


def _clipped(g, x):
    return g.Clip(x, np.float32(0), np.float32(6))


def _normalised(g, x, kernel, stride=1, group=1):
    """Convolve with a kernel (height, width, in, out) and the normalisation that follows it."""
    side = kernel.shape[0]
    scale, shift = _normalisation(g, kernel.shape[3])
    kernel = np.ascontiguousarray((kernel * scale).transpose(3, 2, 0, 1))
    first = side // 2 if stride == 1 else 0  # "same" pads an even side at its end
    last = side // 2
    split = {"group": group} if group > 1 else {}
    pads = [first, first, last, last]
    return g.Conv(
        x, kernel, shift, kernel_shape=[side] * 2, strides=[stride] * 2, pads=pads, **split
    )


def _normalisation(g, n):
    """Take a batch normalisation over n channels: y = scale x + shift."""
    gamma, beta, mean, variance = (g.take(n).astype(np.float64) for _ in range(4))
    scale = gamma / np.sqrt(variance + _EPSILON)
    return scale.astype(np.float32), (beta - scale * mean).astype(np.float32)


def _masked_pooling(g, x, weights, n_channels, n_places):
    """Mean and cubic mean of features under weights (B, places, 1); (B, 2 C)."""
    weights = g.Add(weights, np.float32(1e-4))
    weights = g.Div(weights, g.ReduceSum(weights, g.shape(1), keepdims=1))
    x = g.Reshape(x, g.shape(0, n_channels, n_places))
    mean = g.MatMul(x, weights)
    x = g.Max(x, np.float32(1e-3))
    cubes = g.MatMul(g.Mul(g.Mul(x, x), x), weights)
    pooled = g.Concat(mean, g.Pow(cubes, np.float32(1 / 3)), axis=1)
    return g.Reshape(pooled, g.shape(0, 2 * n_channels))


def _soft_histogram(g, scaled, n_bins, n_places):
    """Share of the pixels near each learned colour, square-rooted; (B, bins)."""
    centres = g.take(n_bins, 3).astype(np.float64)
    sharpness = np.exp(g.take().astype(np.float64))
    every_fourth = g.AveragePool(scaled, kernel_shape=[2, 2], strides=[4, 4])
    pixels = g.Reshape(every_fourth, g.shape(0, 4, n_places))
    colours = g.Slice(pixels, g.shape(0), g.shape(3), g.shape(1))
    weights = g.Slice(pixels, g.shape(3), g.shape(4), g.shape(1))
    weights = g.Mul(weights, weights)
    weights = g.Mul(weights, weights)  # no pixels mixed with the fill
    near = g.MatMul(
        g.Transpose(colours, perm=[0, 2, 1]), (2 * sharpness * centres.T).astype(np.float32)
    )
    near = g.Add(near, (-sharpness * (centres**2).sum(1)).astype(np.float32))
    share = g.Reshape(g.MatMul(weights, g.Softmax(near, axis=2)), g.shape(0, n_bins))
    total = g.Add(g.ReduceSum(weights, g.shape(2), keepdims=0), np.float32(1e-6))
    return g.Sqrt(g.Add(g.Div(share, total), np.float32(1e-6)))


def _dense(g, parts, lengths, dim):
    """Normalise each part and join them by the last layer; all of it is one product."""
    affine = [_normalisation(g, n) for n in lengths]
    scale, shift = (np.concatenate(both).astype(np.float64) for both in zip(*affine))
    kernel = g.take(len(scale), dim).astype(np.float64)
    joined = g.Concat(*parts, axis=1) if len(parts) > 1 else parts[0]
    product = g.MatMul(joined, (scale[:, None] * kernel).astype(np.float32))
    return g.Add(product, (shift @ kernel).astype(np.float32))


def _unit(g, vectors, out=None):
    squares = g.ReduceSum(g.Mul(vectors, vectors), g.shape(1), keepdims=1)
    return g.Div(vectors, g.Sqrt(g.Max(squares, np.float32(1e-12))), out=out)


def _hsv_histogram(g, planes, crop_size, bands):
    """Histogram of ``HsvHistogram``, bit for bit the same bins; (B, 128 x bands).

    Of 8 x 4 x 4 bins a pixel belongs to one: it is one row of an (8) and one of a (16) table,
    and the product of both tables over all pixels counts.
    """
    side = crop_size // 2
    steps = g.shape(2, 2)
    thin = g.Slice(planes, g.shape(0, 0), g.shape(crop_size, crop_size), g.shape(2, 3), steps)
    thin = g.Mul(g.Reshape(thin, g.shape(0, 4, side * side)), np.float32(1 / 255))
    red, green, blue, inside = (
        g.Slice(thin, g.shape(k), g.shape(k + 1), g.shape(1)) for k in range(4)
    )
    hue, saturation, value = _hsv(g, red, green, blue)
    hue = _floor(g, hue, 8)
    other = g.Add(g.Mul(_floor(g, saturation, 4), np.float32(4)), _floor(g, value, 4))
    inside = g.Cast(g.Greater(inside, np.float32(0.5)), to=1)
    hues, others = _one_hot(g, hue, 8), g.Transpose(_one_hot(g, other, 16), perm=[0, 2, 1])
    shares = []
    for part in _bands(g, inside, side, bands):
        counts = g.Reshape(g.MatMul(g.Mul(hues, part), others), g.shape(0, 128))
        total = g.Add(g.ReduceSum(counts, g.shape(1), keepdims=1), np.float32(1e-6))
        shares.append(g.Div(counts, total))
    if bands == 1:
        return g.Sqrt(shares[0])
    return g.Sqrt(g.Mul(g.Concat(*shares, axis=1), np.float32(1 / bands)))


def _bands(g, inside, side, bands):
    """Split the pixels (B, 1, side x side) of a segment by the bands of its height."""
    if bands == 1:
        return [inside]
    rows = g.Reshape(inside, g.shape(0, side, side))
    rows = g.ReduceMax(rows, axes=[2], keepdims=0)
    top = g.Cast(g.ArgMax(rows, axis=1, keepdims=1), to=1)
    last = g.Cast(g.ArgMax(rows, axis=1, keepdims=1, select_last_index=1), to=1)
    height = g.Add(g.Sub(last, top), np.float32(1))
    below = g.Sub(np.arange(side, dtype=np.float32)[None], top)
    band = g.Floor(g.Div(g.Mul(below, np.float32(bands)), height))
    band = g.Clip(band, np.float32(0), np.float32(bands - 1))
    band = g.Reshape(band, g.shape(0, 1, side, 1))
    pixels = g.Reshape(inside, g.shape(0, 1, side, side))
    flat = g.shape(0, 1, side * side)
    return [
        g.Reshape(g.Mul(pixels, g.Cast(g.Equal(band, np.float32(k)), to=1)), flat)
        for k in range(bands)
    ]


def _hsv(g, red, green, blue):
    """Hue, saturation and value in [0, 1], in the steps of TensorFlow's own ``rgb_to_hsv``."""
    value = g.Max(red, green, blue)
    span = g.Sub(value, g.Min(red, green, blue))
    coloured, lit = g.Greater(span, np.float32(0)), g.Greater(value, np.float32(0))
    saturation = g.Where(lit, g.Div(span, value), np.float32(0))
    sixth = g.Mul(g.Reciprocal(span), np.float32(1 / 6))
    of_red = g.Mul(sixth, g.Sub(green, blue))
    of_green = g.Add(g.Mul(sixth, g.Sub(blue, red)), np.float32(2 / 6))
    of_blue = g.Add(g.Mul(sixth, g.Sub(red, green)), np.float32(4 / 6))
    hue = g.Where(g.Equal(green, value), of_green, of_blue)
    hue = g.Where(coloured, g.Where(g.Equal(red, value), of_red, hue), np.float32(0))
    return g.Where(g.Less(hue, np.float32(0)), g.Add(hue, np.float32(1)), hue), saturation, value


def _floor(g, share, n):
    return g.Min(g.Floor(g.Mul(share, np.float32(n))), np.float32(n - 1))


def _one_hot(g, numbers, n):
    """Compare (B, 1, pixels) with 0 ... n - 1; (B, n, pixels), 1 where equal."""
    return g.Cast(g.Equal(numbers, np.arange(n, dtype=np.float32).reshape(n, 1)), to=1)

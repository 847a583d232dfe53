"""Hand the network to others: an ONNX or TFLite file, and a note of what goes in and comes out."""

from __future__ import annotations

import json
import os
from pathlib import Path

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.embedding import weights
from instanceid_utils.segments.crops import FILL, MARGIN

KINDS = ("onnx", "tflite")


def export(card: str | os.PathLike | None, out: str | os.PathLike) -> tuple[Path, Path]:
    """Write weights for another runtime, and beside them how to use them.

    Parameters
    ----------
    card : path or None
        Of the weights; the shipped ones by default.
    out : path
        ``....onnx`` or ``....tflite``; the note goes to ``....json`` beside it.

    Returns
    -------
    model, note : pathlib.Path

    Raises
    ------
    ValueError
        If the name ends otherwise, or the weights cannot be written so.
    ImportError
        If TensorFlow is not installed, and the file has to be made from the arrays.
    """
    card_path = Path(card) if card is not None else weights.shipped()
    out = Path(out)
    kind = out.suffix.lower()[1:]
    if kind not in KINDS:
        raise ValueError(f"{out}: expected a name that ends in .onnx or .tflite")
    facts = weights.read_card(card_path)
    note = out.with_suffix(".json")
    if note.resolve() == card_path.resolve():
        raise ValueError(f"{out}: its note would replace the card {card_path}; choose another name")
    model = _onnx(card_path, facts) if kind == "onnx" else _tflite(card_path)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, model)
    write_atomically(note, json.dumps(describe(card_path, facts), indent=1) + "\n")
    return out, note


def describe(card_path: Path, facts: dict) -> dict:
    """Say in JSON values what a runtime has to be given, and what it gives."""
    calibration = weights.read_calibration(card_path, facts)
    size = facts["architecture"]["crop_size"]
    return {
        "weights_sha256": facts["sha256"],
        "input": {
            "name": "crops",
            "shape": ["batch", size, size, 4],
            "dtype": "uint8",
            "layout": "batch, rows, columns, channels",
            "channels": "red, green, blue, mask (255 inside the segment, 0 outside)",
            "crop": "a square round the segment's bounding box, centred, its side the longest side "
            f"of the box times {1 + 2 * facts.get('margin', MARGIN):g}, scaled to {size} x {size}",
            "margin": facts.get("margin", MARGIN),
            "fill": [FILL, FILL, FILL, 0],
            "filled": "every pixel that is not the segment",
        },
        "output": {
            "name": "embeddings",
            "dtype": "float32",
            "length": 1.0,
            "distance": "L2, not squared: two crops are taken for one instance below the threshold",
            "threshold": None if calibration is None else calibration.threshold,
        },
    }


def _onnx(card_path, facts):
    if weights.onnx_path(card_path).exists():
        return weights.load_onnx(card_path, facts)
    from instanceid_utils.embedding.onnx_graph import build_graph

    network, facts = weights.load_weights(card_path)
    model = build_graph(facts["architecture"], network.get_weights(), {"sha256": facts["sha256"]})
    return model.SerializeToString(deterministic=True)


def _tflite(card_path):
    """Convert with built-in operators alone, so that a plain interpreter runs it."""
    from instanceid_utils.embedding.network import HsvHistogram
    from instanceid_utils.embedding.tensorflow import tf

    network = weights.load_weights(card_path)[0]
    for layer in network.layers:
        if isinstance(layer, HsvHistogram):
            layer.to_hsv = _plain_hsv
    side = network.input_shape[1]
    model = tf.function(
        lambda crops: {"embeddings": network(tf.cast(crops, tf.float32), training=False)}
    )
    signature = model.get_concrete_function(tf.TensorSpec((None, side, side, 4), tf.uint8, "crops"))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([signature], network)
    return converter.convert()


def _plain_hsv(colours):
    """Hue, saturation and value, in the steps of ``tf.image.rgb_to_hsv``, which phones lack."""
    from instanceid_utils.embedding.tensorflow import tf

    red, green, blue = tf.unstack(colours, axis=-1)
    value = tf.reduce_max(colours, -1)
    span = value - tf.reduce_min(colours, -1)
    saturation = tf.where(value > 0, span / tf.where(value > 0, value, 1.0), 0.0)
    sixth = tf.math.reciprocal(tf.where(span > 0, span, 1.0)) * (1.0 / 6.0)
    hue = tf.where(
        red >= value,
        sixth * (green - blue),
        tf.where(
            green >= value, sixth * (blue - red) + 2.0 / 6.0, sixth * (red - green) + 4.0 / 6.0
        ),
    )
    hue = tf.where(span > 0, tf.where(hue < 0, hue + 1.0, hue), 0.0)
    return tf.stack([hue, saturation, value], -1)

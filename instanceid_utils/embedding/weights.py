"""Weights on disk: one plain array file, and a card that says where it comes from.

``NAME.npz`` holds the network's arrays (no pickle); ``NAME.json`` is the card: architecture,
SHA-256 of the arrays, calibrated threshold, and how anybody can make them again. ``NAME.onnx``
beside them is the same network for ONNX Runtime, bound to the card by its own SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.atomic_files import replacing, write_atomically
from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.onnx_graph import build_graph, can_export
from instanceid_utils.json_files import read_json

_PACKAGE = Path(__file__).parents[1]
_SHIPPED = (_PACKAGE / "_weights", _PACKAGE.parent / "data" / "weights")
MAX_BYTES = 256 * 2**20


def shipped(name: str = "instanceid") -> Path:
    """Path of the shipped weights' card, in an installed package or in the repository."""
    for folder in _SHIPPED:
        if (folder / f"{name}.json").exists():
            return folder / f"{name}.json"
    raise FileNotFoundError(
        f"no shipped weights {name}.json in {' or '.join(map(str, _SHIPPED))}; "
        "`make pretrain` makes them"
    )


def calibration_path(card_path: str | os.PathLike) -> Path:
    """Path of the calibration that belongs to a card, beside it."""
    return Path(card_path).with_suffix(".calibration.json")


def onnx_path(card_path: str | os.PathLike) -> Path:
    """Path of the ONNX file that belongs to a card, beside it."""
    return Path(card_path).with_suffix(".onnx")


def file_sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def save_weights(network: Any, card_path: str | os.PathLike, architecture: dict, **facts) -> str:
    """Write a network's weights and their card.

    Parameters
    ----------
    network : tf.keras.Model
    card_path : path
        ``….json``; the arrays go beside it, to ``….npz``, and the network for ONNX Runtime to
        ``….onnx``, unless it has a backbone of Keras.
    architecture : dict
        Arguments of ``embedding.build_network`` that make this network.
    **facts
        What else the card shall say (JSON values): command, seed, versions, metrics.

    Notes
    -----
    The threshold comes afterwards: ``calibrate(...).to_json(calibration_path(card_path))``, or
    ``instanceid calibrate``. One that is there already, for other weights, is removed.

    Returns
    -------
    str
        SHA-256 of the array file.
    """
    card_path = Path(card_path)
    card_path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {f"w{i:03d}": w.astype(np.float32) for i, w in enumerate(network.get_weights())}
    # Inside, so that the hash names the embedding and not its numbers alone.
    arrays["architecture"] = _as_bytes(architecture)
    path = card_path.with_suffix(".npz")
    # Fixed times in the zip: the same weights are the same file.
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    digest = file_sha256(path)
    card = {"sha256": digest, "architecture": architecture, **facts}
    if can_export(architecture):
        model = build_graph(architecture, network.get_weights(), {"sha256": digest})
        data = model.SerializeToString(deterministic=True)
        write_atomically(onnx_path(card_path), data)
        card["onnx_sha256"] = hashlib.sha256(data).hexdigest()
    else:
        onnx_path(card_path).unlink(missing_ok=True)  # of other weights of this name
    _drop_calibration_of_others(card_path, digest)
    write_atomically(card_path, json.dumps(card, indent=2) + "\n")
    return digest


def _drop_calibration_of_others(card_path, digest):
    """Remove the threshold of other weights of this name: it means nothing for these."""
    path = calibration_path(card_path)
    if not path.exists():
        return
    try:
        Calibration.from_json(path).require_weights(digest)
    except ValueError:
        path.unlink()


def _as_bytes(architecture):
    return np.frombuffer(json.dumps(architecture, sort_keys=True).encode(), np.uint8)


def read_card(card_path: str | os.PathLike) -> dict[str, Any]:
    """Read a card; ValueError if it is none."""
    try:
        card = read_json(card_path)
    except ValueError as error:
        raise ValueError(f"{error}: expected a card of weights") from None
    if not isinstance(card, dict) or not {"sha256", "architecture"} <= set(card):
        raise ValueError(f"{card_path}: expected a card with 'sha256' and 'architecture'")
    if not isinstance(card["architecture"], dict):
        raise ValueError(f"{card_path}: architecture: expected arguments by name")
    return card


def read_calibration(card_path: str | os.PathLike, card: dict[str, Any]) -> Calibration | None:
    """Read the calibration of a card; None if the weights have none.

    Raises
    ------
    ValueError
        If the calibration is damaged, or was made for other weights.
    """
    path = calibration_path(card_path)
    if not path.exists():
        return None
    calibration = Calibration.from_json(path)
    calibration.require_weights(card["sha256"])
    return calibration


def load_onnx(card_path: str | os.PathLike, card: dict[str, Any]) -> bytes:
    """Read the ONNX file of a card.

    Raises
    ------
    FileNotFoundError
        If there is none: weights saved before 1.1 have none.
    ValueError
        If it is not the one the card was made for.
    """
    path = onnx_path(card_path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is none, these weights were saved without; backend='keras' runs them, "
            "and `instanceid export` writes one"
        )
    return _read_bound(path, card.get("onnx_sha256"), card_path)


def _read_bound(path, sha256, card_path):
    """Read a file that a card names by its hash."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: expected weights of a few MB, got {size} bytes")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ValueError(
            f"{path}: SHA-256 is {digest}, its card {Path(card_path).name} says {sha256}: "
            "the file is damaged or belongs to another card"
        )
    return data


def load_weights(card_path: str | os.PathLike) -> tuple:
    """Build the network a card describes and fill it.

    Parameters
    ----------
    card_path : path
        ``….json`` as ``save_weights`` wrote it.

    Returns
    -------
    network : tf.keras.Model
    card : dict

    Raises
    ------
    ValueError
        If the array file is not the one the card was made for (its SHA-256 differs), or does
        not fit the architecture.
    """
    card_path = Path(card_path)
    card = read_card(card_path)
    path = card_path.with_suffix(".npz")
    data = _read_bound(path, card["sha256"], card_path)
    from instanceid_utils.embedding.network import build_network

    try:
        network = build_network(**card["architecture"])
    except TypeError as error:
        raise ValueError(f"{card_path}: architecture: {error}") from error
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        values = [arrays[name] for name in sorted(arrays.files) if name[:1] == "w"]
        told = arrays["architecture"] if "architecture" in arrays.files else None
    shapes = [tuple(w.shape) for w in network.weights]
    same = told is not None and np.array_equal(told, _as_bytes(card["architecture"]))
    if not same or [v.shape for v in values] != shapes:
        raise ValueError(f"{path}: its arrays do not fit the architecture in {card_path.name}")
    network.set_weights(values)
    return network, card

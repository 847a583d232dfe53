"""What a tracker can be told: its options in range, and a gallery that belongs to its embedder."""

from __future__ import annotations

import numbers

import numpy as np

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.decision import RULES


def checked_options(options):
    """Return the options of a tracker in Python's own types, so that they can be saved.

    Parameters
    ----------
    options : dict
        As given to `tracking.InstanceID`, the threshold of the embedder filled in.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        For an option that is out of range.
    """
    if options["threshold"] is None:
        raise ValueError(
            "threshold: the embedder brings no calibrated one; `instanceid calibrate DATA_ROOT "
            "--weights CARD` chooses one on annotated video, or give threshold="
        )
    checked = dict(options)
    for name, (expected, is_good, whole) in _RANGES.items():
        checked[name] = _number(name, options[name], expected, is_good, whole)
    if not isinstance(options["assignment"], str) or options["assignment"] not in RULES:
        raise ValueError(f"assignment: expected one of {RULES}, got {options['assignment']!r}")
    for name in ("place_cue", "across_classes"):
        if not isinstance(options[name], (bool, np.bool_)):
            raise ValueError(f"{name}: expected True or False, got {options[name]!r}")
        checked[name] = bool(options[name])
    return {**checked, "assignment": str(options["assignment"])}


_RANGES = {
    "threshold": ("an L2 distance in (0, 2]", lambda x: 0 < x <= 2, False),
    "place_weight": ("a factor, 0 or more", lambda x: 0 <= x < 100, False),
    "clear_margin": ("a part of the threshold, 0 or more", lambda x: 0 <= x < 100, False),
    "abstain_band": ("a part of the threshold in [0, 1]", lambda x: 0 <= x <= 1, False),
    "confirm": ("a number of views, 0 or more", lambda x: x >= 0, True),
    "abstain": ("a number of updates, 0 or more", lambda x: x >= 0, True),
    "n_neighbours": ("at least 1", lambda x: x >= 1, True),
}


def _number(name, value, expected, is_good, whole):
    plain = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(plain, kind) or isinstance(plain, bool) or not is_good(plain):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")
    return int(plain) if whole else float(plain)


def new_gallery(embedder, threshold):
    """Make an empty gallery for the vectors of an embedder."""
    return Gallery(embedder.dim, weights_sha256=embedder.weights_sha256, threshold=float(threshold))


def check_gallery(gallery, embedder):
    """Raise a ValueError for a gallery whose vectors cannot be compared with the embedder's."""
    if gallery.dim != embedder.dim:
        raise ValueError(
            f"gallery: expected vectors of length {embedder.dim}, as from the embedder, "
            f"it has {gallery.dim}"
        )
    theirs, ours = gallery.weights_sha256, embedder.weights_sha256
    if ours and theirs and ours != theirs:
        raise ValueError(
            f"gallery: made with weights {theirs[:12]}..., the embedder has {ours[:12]}...; "
            "vectors of different weights cannot be compared. Make one of the new weights out of "
            "the results: instanceid re-embed RESULTS --gallery NEW"
        )

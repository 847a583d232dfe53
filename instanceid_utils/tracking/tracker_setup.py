"""What a tracker is made of must fit together."""

from __future__ import annotations

import numbers

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.decision import RULES


def check_options(tracker, abstain, abstain_band):
    """Raise a ValueError for an option that is out of range.

    Parameters
    ----------
    tracker : tracking.InstanceID
    abstain, abstain_band
        As given to it.
    """
    if tracker.threshold is None:
        raise ValueError("threshold: the embedder brings no calibrated one, give one")
    _check("threshold", tracker.threshold, "an L2 distance in (0, 2]", lambda x: 0 < x <= 2)
    for name in ("place_weight", "clear_margin"):
        value = getattr(tracker, name)
        _check(name, value, "a part of the threshold, 0 or more", lambda x: 0 <= x < 100)
    _check("abstain_band", abstain_band, "a part of the threshold in [0, 1]", lambda x: 0 <= x <= 1)
    _check("abstain", abstain, "a number of updates, 0 or more", lambda x: x >= 0, whole=True)
    _check("n_neighbours", tracker.n_neighbours, "at least 1", lambda x: x >= 1, whole=True)
    if tracker.assignment not in RULES:
        raise ValueError(f"assignment: expected one of {RULES}, got {tracker.assignment!r}")


def _check(name, value, expected, is_good, whole=False):
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool) or not is_good(value):
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


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
            "vectors of different weights cannot be compared"
        )

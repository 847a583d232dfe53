"""All that a training run depends on besides its data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from instanceid_utils.embedding.network import WIDTHS
from instanceid_utils.training.degradation import Degradation


@dataclass(frozen=True)
class Recipe:
    """All that a training run depends on besides its data.

    Attributes
    ----------
    loss, margin
        See ``training.get_loss``.
    n_identities, n_instances, run : int
        P, K and the runs of neighbours, see ``training.PKSampler``.
    epochs, batches_per_epoch : int
    learning_rate : float
        Peak of a cosine schedule after a linear warm-up over 5 % of the steps.
    threshold_weight : float
        Weight of ``training.threshold_loss`` beside the triplet loss.
    averaging : float
        Momentum of the exponential average of the weights, which is what is kept.
    augmentation : bool
        See ``training.augment``.
    degradation : Degradation, optional
        How crops are degraded before that, see ``training.degrade``: they must have the
        background in their boxes, as ``collect(..., keep_background=True)`` leaves it.
    look_alikes : bool
        Whether runs are of those whom the network takes for each other, as far as it has met
        them, instead of neighbours in the order of the labels; see ``training.LookAlikes``.
    patience : int
        Epochs without a better validation mAP after which training stops; 0 for never.
    crop_size, dim, widths, n_bins, pooling, backbone, backbone_layers, backbone_weights
        See ``embedding.build_network``.
    seed : int
    """

    loss: str = "semi-hard"
    margin: float = 0.3
    n_identities: int = 16
    n_instances: int = 4
    run: int = 1
    epochs: int = 8
    batches_per_epoch: int = 40
    learning_rate: float = 2e-3
    threshold_weight: float = 0.0
    averaging: float = 0.998
    augmentation: bool = True
    degradation: Degradation | None = None
    look_alikes: bool = False
    patience: int = 0
    crop_size: int = 64
    dim: int = 128
    widths: tuple = WIDTHS
    n_bins: int = 64
    pooling: str = "masked"
    backbone: str | None = None
    backbone_layers: tuple = ()
    backbone_weights: str | None = None
    seed: int = 0

    def __post_init__(self):
        """Take NumPy numbers for Python's, so that a recipe can be saved."""
        for name, value in vars(self).items():
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())

    @property
    def architecture(self):
        """Arguments of ``embedding.build_network`` that make the same network, untrained."""
        names = ("crop_size", "dim", "widths", "n_bins", "pooling", "backbone", "backbone_layers")
        return {name: getattr(self, name) for name in names}


PROFILES = {
    "smoke": Recipe(epochs=6, batches_per_epoch=30, averaging=0.95, widths=(16, 32, 64)),
    "full": Recipe(
        n_identities=24,
        run=4,
        epochs=40,
        batches_per_epoch=250,
        threshold_weight=1.0,
        averaging=0.998,
    ),
}


def profile(name, **changes):
    """Return the recipe of a profile (``smoke`` or ``full``), with changes."""
    if name not in PROFILES:
        raise ValueError(f"no profile named {name!r}; there are: {', '.join(PROFILES)}")
    return replace(PROFILES[name], **changes)

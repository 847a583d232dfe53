"""The tracker's evidence as curves: what looks, place and size say, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from instanceid_utils.pictures.figures import NEUTRAL
from instanceid_utils.tracking.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AGES = (1, 5, 25)  # updates unseen
_ROOM = 0.01  # a segment of a hundredth of the frame


def plot_evidence(evidence: Evidence, threshold: float, width: float = 0.05) -> Figure:
    """Draw what each part says for a candidate, or against it.

    Parameters
    ----------
    evidence : tracking.Evidence
    threshold : float
        L2 distance, not squared.
    width : float
        How well places are foreseen, see `tracking.PlaceMemory`.

    Returns
    -------
    matplotlib.figure.Figure
        Place and size as they count beside the looks.
    """
    fig, axes = plt.subplots(1, 3, figsize=(11, 3), sharey=True, layout="constrained")
    distances = np.linspace(0, 2 * threshold, 100)
    axes[0].plot(distances, evidence.of_looks(distances, threshold), color="black")
    axes[0].axvline(threshold, color=NEUTRAL, linestyle=":")
    errors, changes = np.linspace(0, 2, 300), np.linspace(-1.5, 1.5, 300)
    for age, shade in zip(_AGES, (0.0, 0.4, 0.7)):
        place = evidence.beside * evidence.of_place(errors, age, width, _ROOM)
        size = evidence.beside * evidence.of_size(changes, age, width)
        axes[1].plot(errors, place, color=str(shade), label=f"unseen for {age}")
        axes[2].plot(changes, size, color=str(shade))
    axes[0].set(xlabel="L2 distance", ylabel="nats for the same instance", title="looks")
    axes[1].set(xlabel="error of place, in sizes", title="place")
    axes[2].set(xlabel="change of log area", title="size")
    axes[1].legend(frameon=False, fontsize="small")
    for ax in axes:
        ax.axhline(0, color=NEUTRAL, linewidth=0.8)
    return fig

"""Why sightings were joined or not: how far apart they are, and how near they had to be."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from instanceid_utils.archive.folder import Archive
from instanceid_utils.archive.joining import LIMITS, JoinLimits, meetings
from instanceid_utils.tracking.second_look.joining import set_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

MAX_SIGHTINGS = 2_000


class ComparedPair(NamedTuple):
    """Two sightings, and how alike they are."""

    one: tuple  # key, local ID
    other: tuple
    distance: float  # between their sets of views, in thresholds
    meet: bool  # seen in one frame, so they are two


def compare_sightings(archive: Archive) -> list[ComparedPair]:
    """Compare all sightings of a small archive with each other, as the joining does.

    Raises
    ------
    ValueError
        If there are more than `MAX_SIGHTINGS`.
    """
    names: list = []
    views, together = [], set()
    for key in archive.videos:
        tracks, start = archive.tracks(key), len(names)
        together.update((start + a, start + b) for a, b in meetings(tracks.runs))
        names += [(key, int(local)) for local in tracks.local_id]
        views += [
            tracks.views[tracks.view_row == row].astype(np.float32) for row in range(len(tracks))
        ]
        if len(names) > MAX_SIGHTINGS:
            raise ValueError(f"{archive.folder}: expected up to {MAX_SIGHTINGS} sightings")
    pairs = list(combinations(range(len(names)), 2))
    far = set_distances([(views[a], views[b]) for a, b in pairs]) / archive.index["threshold"]
    return [
        ComparedPair(names[a], names[b], float(d), (a, b) in together)
        for (a, b), d in zip(pairs, far)
    ]


def plot_joins(
    pairs: Sequence[ComparedPair],
    same: Sequence[bool],
    n_identities: int,
    limits: JoinLimits = LIMITS,
) -> Figure:
    """Draw how far apart sightings are, and the limit as the number of identities grows.

    Parameters
    ----------
    pairs : sequence of ComparedPair
    same : sequence of bool
        Which of them are one identity in truth.
    n_identities : int
        Whose limit is drawn beside the distances.
    limits : JoinLimits
    """
    import matplotlib.pyplot as plt

    same = np.asarray(same, bool)
    far, meet = np.array([p.distance for p in pairs]), np.array([p.meet for p in pairs])
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    bins = np.linspace(0, max(2.0, far.max(initial=0)), 41)
    kinds = {"same": same, "different": ~same & ~meet, "different, seen at one time": meet}
    for (name, chosen), colour in zip(kinds.items(), ("tab:blue", "tab:orange", "0.7")):
        if chosen.any():
            left.hist(far[chosen], bins, label=name, color=colour, alpha=0.7, density=True)
    left.axvline(limits.at(n_identities), color="black", linestyle=":", label="limit")
    left.set(xlabel="distance of two sets of views, in thresholds", ylabel="density")
    left.legend(fontsize="small")
    numbers = np.logspace(0, 6, 100)
    right.semilogx(numbers, [limits.at(int(n)) for n in numbers], color="black")
    right.plot([n_identities], [limits.at(n_identities)], "o", color="black")
    right.set(xlabel="identities", ylabel="limit, in thresholds", ylim=(0, None))
    return fig

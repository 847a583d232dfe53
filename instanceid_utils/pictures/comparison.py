"""Runs of `app.track_video` side by side: how many IDs, how many mistakes, and when.

Every run is known by the masks that it wrote. The truth, where there is one, is another folder
of masks; segments belong together where they overlap by half (IoU).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from instanceid_utils.evaluation.identity import IdentityScorer, mask_iou
from instanceid_utils.formats import read_masks
from instanceid_utils.pictures.timeline import id_runs, plot_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_IOU = 0.5


def compare_runs(runs: dict, truth: str | os.PathLike | None = None) -> pd.DataFrame:
    """Count the IDs of several runs, and with a truth their mistakes.

    Parameters
    ----------
    runs : dict of str to path-like
        Folders or files of masks with lasting IDs, in any format that `formats` reads.
    truth : path-like, optional
        Masks with the true identities.

    Returns
    -------
    pandas.DataFrame
        One row a run, with the number of ``ids``; with a truth the number of ``objects``, ID
        ``switches`` and ``IDF1`` (to 2 decimals), see `evaluation.IdentityScorer`, too.
    """
    rows = {}
    for name, path in runs.items():
        if truth is None:
            rows[name] = {"ids": len({int(i) for ids, _ in sightings(path) for i in ids})}
            continue
        scorer = IdentityScorer(MIN_IOU)
        for given, true in _pairs(path, truth):
            scorer.add_maps(true.masks, given.masks)
        scores = scorer.scores()
        rows[name] = {
            "ids": scores["ids"],
            "objects": scores["identities"],
            "switches": scores["switches"],
            "IDF1": round(scores["IDF1"], 2),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def sightings(path, truth=None) -> list:
    """Read which IDs each frame shows, and whose they are.

    Parameters
    ----------
    path, truth
        As in `compare_runs`.

    Returns
    -------
    list of (ndarray of shape (n,), ndarray of shape (n,))
        IDs, and the true identity of each: 0 for none, the ID itself without a truth. Frames
        that the truth lacks are left out.
    """
    if truth is None:
        return [(frame.ids, frame.ids) for frame in read_masks(path).values()]
    found = []
    for given, true in _pairs(path, truth):
        true_ids, ids, similarity = mask_iou(true.masks, given.masks)
        whose = np.zeros(len(ids), np.int64)
        for k, column in enumerate(similarity.T):
            if column.max(initial=0) >= MIN_IOU:
                whose[k] = true_ids[column.argmax()]
        found.append((ids, whose))
    return found


def owners(path, truth) -> dict:
    """Find the ID that each true identity had most of the time.

    Returns
    -------
    dict of int to int
        Identity -> ID.
    """
    pairs = np.concatenate([np.stack(pair, axis=1) for pair in sightings(path, truth)])
    table = pd.DataFrame(pairs, columns=["id", "identity"])
    table = table[table.identity > 0]
    return {int(k): int(v.mode()[0]) for k, v in table.groupby("identity").id}


def plot_comparison(runs, truth=None, width: float = 9.0) -> Figure:
    """Draw the timelines of several runs below each other; see `pictures.plot_runs`.

    Parameters
    ----------
    runs, truth
        As in `compare_runs`. With a truth there is one row for each object and one for what is
        none; without it, one for each ID.
    width : float
        Inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    import matplotlib.pyplot as plt

    seen = {name: sightings(path, truth) for name, path in runs.items()}
    heights = [1.5 + len({int(r) for _, rows in frames for r in rows}) for frames in seen.values()]
    figure, axes = plt.subplots(
        len(runs),
        1,
        squeeze=False,
        sharex=True,
        layout="constrained",
        figsize=(width, min(14, 0.26 * sum(heights) + 0.3)),
        height_ratios=heights,
    )
    for ax, (name, frames) in zip(axes[:, 0], seen.items()):
        ids, rows = ([pair[k] for pair in frames] for k in (0, 1))
        drawn = sorted(id_runs(ids, rows), key=lambda run: (run[0] == 0, run[0]))
        n = len({id_ for _, id_, _, _ in drawn})
        plot_runs(
            drawn,
            len(frames),
            names={0: "none"},
            title=f"{name}: {n} IDs",
            ax=ax,
            row_title=None if truth is None else "object",
        )
        if ax is not axes[-1, 0]:
            ax.set_xlabel("")
    return figure


def _pairs(path, truth):
    given, true = read_masks(path), read_masks(truth)
    return [(given[number], true[number]) for number in given if number in true]

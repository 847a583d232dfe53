"""Figures of crops, embeddings and distances: each function draws one and returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by colour-blind readers too.
SAME, DIFFERENT, NEUTRAL = "#0072B2", "#D55E00", "#6f6f6f"
RIGHT, WRONG, QUERY = "#009E73", "#D55E00", "#222222"


def on_grey(crops, grey=128):
    """Show RGBA crops (..., 4) as RGB: what is not the segment turns ``grey``."""
    crops = np.asarray(crops)
    if crops.shape[-1] != 4:
        return crops
    alpha = crops[..., 3:].astype(np.float32) / 255
    return (crops[..., :3] * alpha + grey * (1 - alpha) + 0.5).astype(np.uint8)


def show_crops(
    rows: list,
    row_titles: list | None = None,
    titles: list | None = None,
    colours: list | None = None,
    size: float = 1.0,
) -> Figure:
    """Draw rows of crops.

    Parameters
    ----------
    rows : list of array_like
        Each a row of crops (n, S, S, 3 or 4), uint8; rows may differ in length.
    row_titles : list of str, optional
        Text at the left of each row.
    titles : list of list of str, optional
        Text over each crop.
    colours : list of list, optional
        Colour of the frame round each crop, None for no frame.
    size : float
        Side of a crop in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, titles = (rows, titles) if len(rows) else ([[]], None)  # an empty picture
    row_titles = row_titles or None
    n_columns = max(1, *(len(row) for row in rows))
    space = 0.25 if titles else 0.05
    figure, axes = plt.subplots(
        len(rows),
        n_columns,
        squeeze=False,
        layout="constrained",
        figsize=(size * n_columns + (1.2 if row_titles else 0), (size + space) * len(rows)),
    )
    for r, row in enumerate(rows):
        for c, ax in enumerate(axes[r]):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if c >= len(row):
                continue
            ax.imshow(on_grey(row[c]))
            if titles:
                ax.set_title(titles[r][c], fontsize=8)
            if colours and colours[r][c]:
                ax.spines[:].set(visible=True, color=colours[r][c], linewidth=3)
        if row_titles:
            axes[r][0].set_ylabel(row_titles[r], rotation=0, ha="right", va="center", fontsize=9)
    return figure


def show_retrieval(
    crops: np.ndarray,
    identities: np.ndarray,
    queries: np.ndarray,
    neighbours: np.ndarray,
    distances: np.ndarray,
) -> Figure:
    """Draw ranked retrieval: each query, then its neighbours framed right or wrong.

    Parameters
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
    identities : ndarray of shape (N,)
    queries : ndarray of shape (n_queries,), int
    neighbours, distances : ndarray of shape (n_queries, k)
        As ``evaluation.nearest_neighbours`` gives them; distances are L2, not squared.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows, titles, colours = [], [], []
    for query, found, away in zip(queries, neighbours, distances):
        found, away = found[found >= 0], away[found >= 0]
        rows.append(crops[np.concatenate([[query], found])])
        titles.append(["query", *(f"{d:.2f}" for d in away)])
        right = identities[found] == identities[query]
        colours.append([QUERY, *(RIGHT if ok else WRONG for ok in right)])
    return show_crops(rows, titles=titles, colours=colours)


def plot_history(history: list):
    """Draw loss, share of active triplets, and validation rank-1 and mAP over the epochs.

    Parameters
    ----------
    history : list of dict
        Rows with ``epoch``, ``loss``, ``active``, ``rank1``, ``map``.
    """
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
    for ax, names in zip(axes, (["loss"], ["active"], ["rank1", "map"])):
        for name in names:
            ax.plot(epochs, [row[name] for row in history], marker="o", label=name)
        ax.set(xlabel="epoch", title=" and ".join(names))
        ax.grid(alpha=0.3)
    axes[1].set_ylim(0)
    axes[2].legend()
    return figure


def plot_distances(d_same, d_different, threshold=None, ax=None):
    """Draw histograms of the L2 distances (not squared) of same and different pairs."""
    ax = ax or plt.subplots(figsize=(6, 3), layout="constrained")[1]
    bins = np.linspace(0, 2, 81)
    for values, colour, label in ((d_same, SAME, "same"), (d_different, DIFFERENT, "different")):
        ax.hist(values, bins, density=True, alpha=0.6, color=colour, label=label)
    if threshold is not None:
        ax.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.2f}")
    ax.set(xlabel="L2 distance", ylabel="density", xlim=(0, 2))
    ax.legend()
    return ax.figure


def _apart(places, distance, most):
    """Pick rows of places (N, 2) that are apart along one axis or the other, at most so many."""
    shown: list[int] = []
    for i in np.random.default_rng(0).permutation(len(places)):
        if len(shown) == most:
            break
        if not shown or (np.abs(places[shown] - places[i]).max(axis=1) >= distance).all():
            shown.append(int(i))
    return shown


def plot_roc(curves: dict, ax=None):
    """Draw ROC curves with a logarithmic axis of false accepts.

    Parameters
    ----------
    curves : dict of str to tuple
        Label to (false accept rate, true accept rate), ascending.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or plt.subplots(figsize=(4.5, 3.5), layout="constrained")[1]
    for label, (far, tar) in curves.items():
        ax.plot(np.maximum(far, 1e-5), tar, label=label)
    ax.axvline(0.01, color=NEUTRAL, linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1.02))
    ax.set(xlabel="false accept rate", ylabel="true accept rate")
    ax.grid(alpha=0.3)
    ax.legend(loc="lower right")
    return ax.figure


def plot_sweep(table, threshold, ax=None):
    """Draw what thresholds trade, from `evaluation.sweep`, with the one in use as a dashed line."""
    ax = ax or plt.subplots(figsize=(7, 3.2), layout="constrained")[1]
    for name, label, style, colour in (
        ("false_reuse_rate", "newcomer gets an old ID", "o-", DIFFERENT),
        ("false_new_rate", "known gets a new ID", "s-", SAME),
        ("wrong_id_rate", "known gets another's ID", "^-", "#CC79A7"),
    ):
        ax.plot(table.index, table[name], style, color=colour, label=label)
    ax.axvline(threshold, color="black", linestyle="--")
    ax.set(xlabel="threshold (L2); dashed: the one in use", ylabel="share")
    ax.legend()
    return ax.figure


def plot_map(
    points: np.ndarray,
    crops: np.ndarray,
    identities: np.ndarray,
    zoom: float = 0.45,
    max_thumbnails: int = 150,
    ax=None,
):
    """Draw a 2-D map of embeddings with the crops as thumbnails, framed by identity.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
    crops : ndarray of shape (N, S, S, 4), uint8
    identities : ndarray of shape (N,)
    zoom : float
        Screen points per crop pixel.
    max_thumbnails : int
        Most crops shown; none covers another. The rest are dots.
    ax : matplotlib.axes.Axes, optional
    """
    ax = ax or plt.subplots(figsize=(7, 6), layout="constrained")[1]
    names, index = np.unique(identities, return_inverse=True)
    colours = plt.get_cmap("turbo")(np.linspace(0.05, 0.95, len(names)))[index]
    ax.scatter(points[:, 0], points[:, 1], c=colours, s=6)
    room = ax.get_window_extent().size / np.maximum(np.ptp(points, axis=0), 1e-9)
    side = zoom * crops.shape[1] * ax.figure.dpi / 72
    for i in _apart((points - points.min(axis=0)) * room, 1.2 * side, max_thumbnails):
        style = {"edgecolor": colours[i], "linewidth": 1.5, "boxstyle": "square,pad=0.05"}
        picture = OffsetImage(on_grey(crops[i], 255), zoom=zoom)
        ax.add_artist(AnnotationBbox(picture, points[i], pad=0, bboxprops=style))
    ax.set(xticks=[], yticks=[])
    return ax.figure

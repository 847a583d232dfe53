"""The decision rule: from distances to IDs, each ID at most once in a frame, with its reason.

Pure functions on arrays. Candidates of a segment are the gallery IDs whose cost lies below the
threshold; the cost is the L2 distance (not squared) between the embeddings, less what the place
cue takes off. The lowest cost wins, and a segment without a candidate gets a new ID. Where two
segments want one ID, the assignment decides:

- ``"optimal"``: the total cost over all segments is minimal, a segment that is left without an
  ID counting as much as the threshold (Kuhn 1955, "The Hungarian method", with rejection);
- ``"plain"``: each segment insists on its own lowest, the nearer one gets it, the other is new.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TextIO

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

if TYPE_CHECKING:
    from instanceid_utils.tracking.candidates import Candidates


NO_ID = -1
RULES = ("optimal", "plain")
USED, EMPTY, LOW_SCORE, FRAGMENT = "", "empty", "low score", "fragment"
REASONS = ("reused", "new", "lost", "ambiguous", "merged", "split", FRAGMENT, EMPTY, LOW_SCORE)
_DENSE_CELLS = 4_000_000  # above this many segment-ID cells the sparse solver is used


@dataclass(frozen=True)
class Decision:
    """Why one segment got its ID.

    Attributes
    ----------
    label : int
        The segment's label in the mask (index + 1 for a bool stack).
    id : int
        The ID given; -1 for what was dropped.
    reason : str
        ``"reused"``: the ID of a candidate. ``"ambiguous"``: another answer was nearly as good or
        better. ``"new"``: no candidate. ``"lost"``: had candidates, all of which went to other
        segments of the frame, so it is new. ``"merged"``: reused, but the segment covers somebody
        else too, so nothing is learned from it. ``"split"``: what was one ID turned out to be two
        instances, and this is the later one. ``"fragment"``: a part of an instance whose ID
        another segment got; it has none. ``"empty"``: no pixels. ``"low score"``: the model was
        not sure enough.
    distance : float or None
        L2 distance, not squared, to the ID reused; to the nearest ID for a new one.
    place : float or None
        How much everything but the looks took off that distance; negative where it spoke against.
    neighbours : tuple of (int, float)
        The nearest IDs with their L2 distances, nearest first.
    threshold : float
        The L2 threshold in force.
    margin : float or None
        By how much the next best answer was worse. For a reused ID: cost of the cheapest other
        ID less its own (negative if the assignment gave it its second choice). For a new one:
        lowest cost less the threshold (negative if it lost). None without a runner-up.
    provisional : bool
        The ID may still be relabelled (abstention).
    score : float or None
        Of the model that found the segment.
    category : int, str or None
        The class that the model gave it.
    confirmed : bool
        The ID has been seen often enough to be kept, see `probation`.
    parts : dict of str to float, or None
        What looks, place, size and entry said for the ID reused, in nats; see `evidence`.
    """

    label: int
    id: int
    reason: str
    distance: float | None
    place: float | None
    neighbours: tuple
    threshold: float
    margin: float | None
    provisional: bool = False
    score: float | None = None
    category: int | str | None = None
    confirmed: bool = True
    parts: dict | None = None

    def to_json(self) -> str:
        """Give one line of JSON, without NaN or infinity.

        >>> Decision(3, 7, "new", None, None, (), 0.5, None).to_json()[:36]
        '{"label": 3, "id": 7, "reason": "new'
        """
        return json.dumps(vars(self), allow_nan=False)


class Choice(NamedTuple):
    """What `choose` decided, one entry a segment, as arrays of length N."""

    column: np.ndarray  # int64, column of the candidate chosen, -1 for a new ID
    reason: np.ndarray  # str
    margin: np.ndarray  # float64, inf without a runner-up

    def known(self, ids: np.ndarray) -> np.ndarray:
        """IDs that are reused (N,), of candidates (N, K); -1 for the others."""
        return np.where(self.column < 0, NO_ID, ids[np.arange(len(ids)), self.column])


def choose(
    ids: np.ndarray,
    distances: np.ndarray,
    threshold: float,
    *,
    discounts: np.ndarray | None = None,
    rule: str = "optimal",
    clear_margin: float = 0.0,
) -> Choice:
    """Give each segment one of its candidates, or none.

    Parameters
    ----------
    ids : ndarray of shape (N, K), int64
        Candidate IDs of each segment, distinct within a row; -1 where there are fewer.
    distances : ndarray of shape (N, K), float
        L2 distance, not squared, to each of them; ignored where the ID is -1.
    threshold : float
        A candidate's cost must lie below it.
    discounts : ndarray of shape (N, K), float, optional
        What the place cue takes off each distance (0 or more).
    rule : {"optimal", "plain"}
        How a conflict is settled, see the module.
    clear_margin : float
        A reused ID is called ambiguous when another ID costs less than this much more.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        For NaN, shapes that disagree, an ID twice in a row, or an unknown rule.

    Examples
    --------
    >>> choice = choose([[1, 2], [1, 2]], [[0.1, 0.3], [0.2, 0.9]], threshold=0.5)
    >>> choice.column, choice.reason          # cheaper together: 2 and 1
    (array([1, 0]), array(['ambiguous', 'reused'], dtype='<U9'))
    >>> choose([[1, 2], [1, 2]], [[0.1, 0.3], [0.2, 0.9]], threshold=0.5, rule="plain").reason
    array(['reused', 'lost'], dtype='<U9')
    """
    ids, costs = _costs(ids, distances, discounts)
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, not {rule!r}")
    if not ids.size:
        n = len(ids)
        return Choice(np.full(n, -1), np.full(n, "new", "<U9"), np.full(n, np.inf))
    claimed = np.where(costs < threshold, costs, np.inf)
    column = _plain(ids, claimed)
    contested = np.isfinite(claimed.min(axis=1)) & (column < 0)
    if rule == "optimal" and contested.any():
        column = _optimal(ids, claimed, threshold)
    return Choice(column, *_reasons(column, costs, claimed, threshold, clear_margin))


def _costs(ids, distances, discounts):
    ids = np.atleast_2d(np.asarray(ids, np.int64))
    costs = np.atleast_2d(np.asarray(distances, np.float64))
    if ids.shape != costs.shape:
        raise ValueError(f"ids {ids.shape} and distances {costs.shape} must have the same shape")
    if discounts is not None:
        discounts = np.asarray(discounts, np.float64)
        if discounts.shape != costs.shape:
            raise ValueError(f"discounts {discounts.shape} must have the shape {costs.shape}")
        costs = costs - discounts
    costs = np.where(ids == NO_ID, np.inf, costs)
    if np.isnan(costs).any():
        row = int(np.isnan(costs).any(axis=1).argmax())
        raise ValueError(f"distances and discounts must not be NaN (segment {row})")
    ordered = np.sort(ids, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_ID)).any():
        raise ValueError("an ID may stand only once in a segment's row of candidates")
    return ids, costs


def _plain(ids, claimed):
    best = claimed.argmin(axis=1)
    rows = np.arange(len(ids))
    cost, wanted = claimed[rows, best], ids[rows, best]
    column = np.full(len(ids), -1)
    taken = set()
    for row in np.argsort(cost, kind="stable"):
        if np.isfinite(cost[row]) and wanted[row] not in taken:
            taken.add(wanted[row])
            column[row] = best[row]
    return column


def _optimal(ids, claimed, threshold):
    rows, columns = np.nonzero(np.isfinite(claimed))
    result = np.full(len(ids), -1)
    if not len(rows):
        return result
    unique, position = np.unique(ids[rows, columns], return_inverse=True)
    # A candidate is worth what it saves over the threshold, all else is worth nothing.
    saving = threshold - claimed[rows, columns]
    if len(ids) * len(unique) <= _DENSE_CELLS:
        worth = np.zeros((len(ids), len(unique)))
        worth[rows, position] = saving
        chosen_rows, chosen = linear_sum_assignment(worth, maximize=True)
        useful = worth[chosen_rows, chosen] > 0
        chosen_rows, chosen = chosen_rows[useful], chosen[useful]
    else:
        chosen_rows, chosen = _sparse_assignment(len(ids), len(unique), rows, position, saving)
    given = np.full(len(ids), -1)
    given[chosen_rows] = chosen
    won = given[rows] == position
    result[rows[won]] = columns[won]
    return result


def _sparse_assignment(n_rows, n_columns, rows, columns, saving):
    # A column of its own, worth nothing, lets every row go without; 1 keeps zeros explicit.
    every = np.arange(n_rows)
    cells = np.array([np.r_[rows, every], np.r_[columns, n_columns + every]], np.int32)
    worth = np.r_[saving, np.zeros(n_rows)] + 1.0
    # int32, as the matching in SciPy 1.13 (Python 3.9) refuses other indices.
    graph = csr_array((worth, tuple(cells)), shape=(n_rows, n_columns + n_rows))
    chosen_rows, chosen = min_weight_full_bipartite_matching(graph, maximize=True)
    return chosen_rows[chosen < n_columns], chosen[chosen < n_columns]


def _reasons(column, costs, claimed, threshold, clear_margin):
    rows = np.arange(len(column))
    reused = column >= 0
    own = np.where(reused, costs[rows, column], threshold)
    others = costs.copy()
    others[rows[reused], column[reused]] = np.inf
    runner_up = others.min(axis=1)
    margin = np.where(np.isinf(runner_up), np.inf, runner_up - own)
    reason = np.where(reused, "reused", "new").astype("<U9")
    reason[reused & (margin < clear_margin)] = "ambiguous"
    reason[~reused & np.isfinite(claimed).any(axis=1)] = "lost"
    return reason, margin


def explain(
    labels: np.ndarray,
    dropped: Sequence,
    ids: np.ndarray,
    choice: Choice,
    found: Candidates,
    *,
    threshold: float,
    ambiguous: Sequence,
    provisional: Sequence,
    confirmed: Sequence,
    merged: Sequence,
    fragment: Sequence,
    split: Sequence,
    n_neighbours: int = 5,
    scores: Sequence | None = None,
    classes: Sequence | None = None,
) -> tuple:
    """Put the decisions of one frame into words.

    Parameters
    ----------
    labels : ndarray of shape (M,), int64
    dropped : sequence of str, length M
        Why a segment was not used; "" for the N segments that the arguments below speak of.
    ids : ndarray of shape (N,), int64
        IDs given.
    choice : Choice
    found : candidates.Candidates
    threshold : float
    ambiguous, provisional, confirmed : sequence of bool, length N
        A decision put off; an ID that is not settled yet; one that is kept.
    merged, fragment : sequence of bool, length N
        See `meetings`.
    split : sequence of bool, length N
        See `healing`.
    n_neighbours : int
    scores, classes : sequence of length M, optional
        What the model said of each segment.

    Returns
    -------
    tuple of Decision, length M
    """
    rows = iter(range(len(ids)))
    decisions = []
    for m, (label, why) in enumerate(zip(labels.tolist(), dropped)):
        told: dict = {
            "score": None if scores is None else float(scores[m]),
            "category": None if classes is None else classes[m],
        }
        if why != USED:
            decisions.append(
                Decision(label, NO_ID, str(why), None, None, (), threshold, None, **told)
            )
            continue
        row = next(rows)
        near = found.distances[row].argsort(kind="stable")[:n_neighbours]
        near = [c for c in near.tolist() if found.ids[row, c] != NO_ID]
        neighbours = tuple((int(found.ids[row, c]), float(found.distances[row, c])) for c in near)
        column, margin = int(choice.column[row]), float(choice.margin[row])
        reason, place, parts = str(choice.reason[row]), None, None
        if ambiguous[row]:
            column, reason = -1, "ambiguous"
        elif merged[row] or fragment[row] or split[row]:
            reason = "merged" if merged[row] else FRAGMENT if fragment[row] else "split"
        distance: float | None
        if column >= 0:
            distance = float(found.distances[row, column])
            place = float(found.discounts[row, column])
            if found.parts is not None:
                parts = {name: float(nats[row, column]) for name, nats in found.parts.items()}
        else:
            distance = neighbours[0][1] if neighbours else None
        decisions.append(
            Decision(
                label,
                int(ids[row]),
                reason,
                distance,
                place,
                neighbours,
                threshold,
                margin if np.isfinite(margin) else None,
                bool(provisional[row]),
                confirmed=bool(confirmed[row]),
                parts=parts,
                **told,
            )
        )
    return tuple(decisions)


def write_jsonl(stream: TextIO, frame: int | str, decisions: Iterable[Decision]) -> None:
    """Append the decisions of one frame to a text stream as JSON lines.

    Each line is a `Decision` with the frame's number (or name) in front.
    """
    for decision in decisions:
        stream.write(json.dumps({"frame": frame, **vars(decision)}, allow_nan=False) + "\n")

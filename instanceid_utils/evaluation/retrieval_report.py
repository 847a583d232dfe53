"""What an evaluation of retrieval found: the report, its table and its intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

METRICS = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "map": "mAP",
    "minp": "mINP",
    "auc": "AUC",
    "eer": "EER",
    "tar_at_far_1pct": "TAR at FAR 1 %",
    "tar_at_far_01pct": "TAR at FAR 0.1 %",
}


class Confusion(NamedTuple):
    """A query whose nearest neighbour has another identity.

    `query`, `neighbour` and `positive` (the nearest right one) are indices into the embeddings.
    """

    query: int
    neighbour: int
    distance: float
    positive: int
    positive_distance: float
    query_identity: object
    neighbour_identity: object


@dataclass(frozen=True, eq=False)
class RetrievalReport:
    """Retrieval and verification metrics of one embedding on one set of segments.

    Attributes
    ----------
    n_segments, n_identities, n_queries, n_left_out : int
        Segments and identities seen; queries counted; segments left out as queries because no
        segment of their identity may be matched (they stay in the gallery of the others).
    rank1, rank5, map, minp : float
        Means over queries.
    auc, eer, tar_at_far_1pct, tar_at_far_01pct : float
        Over all allowed pairs, same identity against different.
    eer_threshold : float
        L2 distance at which the equal error rate is reached.
    intervals : dict of str to (float, float)
        95 % bootstrap interval of each metric, over identities; empty if not asked for.
    per_identity : tuple of dict
        One row per identity with queries: identity, n_queries, rank1, rank5, map, minp.
    confusions : tuple of Confusion
        All queries whose nearest neighbour is wrong, the nearest wrong one first.
    """

    n_segments: int
    n_identities: int
    n_queries: int
    n_left_out: int
    rank1: float
    rank5: float
    map: float
    minp: float
    auc: float
    eer: float
    tar_at_far_1pct: float
    tar_at_far_01pct: float
    eer_threshold: float
    per_identity: tuple = field(repr=False)
    confusions: tuple = field(repr=False)
    intervals: dict = field(repr=False, default_factory=dict)

    def as_dict(self):
        """Numbers only, fit for JSON: counts, metrics and, if there, ``<metric>_interval``."""
        counts = ("n_segments", "n_identities", "n_queries", "n_left_out")
        out = {name: getattr(self, name) for name in (*counts, *METRICS, "eer_threshold")}
        out.update({f"{name}_interval": list(ends) for name, ends in self.intervals.items()})
        return out

    def worst_confusions(self, k=8, per_pair=1):
        """Return the k nearest wrong neighbours, for pictures.

        Parameters
        ----------
        k : int
        per_pair : int or None
            At most so many for each (query identity, wrong identity): neighbouring frames
            make the same mistake. None: no limit.

        Returns
        -------
        list of Confusion
        """
        taken, seen = [], {}
        for confusion in self.confusions:
            pair = confusion.query_identity, confusion.neighbour_identity
            seen[pair] = seen.get(pair, 0) + 1
            if per_pair is None or seen[pair] <= per_pair:
                taken.append(confusion)
            if len(taken) == k:
                break
        return taken

    def __str__(self):
        return format_table({"": self})


def format_table(reports, intervals=True):
    """Lay out reports as a Markdown table, one row each.

    Parameters
    ----------
    reports : dict of str to RetrievalReport
        Name of the embedding -> its report.
    intervals : bool
        Show the bootstrap intervals of those reports that have them.

    Returns
    -------
    str
    """
    rows = [["embedding", *METRICS.values()]]
    for name, report in reports.items():
        row = [name]
        for metric in METRICS:
            cell = f"{getattr(report, metric):.3f}"
            if intervals and metric in report.intervals:
                cell += " ({:.3f}-{:.3f})".format(*report.intervals[metric])
            row.append(cell)
        rows.append(row)
    rows.insert(1, ["---"] * len(rows[0]))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)

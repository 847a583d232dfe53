"""A chosen threshold as a record: what it does, for which weights it holds, to JSON and back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from instanceid_utils.atomic_files import write_atomically
from instanceid_utils.json_files import read_json

VERSION = 1
_NUMBER = (int, float)
_KINDS: dict[str, tuple] = {  # of what is no number
    "rule": (str,),
    "target": (*_NUMBER, type(None)),
    "intervals": (dict,),
    "curves": (dict,),
    "weights_sha256": (str, type(None)),
    "evidence": (dict, type(None)),
    "galleries": (dict, type(None)),
}
SMALL = 50  # identities up to which a gallery is small


@dataclass(frozen=True, eq=False)
class Calibration:
    """A threshold, how it was chosen and what it does.

    Attributes
    ----------
    threshold : float
        L2, not squared: a gallery ID nearer than this is a candidate.
    rule : str
        How it was chosen, see `calibrate`; with `reuse_cost` or `target`.
    false_reuse : float
        Share of newcomers that get an old ID.
    false_new : float
        Share of instances coming back that get a new ID.
    wrong_id : float
        Share of instances coming back that get the ID of another one, nearer still.
    far, frr, eer : float
        Of pairs of segments: different ones accepted, same ones rejected at the threshold; and
        where the two would meet.
    intervals : dict of str to (float, float)
        95 % bootstrap intervals over identities of the three rates, and of the threshold if it
        were chosen anew each time.
    n_identities, n_segments, n_others, max_exemplars, min_gap : int
        What it was measured on, and with which gallery.
    curves : dict of str to ndarray of shape (401,)
        `thresholds`, and the three rates at each.
    weights_sha256 : str or None
        The weights that made the embeddings; it holds for no others.
    evidence : dict of str to float, or None
        The numbers of `tracking.Evidence` for these weights; None where they were not fitted.
    galleries : dict of str to list, or None
        ``identities``, sizes of galleries, and for ``masks`` and ``boxes`` the thresholds that
        keep false reuse below 1 % of newcomers there; None where they were not fitted.
    """

    threshold: float
    rule: str
    reuse_cost: float
    target: float | None
    false_reuse: float
    false_new: float
    wrong_id: float
    far: float
    frr: float
    eer: float
    intervals: dict
    n_identities: int
    n_segments: int
    n_others: int
    max_exemplars: int
    min_gap: int
    curves: dict = field(repr=False)
    weights_sha256: str | None = None
    evidence: dict | None = None
    galleries: dict | None = None

    def threshold_for(self, n_identities: int, small: int = SMALL) -> float:
        """Threshold for a gallery of so many identities: the more are known, the lower.

        Parameters
        ----------
        n_identities : int
        small : int
            Up to so many, `threshold` holds, which is chosen for few; from four times as many on
            false reuse stays below 1 % of newcomers, by masks and by boxes; between them it goes
            down with the logarithm. 0: below 1 % always.

        Returns
        -------
        float
            L2, not squared; `threshold` itself where `galleries` is None.
        """
        if self.galleries is None or n_identities <= small:
            return self.threshold
        logs = np.log(self.galleries["identities"])
        strict = np.minimum(self.galleries["masks"], self.galleries["boxes"])
        at = float(np.interp(np.log(max(n_identities, 1)), logs, strict))
        share = min(np.log(n_identities / small) / np.log(4), 1.0) if small else 1.0
        return min(self.threshold, self.threshold + share * (at - self.threshold))

    def require_weights(self, sha256: str | None) -> float:
        """Return the threshold if it was made for these weights.

        Raises
        ------
        ValueError
            If it was made for others, or it is not known for which.
        """
        if self.weights_sha256 is None or sha256 != self.weights_sha256:
            raise ValueError(
                f"this threshold was calibrated for weights {_short(self.weights_sha256)}, not "
                f"for {_short(sha256)}: calibrate again with evaluation.calibrate_dataset"
            )
        return self.threshold

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values."""
        out = {"version": VERSION, **asdict(self)}
        out["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        out["curves"] = {name: np.round(c, 6).tolist() for name, c in self.curves.items()}
        return out

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """Return it as JSON text, and write it to `path` if given."""
        text = json.dumps(self.as_dict(), indent=1)
        if path is not None:
            write_atomically(path, text + "\n")
        return text

    @classmethod
    def from_dict(cls, facts: Any, source: str = "calibration") -> Calibration:
        """Undo `as_dict`.

        Raises
        ------
        ValueError
            If it is no calibration, of another version, or holds what cannot be, such as a
            threshold that is out of range.
        """
        if not isinstance(facts, dict) or facts.get("version") != VERSION:
            raise ValueError(f"{source}: not a calibration of version {VERSION}")
        names = {f.name for f in fields(cls)}
        facts = {"evidence": None, "galleries": None, **facts}  # of before 1.1, of before 1.2
        missing = names - facts.keys()
        if missing:
            raise ValueError(f"{source}: {', '.join(sorted(missing))} missing")
        values = {name: facts[name] for name in names}
        for name, value in values.items():
            kinds = _KINDS.get(name, _NUMBER)
            if not isinstance(value, kinds) or isinstance(value, bool):
                expected = " or ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"{source}: {name}: expected {expected}, got {value!r:.40}")
        for name, number in (values["evidence"] or {}).items():
            if not isinstance(number, _NUMBER) or isinstance(number, bool):
                raise ValueError(
                    f"{source}: evidence, {name}: expected a number, got {number!r:.40}"
                )
        if not 0.0 < values["threshold"] <= 2.0:
            raise ValueError(f"{source}: threshold must be in (0, 2], got {values['threshold']}")
        if values["galleries"] is not None:
            _check_galleries(values["galleries"], source)
        try:
            values["intervals"] = {
                name: (float(low), float(high)) for name, (low, high) in values["intervals"].items()
            }
            values["curves"] = {name: np.array(c, float) for name, c in values["curves"].items()}
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{source}: intervals, curves: expected numbers ({error})") from error
        return cls(**values)

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> Calibration:
        """Read what `to_json` wrote."""
        return cls.from_dict(read_json(path), source=str(path))


def _check_galleries(galleries, source):
    columns = [galleries.get(name) for name in ("identities", "masks", "boxes")]
    good = all(isinstance(column, list) and column for column in columns)
    good = good and len({len(column) for column in columns}) == 1
    good = good and all(
        isinstance(value, _NUMBER) and not isinstance(value, bool) and 0 < value < np.inf
        for column in columns
        for value in column
    )
    if not good or (np.diff(columns[0]) <= 0).any() or (np.diff(columns[1:]) > 0).any():
        raise ValueError(
            f"{source}: galleries: expected growing identities, and for masks and boxes "
            "thresholds that do not grow with them"
        )


def _short(sha256):
    return "unknown" if sha256 is None else f"{sha256[:12]}..."

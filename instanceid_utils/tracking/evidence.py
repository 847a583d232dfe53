"""How much speaks for a segment being an instance that is known: one measure for all that is seen.

Each part is a log-likelihood ratio in nats: how much likelier is what is seen if the segment is
that instance than if it is another one. Nats of independent parts add up. Looks alone say 0 at
the calibrated threshold, so without any other part this is the plain rule, distance below
threshold. Every part is monotone, bounded below where chance can explain anything, and has one
or two numbers, fitted on generated video with the faults of real models (see `evidence_fit` in
`evaluation`).

- *Looks*: linear in the L2 distance.
- *Place*: how far from where it should be, by a heavy-tailed bell (a Student t with 1 degree of
  freedom, in the plane) whose width is the video's own: how well places were foreseen lately,
  and wider for each update unseen. Against it stands that somebody else is there by chance, in
  a frame that is so many times larger, or since others are near. At a small rate, which adds up
  while an instance is unseen, it may be anywhere: an object does not jump, but it may come back
  elsewhere.
- *Size*: a two-sided exponential in the change of log area, of the same width.
- *Entry*: newcomers enter at the border. Inside, a segment is more likely somebody known.

Frames that follow each other say nearly the same, and a mistake about a place repeats itself in
the next one while looks can mend it. So what is not looks counts for less than its nats.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

PARTS = ("looks", "place", "size", "entry")


@dataclass(frozen=True)
class Evidence:
    """The numbers of the model, and the parts that follow from them.

    Attributes
    ----------
    looks : float
        Nats for an L2 distance (not squared) of one threshold less.
    width : float
        Of the bell of places, in units of how well places were foreseen lately.
    growth : float
        The bell is as much wider after n updates as ``n ** growth``.
    jump : float
        Chance in an update that an instance is not where it should be, but anywhere.
    rivals : float
        How many others are near by chance, in an area of the square of a segment's size.
    change : float
        Typical change of log area, in units of the bell's width.
    variety : float
        Typical difference of log area between two instances.
    entry : float
        Nats against a newcomer that does not touch the border.
    beside : float
        What a nat of place, size or entry counts beside one of looks.

    Raises
    ------
    ValueError
        If one is not a number, or out of its range.
    """

    looks: float = 7.04
    width: float = 2.01
    growth: float = 0.831
    jump: float = 0.0458
    rivals: float = 0.022
    change: float = 11.3
    variety: float = 0.186
    entry: float = 2.0
    beside: float = 0.5

    def __post_init__(self):
        for name, value in vars(self).items():
            most = 1 if name == "jump" else 1e6
            least = 0 if name in ("entry", "beside", "growth") else 1e-9
            is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not is_number or not least <= value < most:
                raise ValueError(
                    f"{name}: expected a number from {least:g} to below {most:g}, got {value!r}"
                )

    @classmethod
    def of(cls, embedder: Any) -> Evidence:
        """Return what an embedder's calibration says, or the defaults where it says nothing."""
        known = getattr(embedder, "evidence", None)
        return cls() if known is None else cls(**known)

    def of_looks(self, distances: np.ndarray, threshold: float) -> np.ndarray:
        """Nats for L2 distances, not squared; 0 at the threshold."""
        return self.looks * (1 - np.asarray(distances, np.float64) / threshold)

    def of_place(self, errors, ages, width, room):
        """Nats for errors of place.

        Parameters
        ----------
        errors : ndarray
            Distance from where it should be, in units of the segment's size.
        ages : ndarray
            Updates since the instance was seen last, from 1.
        width : float
            Median of such errors lately.
        room : ndarray
            Square of the segment's size as a part of the frame's area.
        """
        spread = self.width * width * ages**self.growth
        bell = (1 + (errors / spread) ** 2) ** -1.5 / (2 * np.pi * spread**2)
        return self._or_anywhere(bell / (room + self.rivals), ages)

    def of_size(self, changes, ages, width):
        """Nats for changes of log area; see `of_place`."""
        usual = np.minimum(self.change * self.width * width * ages**self.growth, self.variety)
        away = np.abs(changes)
        return self._or_anywhere(
            self.variety / usual * np.exp(away / self.variety - away / usual), ages
        )

    def _or_anywhere(self, ratio, ages):
        stays = (1 - self.jump) ** ages
        return np.log(stays * ratio + 1 - stays)

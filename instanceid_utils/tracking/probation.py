"""New IDs on probation: a crumb of background seen once must not stay for ever.

An ID is given at once. It is confirmed when it has been seen a few times, well. What is not, and
is not seen any more, is forgotten: nothing is taken for it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


class Probation:
    """The IDs that are not confirmed yet.

    Parameters
    ----------
    confirm : int
        Good views that confirm an ID; with 1 or less all are confirmed at once.
    patience : int
        Updates unseen after which an ID that is not confirmed is forgotten.

    Examples
    --------
    >>> probation = Probation(confirm=2, patience=10)
    >>> probation.observe([7, 8], new=[True, True], good=[True, True], time=0)
    >>> probation.observe([7], new=[False], good=[True], time=1)
    >>> 7 in probation, 8 in probation, probation.overdue(time=11)
    (False, True, [8])
    """

    def __init__(self, confirm: int = 3, patience: int = 30):
        self.confirm, self.patience = confirm, patience
        self._cases = {}  # ID -> [good views, update of the last one]

    def __contains__(self, id):
        return id in self._cases

    def __len__(self):
        return len(self._cases)

    def observe(self, ids: Sequence, new: Sequence, good: Sequence, time: int) -> None:
        """Note who was seen in an update.

        Parameters
        ----------
        ids : sequence of int, length N
        new : sequence of bool, length N
            Which IDs were made for their segment.
        good : sequence of bool, length N
            Which views are good ones.
        time : int
            Number of the update.
        """
        for i, is_new, is_good in zip(np.asarray(ids).tolist(), new, good):
            if is_new and self.confirm > 1:
                self._cases[i] = [0, time]
            if i in self._cases:
                case = self._cases[i]
                case[0], case[1] = case[0] + bool(is_good), time
                if case[0] >= self.confirm:
                    del self._cases[i]

    def overdue(self, time: int) -> list[int]:
        """IDs that were not confirmed and have not been seen for long."""
        return [i for i, (_, seen) in self._cases.items() if time - seen >= self.patience]

    def forget(self, ids: Iterable[int]) -> None:
        """Drop the cases of some IDs: confirmed by hand, or gone."""
        for i in ids:
            self._cases.pop(int(i), None)

    def rename(self, old: int, new: int) -> None:
        """Add what is known of ``old`` to ``new``, which is confirmed unless it has a case."""
        case, known = self._cases.pop(int(old), None), self._cases.get(int(new))
        if known is not None:
            good, seen = case or [self.confirm, known[1]]
            known[0], known[1] = known[0] + good, max(known[1], seen)
            if known[0] >= self.confirm:
                del self._cases[int(new)]

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return [[i, *case] for i, case in self._cases.items()]

    def restore(self, state: list) -> None:
        """Continue where the object that gave ``state`` stood."""
        self._cases = {int(i): [int(good), int(seen)] for i, good, seen in state}

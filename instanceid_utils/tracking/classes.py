"""What kind of thing each instance is, as the model that found it says: a car is never a dog.

A model that names classes rules out more pairs than any distance. The class of an instance is the
one that it was first seen with; of an instance without a class, nothing is ruled out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from instanceid_utils.tracking.candidates import Candidates
from instanceid_utils.tracking.decision import NO_ID


class ClassMemory:
    """The class of each instance.

    Examples
    --------
    >>> memory = ClassMemory()
    >>> memory.observe([7, 8], ["car", "dog"])
    >>> found = Candidates(np.array([[7, 8]]), np.array([[0.1, 0.2]]), np.zeros((1, 2)))
    >>> memory.exclude(found, ["dog"]).ids.tolist()
    [[-1, 8]]
    """

    def __init__(self):
        self._of_id = {}
        self._sizes = Counter()  # class -> number of its instances: asked for in every frame

    def exclude(self, found: Candidates, classes: Sequence | None) -> Candidates:
        """Take out the candidates that are of another class than their segment.

        Parameters
        ----------
        found : Candidates
            Of N segments.
        classes : sequence of length N, or None
            An entry of None rules nothing out.
        """
        if classes is None or not self._of_id or not found.ids.size:
            return found
        other = np.zeros(found.ids.shape, bool)
        for row, (ids, own) in enumerate(zip(found.ids.tolist(), classes)):
            if own is not None:
                known = [self._of_id.get(i) for i in ids]
                other[row] = [k is not None and k != own for k in known]
        if not other.any():
            return found
        return found._replace(
            ids=np.where(other, NO_ID, found.ids),
            distances=np.where(other, np.inf, found.distances),
            discounts=np.where(other, 0.0, found.discounts),
        )

    @property
    def several(self) -> bool:
        """Whether instances of more than one class are known."""
        return len(self._sizes) > 1

    def observe(self, ids: Iterable, classes: Sequence | None) -> None:
        """Note the classes of instances that have none yet."""
        for i, kind in zip(ids, classes or ()):
            if kind is not None and int(i) not in self._of_id:
                self._of_id[int(i)] = kind
                self._sizes[kind] += 1

    def forget(self, ids: Iterable) -> None:
        """Drop what is known of some instances."""
        for i in ids:
            self._pop(int(i))

    def rename(self, old: int, new: int) -> None:
        """Give the class of ``old`` to ``new``, unless it has its own."""
        self.observe([new], [self._pop(int(old))])

    def _pop(self, i):
        kind = self._of_id.pop(i, None)
        if kind is not None:
            self._sizes -= Counter([kind])  # drops what reaches zero
        return kind

    def state(self) -> list:
        """Return all that `restore` needs, in types that JSON has."""
        return [list(item) for item in self._of_id.items()]

    def restore(self, state: list) -> None:
        """Continue where the memory that gave ``state`` stood."""
        self._of_id = {int(i): kind for i, kind in state}
        self._sizes = Counter(self._of_id.values())

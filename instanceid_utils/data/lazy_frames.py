"""Frames and masks by their number, each read when it is asked for and not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from instanceid_utils.data.image_files import read_image, read_label_map


class LazySequence(Sequence):
    """Items that are made when they are asked for, and not kept.

    Parameters
    ----------
    make : callable
        ``make(index)``.
    n : int
        How many there are.

    Examples
    --------
    >>> squares = LazySequence(lambda i: i * i, 4)
    >>> squares[3], squares[-2], list(squares)
    (9, 4, [0, 1, 4, 9])
    """

    def __init__(self, make: Callable, n: int):
        self._make, self._n = make, int(n)

    def __len__(self):
        return self._n

    def __getitem__(self, index):
        """Make the item at an index from 0, or from -1 backwards."""
        if not -self._n <= index < self._n:
            raise IndexError(f"expected an index below {self._n}, got {index}")
        return self._make(index % self._n)


def open_sequence(dataset, sequence: str) -> tuple:
    """Return the frames and the label maps of a sequence, each read when it is asked for.

    Parameters
    ----------
    dataset : data.DavisDataset
    sequence : str

    Returns
    -------
    frames, label_maps : LazySequence
        A frame without annotation has an empty label map.
    """

    def image(index):
        return read_image(dataset.frame_paths(sequence, index)[0])

    def label_map(index):
        path = dataset.frame_paths(sequence, index)[1]
        if path.exists():
            return read_label_map(path, dataset.colour)
        return np.zeros(image(index).shape[:2], np.uint8)

    n = dataset.n_frames(sequence)
    return LazySequence(image, n), LazySequence(label_map, n)

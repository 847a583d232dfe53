"""Which masks belong to which frame: by their names, else by the numbers in them.

Several rules are tried, and the one by which most masks find a frame is taken (of equal ones,
the one that gives more frames a mask, then the earlier one):

1. names are the same;
2. a mask's name begins with a frame's (``img_001``, ``img_001_cp_masks``), or ends like it;
3. names are the same without what all frames, and what all masks, have in common
   (``a_01_rgb``, ``a_01_mask``);
4. a number in the masks' names, or the number of the mask, is that of the frame.

Several masks of one frame are its objects, one file each.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict

_DIGITS = re.compile(r"\d{1,18}")
_MASK_WORD = re.compile(
    r"(?<![a-z])(masks?|labels?|seg|segmentations?|annotations?|gt|mattes?|alpha)(?![a-z])"
)


class Matching:
    """Which masks belong to which frame.

    Parameters
    ----------
    masks : mapping of int to str or None
        Names of the masks by number; None where a mask has no name.
    stems : sequence of str, optional
        Names of all frames. Without them the frames are numbered from 0, as in a video file.
    n_frames : int, optional
        Where it is known.
    first_number : int, optional
        Number of the masks of the first frame, if it is told.
    in_order : bool
        Whether as many named masks as frames may also be taken one by one, in their order.
    """

    def __init__(self, masks, stems=None, n_frames=None, first_number=None, in_order=False):
        self.names = dict(masks)
        self.n_frames = n_frames if stems is None else len(stems)
        self._stems, self._in_order, self._first = stems, in_order, first_number
        self.index_of = self._best(first_number)
        self._keys = defaultdict(list)
        for key, index in self.index_of.items():
            self._keys[index].append(key)

    def keys(self, index):
        """Return the numbers of the masks of a frame, in increasing order."""
        return self._keys.get(index, [])

    def counts(self, n_frames):
        """Return how many of ``n_frames`` frames have masks, masks are used, and are left over."""
        used = sum(0 <= index < n_frames for index in self.index_of.values())
        with_masks = sum(0 <= index < n_frames for index in self._keys)
        return with_masks, used, len(self.names) - used

    def problem(self, n_frames):
        """Say which masks have no frame and which frames at either end no masks, or None."""
        with_masks, used, n_left = self.counts(n_frames)
        said = []
        if n_left:
            left = [
                self.mask_name(key)
                for key in self.names
                if not 0 <= self.index_of.get(key, -1) < n_frames
            ]
            said.append(f"{n_left} of {len(self.names)} masks belong to no frame ({_some(left)})")
        for where, indices in self._bare_ends(n_frames).items():
            if indices:
                names = [self._frame_name(index) for index in indices]
                said.append(
                    f"{len(names)} of {n_frames} frames, at the {where}, have no masks "
                    f"({_some(names)})"
                )
        if not said:
            return None
        proposed = self.proposal(n_frames) if n_left else None
        if proposed is not None:
            said.append(f"--first-number {proposed} would fit all")
        return "; ".join(said)

    def proposal(self, n_frames):
        """Return the number for the first frame with which all masks would fit, or None."""
        lows = {min(column.values()) for column in self._columns() if column}
        for first in sorted(lows):
            index_of = self._best(first)
            if first != self._first and len(index_of) == len(self.names):
                if all(0 <= index < n_frames for index in index_of.values()):
                    return first
        return None

    def first_number(self):
        """Return the number of the first frame: told, of its name, or 0."""
        if self._first is not None:
            return self._first
        numbers = _frame_numbers(self._stems) if self._stems else None
        return numbers[0] if numbers else 0

    def _bare_ends(self, n_frames):
        """Return frames before the first and after the last mask that are more than a gap."""
        there = sorted(index for index in self._keys if 0 <= index < n_frames)
        if not there:
            return {}
        gap = max((b - a - 1 for a, b in zip(there, there[1:])), default=0)
        ends = {"beginning": range(there[0]), "end": range(there[-1] + 1, n_frames)}
        return {where: ends[where] for where in ends if len(ends[where]) > gap}

    def mask_name(self, key):
        """Return the name of a mask, or its number as text."""
        return self.names[key] if self.names[key] is not None else str(key)

    def _frame_name(self, index):
        return self._stems[index] if self._stems is not None else str(index)

    def _best(self, first_number):
        best, best_score = {}, (0, 0)
        for index_of in self._candidates(first_number):
            inside = [
                index
                for index in index_of.values()
                if index >= 0 and (self.n_frames is None or index < self.n_frames)
            ]
            score = len(inside), len(set(inside))
            if score > best_score or not best:
                best, best_score = index_of, score
        return best

    def _candidates(self, first_number):
        """Yield {mask number: frame index} by each rule."""
        named = {key: name for key, name in self.names.items() if name is not None}
        if self._stems is None:
            for column in self._columns():
                yield {key: number - (first_number or 0) for key, number in column.items()}
        else:
            if named and first_number is None:
                yield from _by_name(named, self._stems)
            yield from self._by_number(first_number)
        if first_number is None and not named:
            yield {key: key for key in self.names}
        if first_number is None and named and self._in_order and len(self.names) == self.n_frames:
            yield {key: index for index, key in enumerate(sorted(self.names))}

    def _by_number(self, first_number):
        places = range(len(self._stems))
        own = _frame_numbers(self._stems)
        if first_number is None:
            frames = [own or list(places)]
        else:
            frames = [[first_number + i for i in places]]
            if own:
                frames.insert(0, [first_number + number - own[0] for number in own])
        for numbers in frames:
            index_of = {number: index for index, number in enumerate(numbers)}
            for column in self._columns():
                yield {k: index_of[number] for k, number in column.items() if number in index_of}

    def _columns(self):
        """Return the numbers that could be those of the frames, {mask number: number} each."""
        if any(name is None for name in self.names.values()) or not self.names:
            return [{key: key for key in self.names}]
        columns = number_columns(list(self.names.values()))
        by_name = [dict(zip(self.names, column)) for column in columns]
        return by_name or [{key: key for key in self.names}] * (self._first is not None)


def number_columns(names):
    """Return the numbers in some names that tell them apart, a list for each place in the name.

    Places with the widest numbers come first, since ``00012_1`` has the frame's number there;
    of equal ones the last.

    Examples
    --------
    >>> number_columns(["v2_00010_1", "v2_00011_1", "v2_00011_2"])
    [[10, 11, 11], [1, 1, 2]]
    """
    runs = [_DIGITS.findall(name) for name in names]
    n = min(map(len, runs), default=0)
    if not n:
        return []
    regular = all(len(run) == n for run in runs)
    columns = [[run[k] for run in runs] for k in ([*range(n)] if regular else [0, -1])][::-1]
    varied = [column for column in columns if len(set(column)) > 1]
    chosen = varied or columns
    chosen.sort(key=lambda column: -min(map(len, column)))
    return [[int(digits) for digits in column] for column in chosen]


def _frame_numbers(stems):
    """Return the number of each frame, or None where no number tells all frames apart."""
    for column in number_columns(stems):
        if len(set(column)) == len(stems):
            return column
    return None


def _by_name(named, stems):
    index_of = {stem: index for index, stem in enumerate(stems)}
    yield {key: index_of[name] for key, name in named.items() if name in index_of}
    for begins in (True, False):
        found = {key: _part(name, index_of, begins) for key, name in named.items()}
        yield {key: index for key, index in found.items() if index is not None}
    cores = dict(zip(cores_of(stems), range(len(stems))))
    if len(cores) == len(stems) > 1:
        own = dict(zip(named, cores_of(list(named.values()))))
        yield {key: cores[core] for key, core in own.items() if core in cores}


def _part(name, index_of, begins, whole=True):
    """Return the frame with the longest name that a mask's begins with, or ends like."""
    for length in range(len(name) - (not whole), 0, -1):
        part = name[:length] if begins else name[-length:]
        if part in index_of and not _cuts(name, length if begins else len(name) - length):
            return index_of[part]
    return None


def _cuts(name, at):
    """Tell whether a number or a word goes on across a place in a name."""
    if not 0 < at < len(name):
        return False
    before, after = name[at - 1], name[at]
    return (before.isdigit() and after.isdigit()) or (before.isalpha() and after.isalpha())


def cores_of(names):
    """Return names without what all of them begin with and end in; numbers are not cut.

    Examples
    --------
    >>> cores_of(["img_09_rgb", "img_10_rgb"])
    ['09', '10']
    """
    start = len(os.path.commonprefix(names))
    while any(_cuts(name, start) for name in names):
        start -= 1
    rest = [name[start:] for name in names]
    end = len(os.path.commonprefix([name[::-1] for name in rest]))
    while any(_cuts(name, len(name) - end) for name in rest):
        end -= 1
    return [name[: len(name) - end] for name in rest]


def divide(files):
    """Tell the masks from the frames among the images of one folder.

    A mask has the same name as a frame, but is PNG where that is JPEG; or its name is that of
    a frame, number and all, with something before or after it (``img_001_flows``); or has a
    word such as "mask" in it, where others have none.

    Parameters
    ----------
    files : sequence of pathlib.Path

    Returns
    -------
    frames, masks : list of pathlib.Path
        In the order given. No masks where the files are of one kind.
    """
    stems = {}
    for file in files:
        stems.setdefault(file.stem, []).append(file)
    masks = set()
    for twins in stems.values():
        photos = [file for file in twins if file.suffix.lower() in (".jpg", ".jpeg")]
        if photos:
            masks.update(set(twins) - set(photos))
    worded = {stem for stem in stems if _MASK_WORD.search(stem.lower())}
    if len(worded) == len(stems):
        worded = set()  # the word is in all names, and tells nothing
    numbered = [stem for stem in stems.keys() - worded if _DIGITS.search(stem)]
    others = dict.fromkeys(numbered, True)
    for stem in stems:
        longer = any(_part(stem, others, begins, whole=False) for begins in (True, False))
        if stem in worded or (longer and not stem.isdecimal()):
            masks.update(stems[stem])
    return [f for f in files if f not in masks], [f for f in files if f in masks]


def _some(names, n=3):
    return ", ".join(names if len(names) <= n + 1 else [*names[:n], "...", names[-1]])

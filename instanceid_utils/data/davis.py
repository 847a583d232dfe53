"""Video in the DAVIS 2017 layout: frames, and a label map for each, read as a stream.

::

    JPEGImages/480p/<sequence>/00000.jpg
    Annotations/480p/<sequence>/00000.png   label map, IDs constant in a sequence
    ImageSets/2017/<split>.txt              one sequence name per line
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instanceid_utils.data.image_files import read_image, read_label_map

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a sequence.

    Attributes
    ----------
    sequence : str
    index : int
        Position in the sequence, from 0.
    name : str
        File name without suffix, for instance "00012".
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    label_map : ndarray of shape (H, W), int, or None
        0 = background; None where the frame has no annotation.
    """

    sequence: str
    index: int
    name: str
    image: np.ndarray
    label_map: np.ndarray | None


class DavisDataset:
    """A folder in the DAVIS 2017 layout, or in that of YouTube-VOS, which has no resolutions.

    Parameters
    ----------
    root : path-like
        Holds ``JPEGImages`` and ``Annotations``, or a folder ``DAVIS`` that does.
    resolution : str, optional
        Folder below those two, such as "480p"; by default the only one there.
    colour : {"auto", "palette", "rgb"}
        How colour PNGs code labels, see `read_label_map`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it is not in this layout; the message says what was expected.
    """

    def __init__(
        self, root: str | os.PathLike, resolution: str | None = None, colour: str = "auto"
    ):
        root = Path(root)
        if not root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder")
        if not (root / "JPEGImages").is_dir() and (root / "DAVIS" / "JPEGImages").is_dir():
            root = root / "DAVIS"
        self.root, self.colour = root, colour
        self.resolution = self._only_resolution() if resolution is None else str(resolution)
        for kind in ("JPEGImages", "Annotations"):
            if not (root / kind / self.resolution).is_dir():
                raise self._not_davis(f"{kind}/{self.resolution} is missing")
        self._images = root / "JPEGImages" / self.resolution
        self._annotations = root / "Annotations" / self.resolution
        self._listings = {}

    def __repr__(self):
        return f"DavisDataset({str(self.root)!r}, resolution={self.resolution!r})"

    def _not_davis(self, what):
        return ValueError(
            f"{self.root}: expected the DAVIS 2017 layout "
            "(JPEGImages/<resolution>/<sequence>/00000.jpg, "
            "Annotations/<resolution>/<sequence>/00000.png, ImageSets/2017/<split>.txt); "
            f"{what}"
        )

    def _only_resolution(self):
        images = self.root / "JPEGImages"
        there = _folders(images)
        if any(_files(images / name, _IMAGE_SUFFIXES) for name in there[:1]):
            return ""  # they are sequences
        if len(there) != 1:
            found = "there is none"
            if there:
                found = f"there are {there}: choose one by resolution= (--resolution)"
            raise self._not_davis(f"of the resolutions in JPEGImages, {found}")
        return there[0]

    def sides(self):
        """Sequences for training and for testing, as ImageSets has them.

        Returns
        -------
        train, test : tuple of str
            "train", and "val" or else all others. Where that leaves nothing for testing, as
            without ImageSets, all sequences are for looking at, and none is for training only.
        """
        train = self.sequences("train") if "train" in self.splits else ()
        others = tuple(name for name in self.sequences() if name not in train)
        test = self.sequences("val") if "val" in self.splits else others
        return (train, test) if test else ((), self.sequences())

    @property
    def splits(self):
        """Names of the splits in ImageSets/2017, sorted; for DAVIS ("train", "val")."""
        return tuple(sorted(path.stem for path in (self.root / "ImageSets/2017").glob("*.txt")))

    def sequences(self, split: str | None = None) -> tuple:
        """Names of the sequences of a split, in its order; of all folders, sorted, by default.

        Parameters
        ----------
        split : str, optional
            One of `splits`.

        Returns
        -------
        tuple of str

        Raises
        ------
        ValueError
            If there is no such split, or it names a sequence that is not there.
        """
        there = _folders(self._images)
        if split is None:
            return tuple(there)
        if split not in self.splits:
            raise ValueError(f"split: expected one of {self.splits}, got {split!r}")
        path = self.root / "ImageSets/2017" / f"{split}.txt"
        names = tuple(path.read_text(encoding="utf-8").split())
        missing = sorted(set(names) - set(there))
        if missing:
            raise ValueError(f"{path}: expected names of sequences, {missing[0]!r} is not there")
        return names

    def frame_names(self, sequence: str) -> tuple:
        """Names of the frames of a sequence ("00000", ...), in natural order.

        The folder is listed once and then remembered.

        Parameters
        ----------
        sequence : str

        Returns
        -------
        tuple of str
        """
        return self._listing(sequence)[0]

    def n_frames(self, sequence):
        """Return the number of frames of a sequence."""
        return len(self.frame_names(sequence))

    def _listing(self, sequence):
        if sequence not in self._listings:
            if sequence not in self.sequences():
                raise ValueError(f"sequence: {sequence!r} is not among {self.sequences()}")
            folder = self._images / sequence
            files = sorted(_files(folder, _IMAGE_SUFFIXES), key=natural_key)
            names = tuple(os.path.splitext(name)[0] for name in files)
            if not names:
                raise ValueError(f"{folder}: expected frames (JPEG or PNG), there are none")
            if len(set(names)) < len(names):
                raise ValueError(f"{folder}: expected one file per frame, some names come twice")
            labels = _files(self._annotations / sequence, (".png",))
            labels = {os.path.splitext(name)[0]: name for name in labels}
            self._listings[sequence] = names, tuple(files), labels
        return self._listings[sequence]

    def frame_paths(self, sequence: str, index: int) -> tuple:
        """Paths of a frame and of its annotation.

        Parameters
        ----------
        sequence : str
        index : int
            From 0.

        Returns
        -------
        image_path, annotation_path : pathlib.Path
            The second may not exist.
        """
        names, files, labels = self._listing(sequence)
        if not 0 <= index < len(names):
            raise ValueError(f"index: expected 0 to {len(names) - 1} in {sequence}, got {index}")
        label = labels.get(names[index], f"{names[index]}.png")
        return self._images / sequence / files[index], self._annotations / sequence / label

    def frame(self, sequence: str, index: int):
        """Read one frame.

        Parameters
        ----------
        sequence : str
        index : int
            From 0.

        Returns
        -------
        Frame

        Raises
        ------
        ValueError
            If a file is broken, or frame and label map differ in size; the file is named.
        """
        image_path, annotation_path = self.frame_paths(sequence, index)
        image, label_map = read_image(image_path), None
        if annotation_path.exists():
            label_map = read_label_map(annotation_path, self.colour)
            (height, width), (h, w) = image.shape[:2], label_map.shape
            if (height, width) != (h, w):
                raise ValueError(
                    f"{annotation_path}: expected {width}x{height}, the size of its frame "
                    f"{image_path}, got {w}x{h}"
                )
        return Frame(sequence, index, self.frame_names(sequence)[index], image, label_map)

    def frames(self, sequence: str):
        """Read the frames of a sequence one by one.

        Parameters
        ----------
        sequence : str

        Yields
        ------
        Frame
        """
        for index in range(self.n_frames(sequence)):
            yield self.frame(sequence, index)


def _folders(path):
    """Return the names of the folders in a folder; what begins with a dot is the system's own."""
    if not path.is_dir():
        return []
    return sorted(e.name for e in path.iterdir() if e.is_dir() and not e.name.startswith("."))


def _files(folder, suffixes):
    """Return the names of the files in a folder that end so, in any case."""
    there = os.listdir(folder) if folder.is_dir() else []
    return [n for n in there if n.lower().endswith(suffixes) and not n.startswith(".")]


def natural_key(name):
    """Sort key that puts "frame9" before "frame10".

    Examples
    --------
    >>> sorted(["10", "9", "b", "a2", "a10"], key=natural_key)
    ['9', '10', 'a2', 'a10', 'b']
    """
    parts = re.split(r"(\d+)", str(name))
    return [(not part.isdigit(), int(part) if part.isdigit() else part) for part in parts if part]

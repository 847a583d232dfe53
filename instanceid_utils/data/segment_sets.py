"""Crops and where they come from, in memory: what training, evaluation and calibration share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.data.manifest import load_crops, read_manifest
from instanceid_utils.segments.crops import CROP_SIZE, MARGIN, cut_crops, with_background
from instanceid_utils.segments.segments import find_segments


@dataclass(frozen=True, eq=False)
class SegmentSet:
    """Crops and where they come from.

    Attributes
    ----------
    crops : ndarray of shape (N, S, S, 4), uint8
    identities, sequences, frames : ndarray of shape (N,), int
        As for ``evaluation.evaluate_retrieval``.
    names : tuple of str
        Name of each identity, in the order of ``np.unique(identities)``; may be empty.
    """

    crops: np.ndarray
    identities: np.ndarray
    sequences: np.ndarray
    frames: np.ndarray
    names: tuple = ()

    def __len__(self):
        return len(self.crops)

    def select(self, rows):
        """Return the segments at ``rows`` (indices or a bool mask), without names."""
        return SegmentSet(
            self.crops[rows], self.identities[rows], self.sequences[rows], self.frames[rows]
        )

    def joined(self, other: SegmentSet) -> SegmentSet:
        """Return the segments of both, without names."""
        return SegmentSet(
            *(
                np.concatenate([getattr(self, name), getattr(other, name)])
                for name in ("crops", "identities", "sequences", "frames")
            )
        )

    def resized(self, size):
        """Return the set with crops of this size; the set itself if they have it."""
        if self.crops.shape[1] == size:
            return self
        crops = np.stack(
            [cv2.resize(c, (size, size), interpolation=cv2.INTER_AREA) for c in self.crops]
        )
        return SegmentSet(crops, self.identities, self.sequences, self.frames, self.names)


def from_manifest(folder: str | os.PathLike, split: str | None = None):
    """Load the crops that `data.extract` left in a folder.

    Parameters
    ----------
    folder : path
        With ``data.csv`` and the crops in it.
    split : {"train", "test"}, optional
        All by default.

    Returns
    -------
    SegmentSet
        In the order of the manifest.
    """
    manifest = read_manifest(folder)
    if split is not None:
        manifest = manifest[manifest.split == split]
    names, identities = np.unique(manifest.identity.to_numpy(str), return_inverse=True)
    sequences = np.unique(manifest.sequence.to_numpy(str), return_inverse=True)[1]
    frames = _frame_numbers(manifest)
    crops = load_crops(manifest, folder)
    return SegmentSet(crops, identities, sequences, frames, tuple(map(str, names)))


def _frame_numbers(manifest):
    """Position of each frame in its sequence's order of names, as the names need not be numbers."""
    if manifest.frame.str.fullmatch(r"\d+").all():
        return manifest.frame.astype(np.int64).to_numpy()
    return manifest.groupby("sequence").frame.rank("dense").to_numpy(np.int64) - 1


def collect(
    dataset,
    sequences: Sequence | None = None,
    *,
    size=CROP_SIZE,
    margin=MARGIN,
    min_area: int = 1,
    keep_background: bool = False,
    progress: bool = True,
):
    """Cut all segments of an annotated data set into memory.

    Parameters
    ----------
    dataset : data.DavisDataset
    sequences : list of str, optional
        All by default.
    size, margin
        See ``segments.cut_crops``.
    min_area : int
        Segments of fewer pixels are left out.
    keep_background : bool
        See ``segments.with_background``.
    progress : bool
        Show a bar.

    Returns
    -------
    SegmentSet
        An identity is a label of a sequence, named ``sequence_label``.
    """
    crops, names, where, frames = [], [], [], []
    sequences = list(sequences or dataset.sequences())
    for number, sequence in enumerate(tqdm(sequences, desc="segments", disable=not progress)):
        for frame in dataset.frames(sequence):
            if frame.label_map is None:
                continue
            segments = find_segments(frame.label_map)
            segments = segments.select(segments.areas >= min_area)
            cut = cut_crops(frame.image, segments, size, margin)
            if keep_background:
                cut = with_background(cut, frame.image, segments, margin)
            crops.extend(cut)
            names += [f"{sequence}_{label}" for label in segments.labels]
            where += [number] * len(segments)
            frames += [frame.index] * len(segments)
    if not crops:
        raise ValueError(f"{dataset}: no annotated segment in {', '.join(sequences)}")
    known, identities = np.unique(names, return_inverse=True)
    return SegmentSet(
        np.stack(crops), identities, np.array(where), np.array(frames), tuple(map(str, known))
    )

"""Fit the tracker's evidence: ``python -m instanceid_utils.training.fit_evidence``.

Draws video, teams and streets and single actors, looks at it as models do, with all their faults,
at full rate and at every fifth frame, fits `tracking.Evidence` to who was who, and writes the
numbers into the calibration of the weights. Takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.embedder import Embedder
from instanceid_utils.embedding.weights import calibration_path, shipped
from instanceid_utils.evaluation.detections import watch
from instanceid_utils.evaluation.evidence_fit import (
    Pairs,
    candidate_pairs,
    fit_evidence,
    true_identities,
)
from instanceid_utils.evaluation.mask_faults import FAULTS
from instanceid_utils.synthetic.crowd import N_FRAMES, draw_crowd
from instanceid_utils.synthetic.dataset import Plot, draw_sequence
from instanceid_utils.tracking.evidence import Evidence
from instanceid_utils.tracking.observation import Observation

STEPS = (1, 5)
_SEED = 77  # of videos that no benchmark shows
_STREET = 16  # outfits, one for each walker
_ACTORS = Plot(60, 3, n_occluders=2, travel=0.01)


def videos(n_crowds: int, n_plain: int, n_frames: int = N_FRAMES) -> Iterator[list]:
    """Draw the videos to fit on: crowds in teams, crowds in the street, few actors.

    Parameters
    ----------
    n_crowds, n_plain : int
        Crowds of either kind, and videos of three actors.
    n_frames : int
        Of a crowd.

    Yields
    ------
    list of (ndarray (H, W, 3) uint8, ndarray (H, W) uint8)
        Frames with the label maps of the true identities.
    """
    for number in range(n_crowds):
        for n_outfits in (None, _STREET):
            yield list(draw_crowd([_SEED, 1, number], n_frames, n_outfits=n_outfits))
    for number in range(n_plain):
        yield list(draw_sequence(_ACTORS, [_SEED, 2, number]))


def look(embedder, frames: list, threshold: float) -> Iterator[Pairs]:
    """Look at one video through all models and rates, and pair segments with candidates.

    Parameters
    ----------
    embedder : embedding.Embedder
    frames : list
        From `videos`.
    threshold : float
        L2, not squared.

    Yields
    ------
    Pairs
    """
    for step in STEPS:
        for number, faults in enumerate(FAULTS.values()):
            rng = np.random.default_rng([_SEED, step, number])
            watched = watch(embedder, frames[::step], faults, rng)
            seen = [view.observation for view in watched]
            truth = [_of_used(view.observation, view.overlaps) for view in watched]
            yield candidate_pairs(seen, truth, threshold)


def _of_used(observation: Observation, overlaps) -> np.ndarray:
    return true_identities(overlaps)[observation.dropped == ""]


def fit(embedder, n_crowds: int, n_plain: int, progress: bool = True) -> Evidence:
    """Fit the evidence for an embedder; see the module."""
    drawn: Iterable = tqdm(
        videos(n_crowds, n_plain), "videos", 2 * n_crowds + n_plain, disable=not progress
    )
    pairs = [each for frames in drawn for each in look(embedder, frames, embedder.threshold)]
    return fit_evidence(pairs)


def main(argv: list | None = None) -> None:
    """Fit, print, and write the calibration anew with the numbers in it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", type=Path, default=None, help="card; the shipped one")
    parser.add_argument("--crowds", type=int, default=5, help="of teams, and of people in a street")
    parser.add_argument("--plain", type=int, default=10, help="videos of three actors")
    parser.add_argument("--out", type=Path, help="calibration to write; that of the weights")
    options = parser.parse_args(argv)
    card = options.weights or shipped()
    found = fit(Embedder.pretrained(card), options.crowds, options.plain)
    calibration = Calibration.from_json(calibration_path(card))
    numbers = {name: float(f"{value:.3g}") for name, value in vars(found).items()}
    out = options.out or calibration_path(card)
    replace(calibration, evidence=numbers).to_json(out)
    print(f"{out}: " + ", ".join(f"{name} {value:g}" for name, value in numbers.items()))


if __name__ == "__main__":
    main()

"""Fit the threshold to the size of the gallery.

``python -m instanceid_utils.training.fit_gallery_sizes [--weights CARD]``

draws identities that nobody was trained on, looks at them through masks and through boxes, and
writes what threshold keeps false reuse below 1 % of newcomers, for galleries of 10 to 10,000
identities, into the calibration of the weights. Takes minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.embedding.embedder import Embedder
from instanceid_utils.embedding.weights import calibration_path, shipped
from instanceid_utils.evaluation.gallery_sizes import SIZES, as_masks_and_boxes, thresholds_by_size
from instanceid_utils.synthetic.tracklets import draw_tracklets

SEED = 9003  # a population of its own
GROUP = 4  # look-alikes come in groups of so many, see `synthetic.bodies.identity_body`


def fit(embedder, crops: np.ndarray) -> dict[str, list]:
    """Fit thresholds to sizes.

    Parameters
    ----------
    embedder : embedding.Embedder
    crops : ndarray of shape (n_identities, n_views, S, S, 4), uint8
        With their background, from ``synthetic.draw_tracklets``.

    Returns
    -------
    dict of str to list
        ``galleries`` of a `Calibration`.
    """
    n, n_views = crops.shape[:2]
    identities = np.repeat(np.arange(n), n_views)
    found: dict[str, list] = {"identities": list(SIZES)}
    for kind, cut in as_masks_and_boxes(crops.reshape(-1, *crops.shape[2:])).items():
        vectors = embedder.embed_crops(cut)
        thresholds = thresholds_by_size(vectors, identities, alike=identities // GROUP)
        found[kind] = [round(float(at), 3) for at in thresholds]
    return found


def main(argv: list | None = None) -> None:
    """Fit, print, and write the calibration anew with the numbers in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=None, help="card; the shipped one")
    parser.add_argument("--identities", type=int, default=480)
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="calibration to write; that of the weights")
    options = parser.parse_args(argv)
    card = options.weights or shipped()
    embedder = Embedder.pretrained(card)
    crops, _ = draw_tracklets(
        options.identities,
        options.views,
        SEED,
        workers=options.workers,
        size=embedder.crop_size,
        margin=embedder.margin,
        keep_background=True,
    )
    galleries = fit(embedder, crops)
    out = options.out or calibration_path(card)
    replace(Calibration.from_json(calibration_path(card)), galleries=galleries).to_json(out)
    print(f"{out}:")
    for name, row in galleries.items():
        print(f"{name:>12} " + " ".join(f"{number:>6}" for number in row))


if __name__ == "__main__":
    main()

"""An archive in small: many instances in short shots, all in one gallery, by their looks alone.

Each instance is seen twice, for a few frames: at the start of its clip and at the end of it.
The shots of many instances follow each other in random order, so that a newcomer meets more and
more that it could be taken for, and one that comes back has been away for long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from instanceid_utils.embedding.calibration_record import Calibration
from instanceid_utils.evaluation.identity import assigned_idf1
from instanceid_utils.evaluation.pairs import check_segments
from instanceid_utils.segments.segments import Segments
from instanceid_utils.tracking.decision import USED
from instanceid_utils.tracking.observation import Observation
from instanceid_utils.tracking.shots import signature
from instanceid_utils.tracking.tracker import InstanceID

SIZES = (10, 20, 50, 100, 200, 500, 1000)
SHOT = 6  # frames
_BOX = np.array([[16, 16, 48, 48]], np.int32)
_SIGNATURE = signature(np.zeros((64, 64, 3), np.uint8))


def score_archive(
    embeddings,
    identities,
    sequences,
    frames,
    threshold: float | Calibration,
    *,
    sizes: Sequence[int] = SIZES,
    shot: int = SHOT,
    seed: int = 0,
    progress: bool = True,
    **settings,
) -> pd.DataFrame:
    """Track an archive of more and more instances by the plain rule.

    Parameters
    ----------
    embeddings, identities, sequences, frames
        See `evaluation.evaluate_retrieval`. Who has fewer than ``2 * shot`` segments is left out.
    threshold : float or embedding.Calibration
        L2, not squared; or what gives it for each size of the gallery.
    sizes : sequence of int
        How many instances; where there are fewer, all of them are the last size.
    shot : int
        Frames of each of the two shots.
    seed : int
        Of the order.
    progress : bool
        Show a bar.
    **settings
        More for `tracking.InstanceID`.

    Returns
    -------
    pandas.DataFrame
        One row a size: ``instances``, ``IDF1``; ``false_reuse``, the share of instances that get
        the ID of another when they are first seen; and of those that come back ``false_new``,
        the share that gets a new ID, and ``wrong_id``, that of another instance.

    Raises
    ------
    ValueError
        If nobody is seen for two shots.
    """
    embeddings, identities = check_segments(embeddings, identities, sequences, frames)
    shots = _shots(identities, np.asarray(sequences), np.asarray(frames), shot)
    if not len(shots):
        raise ValueError(f"identities: expected some with {2 * shot} segments or more")
    rng = np.random.default_rng(seed)
    shots = shots[rng.permutation(len(shots))]
    wanted = sorted({min(size, len(shots)) for size in sizes})
    rows = []
    for size in tqdm(wanted, desc="archive", disable=not progress):
        played = _play(shots[:size], np.random.default_rng([seed, size]))
        rows.append(_track(embeddings, played, threshold, settings))
    return pd.DataFrame(rows)


def _shots(identities, sequences, frames, shot):
    """Rows of the first and of the last segments of each identity, (n, 2, shot)."""
    order = np.lexsort((frames, sequences, identities))
    starts = np.flatnonzero(np.diff(identities[order], prepend=np.nan) != 0)
    parts = [part for part in np.split(order, starts[1:]) if len(part) >= 2 * shot]
    return np.array([(part[:shot], part[-shot:]) for part in parts]).reshape(-1, 2, shot)


def _play(shots, rng):
    """Yield instance, whether it comes back, and rows of its shot: first ones before last ones."""
    turns = rng.permutation(np.repeat(np.arange(len(shots)), 2))
    seen = np.zeros(len(shots), int)
    for instance in turns.tolist():
        yield instance, bool(seen[instance]), shots[instance, seen[instance]]
        seen[instance] += 1


def _track(embeddings, played, threshold, settings):
    """Track the shots; return a row of the table."""
    by_size = isinstance(threshold, Calibration)
    embedder = SimpleNamespace(
        dim=embeddings.shape[1],
        threshold=threshold.threshold if by_size else threshold,
        calibration=threshold if by_size else None,
        weights_sha256=None,
        crop_size=64,
        margin=0.1,
    )
    tracker = InstanceID(embedder, **{"place_cue": False, "assignment": "plain", **settings})
    owner, pairs = {}, Counter()  # ID -> whom it was given to first; (instance, ID) -> frames
    mistakes = {"false_reuse": 0, "false_new": 0, "wrong_id": 0}
    for instance, back, rows in played:
        tracker.new_video()
        for moment, row in enumerate(rows):
            given = int(tracker.decide(_observation(embeddings[row])).ids[0])
            known = owner.get(given)  # whose it was before this frame
            owner.setdefault(given, instance)
            pairs[instance, given] += 1
            if moment == 0 and back:
                mistakes["false_new"] += known is None
                mistakes["wrong_id"] += known not in (None, instance)
            elif moment == 0:
                mistakes["false_reuse"] += known is not None
    n, n_frames = len({instance for instance, _ in pairs}), sum(pairs.values())
    rates = {name: count / n for name, count in mistakes.items()}
    return {"instances": n, "IDF1": assigned_idf1(pairs, n_frames, n_frames), **rates}


def _observation(vector):
    """Return what a frame shows in which one segment is all there is, always at one place."""
    segments = Segments((64, 64), np.ones(1, np.int64), _BOX, np.array([800]), ())
    vector = np.asarray(vector, np.float32)[np.newaxis]
    return Observation(segments, segments, vector, _SIGNATURE, np.array([USED]))

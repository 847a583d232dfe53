"""A season: many clips of a few instances, each in some of them, in another place and light."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from instanceid_utils.synthetic.bodies import identity_body
from instanceid_utils.synthetic.clips import write_clip
from instanceid_utils.synthetic.dataset import Plot, draw_shot


def draw_season(
    n_clips: int, n_identities: int, seed: int, *, n_frames: int = 30, per_clip: int = 4
) -> Iterator[tuple[str, Iterator]]:
    """Draw clips in which the same instances come back.

    Parameters
    ----------
    n_clips, n_identities : int
        At most 255 identities; some of them are look-alikes.
    seed : int
    n_frames : int
        Of a clip.
    per_clip : int
        Instances in a clip.

    Yields
    ------
    name : str
    frames : iterator of (ndarray (H, W, 3) uint8, ndarray (H, W) uint8)
        Picture and label map; labels are identities from 1, the same in all clips.
    """
    bodies = [identity_body(number, seed) for number in range(n_identities)]
    for number in range(n_clips):
        rng = np.random.default_rng([seed, 4, number])
        who = rng.choice(n_identities, per_clip, replace=False)
        plot = Plot(n_frames, per_clip, travel=0.01)
        labels = np.zeros(256, np.uint8)
        labels[1 : per_clip + 1] = who + 1
        scene = draw_shot([bodies[i] for i in who], plot, n_frames, rng)
        yield f"clip{number:03d}", _relabelled(scene, n_frames, labels, rng)


def _relabelled(scene, n_frames, labels, rng):
    for time in range(n_frames):
        image, label_map = scene.frame(time, rng)
        yield image, labels[label_map]


def write_season(
    folder: Path,
    n_clips: int = 40,
    n_identities: int = 12,
    seed: int = 0,
    *,
    progress: bool = True,
    crumbs: float = 0.25,
    **options,
) -> list[Path]:
    """Write the clips of a season, each with masks and the truth; see `write_clip`.

    Parameters
    ----------
    folder : pathlib.Path
        Must be there. Clips that it holds already stay.
    n_clips, n_identities, seed, **options
        Of `draw_season`.
    progress : bool
        Show a bar.
    crumbs : float
        Of `write_clip`.

    Returns
    -------
    list of pathlib.Path
        The videos.
    """
    folder, videos = Path(folder), []
    season = draw_season(n_clips, n_identities, seed, **options)
    for name, frames in tqdm(season, total=n_clips, desc="clips", disable=not progress):
        videos.append(folder / f"{name}.mp4")
        if not (folder / f"{name}.json").exists():  # written last
            rng = np.random.default_rng([seed, 5, len(videos)])
            write_clip(folder, name, frames, rng, crumbs=crumbs)
    return videos

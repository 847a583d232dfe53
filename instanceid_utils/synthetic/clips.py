"""Generated video as people have it: a file, and masks as a segmentation model writes them.

The masks are numbered anew in every frame, carry scores, and hold *crumbs*: small patches of
background that the model takes for objects, as models do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from instanceid_utils.data.image_files import write_label_map
from instanceid_utils.formats import rle
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.synthetic.bodies import draw_body
from instanceid_utils.synthetic.dataset import HEIGHT, WIDTH, Plot, draw_sequence, draw_shot
from instanceid_utils.video.writer import VideoWriter

FPS = 12
N_FRAMES = 60
SEED = [7, 9]
# One is always there; one goes and comes back; one comes while it is away; one is away shortly.
_COMING_AND_GOING = ((), ((20, 40),), ((0, 24),), ((38, 50),))
CAST = Plot(2 * N_FRAMES, 4, n_shots=2, n_occluders=2, absences=_COMING_AND_GOING, travel=0.012)
_ONE_BY_ONE = (((0, 14),), ((0, 22),), ((0, 30),))
FIXED_CAMERA = Plot(80, 3, absences=_ONE_BY_ONE, travel=0.02, shake=0)


def write_clips(folder: Path) -> None:
    """Write three clips: ``first`` and ``next`` with one cast in two places, ``fixed_camera``.

    Each is ``NAME.mp4``, with ``NAME.json``, the masks as COCO JSON with scores, and
    ``NAME_truth``, a folder of palette PNGs with the true identities.

    Parameters
    ----------
    folder : pathlib.Path
        Must be there.
    """
    both = list(draw_sequence(CAST, SEED))
    write_clip(folder, "first", both[:N_FRAMES], np.random.default_rng(1))
    write_clip(folder, "next", both[N_FRAMES:], np.random.default_rng(2))
    write_clip(
        folder, "fixed_camera", draw_sequence(FIXED_CAMERA, [8, 0]), np.random.default_rng(3)
    )


def draw_visits(
    n_clips: int, n_identities: int, n_present: int, n_frames: int, seed
) -> Iterator[Iterator]:
    """Draw clips in which some of a cast are seen, each in another place and light.

    Parameters
    ----------
    n_clips, n_identities : int
    n_present : int
        Identities in a clip; each of all has its turn as often as the others, give or take one.
    n_frames : int
        Of a clip.
    seed : int or sequence of int

    Yields
    ------
    iterator of (ndarray (H, W, 3) uint8, ndarray (H, W) uint8)
        Picture and label map of each frame of a clip; labels 1 to ``n_identities`` are the same
        in all clips.
    """
    rng = np.random.default_rng(seed)
    cast, turns = [draw_body(rng) for _ in range(n_identities)], []
    plot = Plot(n_frames, n_present, travel=0.01)
    for _ in range(n_clips):
        present = []
        while len(present) < n_present:
            turns = turns or rng.permutation(n_identities).tolist()
            following = next((i for i in turns if i not in present), None)
            if following is None:
                turns = [*turns, *rng.permutation(n_identities).tolist()]
            else:
                turns.remove(following)
                present.append(following)
        own = np.random.default_rng(rng.integers(2**32))  # whichever frames are drawn first
        scene = draw_shot([cast[i] for i in present], plot, n_frames, own)
        label_of = np.array([0, *(i + 1 for i in present)], np.uint8)
        yield _frames(scene, n_frames, label_of, own)


def _frames(scene, n_frames, label_of, rng):
    for time in range(n_frames):
        image, label_map = scene.frame(time, rng)
        yield image, label_of[label_map]


def write_visits(folder: Path) -> None:
    """Write the clips of notebook 8, ``clip_00`` and so on, as `write_clips` does its own."""
    for number, frames in enumerate(draw_visits(10, 8, 4, 20, [8, 8])):
        write_clip(folder, f"clip_{number:02d}", frames, np.random.default_rng(number), crumbs=0.1)


def write_clip(
    folder: Path, name: str, frames: Iterable, rng: np.random.Generator, *, crumbs: float = 0.25
) -> None:
    """Write one clip; see `write_clips`.

    Parameters
    ----------
    folder : pathlib.Path
    name : str
    frames : iterable of (ndarray (H, W, 3) uint8, ndarray (H, W) uint8)
        Picture and label map.
    rng : numpy.random.Generator
    crumbs : float
        How many there are in a frame, on average.
    """
    (folder / f"{name}_truth").mkdir()
    images, annotations = [], []
    with VideoWriter(folder / f"{name}.mp4", FPS) as video:
        for number, (image, label_map) in enumerate(frames):
            video.write(image)
            write_label_map(folder / f"{name}_truth" / f"{number:06d}.png", label_map)
            images.append(
                {"id": number, "file_name": f"{number:06d}.jpg", "height": HEIGHT, "width": WIDTH}
            )
            found = [
                (label_map == label, rng.uniform(0.85, 0.99))
                for label in find_segments(label_map).labels
            ]
            found += [
                (_crumb(label_map, rng), rng.uniform(0.3, 0.7)) for _ in range(rng.poisson(crumbs))
            ]
            annotations += [_annotation(number, *found[i]) for i in rng.permutation(len(found))]
    content = {
        "images": images,
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [{"id": i, **a} for i, a in enumerate(annotations, 1)],
    }
    (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _crumb(label_map, rng):
    """Draw a patch of some 30 to 80 pixels, where no object is."""
    mask = np.zeros(label_map.shape, np.uint8)
    centre = rng.integers(8, WIDTH - 8), rng.integers(8, HEIGHT - 8)
    axes = rng.integers(3, 6), rng.integers(3, 6)
    cv2.ellipse(mask, tuple(map(int, centre)), tuple(map(int, axes)), 0, 0, 360, 1, cv2.FILLED)
    return (mask > 0) & (label_map == 0)


def _annotation(number, mask, score):
    segments = find_segments(mask[np.newaxis])
    left, top, right, bottom = segments.boxes_tlbr[0].tolist()
    return {
        "image_id": number,
        "category_id": 1,
        "score": round(float(score), 3),
        "bbox": [left, top, right - left, bottom - top],
        "area": int(segments.areas[0]),
        "segmentation": rle.encode(mask),
        "iscrowd": 0,
    }

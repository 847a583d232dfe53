"""COCO JSON, a data set (images, annotations) or a list of results, as masks of a video.

A frame's number are the digits that end its file name, or its image id where there is none. Only
one video per file: COCO itself knows no videos, see `youtube_vis` for a format that does.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from instanceid_utils.formats import rle
from instanceid_utils.formats.frame_masks import (
    MAX_SEGMENTS,
    FormatError,
    FrameMasks,
    MaskReader,
    check_size,
    number_names,
    safe_name,
)


def read(path: str | os.PathLike, *, frame_shape: tuple[int, int] | None = None) -> MaskReader:
    """Read a COCO JSON file; see `instanceid_utils.formats.read_masks`."""
    content = load_json(path)
    if isinstance(content, list):
        content = {"annotations": content}
    annotations = items(content, "annotations", path)
    images = items(content, "images", path) if "images" in content else None
    names, numbers, shapes = _number_images(images, annotations, path)
    entries = {number: [] for number in numbers.values()}
    for i, annotation in enumerate(annotations):
        where = f"{path}: annotations[{i}]"
        image_id = field(annotation, "image_id", (int, str), where)
        if image_id not in numbers:
            raise FormatError(f"{where}: there is no image with id {image_id!r}")
        if not annotation.get("iscrowd") or "score" in annotation:
            entries[numbers[image_id]].append((where, annotation))
    shapes = {numbers[i]: shape for i, shape in shapes.items()}
    stems = {number: name for name, number in names.items()}

    def decode(number, found):
        return decode_frame(number, found, frame_shape or shapes.get(number), stems.get(number))

    return MaskReader(path, entries, decode, names)


def decode_frame(
    number: int,
    found: list[tuple[str, dict]],
    frame_shape: tuple[int, int] | None,
    name: str | None = None,
) -> FrameMasks:
    """Decode the annotations of one frame: pairs of (place, annotation).

    Returns
    -------
    FrameMasks
        IDs from ``track_id`` or ``instance_id`` where all annotations have one.
    """
    if len(found) > MAX_SEGMENTS:
        raise FormatError(f"{found[0][0]}: over {MAX_SEGMENTS:,} segments in frame {number}")
    masks = []
    for where, annotation in found:
        segmentation = field(annotation, "segmentation", (dict, list), where)
        masks.append(rle.decode(segmentation, where, frame_shape))
        frame_shape = frame_shape or (masks[0].shape[0], masks[0].shape[1])
    stack = np.array(masks) if masks else np.zeros((0, *(frame_shape or (1, 1))), bool)
    annotations = [annotation for _, annotation in found]
    scores = [score_of(annotation, where) for where, annotation in found]
    return FrameMasks(
        number,
        stack,
        scores=None if None in scores or not scores else np.array(scores, np.float32),
        classes=tuple(a.get("category_id") for a in annotations),
        ids=_ids(found),
        name=name,
    )


def _ids(found):
    for key in ("track_id", "instance_id"):
        if found and all(key in annotation for _, annotation in found):
            return np.array([field(a, key, int, where) for where, a in found], np.int64)
    return None


def score_of(annotation: dict, where: str) -> float | None:
    """Return the score of an annotation, or None where it has none."""
    score = annotation.get("score")
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        raise FormatError(f"{where}: expected a finite score, got {score!r:.40}")
    return float(score)


def _number_images(images, annotations, path):
    """Return {name: number}, {image id: number}, {image id: (H, W)}."""
    if images is None:  # a list of results: the ids are all there is
        ids = {a.get("image_id") for a in annotations if isinstance(a, dict)}
        ids = sorted(i for i in ids if isinstance(i, int) and i >= 0)
        return {}, {i: i for i in ids}, {}
    names, shapes = {}, {}
    for i, image in enumerate(images):
        where = f"{path}: images[{i}]"
        image_id = field(image, "id", (int, str), where)
        if image_id in names:
            raise FormatError(f"{where}: the id {image_id!r} comes twice")
        names[image_id] = safe_name(image.get("file_name", f"{image_id}"), where)
        if "height" in image and "width" in image:
            check_size(image["height"], image["width"], where)
            shapes[image_id] = image["height"], image["width"]
    stems = list(names.values())
    if len(set(stems)) < len(stems):
        raise FormatError(
            f"{path}: expected one video, but file names such as "
            f"{max(stems, key=stems.count)!r} come twice"
        )
    numbers = number_names(stems)
    return numbers, {image_id: numbers[name] for image_id, name in names.items()}, shapes


def load_json(path: str | os.PathLike) -> Any:
    """Read a JSON file, or raise a FormatError that names it and the line."""
    try:
        return json.loads(Path(path).read_bytes())
    except json.JSONDecodeError as error:
        raise FormatError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"{path}: not JSON ({error})") from error


def items(content: Any, key: str, path: str | os.PathLike) -> list[dict]:
    """Return the list of dicts at ``key``, or raise a FormatError."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise FormatError(f"{path}: expected a list {key!r} in it")
    for i, item in enumerate(found):
        if not isinstance(item, dict):
            raise FormatError(f"{path}: {key}[{i}]: expected an object, got {item!r:.40}")
    return found


def field(item: dict, key: str, kinds: type | tuple[type, ...], where: str) -> Any:
    """Return a field of the type that it must have, or raise a FormatError."""
    value = item.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise FormatError(f"{where}: expected a field {key!r}, got {value!r:.40}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise FormatError(f"{where}: {key} is beyond 64 bits")
    return value

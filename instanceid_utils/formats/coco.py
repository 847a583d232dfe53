"""COCO JSON, a data set (images, annotations) or a list of results, as masks of a video.

A frame's number are the digits that end its file name, or its image id where there is none. Only
one video per file: COCO itself knows no videos, see `youtube_vis` for a format that does.
"""

from __future__ import annotations

import logging
import math
import os
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
from instanceid_utils.json_files import read_json
from instanceid_utils.segments.segments import box_segments

logger = logging.getLogger(__name__)


def read(
    path: str | os.PathLike,
    *,
    frame_shape: tuple[int, int] | None = None,
    sequence: str | None = None,
) -> MaskReader:
    """Read a COCO JSON file; see `instanceid_utils.formats.read_masks`.

    ``sequence`` is the name or the id of the video in a CocoVID file, which holds several.
    """
    content = read_json(path, FormatError)
    if isinstance(content, list):
        content = {"annotations": content}
    content = _one_video(content, sequence, path)
    annotations = items(content, "annotations", path)
    images = items(content, "images", path) if "images" in content else None
    names, numbers, shapes = _number_images(images, annotations, path)
    entries = {number: [] for number in numbers.values()}
    for i, annotation in enumerate(annotations):
        where = f"{path}: annotations[{i}]"
        image_id = field(annotation, "image_id", (int, str), where)
        if image_id not in numbers:
            raise FormatError(f"{where}: there is no image with id {image_id!r}")
        entries[numbers[image_id]].append((where, annotation))
    _drop_crowds(entries, path)
    shapes = {numbers[i]: shape for i, shape in shapes.items()}
    stems = {number: name for name, number in names.items()}

    def decode(number, found):
        return decode_frame(number, found, frame_shape or shapes.get(number), stems.get(number))

    return MaskReader(path, entries, decode, names)


def _one_video(content, sequence, path):
    """Keep the images of one video of a CocoVID file (MMTracking), and their annotations."""
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not any(
        isinstance(i, dict) and "video_id" in i for i in images
    ):
        if sequence is not None:
            raise ValueError(f"sequence: {path} holds one video, expected none, got {sequence!r}")
        return content
    images = items(content, "images", path)
    videos = items(content, "videos", path) if "videos" in content else []
    by_id = {video.get("id"): str(video.get("name", video.get("id"))) for video in videos}
    there = sorted({i.get("video_id") for i in images if isinstance(i.get("video_id"), int)})
    chosen = [v for v in there if str(sequence) in (str(v), by_id.get(v))]
    chosen = there if sequence is None and len(there) == 1 else chosen
    if len(chosen) != 1:
        names = [by_id.get(v, str(v)) for v in there]
        raise FormatError(
            f"{path}: expected one video, or sequence= one of {names[:20]}, got {sequence!r}"
        )
    images = [i for i in images if i.get("video_id") == chosen[0]]
    kept = {i.get("id") for i in images if isinstance(i.get("id"), (int, str))}
    annotations = [a for a in items(content, "annotations", path) if a.get("image_id") in kept]
    return {"images": images, "annotations": annotations}


def _drop_crowds(entries, path):
    """Leave out regions of many objects, where there are single ones beside them.

    CVAT exports every mask with ``iscrowd: 1``: then they are what there is to track.
    """
    crowd = [a for found in entries.values() for _, a in found if _is_crowd(a)]
    n = sum(map(len, entries.values()))
    if crowd and len(crowd) < n:
        for number, found in entries.items():
            entries[number] = [(where, a) for where, a in found if not _is_crowd(a)]
        logger.warning("%s: left out %d regions marked iscrowd, of %d", path, len(crowd), n)


def _is_crowd(annotation):
    return bool(annotation.get("iscrowd")) and "score" not in annotation


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
    annotations = [annotation for _, annotation in found]
    boxes = None
    if found and not any(a.get("segmentation") for a in annotations):
        boxes, stack = np.array([_box(a, where) for where, a in found]), None
    else:
        masks = []
        for where, annotation in found:
            masks.append(_decode(annotation, where, frame_shape))
            frame_shape = frame_shape or masks[0].shape
        stack = np.array(masks) if masks else np.zeros((0, *(frame_shape or (1, 1))), bool)
    scores = [score_of(annotation, where) for where, annotation in found]
    return FrameMasks(
        number,
        stack,
        scores=None if None in scores or not scores else np.array(scores, np.float32),
        classes=tuple(a.get("category_id") for a in annotations),
        ids=_ids(found),
        name=name,
        boxes=boxes,
    )


def _decode(annotation, where, frame_shape):
    """Decode the mask of an annotation; the ellipse in its box where it has none."""
    if annotation.get("segmentation") or "bbox" not in annotation or frame_shape is None:
        segmentation = field(annotation, "segmentation", (dict, list), where)
        return rle.decode(segmentation, where, frame_shape)
    mask = np.zeros(frame_shape, bool)
    found = box_segments(_box(annotation, where)[np.newaxis], frame_shape)
    left, top, right, bottom = found.boxes_tlbr[0]
    mask[top:bottom, left:right] = found.patches[0]
    return mask


def _box(annotation, where):
    """Return the box of an annotation as left, top, right, bottom."""
    box = annotation.get("bbox")
    try:
        left, top, width, height = (float(side) for side in box)
    except (TypeError, ValueError) as error:
        raise FormatError(
            f"{where}: expected a segmentation, or a bbox [left, top, width, height], "
            f"got {box!r:.60}"
        ) from error
    if not np.isfinite([left, top, width, height]).all() or width < 0 or height < 0:
        raise FormatError(f"{where}: expected a bbox of finite size, got {box!r:.60}")
    return np.array([left, top, left + width, top + height])


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

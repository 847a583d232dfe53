"""YouTube-VIS (COCO-VIS) JSON: one run-length mask per frame and track, null where it is away.

Read from a data set (videos, annotations) or a list of results; written from a MOTS text file,
one track in memory at a time, so that a video of any length can be written.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from instanceid_utils.formats.coco import decode_frame, field, items, score_of
from instanceid_utils.formats.frame_masks import (
    FormatError,
    MaskReader,
    check_size,
    number_names,
    safe_name,
)
from instanceid_utils.json_files import read_json


def read(
    path: str | os.PathLike,
    *,
    frame_shape: tuple[int, int] | None = None,
    sequence: str | int | None = None,
) -> MaskReader:
    """Read a YouTube-VIS JSON file; see `instanceid_utils.formats.read_masks`.

    ``sequence`` is the folder name or the id of the video where the file holds several.
    """
    content = read_json(path, FormatError)
    if isinstance(content, list):
        content = {"annotations": content}
    annotations = items(content, "annotations", path)
    video, names = _choose_video(content, annotations, sequence, path)
    numbers = number_names(names or [])
    order = [numbers[name] for name in names] if names else range(_length(annotations))
    entries = {number: [] for number in order}
    for i, annotation in enumerate(annotations):
        where = f"{path}: annotations[{i}]"
        if field(annotation, "video_id", int, where) != video["id"]:
            continue
        score_of(annotation, where)
        segmentations = field(annotation, "segmentations", list, where)
        if len(segmentations) != len(order):
            raise FormatError(
                f"{where}: expected {len(order)} segmentations, one a frame, "
                f"got {len(segmentations)}"
            )
        track = {
            "track_id": annotation.get("id", i + 1),
            "category_id": annotation.get("category_id"),
        }
        if "score" in annotation:
            track["score"] = annotation["score"]
        for k, segmentation in enumerate(segmentations):
            if segmentation:  # null, and in some files [], where the object is away
                entries[order[k]].append(
                    (f"{where}: segmentations[{k}]", {**track, "segmentation": segmentation})
                )
    shape = frame_shape
    if shape is None and "height" in video:
        check_size(video["height"], video.get("width"), f"{path}: video {video['id']}")
        shape = video["height"], video["width"]
    stems = dict(zip(order, names)) if names else {}

    def decode(number, found):
        return decode_frame(number, found, shape, stems.get(number))

    return MaskReader(path, entries, decode, numbers)


def _choose_video(content, annotations, sequence, path):
    if "videos" not in content:
        ids = sorted(
            {
                field(a, "video_id", int, f"{path}: annotations[{i}]")
                for i, a in enumerate(annotations)
            }
        )
        videos = {str(i): {"id": i} for i in ids}
    else:
        videos = {}
        for i, video in enumerate(items(content, "videos", path)):
            where = f"{path}: videos[{i}]"
            video_id = field(video, "id", int, where)
            files = field(video, "file_names", list, where)
            stems = [safe_name(name, where) for name in files]
            if len(set(stems)) < len(stems):
                raise FormatError(f"{where}: a file name comes twice")
            folder = str(Path(str(files[0])).parent) if files else ""
            videos[str(video_id)] = {**video, "stems": stems, "folder": folder}
    if sequence is None and len(videos) == 1:
        chosen = next(iter(videos.values()))
    else:
        chosen = videos.get(str(sequence)) or next(
            (v for v in videos.values() if v.get("folder") == str(sequence)), None
        )
    if chosen is None:
        there = sorted(v.get("folder") or key for key, v in videos.items())
        raise FormatError(
            f"{path}: expected one video, or sequence= one of {there[:20]}, got {sequence!r}"
        )
    return chosen, chosen.get("stems")


def _length(annotations):
    return max(
        (len(a["segmentations"]) for a in annotations if isinstance(a.get("segmentations"), list)),
        default=0,
    )


def write(
    path: str | os.PathLike,
    mots_txt: str | os.PathLike,
    *,
    frame_names: Sequence[str],
    size: tuple[int, int],
    fps: float | None = None,
    categories: dict[int, str] | None = None,
    first_frame: int = 0,
) -> None:
    """Write a YouTube-VIS file with the tracks of a MOTS text file.

    Parameters
    ----------
    path, mots_txt : path-like
    frame_names : sequence of str
        File name of each frame, from the MOTS frame number ``first_frame`` on.
    size : tuple of int
        Width and height.
    fps : float, optional
        Stored in the video's entry.
    categories : dict of int to str, optional
        Names of the classes.
    first_frame : int
    """
    width, height = size
    offsets, classes = _index_tracks(mots_txt)
    video = {
        "id": 1,
        "width": width,
        "height": height,
        "length": len(frame_names),
        "file_names": list(frame_names),
    }
    if fps is not None:
        video["fps"] = fps
    categories = categories or {c: str(c) for c in sorted(set(classes.values()))}
    head = {
        "info": {"description": "tracks by instanceid_utils"},
        "videos": [video],
        "categories": [{"id": c, "name": name} for c, name in categories.items()],
    }
    with open(path, "w", encoding="utf-8") as out, open(mots_txt, "rb") as lines:
        out.write(json.dumps(head)[:-1] + ', "annotations": [')
        for k, (track, places) in enumerate(sorted(offsets.items())):
            annotation = _track(lines, places, first_frame, len(frame_names), (height, width))
            annotation = {
                "id": track,
                "video_id": 1,
                "category_id": classes[track],
                "iscrowd": 0,
                "width": width,
                "height": height,
                **annotation,
            }
            out.write((",\n" if k else "\n") + json.dumps(annotation))
        out.write("\n]}\n")


def _index_tracks(mots_txt):
    """Return where in the file each track's lines start, and its class."""
    offsets, classes, at = {}, {}, 0
    with open(mots_txt, "rb") as lines:
        for line in lines:
            parts = line.split(b" ", 3)
            if len(parts) == 4:
                track = int(parts[1])
                offsets.setdefault(track, array("q")).append(at)
                classes.setdefault(track, int(parts[2]))
            at += len(line)
    return offsets, classes


def _track(lines, places, first_frame, n_frames, size):
    from pycocotools import mask as coco_mask

    segmentations, boxes, areas = [None] * n_frames, [None] * n_frames, [None] * n_frames
    for at in places:
        lines.seek(at)
        frame, _, _, height, width, counts = lines.readline().split()
        rle = {"size": [int(height), int(width)], "counts": counts.decode("ascii")}
        if tuple(rle["size"]) != size:
            raise FormatError(f"{lines.name}: frame {int(frame)} is not {size[1]}x{size[0]}")
        at = int(frame) - first_frame
        segmentations[at] = rle
        boxes[at] = coco_mask.toBbox(rle).tolist()
        areas[at] = int(coco_mask.area(rle))
    return {"segmentations": segmentations, "bboxes": boxes, "areas": areas}

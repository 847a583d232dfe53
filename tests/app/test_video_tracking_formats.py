"""One video, its masks in every format: the same IDs for the same reasons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from instanceid_utils import cli
from instanceid_utils.app.video_tracking import track_video
from instanceid_utils.data.image_files import read_label_map, write_label_map
from instanceid_utils.formats import FORMATS, mots, rle, youtube_vis
from instanceid_utils.segments.segments import find_segments
from tests.moving_shapes import HueEmbedder, Video, write_folder

OUTPUTS = ("masks", "mot", "mots", "decisions")


def write_palette(path, maps):
    path.mkdir()
    for name, label_map in maps.items():
        write_label_map(path / f"{name}.png", label_map)


def write_mots_png(path, maps):
    path.mkdir()
    for name, label_map in maps.items():
        coded = np.where(label_map, label_map.astype(np.uint16) + 1000, 0).astype(np.uint16)
        Image.fromarray(coded).save(path / f"{name}.png")


def write_npz(path, maps):
    path.mkdir()
    for name, label_map in maps.items():
        np.savez_compressed(path / f"{name}.npz", masks=label_map)


def write_mots(path, maps, number=int):
    lines = [
        mots.format_lines(number(name), segments, segments.labels)
        for name, segments in ((n, find_segments(m)) for n, m in maps.items())
    ]
    path.write_text("".join(lines))


def write_coco(path, maps):
    images, annotations = [], []
    for i, (name, label_map) in enumerate(maps.items()):
        height, width = label_map.shape
        images.append({"id": i, "file_name": f"{name}.jpg", "height": height, "width": width})
        annotations += [
            {
                "id": len(annotations) + k,
                "image_id": i,
                "category_id": 1,
                "iscrowd": 0,
                "segmentation": rle.encode(label_map == label),
            }
            for k, label in enumerate(np.unique(label_map)[1:], 1)
        ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


def write_youtube_vis(path, maps):
    order = {name: i for i, name in enumerate(maps)}
    write_mots(path.with_suffix(".txt"), maps, order.get)
    height, width = next(iter(maps.values())).shape
    youtube_vis.write(
        path, path.with_suffix(".txt"), frame_names=[f"{n}.jpg" for n in maps], size=(width, height)
    )


WRITERS = {
    "palette": ("palette", write_palette),
    "mots-png": ("mots_png", write_mots_png),
    "npz": ("npz", write_npz),
    "mots": ("mots.txt", write_mots),
    "coco": ("coco.json", write_coco),
    "youtube-vis": ("vis.json", write_youtube_vis),
}


def results(out):
    """What was given to every segment, and why; labels are the format's own affair."""
    decisions = [json.loads(line) for line in (out / "decisions.jsonl").read_text().splitlines()]
    for decision in decisions:
        for field in ("label", "score", "category"):
            del decision[field]
    masks = {path.name: path.read_bytes() for path in (out / "masks").iterdir()}
    return decisions, masks, (out / "mot.txt").read_text(), (out / "mots.txt").read_text()


def same_in_every_format(folder, maps, track):
    """Track with each format; return the results, which must be the same."""
    found = {}
    for format, (name, write) in WRITERS.items():
        write(folder / name, maps)
        track(folder / name, format, folder / f"out-{format}")
        found[format] = results(folder / f"out-{format}")
        assert found[format] == found["palette"], format
    return found["palette"]


def test_no_format_is_left_out():
    of_their_own = {"mot", "yolo", "frame-json", "cvat"}  # boxes, polygons: see tests/formats
    assert WRITERS.keys() | of_their_own == FORMATS.keys()


@pytest.mark.parametrize("every", [1, 2])
def test_the_format_does_not_change_the_ids(tmp_path, every):
    video = Video(12, seen=((0, 99), (3, 99), (2, 7), (0, 9)))
    frames, _ = write_folder(tmp_path / "clip", video)
    maps = {f"{t:05d}": video.label_map(t) for t in range(0, 12, every)}

    def track(masks, format, out):
        track_video(
            frames,
            out,
            embedder=HueEmbedder(),
            masks=masks,
            format=format,
            outputs=OUTPUTS,
            progress=False,
        )

    decisions, masks, *_ = same_in_every_format(tmp_path, maps, track)
    assert len(masks) == len(maps) and {d["id"] for d in decisions} == {1, 2, 3, 4}


@pytest.mark.real_data
@pytest.mark.parametrize("sequence", ["bmx-trees", "dogs-jump", "soapbox"])
def test_real_video_by_the_command_line(tmp_path, davis_root, sequence, capsys):
    frames = davis_root / "JPEGImages/480p" / sequence
    if not frames.is_dir():
        pytest.skip(f"{davis_root}: has no sequence {sequence}")
    truth = sorted((davis_root / "Annotations/480p" / sequence).glob("*.png"))
    maps = {path.stem: read_label_map(path) for path in truth}

    def track(masks, format, out):
        words = [
            "track",
            frames,
            "--masks",
            masks,
            "--format",
            format,
            "--out",
            out,
            "--outputs",
            *OUTPUTS,
            "--quiet",
        ]
        assert cli.main([str(word) for word in words]) == 0, capsys.readouterr().err

    _, masks, *_ = same_in_every_format(tmp_path, maps, track)
    assert masks.keys() == {path.name for path in truth}
    pairs = set()
    for path in truth:
        given = read_label_map(tmp_path / "out-palette/masks" / path.name)
        inside = (maps[path.stem] > 0) & (given > 0)  # the tiniest pieces are left out
        pairs |= set(zip(maps[path.stem][inside].tolist(), given[inside].tolist()))
    objects = {label for label, _ in pairs}
    assert len(pairs) == len(objects) > 1, "each object has one ID, from beginning to end"

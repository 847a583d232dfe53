"""Files with bytes changed, cut or doubled: read, or refused by an error of ours that names them.

``make fuzz`` does it 20,000 times a reader; here it is a sample.
"""

import json
import os
import warnings

import numpy as np
import pytest
from PIL import Image

from instanceid_utils.data import read_image, write_label_map
from instanceid_utils.embedding import Calibration
from instanceid_utils.formats import read_masks, rle
from instanceid_utils.gallery import Gallery
from instanceid_utils.mnist import read_idx, write_idx

N = int(os.environ.get("INSTANCEID_FUZZ", "150"))
SHAPE = (12, 16)
MASK = np.zeros(SHAPE, bool)
MASK[2:9, 3:11] = True
ONE = {"segmentation": rle.encode(MASK), "bbox": [3, 2, 8, 7], "category_id": 1}


def _json(content):
    return lambda path: path.write_text(json.dumps(content))


def _tiff(path):
    Image.fromarray(MASK.astype(np.uint16) * 700).save(path)


def _jpeg(path):
    Image.fromarray(np.repeat(MASK[..., None], 3, 2).astype(np.uint8) * 200).save(path)


def _gallery(path):
    gallery = Gallery(3)
    gallery.add([gallery.new_id(), gallery.new_id()], np.eye(3, dtype=np.float32)[:2])
    gallery.save(path)


def _calibration(path):
    source = os.path.join(os.path.dirname(__file__), "golden/v1_0/weights.calibration.json")
    facts = json.loads(open(source).read())
    facts["curves"] = {name: curve[:3] for name, curve in facts["curves"].items()}
    path.write_text(json.dumps(facts))


def masks(path):
    return [frame.find_segments(SHAPE) for frame in read_masks(path, frame_shape=SHAPE).values()]


def folder(path):
    return masks(path.parent)


CVAT = (
    "<annotations><track id='0' label='a'><polygon frame='0' outside='0' "
    "points='3,2;11,2;11,9;3,9'/><mask frame='1' outside='0' left='3' top='2' width='8' height='7' "
    "rle='1, 54, 1'/></track></annotations>"
)
COCO = {
    "images": [{"id": 1, "file_name": "a_1.png", "height": 12, "width": 16}],
    "annotations": [{**ONE, "id": 1, "image_id": 1, "score": 0.9}],
}
LABELME = {"shapes": [{"label": "a", "points": [[1, 1], [9, 1], [9, 8]]}], "imageHeight": 12}
VIS = {
    "videos": [{"id": 1, "file_names": ["v/0.png"], "height": 12, "width": 16}],
    "annotations": [{"id": 1, "video_id": 1, "segmentations": [ONE["segmentation"]]}],
}
#: name of a file -> who writes it, and who reads it
FILES = {
    "00000.png": (lambda p: write_label_map(p, MASK * 3), folder),
    "big.png": (lambda p: write_label_map(p, MASK * 300), folder),
    "a.tif": (_tiff, masks),
    "0.npz": (lambda p: np.savez(p, masks=MASK[None], scores=[0.5]), folder),
    "video.npz": (lambda p: np.savez_compressed(p, MASK[None].astype(int)), masks),
    "video.npy": (lambda p: np.save(p, MASK[None].astype(int)), masks),
    "mots.txt": (
        lambda p: p.write_text(f"0 1 1 12 16 {ONE['segmentation']['counts']}\n" * 2),
        masks,
    ),
    "det.txt": (lambda p: p.write_text("1,-1,3,2,8,7,0.9,-1,-1,-1\n" * 3), masks),
    "a_1.txt": (lambda p: p.write_text("1 .2 .2 .6 .2 .6 .7 .2 .7\n0 .1 .1 .9 .9 .1 .9\n"), folder),
    "coco.json": (_json(COCO), masks),
    "vis.json": (_json(VIS), masks),
    "labelme.json": (_json(LABELME), masks),
    "sam.json": (_json([ONE]), masks),
    "cvat.xml": (lambda p: p.write_text(CVAT), masks),
    "frame.jpg": (_jpeg, read_image),
    "a.idx": (lambda p: write_idx(p, MASK.astype(np.uint8)), read_idx),
    "a.idx.gz": (lambda p: write_idx(p, MASK.astype(np.uint8)), read_idx),
    "known.gallery": (_gallery, Gallery.load),
    "calibration.json": (_calibration, Calibration.from_json),
}


def mutated(data, rng):
    """Change some bytes, cut a piece, double one, or swap a number or a word for another."""
    out = bytearray(data)
    kind = rng.integers(6)
    at, length = int(rng.integers(len(out))), int(rng.integers(1, 16))
    if kind == 0:
        del out[at:]
    elif kind == 1:
        del out[at : at + length]
    elif kind == 2:
        out[at:at] = out[at : at + length]
    elif kind == 3:
        out[at] ^= 1 << int(rng.integers(8))
    elif kind == 4:
        out[at : at + length] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    else:
        words = (b"-1", b"null", b"1e999", b"[]", b"{}", b'""', b"nan", b"99999999999999999999")
        out[at : at + length] = words[int(rng.integers(len(words)))]
    return bytes(out)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_read_or_refused_by_name(tmp_path, name):
    write, read = FILES[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    read(path)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(N):
            path.write_bytes(mutated(whole, rng))
            try:
                read(path)
            except ValueError as error:
                known = name in str(error) or str(tmp_path) in str(error)
                assert known and "Traceback" not in str(error), repr(error)

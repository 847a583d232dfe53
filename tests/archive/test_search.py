import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from instanceid_utils.archive import Archive, find
from instanceid_utils.archive.search import error_rate
from instanceid_utils.embedding import weights
from tests.small_archives import DIM, make_archive

GATE, HALL = "gate-000000000001", "hall-000000000002"


class LooksLike:
    """An embedder that takes every picture for the same one."""

    crop_size, margin, weights_sha256, threshold = 32, 0.1, None, 0.5

    def __init__(self, vector):
        self.vector, self.crops = vector, None

    def embed_crops(self, crops):
        self.crops = crops
        return self.vector[None]


@pytest.fixture
def folder(tmp_path):
    return make_archive(tmp_path / "a")


@pytest.fixture
def embedder(folder):
    gallery = Archive(folder).gallery()
    assert gallery.dim == DIM
    return LooksLike(gallery.exemplars(4)[1][0])


def test_a_picture_is_found(folder, embedder, tmp_path):
    picture = np.zeros((60, 80, 3), np.uint8)
    found = find(folder, picture, box=(10, 20, 30, 24), k=3, embedder=embedder)
    assert [m.identity for m in found.matches][0] == 4
    assert found.matches[0].distance == pytest.approx(0, abs=1e-3)
    assert found.matches[0].videos == [HALL]
    distances = [m.distance for m in found.matches]
    assert distances == sorted(distances) and len(distances) == 3
    assert found.picture.shape == (24, 30, 3) and embedder.crops.shape == (1, 32, 32, 4)
    found.to_csv(tmp_path / "found.csv")
    rows = list(csv.DictReader((tmp_path / "found.csv").open()))
    assert rows[0]["identity"] == "4" and rows[0]["videos"] == HALL and len(rows) == 3
    found.save_sheet(tmp_path / "found.png")
    sheet = cv2.imread(str(tmp_path / "found.png"))
    assert sheet.shape[0] == 4 * 104
    colour = cv2.imread(str(Archive(folder).pictures(HALL, 2)[0]))[5, 5]
    np.testing.assert_allclose(sheet[104 + 20, 260], colour, atol=4)  # its own picture, row 2


def test_a_file_is_found_and_needs_no_box(folder, embedder, tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), np.full((40, 50, 3), 7, np.uint8))
    found = find(folder, tmp_path / "p.png", embedder=embedder)
    assert found.matches[0].identity == 4 and found.picture.shape == (40, 50, 3)
    assert len(found.matches) == 4  # all there are


def test_one_of_the_archive_is_found_again_elsewhere(folder):
    found = find(folder, "gate:25:2", k=2)
    assert found.asked.identity == 2
    assert [(s.video, s.local_id) for s in found.asked.sightings] == [(GATE, 2), (HALL, 1)]
    assert 2 not in [m.identity for m in found.matches] and len(found.matches) == 2


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("gate:25:4", {}, "identity 4 is not seen in gate"),
        ("attic:25:4", {}, "attic: expected one video of this archive, such as gate"),
        ("gate:x:4", {}, "VIDEO:FRAME:ID"),
        ("gate:25:2", {"box": (0, 0, 9, 9)}, "needs no box"),
        (np.zeros((9, 9, 3), np.uint8), {"box": (50, 50, 9, 9)}, "outside the picture"),
        (np.zeros((9, 9, 3), np.uint8), {"box": (0, 0, 0, 9)}, "left, top, width, height"),
        (np.zeros((9, 9, 3)), {}, "uint8"),
        (np.zeros((9, 9, 3), np.uint8), {"k": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_found(folder, embedder, query, options, message):
    with pytest.raises(ValueError, match=message):
        find(folder, query, embedder=embedder, **options)


def test_a_file_that_is_not_there(folder, embedder):
    with pytest.raises(OSError, match="nowhere"):
        find(folder, "nowhere.png", embedder=embedder)


def test_the_error_rate_grows_with_distance_and_number():
    card = weights.shipped()
    calibration = weights.read_calibration(card, weights.read_card(card))
    rates = [error_rate(calibration, d, calibration.n_others) for d in (0, 0.5, 1.0, 2.0)]
    assert rates == sorted(rates) and rates[0] == 0 and rates[-1] == 1
    at = calibration.threshold
    assert error_rate(calibration, at, calibration.n_others) == pytest.approx(
        calibration.false_reuse, abs=0.005
    )
    largest = calibration.galleries["identities"][-1]
    for n in (30, 1000, largest):  # where it was measured to be 1 %, by masks or by boxes
        assert error_rate(calibration, calibration.threshold_for(n, 0), n) < 0.025
        assert error_rate(calibration, at, n) > 2 * calibration.false_reuse
    some = error_rate(calibration, 0.3, largest)
    assert error_rate(calibration, 0.3, 10 * largest) == pytest.approx(1 - (1 - some) ** 10)
    unmeasured = replace(calibration, galleries=None)
    many = error_rate(unmeasured, at, 100 * calibration.n_others)
    assert many == pytest.approx(1 - (1 - calibration.false_reuse) ** 100, abs=0.05)


def test_the_error_rate_is_that_of_the_archives_weights(folder):
    assert find(folder, "gate:25:2").matches[0].error_rate is None
    index = json.loads((folder / "archive.json").read_text())
    index["weights_sha256"] = weights.read_card(weights.shipped())["sha256"]
    archive = Archive(folder)
    gallery = archive.gallery()
    gallery.weights_sha256 = index["weights_sha256"]
    gallery.save(folder / "archive.gallery")
    (folder / "archive.json").write_text(json.dumps(index))
    matches = find(folder, "gate:25:2").matches
    assert all(0 <= m.error_rate <= 1 for m in matches)

"""Real result objects of real libraries go straight into `update`, and their IDs come back.

The models are built from their own recipes with random weights: nothing is downloaded, and what
they find means nothing. How they hand it over is what is tested.
"""

import numpy as np
import pytest

from instanceid_utils import Embedder, InstanceID
from instanceid_utils.formats import from_model

torch = pytest.importorskip("torch")
SHAPE = (120, 160)


@pytest.fixture(scope="module")
def frames():
    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    return [np.roll(still, 2 * t, axis=1) for t in range(3)]


@pytest.fixture
def tracker():
    return InstanceID(Embedder.pretrained())


def yolo(recipe):
    ultralytics = pytest.importorskip("ultralytics")
    torch.manual_seed(0)
    return ultralytics.YOLO(recipe)


def results_of(model, frame):
    bgr = np.ascontiguousarray(frame[..., ::-1])
    return model.predict(bgr, conf=1e-9, imgsz=160, max_det=5, verbose=False, device="cpu")[0]


def test_ultralytics_segmentation(tracker, frames):
    model = yolo("yolov8n-seg.yaml")
    for frame in frames:
        results = results_of(model, frame)
        given = from_model(results, 0, SHAPE)
        update = tracker.update(frame, results, min_score=0)
        assert len(update.ids) == len(results) == len(given.classes)
        if given.masks is not None:
            assert given.masks.shape == (len(results), *SHAPE)
        if len(results):
            assert update.apply(results).boxes.id.tolist() == update.ids.tolist()


def test_ultralytics_letterboxed_masks_lie_where_those_of_the_frame_do(frames):
    model = yolo("yolov8n-seg.yaml")
    bgr = np.ascontiguousarray(frames[0][..., ::-1])
    options = {"conf": 1e-9, "imgsz": 160, "max_det": 5, "verbose": False, "device": "cpu"}
    small, exact = (model.predict(bgr, retina_masks=r, **options)[0] for r in (False, True))
    if small.masks is None or exact.masks is None:
        pytest.skip("random weights found no mask")
    ours, theirs = from_model(small, 0, SHAPE).masks, from_model(exact, 0, SHAPE).masks
    for a, b in zip(ours, theirs):
        if b.sum() > 400:
            assert (a & b).sum() / (a | b).sum() > 0.6


def test_ultralytics_detection(tracker, frames):
    model = yolo("yolov8n.yaml")
    for frame in frames:
        results = results_of(model, frame)
        update = tracker.update(frame, results, min_score=0)
        assert len(update.ids) == len(results)
        if len(results):
            assert from_model(results, 0, SHAPE).boxes.shape == (len(results), 4)
            assert update.apply(results).boxes.id.tolist() == update.ids.tolist()


def test_supervision(tracker, frames):
    supervision = pytest.importorskip("supervision")
    boxes = np.array([[10, 10, 60, 90], [70, 20, 120, 100]], float)
    for frame in frames:
        detections = supervision.Detections(
            xyxy=boxes, confidence=np.array([0.9, 0.8]), class_id=np.array([0, 2])
        )
        update = tracker.update(frame, detections)
        assert update.apply(detections).tracker_id.tolist() == update.ids.tolist() == [1, 2]
    bare = supervision.Detections(xyxy=boxes)
    assert len(tracker.update(frames[0], bare).ids) == 2
    assert len(tracker.update(frames[0], supervision.Detections.empty()).ids) == 0
    masks = np.zeros((2, *SHAPE), bool)
    masks[0, 10:90, 10:60], masks[1, 20:100, 70:120] = True, True
    whole = supervision.Detections(xyxy=boxes, mask=masks)
    assert np.array_equal(from_model(whole, 0, SHAPE).masks, masks)


def test_supervision_of_ultralytics(tracker, frames):
    supervision = pytest.importorskip("supervision")
    results = results_of(yolo("yolov8n.yaml"), frames[0])
    detections = supervision.Detections.from_ultralytics(results)
    assert len(tracker.update(frames[0], detections, min_score=0).ids) == len(detections)


@pytest.mark.parametrize("masks", [True, False])
def test_torchvision(tracker, frames, masks):
    detection = pytest.importorskip("torchvision").models.detection
    torch.manual_seed(0)
    make = detection.maskrcnn_resnet50_fpn if masks else detection.fasterrcnn_resnet50_fpn
    model = make(
        weights=None, weights_backbone=None, box_score_thresh=0.0, box_detections_per_img=5
    ).eval()
    for frame in frames[:2]:
        picture = torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255
        with torch.no_grad():
            output = model([picture])[0]
        update = tracker.update(frame, output, min_score=0)
        assert len(update.ids) == len(output["scores"])
        assert update.apply(output)["ids"].tolist() == update.ids.tolist()


def test_sam_s_own_way_to_code_masks(tracker, frames):
    mask = pytest.importorskip("pycocotools.mask")
    whole = np.zeros(SHAPE, np.uint8)
    whole[10:90, 10:60] = 1
    coded = mask.encode(np.asfortranarray(whole))
    for counts in (coded["counts"], coded["counts"].decode()):
        found = [{"segmentation": {**coded, "counts": counts}, "predicted_iou": 0.9}]
        assert tracker.update(frames[0], found).ids.tolist() == [1]

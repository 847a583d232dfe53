"""Adapters of what models return, on stand-ins with the attributes that each library documents."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from instanceid_utils.formats import FrameMasks, from_model, rle

H, W = 20, 30


class Tensor:
    """A torch tensor on another device: NumPy sees it only after detach() and cpu()."""

    def __init__(self, array):
        self._array = np.asarray(array)

    def detach(self):
        return SimpleNamespace(cpu=lambda: self._array)


def stack():
    masks = np.zeros((2, H, W), bool)
    masks[0, 2:8, 2:8], masks[1, 10:18, 12:28] = True, True
    return masks


def soft():
    return np.where(stack(), 0.9, 0.2).astype(np.float32)


def check(frame, *, scores=True, classes=True, ids=False):
    assert isinstance(frame, FrameMasks) and frame.number == 3
    assert frame.masks.dtype == bool and np.array_equal(frame.masks, stack())
    if scores:
        assert frame.scores.dtype == np.float32 and frame.scores == pytest.approx([0.9, 0.7])
    if classes:
        assert frame.classes == (1, 17)
    assert (frame.ids is not None) == ids and (not ids or frame.ids.tolist() == [4, 9])


BOXES = np.array([[2.0, 2, 8, 8], [12, 10, 28, 18]])


def check_boxes(frame, **options):
    assert frame.masks is None and frame.boxes.tolist() == BOXES.tolist()
    segments = frame.find_segments((H, W))
    assert segments.boxes_tlbr.tolist() == BOXES.tolist() and (segments.areas > 0).all()
    assert frame.scores == pytest.approx([0.9, 0.7]) and frame.classes == (1, 17)


def torchvision_output():
    return {
        "boxes": Tensor(np.zeros((2, 4))),
        "labels": Tensor([1, 17]),
        "scores": Tensor([0.9, 0.7]),
        "masks": Tensor(soft()[:, np.newaxis]),
    }


def test_torchvision():
    check(from_model(torchvision_output(), 3, (H, W)))
    check(from_model([torchvision_output()], 3))  # a batch of one


def test_detectron2():
    instances = SimpleNamespace(
        pred_masks=Tensor(stack()),
        scores=Tensor([0.9, 0.7]),
        pred_classes=Tensor([1, 17]),
        image_size=(H, W),
    )
    check(from_model({"instances": instances}, 3))
    check(from_model(instances, 3))
    neither = SimpleNamespace(scores=Tensor([0.9]), pred_classes=Tensor([1]))
    with pytest.raises(ValueError, match="neither pred_masks nor pred_boxes"):
        from_model({"instances": neither})
    instances.pred_masks, instances.pred_boxes = None, SimpleNamespace(tensor=Tensor(BOXES))
    check_boxes(from_model(instances, 3))


def ultralytics(data, polygons=None, ids=None):
    return SimpleNamespace(
        orig_shape=(H, W),
        masks=SimpleNamespace(data=Tensor(data), xy=polygons),
        boxes=SimpleNamespace(conf=Tensor([0.9, 0.7]), cls=Tensor([1.0, 17.0]), id=ids),
    )


def test_ultralytics():
    check(from_model(ultralytics(soft()), 3))
    check(from_model([ultralytics(soft(), ids=Tensor([4.0, 9.0]))], 3), ids=True)
    nothing = SimpleNamespace(orig_shape=(H, W), masks=None, boxes=None)
    assert from_model(nothing).masks.shape == (0, H, W)


def letterboxed(stack, side=64):
    """As the network sees it: scaled to fit a square, and padded."""
    gain = side / max(H, W)
    height, width = round(H * gain), round(W * gain)
    top, left = (side - height) // 2, (side - width) // 2
    out = np.zeros((len(stack), side, side), np.float32)
    for mask, into in zip(stack, out):
        small = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
        into[top : top + height, left : left + width] = small > 0.5
    return out


def iou(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_ultralytics_masks_in_the_size_of_the_network():
    frame = from_model(ultralytics(letterboxed(stack())), 3)
    assert frame.masks.shape == (2, H, W)
    assert all(iou(*pair) > 0.8 for pair in zip(frame.masks, stack()))


def test_a_hole_in_a_letterboxed_mask_stays_a_hole():
    masks = stack()
    masks[0] = False
    masks[0, 2:18, 2:28] = True
    masks[0, 6:14, 8:22] = False  # a ring, and the other object seen through it
    masks[1] = False
    masks[1, 7:13, 9:21] = True
    found = from_model(ultralytics(letterboxed(masks)), 3).masks
    assert iou(found[0], masks[0]) > 0.9 and iou(found[1], masks[1]) > 0.9


def test_ultralytics_boxes_alone_and_masks_alone():
    result = ultralytics(soft())
    result.masks = None
    result.boxes.xyxy = Tensor(BOXES)
    result.boxes.conf = np.array([0.9, 0.7])
    check_boxes(from_model(result, 3))
    result = ultralytics(soft())
    result.boxes = None
    check(from_model(result, 3), scores=False, classes=False)


@pytest.mark.parametrize("coded", [False, True])
def test_sam(coded):
    masks = [
        {
            "segmentation": rle.encode(m) if coded else m,
            "area": int(m.sum()),
            "bbox": [0, 0, 1, 1],
            "predicted_iou": score,
            "stability_score": 0.95,
        }
        for m, score in zip(stack(), (0.9, 0.7))
    ]
    check(from_model(masks, 3, (H, W)), classes=False)
    assert from_model([], 3, (H, W)).masks.shape == (0, H, W)
    with pytest.raises(ValueError, match="give frame_shape"):
        from_model([])
    one = from_model(masks[:1])
    assert one.masks.shape == (1, H, W), "a list of one is SAM's too"


def detections(**changes):
    fields = {
        "xyxy": np.zeros((2, 4)),
        "mask": stack(),
        "confidence": np.array([0.9, 0.7]),
        "class_id": np.array([1, 17]),
        "tracker_id": np.array([4, 9]),
    }
    return SimpleNamespace(**{**fields, **changes})


def test_supervision():
    check(from_model(detections(), 3), ids=True)
    check(from_model(detections(tracker_id=None, confidence=None), 3), scores=False)
    check_boxes(from_model(detections(mask=None, xyxy=BOXES), 3))
    bare = detections(mask=None, xyxy=BOXES, class_id=None, confidence=None, tracker_id=None)
    assert len(from_model(bare).boxes) == 2
    empty = {"confidence": np.zeros(0), "class_id": np.zeros(0, int), "tracker_id": None}
    assert len(from_model(detections(mask=None, xyxy=np.zeros((0, 4)), **empty)).boxes) == 0


def test_arrays():
    check(from_model(stack(), 3), scores=False, classes=False)
    check(from_model(stack().astype(np.uint8), 3), scores=False, classes=False)
    check(from_model(Tensor(stack()), 3), scores=False, classes=False)
    label_map = np.arange(H * W).reshape(H, W)
    assert np.array_equal(from_model(label_map).masks, label_map)
    assert np.array_equal(from_model(stack()[0]).masks, stack()[:1])
    check(from_model(FrameMasks(0, stack()), 3), scores=False, classes=False)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("masks.png", "str is none of the outputs known"),
        (np.zeros((7, 4)), "looks like boxes: give them as boxes="),
        (stack().astype(np.uint8) * 255, "masks of 0 and 255 are masks > 0"),
        (soft(), "probabilities are masks > 0.5"),
        (soft() * 8 - 4, "logits are masks > 0"),
        (np.zeros((H // 2, W // 2), int), "scale_masks=True"),
        ({"polygons": []}, "a dict with polygons is none"),
        (np.full((2, H, W), 7), "a stack of 0 and 1"),
        ({**torchvision_output(), "scores": Tensor([0.9])}, "scores: expected one for each of 2"),
        ({**torchvision_output(), "scores": Tensor([0.9, np.nan])}, "scores: expected finite"),
        ({"masks": Tensor(np.full((1, 1, H, W), np.nan))}, "no NaN"),
        ({"masks": Tensor(np.zeros((H, W)))}, r"expected \(N, H, W\), got"),
        (np.zeros((5, 5), int), "frame's size 30x20, got 5x5"),
    ],
)
def test_what_does_not_fit_is_refused(output, message):
    with pytest.raises(ValueError, match=message):
        from_model(output, 0, (H, W))


def test_one_thing_in_many_forms():
    forms = [
        stack()[:, np.newaxis],
        stack().transpose(1, 2, 0),
        {4: stack()[0], 9: stack()[1][np.newaxis]},
        {4: stack()[0] * 9.0 - 4, 9: stack()[1] * 9.0 - 4},  # logits
        {"masks": stack().transpose(1, 2, 0), "class_ids": [1, 17], "scores": [0.9, 0.7]},
        SimpleNamespace(pred_instances=SimpleNamespace(masks=Tensor(stack()))),
        stack().astype(np.float32),
    ]
    for form in forms:
        assert np.array_equal(from_model(form, 3, (H, W)).masks, stack())
    assert from_model(forms[2]).ids.tolist() == [4, 9]
    for values in (soft(), soft() * 8 - 4):
        assert np.array_equal(from_model(values, soft=True).masks, stack())


def test_boxes_of_a_detector():
    instances = SimpleNamespace(bboxes=BOXES, scores=[0.9, 0.7], labels=[1, 17])
    check_boxes(from_model(SimpleNamespace(pred_instances=instances), 3))
    check_boxes(from_model({"boxes": BOXES, "scores": [0.9, 0.7], "labels": [1, 17]}))
    check_boxes(from_model(None, boxes=BOXES, scores=[0.9, 0.7], classes=[1, 17]))
    for bad, message in ((BOXES[0], "of shape"), (BOXES * np.nan, "finite"), ("x", "of shape")):
        with pytest.raises(ValueError, match=message):
            from_model(None, boxes=bad)
    with pytest.raises(ValueError, match="got both"):
        from_model(stack(), boxes=BOXES)


def test_nothing_is_a_frame_without_objects():
    for nothing in (None, [], (), {}, np.zeros((0, H, W), bool)):
        assert from_model(nothing, 3, (H, W)).masks.shape == (0, H, W)


def test_masks_of_another_size_are_scaled_on_request():
    half = stack()[:, ::2, ::2]
    assert all(
        iou(*pair) > 0.7 for pair in zip(from_model(half, 0, (H, W), scale=True).masks, stack())
    )
    label_map = np.zeros((H // 2, W // 2), np.uint16)
    label_map[1:4, 1:4] = 700
    scaled = from_model(label_map, 0, (H, W), scale=True).masks
    assert scaled.dtype == np.uint16 and np.array_equal(scaled == 700, stack()[0])
    assert from_model(stack()[:, :-1, :-1], 0, (H, W)).masks.shape == (2, H, W)  # off by one

"""Adapters of what models return, on stand-ins with the attributes that each library documents."""

from __future__ import annotations

from types import SimpleNamespace

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
    boxes_only = SimpleNamespace(scores=Tensor([0.9]), pred_classes=Tensor([1]))
    with pytest.raises(ValueError, match="no pred_masks"):
        from_model({"instances": boxes_only})


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


def test_ultralytics_masks_in_the_size_of_the_network():
    polygons = [
        np.array([[2, 2], [7, 2], [7, 7], [2, 7]], np.float32),
        np.array([[12, 10], [27, 10], [27, 17], [12, 17]], np.float32),
    ]
    check(from_model(ultralytics(np.ones((2, 64, 64), np.float32), polygons), 3))


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
    with pytest.raises(ValueError, match="boxes only"):
        from_model(detections(mask=None))
    empty = detections(mask=None, class_id=np.zeros(0, int))
    assert from_model(empty, frame_shape=(H, W)).masks.shape == (0, H, W)


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
        (None, "NoneType is none of the outputs known"),
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

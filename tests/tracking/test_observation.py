"""Whatever a model gave goes into an update, and the IDs come back in its order."""

from types import SimpleNamespace

import numpy as np
import pytest

from instanceid_utils.formats import FrameMasks
from instanceid_utils.segments.segments import find_segments
from instanceid_utils.tracking.observation import observe
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, GREEN, RED, ColourEmbedder, H, W, paint

THINGS = (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 20, 30, 40), (3, BLUE, 140, 60, 40, 40)
BOXES = np.array([[10, 10, 40, 50], [90, 20, 120, 60], [140, 60, 180, 100]], float)


@pytest.fixture
def tracker():
    return InstanceID(ColourEmbedder())


def stack(label_map):
    return np.array([label_map == k for k in (1, 2, 3)])


def test_every_form_gives_the_ids_of_the_label_map(tracker):
    frame, label_map = paint(*THINGS)
    assert tracker.update(frame, label_map).ids.tolist() == [1, 2, 3]
    masks = stack(label_map)
    for form in (
        masks,
        masks.astype(np.uint8),
        masks[:, None],
        {k: m for k, m in enumerate(masks)},
        {"masks": masks[:, None].astype(np.float32), "scores": [0.9] * 3, "labels": [1, 1, 1]},
        [{"segmentation": m} for m in masks],
    ):
        assert tracker.update(frame, form).ids.tolist() == [1, 2, 3]
    assert tracker.update(frame, boxes=BOXES).ids.tolist() == [1, 2, 3]
    assert tracker.update(frame, masks[::-1]).ids.tolist() == [3, 2, 1]


def test_nothing_is_a_frame_without_objects(tracker):
    frame, label_map = paint(*THINGS)
    tracker.update(frame, label_map)
    for nothing in (None, [], np.zeros((0, H, W), bool)):
        assert tracker.update(frame, nothing).ids.shape == (0,)
    assert tracker.update(frame, boxes=[]).ids.shape == (0,)
    assert tracker.update(frame, label_map).ids.tolist() == [1, 2, 3]


def test_what_is_dropped_gets_no_id_and_a_reason(tracker):
    frame, _ = paint(*THINGS)
    boxes = np.vstack([BOXES[:1], [[500, 10, 520, 30]], BOXES[1:]])  # one outside the frame
    update = tracker.update(frame, boxes=boxes, scores=[0.9, 0.9, 0.1, 0.8])
    assert update.ids.tolist() == [1, -1, -1, 2]
    assert [d.reason for d in update.decisions] == ["new", "empty", "low score", "new"]
    assert update.decisions[3].score == pytest.approx(0.8)
    again = tracker.update(frame, boxes=boxes, scores=[0.9, 0.9, 0.1, 0.8], min_score=0.05)
    assert again.ids.tolist() == [1, -1, 3, 2]


def test_a_box_is_its_middle(tracker):
    frame, _ = paint(*THINGS, shade=0)
    frame[10:14, 10:14] = frame[46:50, 36:40] = 255  # a background that shows in the corners
    vectors = tracker.observe(frame, {"boxes": BOXES}).vectors
    assert np.allclose(vectors[0], np.array(RED) / np.linalg.norm(RED), atol=0.01)


def test_boxes_and_other_sizes_given_as_masks_say_what_they_look_like(tracker):
    frame, label_map = paint(*THINGS)
    with pytest.raises(ValueError, match="looks like boxes: give them as boxes="):
        tracker.update(frame, BOXES)
    with pytest.raises(ValueError, match="looks like boxes"):
        tracker.update(frame, BOXES.astype(int))
    half = label_map[::2, ::2]
    with pytest.raises(ValueError, match="expected the size of its masks"):
        tracker.update(frame, half)
    with pytest.raises(ValueError, match="scale_masks=True"):
        tracker.update(frame, stack(half))
    assert tracker.update(frame, half, scale_masks=True).ids.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="got both"):
        tracker.update(frame, label_map, boxes=BOXES)
    with pytest.raises(ValueError, match="from_model"):
        tracker.update(frame, "masks.png")


class Results:
    """As Ultralytics': boxes (N, 6) of corners, score, class, replaced by `update`."""

    orig_shape, masks = (H, W), None

    def __init__(self, boxes):
        self.update(np.hstack([boxes, np.full((len(boxes), 1), 0.9), np.ones((len(boxes), 1))]))

    def update(self, boxes):
        ids = boxes[:, 4] if boxes.shape[1] == 7 else None
        self.boxes = SimpleNamespace(
            data=boxes, xyxy=boxes[:, :4], conf=boxes[:, -2], cls=boxes[:, -1], id=ids
        )


def test_ids_go_back_to_where_the_library_has_a_place_for_them(tracker):
    frame, label_map = paint(*THINGS)
    detections = SimpleNamespace(
        xyxy=BOXES, mask=None, confidence=None, class_id=None, tracker_id=None
    )
    assert tracker.update(frame, detections).apply(detections) is detections
    assert detections.tracker_id.tolist() == [1, 2, 3]
    results = Results(BOXES)
    tracker.update(frame, results).apply(results)
    assert results.boxes.id.tolist() == [1, 2, 3] and results.boxes.cls.tolist() == [1, 1, 1]
    output = {"masks": stack(label_map)[:, None], "scores": np.ones(3), "labels": np.ones(3)}
    tracker.update(frame, output).apply(output)
    assert output["ids"].tolist() == [1, 2, 3]
    sam = [{"segmentation": m} for m in stack(label_map)]
    tracker.update(frame, sam).apply(sam)
    assert [one["id"] for one in sam] == [1, 2, 3]
    update = tracker.update(frame, label_map)
    for bad, message in ((sam[:2], "expected 3 objects"), (3.5, "has no place for IDs")):
        with pytest.raises(ValueError, match=message):
            update.apply(bad)


def test_segments_of_a_label_map_share_nothing():
    frame, label_map = paint(*THINGS)
    over = stack(label_map)
    over[0] |= over[1]
    for masks in (label_map, FrameMasks(0, label_map)):
        assert observe(ColourEmbedder(), frame, masks).shared is None
    for masks in (over, FrameMasks(0, over), find_segments(over)):
        assert observe(ColourEmbedder(), frame, masks).shared.tolist() == [0.5, 1, 0]

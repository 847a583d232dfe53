"""The tracker widget without a browser: sliders moved, objects clicked, corrections saved."""

import io
import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.data.lazy_frames import open_sequence
from instanceid_utils.lab.widgets import tracker_widget
from instanceid_utils.tracking.tracker import InstanceID
from tests.moving_shapes import HEIGHT, WIDTH, HueEmbedder, Video

SEEN = ((0, 5), (0, 9), (5, 9))


def make(**options):
    video, embedder = Video(9, seen=SEEN), HueEmbedder()
    widget = tracker_widget(video, video.label_maps, embedder, width=2 * WIDTH, **options)
    return widget, video, embedder


@pytest.fixture
def widget():
    return make()[0]


def picture(widget):
    return np.array(Image.open(io.BytesIO(widget.picture.image.value)), int)


def centre(video, t, label):
    rows, columns = np.nonzero(video.label_map(t) == label)
    return int(columns.mean()), int(rows.mean())


def test_it_shows_what_the_tracker_says(widget):
    tracker, video = InstanceID(HueEmbedder()), Video(9, seen=SEEN)
    for t in range(9):
        widget.frame_slider.value = t
        assert widget.ids.tolist() == tracker.update(video[t], video.label_map(t)).ids.tolist()
    assert repr(widget) == "<TrackerWidget: 9 frames, 3 IDs>"


def test_the_frame_slider_changes_the_picture(widget):
    first = picture(widget)
    assert first.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    widget.frame_slider.value = 8
    assert np.abs(picture(widget) - first).mean() > 5
    assert "frame 8" in widget.status.value
    widget.frame_slider.value = 0
    assert np.array_equal(picture(widget), first)


def test_a_tiny_threshold_makes_everything_new(widget):
    widget.threshold_slider.value = 0.01
    given = np.concatenate(widget.review.ids)
    assert len(set(given.tolist())) == len(given) == 5 + 9 + 4
    assert "18 IDs" in widget.status.value


def test_a_huge_threshold_gives_a_newcomer_an_old_id(widget):
    widget.frame_slider.value = 8
    before = picture(widget)
    widget.threshold_slider.value = 2.0
    assert widget.review.all_ids == [1, 2]
    assert np.abs(picture(widget) - before).max() > 50  # another colour, another number
    widget.threshold_slider.value = HueEmbedder.threshold
    assert widget.review.all_ids == [1, 2, 3]


def test_moving_the_threshold_embeds_nothing_and_reads_one_frame():
    widget, video, embedder = make()
    n_crops, n_decoded = embedder.n_crops, video.n_decoded
    for threshold in (0.05, 0.5, 1.0, 0.3):
        widget.threshold_slider.value = threshold
    assert embedder.n_crops == n_crops == 18
    assert video.n_decoded - n_decoded <= 4


def test_memory_does_not_grow_with_the_frames_looked_at(widget):
    for _ in range(3):
        for t in range(9):
            widget.frame_slider.value = t
    assert len(widget.picture.places) == 2  # buttons are used again
    assert len(widget.picture.children) == 4  # picture, outlines, buttons


def test_a_click_explains_the_decision(widget):
    video = Video(9, seen=SEEN)
    widget.frame_slider.value = 5
    decision = widget.select(*centre(video, 5, 3))
    assert (decision.reason, decision.id, widget.selected_id) == ("new", 3, 3)
    assert "ID 3 is new: the nearest, ID" in widget.panel.value
    assert len(re.findall("data:image/png;base64,", widget.panel.value)) == 3  # it and two others
    for id_, distance in decision.neighbours:
        assert f"ID {id_}: {distance:.2f}" in widget.panel.value
    assert widget.select(0, 0) is None and widget.selected_id is None
    assert "Click" in widget.panel.value


def test_the_button_over_an_object_selects_it(widget):
    place = next(p for p in widget.picture.places if p.tooltip == "ID 2")
    left, top, right, bottom = widget._view.segments.boxes_tlbr[1] * 2
    assert place.layout.margin == f"{top}px 0 0 {left}px"
    assert (place.layout.width, place.layout.height) == (f"{right - left}px", f"{bottom - top}px")
    before = picture(widget)
    place.click()
    assert widget.selected_id == 2
    assert np.abs(picture(widget) - before).max() > 50  # a white outline


def test_of_two_overlapping_places_the_smaller_lies_above():
    frame = np.full((40, 60, 3), 100, np.uint8)
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 10:20, 10:20], masks[1, 5:35, 5:55] = True, True
    widget = tracker_widget([frame], [masks], HueEmbedder(), width=60)
    widget.picture.places[-1].click()
    assert widget.selected_id == widget.ids[0]
    assert widget.select(12, 12).label == 1 and widget.select(30, 30).label == 2


def test_only_the_outline_of_an_object_can_be_clicked():
    masks = np.zeros((2, 40, 60), bool)
    masks[0, 0:40, 0:10] = masks[0, 30:40, 0:60] = True  # an L, and a bar in its corner
    masks[1, 5:20, 30:31] = True
    frame = np.full((40, 60, 3), 100, np.uint8)
    widget = tracker_widget([frame], [masks], HueEmbedder(), width=120)
    sheet = widget.picture.outlines.value
    for place, mask in zip(widget.picture.places, masks):  # the largest first
        (name,) = (c for c in place._dom_classes if c.startswith("place-"))
        path = re.search(rf'\.{name} {{ clip-path: path\("(.*?)"\) }}', sheet).group(1)
        left, top = (int(side[:-2]) for side in place.layout.margin.split()[::-3])
        drawn = np.zeros((80, 120), np.uint8)
        for polygon in path.strip("MZ").split("ZM"):
            points = np.array([p.split() for p in polygon.split("L")], float).astype(int)
            cv2.fillPoly(drawn, [points + (left, top)], 1)
        whole = cv2.resize(mask.astype(np.uint8), (120, 80), interpolation=cv2.INTER_NEAREST)
        assert (drawn[whole > 0] == 1).all()
        assert (drawn[cv2.dilate(whole, np.ones((9, 9), np.uint8)) == 0] == 0).all()


def test_the_selected_object_is_followed(widget):
    widget.select(*centre(Video(9, seen=SEEN), 0, 2))
    widget.frame_slider.value = 6
    assert widget.selected_id == 2 and "ID 2 again" in widget.panel.value
    widget.select(*centre(Video(9, seen=SEEN), 6, 3))
    widget.frame_slider.value = 1  # not there yet
    assert widget.selected_id is None


def test_merge_and_name_by_hand_then_save(widget, tmp_path):
    widget.threshold_slider.value = 0.01
    for t in range(1, 5):
        widget.frame_slider.value = 0
        widget.select(*centre(Video(9, seen=SEEN), 0, 1))
        keep, other = widget.selected_id, int(widget.review.ids[t][0])
        widget.other.value = other
        widget.buttons["Merge"].click()
        assert widget.review.ids[t][0] == keep and other not in widget.review.all_ids
    widget.name.value = "<red>"
    widget.buttons["Name"].click()
    assert widget.review.names == {keep: "<red>"}
    assert "&lt;red&gt;" in widget.panel.value and "<red>" not in widget.panel.value
    widget.save(tmp_path)
    notes = json.loads((tmp_path / "edits.json").read_text(encoding="utf-8"))
    assert notes["names"] == {str(keep): "<red>"} and len(notes["edits"]) == 5

    other = make()[0]
    other.load(tmp_path)
    assert other.threshold_slider.value == 0.01
    assert [i.tolist() for i in other.review.ids] == [i.tolist() for i in widget.review.ids]
    other.buttons["Undo"].click()
    assert other.review.names == {}


def test_what_cannot_be_done_is_said_and_changes_nothing(widget):
    widget.buttons["Merge"].click()
    assert "Click an object" in widget.status.value
    widget.buttons["Name"].click()
    assert "Click an object" in widget.status.value
    widget.select(*centre(Video(9, seen=SEEN), 0, 1))
    widget.buttons["Merge"].click()
    assert "choose who" in widget.status.value  # nobody is merged by default
    widget.other.value = 2
    widget.buttons["Merge"].click()
    assert "both seen in frame 0" in widget.status.value and widget.review.all_ids == [1, 2, 3]
    widget.buttons["Undo"].click()
    assert "Nothing" in widget.status.value


def test_save_goes_where_it_was_told(tmp_path):
    widget = make(output_dir=tmp_path / "by_hand")[0]
    widget.buttons["Save"].click()
    assert (tmp_path / "by_hand" / "ids.csv").exists()


def test_a_video_of_one_frame_and_frames_without_objects():
    empty = np.zeros((HEIGHT, WIDTH), np.uint8)
    widget = tracker_widget([Video(1)[0]], [empty], HueEmbedder())
    assert widget.review.all_ids == [] and widget.select(5, 5) is None
    widget.threshold_slider.value = 1.0


@pytest.mark.parametrize("n_frames, n_maps, n_seen", [(0, 0, None), (3, 2, None), (3, 3, 2)])
def test_frames_without_their_masks_are_refused(n_frames, n_maps, n_seen):
    video = Video(3)
    observations = None if n_seen is None else [None] * n_seen
    frames = [video[t] for t in range(n_frames)]
    with pytest.raises(ValueError, match=f"got {n_frames}, {n_maps} and"):
        tracker_widget(frames, video.label_maps[:n_maps], HueEmbedder(), observations=observations)


def test_a_sequence_of_a_data_set_is_read_on_demand(make_davis):
    dataset = DavisDataset(make_davis())
    dataset.frame_paths("pond", 2)[1].unlink()
    frames, label_maps = open_sequence(dataset, "pond")
    assert len(frames) == len(label_maps) == 4
    assert frames[1].shape == (48, 64, 3) and label_maps[1].max() == 2
    assert label_maps[2].shape == (48, 64) and label_maps[2].max() == 0
    np.testing.assert_array_equal(frames[-1], frames[3])
    with pytest.raises(IndexError):
        frames[4]
    widget = tracker_widget(frames, label_maps, HueEmbedder())
    assert [len(ids) for ids in widget.review.ids] == [2, 2, 0, 2]

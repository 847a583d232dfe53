"""The tracker, rule by rule, on painted scenes and an embedder that sees the mean colour."""

import dataclasses
import json

import numpy as np
import pytest

from instanceid_utils.gallery.gallery import Gallery
from instanceid_utils.tracking.decision import NO_ID
from instanceid_utils.tracking.observation import observe, observe_together
from instanceid_utils.tracking.tracker import InstanceID
from tests.painted_scenes import BLUE, GREEN, PINK, RED, ColourEmbedder, H, W, paint, show, snapshot


@pytest.fixture
def tracker():
    return InstanceID(ColourEmbedder())


def test_ids_last_and_follow_the_order_of_labels(tracker):
    update = show(tracker, (5, RED, 10, 10, 30, 40), (2, GREEN, 90, 20, 30, 40))
    assert update.ids.tolist() == [1, 2]
    update = show(tracker, (3, GREEN, 95, 20, 30, 40), (9, RED, 12, 10, 30, 40))
    assert update.ids.tolist() == [1, 2] and update.ids.dtype == np.int64
    assert [d.label for d in update.decisions] == [3, 9]
    assert [d.reason for d in update.decisions] == ["reused", "reused"]


def test_frames_observed_together_are_as_observed_alone():
    frames = [*scenes(), paint()]  # the last one without a segment
    for (frame, masks), seen in zip(frames, observe_together(ColourEmbedder(), frames)):
        alone = observe(ColourEmbedder(), frame, masks)
        np.testing.assert_array_equal(seen.vectors, alone.vectors)
        np.testing.assert_array_equal(seen.segments.labels, alone.segments.labels)
        np.testing.assert_array_equal(seen.signature[0], alone.signature[0])
    assert observe_together(ColourEmbedder(), []) == []


def test_a_newcomer_gets_a_new_id(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40))
    update = show(tracker, (1, RED, 10, 10, 30, 40), (2, BLUE, 90, 10, 30, 40))
    assert update.ids.tolist() == [1, 2]
    assert update.decisions[1].reason == "new"
    assert update.decisions[1].neighbours[0][0] == 1
    assert update.decisions[1].margin > 0


def test_an_object_that_comes_back_elsewhere_is_known_by_its_looks(tracker):
    for _ in range(3):
        show(tracker, (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 20, 30, 40))
    for _ in range(40):
        show(tracker, (2, GREEN, 90, 20, 30, 40))
    update = show(tracker, (1, RED, 160, 70, 30, 40), (2, GREEN, 90, 20, 30, 40))
    assert update.ids.tolist() == [1, 2]
    assert update.decisions[0].parts["place"] < 0  # it should be elsewhere


def test_a_crumb_seen_once_is_forgotten(tracker):
    update = show(tracker, (1, RED, 10, 10, 3, 4), (2, GREEN, 90, 20, 30, 40))
    assert update.ids.tolist() == [1, 2] and not update.decisions[0].confirmed
    for _ in range(40):
        update = show(tracker, (2, GREEN, 90, 20, 30, 40))
    assert update.decisions[0].confirmed and tracker.gallery.ids.tolist() == [2]
    assert show(tracker, (1, RED, 10, 10, 30, 40)).ids.tolist() == [3]


def test_without_probation_nobody_is_forgotten():
    for options in ({"confirm": 0}, {"place_cue": False}):
        tracker = InstanceID(ColourEmbedder(), **options)
        assert show(tracker, (1, RED, 10, 10, 3, 4)).decisions[0].confirmed
        for _ in range(40):
            show(tracker)
        assert show(tracker, (1, RED, 10, 10, 30, 40)).ids.tolist() == [1]


def test_two_that_come_as_one_teach_nobody_and_part_as_who_they_were(tracker):
    for x in (0, 4, 8, 12, 16):
        show(tracker, (1, RED, 20 + x, 20, 20, 50), (2, GREEN, 90 - x, 20, 20, 50))
    views = [tracker.gallery.exemplars(i)[1] for i in (1, 2)]
    frame, masks = paint((1, RED, 40, 20, 20, 50), (1, GREEN, 68, 20, 20, 50))
    masks[20:70, 60:68] = 1
    decision = tracker.update(frame, masks).decisions[0]
    assert decision.reason == "merged" and decision.id in (1, 2)
    for id_, before in zip((1, 2), views):
        np.testing.assert_array_equal(tracker.gallery.exemplars(id_)[1], before)
    assert show(tracker, (1, GREEN, 44, 20, 20, 50), (2, RED, 70, 20, 20, 50)).ids.tolist() == [
        2,
        1,
    ]


def test_one_that_comes_as_two_gets_no_second_id(tracker):
    for _ in range(4):
        show(tracker, (1, RED, 60, 20, 20, 60))
    update = show(tracker, (1, RED, 60, 20, 20, 28), (2, BLUE, 60, 50, 20, 30))
    assert update.ids.tolist() == [1, -1]
    assert update.decisions[1].reason == "fragment" and update.decisions[1].id == -1
    assert tracker.gallery.ids.tolist() == [1]


def test_the_explanation_adds_up(tracker):
    show(tracker, (1, RED, 60, 20, 20, 60))
    decision = show(tracker, (1, PINK, 62, 20, 20, 60)).decisions[0]
    assert set(decision.parts) == {"looks", "place", "size", "entry"}
    worth = tracker.threshold * sum(decision.parts.values()) / tracker.evidence.looks
    assert decision.distance - decision.place == pytest.approx(tracker.threshold - worth)


def test_place_never_vetoes_a_good_appearance_match(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40))
    # A stranger stands exactly where red was, red is far away.
    update = show(tracker, (1, BLUE, 10, 10, 30, 40), (2, RED, 150, 60, 30, 40))
    assert update.ids.tolist() == [2, 1]


def test_place_decides_between_look_alikes():
    for place_cue, followed in ((True, True), (False, False)):
        tracker = InstanceID(ColourEmbedder(), place_cue=place_cue)
        first = show(tracker, (1, RED, 10, 10, 20, 40), (2, RED, 60, 10, 20, 40)).ids.tolist()
        kept = True
        for step in range(1, 8):  # the truth keeps its labels, which change their order
            left, right = (1, RED, 10 + step, 10, 20, 40), (2, RED, 60 + step, 10, 20, 40)
            swapped = [(2, *left[1:]), (1, *right[1:])]
            ids = show(tracker, *(swapped if step % 2 else (left, right))).ids.tolist()
            kept &= ids == (first[::-1] if step % 2 else first)
        assert kept == followed


def test_a_shot_cut_switches_places_off(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40), (2, PINK, 90, 10, 30, 40))
    # They have changed places in another scene, and look a little more like each other.
    update = show(tracker, (1, PINK, 10, 10, 30, 40), (2, RED, 90, 10, 30, 40), shade=220)
    assert update.shot_cut
    assert update.ids.tolist() == [2, 1]
    assert all(d.place == 0 for d in update.decisions)
    assert not show(tracker, (1, PINK, 10, 10, 30, 40), shade=220).shot_cut


def test_places_of_the_shot_before_are_forgotten(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40))
    assert show(tracker, (2, GREEN, 90, 10, 30, 40), shade=220).shot_cut
    update = show(tracker, (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 10, 30, 40), shade=220)
    assert update.decisions[0].parts["place"] == 0 < update.decisions[1].parts["place"]


def test_a_frame_of_another_size_ends_the_shot(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40))
    update = show(tracker, (1, RED, 20, 20, 60, 80), size=(2 * H, 2 * W))
    assert update.shot_cut and update.ids.tolist() == [1]


def test_one_id_once_in_a_frame_under_both_rules():
    things = (1, RED, 10, 10, 30, 40), (2, RED, 90, 10, 30, 40)
    for rule in ("optimal", "plain"):
        tracker = InstanceID(ColourEmbedder(), assignment=rule, place_cue=False)
        show(tracker, things[0])
        update = show(tracker, *things)
        assert sorted(update.ids.tolist()) == [1, 2]
        assert sorted(d.reason for d in update.decisions)[0] == "lost"


def test_an_empty_frame_and_empty_masks(tracker):
    assert show(tracker).ids.shape == (0,)
    frame, _ = paint((1, RED, 10, 10, 30, 40))
    masks = np.zeros((3, H, W), bool)
    masks[1, 10:50, 10:40] = True
    update = tracker.update(frame, masks)
    assert update.ids.tolist() == [NO_ID, 1, NO_ID]
    assert [d.reason for d in update.decisions] == ["empty", "new", "empty"]
    assert update.decisions[0].to_json()


def test_duplicate_and_overlapping_masks(tracker):
    frame, _ = paint((1, RED, 10, 10, 30, 40), (2, GREEN, 60, 10, 30, 40))
    masks = np.zeros((3, H, W), bool)
    masks[0, 10:50, 10:40] = masks[1, 10:50, 10:40] = masks[2, 10:50, 60:90] = True
    first, second = tracker.update(frame, masks).ids, tracker.update(frame, masks).ids
    assert len(set(first.tolist())) == 3 and sorted(second) == sorted(first)
    masks[2, 10:50, 20:90] = True  # now it overlaps both
    assert len(set(tracker.update(frame, masks).ids.tolist())) == 3


BAD = {
    "float masks": (lambda f, m: (f, m.astype(float)), "integer label map"),
    "NaN masks": (lambda f, m: (f, np.where(m, np.nan, 0.0)), "NaN"),
    "float frame": (lambda f, m: (f / 255.0, m), "uint8 RGB"),
    "NaN frame": (lambda f, m: (np.full(f.shape, np.nan), m), "uint8 RGB"),
    "grey frame": (lambda f, m: (f[..., 0], m), "uint8 RGB"),
    "another size": (lambda f, m: (f[:50], m), "size of its masks"),
    "negative label": (lambda f, m: (f, -m), "labels >= 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_and_changes_nothing(tracker, name):
    show(tracker, (1, RED, 10, 10, 30, 40))
    before = snapshot(tracker)
    change, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        tracker.update(*change(*paint((1, RED, 12, 10, 30, 40), (2, BLUE, 90, 10, 30, 40))))
    assert snapshot(tracker) == before


def test_vectors_that_are_not_finite_change_nothing(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40))
    before = snapshot(tracker)
    tracker.embedder.broken = True
    with pytest.raises(ValueError, match="finite"):
        show(tracker, (1, RED, 12, 10, 30, 40), (2, BLUE, 90, 10, 30, 40))
    assert snapshot(tracker) == before


def test_ids_near_the_end_of_int64(tracker, monkeypatch):
    top = 2**63 - 1
    tracker.gallery.add([top], np.array([[0, 0, 1]], np.float32))
    assert show(tracker, (1, (0, 0, 200), 10, 10, 30, 40)).ids.tolist() == [top]
    before, left = snapshot(tracker), iter([top - 1])

    def new_id():
        for i in left:
            return i
        raise OverflowError("no ID is left")

    monkeypatch.setattr(tracker.gallery, "new_id", new_id)
    with pytest.raises(OverflowError, match="no ID is left"):
        show(tracker, (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 10, 30, 40))
    assert snapshot(tracker) == before
    label = np.iinfo(np.int64).max
    assert show(tracker, (label, (0, 0, 200), 10, 10, 30, 40)).decisions[0].label == label


def test_ten_thousand_segments_in_a_frame(tracker):
    label_map = np.arange(1, 10_001).reshape(100, 100).repeat(2, 0).repeat(2, 1)
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (100, 100, 3)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    ids = tracker.update(frame, label_map).ids
    assert len(np.unique(ids)) == len(ids) == 10_000
    again = tracker.update(frame, label_map).ids
    assert len(np.unique(again)) == len(again) and (again > 0).all()
    assert (again == ids).mean() > 0.95  # place tells them apart


def test_an_occluded_sliver_does_not_teach_the_gallery(tracker):
    for _ in range(5):
        show(tracker, (1, RED, 60, 30, 20, 30))
    views = tracker.gallery.exemplars(1)[1]
    update = show(tracker, (1, PINK, 60, 30, 3, 30))  # little is left, and the colour is off
    assert update.ids.tolist() == [1]
    np.testing.assert_array_equal(tracker.gallery.exemplars(1)[1], views)
    assert tracker.gallery.last_seen(1) == 5  # seen it was, and does not expire
    show(tracker, (1, PINK, 60, 30, 20, 30))
    assert len(tracker.gallery.exemplars(1)[1]) == len(views) + 1


def test_boxes_that_hold_the_same_pixels_do_not_teach_the_gallery():
    tracker, known = InstanceID(ColourEmbedder(), threshold=1.0), []
    for x in [80] + [38] * 30 + [30]:  # green stands before red, as is usual, and then yet more
        frame, _ = paint((1, RED, 20, 20, 30, 60), (2, GREEN, x, 20, 30, 60))
        known.append([len(tracker.gallery.exemplars(i)[1]) for i in (1, 2) if i in tracker.gallery])
        update = tracker.update(frame, boxes=[[20, 20, 50, 80], [x, 20, x + 30, 80]])
        assert update.ids.tolist() == [1, 2]
    assert [tracker.gallery.n_exemplars(i) for i in (1, 2)] == known[-1] == [2, 1]


def test_an_ambiguous_view_does_not_teach_the_gallery():
    tracker = InstanceID(ColourEmbedder(), place_cue=False, clear_margin=0.5)
    tracker.gallery.add([1, 2], np.array([[1, 0, 0], [0.995, 0.0995, 0]], np.float32))
    update = show(tracker, (1, (200, 10, 0), 60, 30, 40, 60))
    assert update.decisions[0].reason == "ambiguous"
    assert tracker.gallery.n_exemplars(1) == tracker.gallery.n_exemplars(2) == 1


def test_gallery_of_other_weights_or_size_is_refused():
    with pytest.raises(ValueError, match="weights"):
        InstanceID(ColourEmbedder(), gallery=Gallery(3, weights_sha256="b" * 64))
    with pytest.raises(ValueError, match="length 3"):
        InstanceID(ColourEmbedder(), gallery=Gallery(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"assignment": "best"}, "assignment"),
        ({"abstain": -1}, "abstain"),
        ({"place_weight": float("nan")}, "place_weight"),
        ({"n_neighbours": 0}, "n_neighbours"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        InstanceID(ColourEmbedder(), **options)


def test_an_embedder_without_a_threshold_needs_one():
    embedder = ColourEmbedder()
    embedder.threshold = None
    with pytest.raises(ValueError, match="threshold"):
        InstanceID(embedder)
    assert InstanceID(embedder, threshold=0.3).threshold == 0.3


def test_the_gallery_goes_to_the_next_video_and_the_next_tracker(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40), (2, RED, 60, 10, 30, 40))
    assert tracker.new_video() == {}
    update = show(tracker, (1, GREEN, 10, 10, 30, 40), (2, RED, 150, 10, 30, 40))
    assert update.ids[0] == 3 and update.ids[1] in (1, 2) and not update.shot_cut
    other = InstanceID(ColourEmbedder(), gallery=tracker.gallery)
    assert show(other, (1, GREEN, 50, 50, 30, 40)).ids.tolist() == [3]


def test_merge_split_forget(tracker):
    show(tracker, (1, RED, 10, 10, 30, 40), (2, GREEN, 90, 10, 30, 40))
    tracker.merge(1, 2)
    assert show(tracker, (2, GREEN, 90, 10, 30, 40)).ids.tolist() == [1]
    keys, views = tracker.gallery.exemplars(1)
    green = [k for k, v in zip(keys.tolist(), views) if v[1] > v[0]]
    assert tracker.split(1, green) == 3
    both = (1, RED, 150, 60, 30, 40), (2, GREEN, 60, 60, 30, 40)
    assert show(tracker, *both).ids.tolist() == [1, 3]
    tracker.forget(3)
    assert show(tracker, *both).ids.tolist() == [1, 4]


def scenes(n=12):
    for t in range(n):
        yield paint(
            (1, RED, 10 + 3 * t, 10, 30, 40),
            (2, RED, 120 - 3 * t, 10, 30, 40),
            (3, (20, 200 - 12 * t, 20 + 12 * t), 60, 60, 40, 40),
            shade=60 if t < 7 else 200,
        )


@pytest.mark.parametrize("options", [{}, {"abstain": 3}, {"place_cue": False}])
def test_stopped_and_resumed_as_if_never_stopped(tmp_path, options):
    whole = InstanceID(ColourEmbedder(), **options)
    expected = [whole.update(*scene) for scene in scenes()]
    tracker = InstanceID(ColourEmbedder(), **options)
    for scene, update in zip(scenes(), expected):
        again = tracker.update(*scene)
        assert again.ids.tolist() == update.ids.tolist()
        assert again.decisions == update.decisions and again.relabelled == update.relabelled
        tracker.save(tmp_path / "state")
        tracker = InstanceID.load(tmp_path / "state", ColourEmbedder())
    assert len(list((tmp_path / "state").glob("gallery-*"))) == 1


def test_load_refuses_what_is_damaged_or_made_with_other_weights(tracker, tmp_path):
    with pytest.raises(FileNotFoundError):
        InstanceID.load(tmp_path / "nothing", ColourEmbedder())
    show(tracker, (1, RED, 10, 10, 30, 40))
    tracker.save(tmp_path)
    other = ColourEmbedder()
    other.weights_sha256 = "c" * 64
    with pytest.raises(ValueError, match="weights"):
        InstanceID.load(tmp_path, other)
    file = tmp_path / "tracker.json"
    text = file.read_text()
    for damaged in (text.replace('"time": 1', '"time": 2'), text[:50], "[]", '{"format": 1}'):
        file.write_text(damaged)
        with pytest.raises(ValueError, match=r"tracker\.json"):
            InstanceID.load(tmp_path, ColourEmbedder())


def test_decisions_are_plain_data(tracker):
    update = show(tracker, (1, RED, 10, 10, 30, 40))
    (decision,) = update.decisions
    assert json.loads(decision.to_json())["reason"] == "new"
    assert dataclasses.asdict(decision)["neighbours"] == ()

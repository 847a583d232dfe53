"""The crowd: same seed same pictures, depth by feet, meetings, pairs, returns, the layout."""

import itertools

import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.synthetic import crowd
from instanceid_utils.synthetic.scenes import Actor, draw_scene


def test_same_seed_same_pictures():
    first, second = (list(crowd.draw_crowd([5, 1], 3, 8)) for _ in range(2))
    for (image, labels), (again, labels_again) in zip(first, second):
        assert image.shape == (crowd.HEIGHT, crowd.WIDTH, 3) and image.dtype == np.uint8
        assert labels.shape == image.shape[:2] and labels.dtype == np.uint8
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(labels, labels_again)
    other = next(crowd.draw_crowd(6, 1, 8))[0]
    assert (other != first[0][0]).any()


def test_walkers_are_of_pedestrian_size_and_many():
    labels = next(crowd.draw_crowd(0, 1, 14))[1]
    heights = [np.ptp(np.nonzero(labels == i)[0]) + 1 for i in np.unique(labels)[1:]]
    assert len(heights) >= 5 and 35 < np.median(heights) < 135


@pytest.fixture(scope="module")
def walks():
    return [w for s in range(6) for w in crowd._draw_walks(12, 300, np.random.default_rng(s))]


def test_they_leave_and_come_back_from_another_side(walks):
    returning = [w for w in walks if len(w.visits) > 1]
    assert len(returning) > len(walks) / 2
    for walk in returning:
        for visit, later in zip(walk.visits, walk.visits[1:]):
            assert later.times[0] >= visit.times[-1] + 8
    turned = [abs(w.visits[1].yaws[0] - w.visits[0].yaws[0]) for w in returning]
    assert np.mean(np.array(turned) > 1) > 0.3


def test_they_walk_through_the_picture(walks):
    for visit in (v for w in walks for v in w.visits):
        (x0, y0), (x1, y1) = visit.feet[0], visit.feet[-1]
        assert abs(x1 - x0) > crowd._ASPECT or (y0 > 1) != (y1 > 1)


def test_a_walker_out_of_the_picture_is_absent(walks):
    walk = next(w for w in walks if len(w.visits) > 1)
    gap = (walk.visits[0].times[-1] + walk.visits[1].times[0]) / 2
    away = [start <= gap < end for start, end in walk.absent()]
    there = [start <= walk.visits[0].times[3] < end for start, end in walk.absent()]
    assert any(away) and not any(there)


def test_some_stop_and_their_legs_rest(walks):
    visit = next(v for w in walks for v in w.visits if len(v.times) > crowd._KNOTS + 1)
    middle = crowd._halt(visit) + 5
    assert visit.at(middle) == visit.at(middle + 2)
    walk = crowd.Walk((visit,))
    assert walk.stride(middle) == pytest.approx(0.1)
    assert walk.stride(visit.times[1]) > 0.9


def test_two_who_meet_stand_close_together_at_one_time():
    for seed in range(10):
        one, other = crowd._draw_party("meeting", np.random.default_rng(seed), 0.0)
        time = max(map(crowd._halt, (one, other))) + 1
        distance = np.subtract(one.at(time)[:2], other.at(time)[:2])
        assert np.hypot(*distance) < 0.7 * crowd.body_height(one.at(time)[1])
        start = np.subtract(one.feet[0], other.feet[0])
        assert np.hypot(*start) > 0.05


def test_a_pair_walks_side_by_side():
    one, other = crowd._draw_party("pair", np.random.default_rng(0), 0.0)
    distances = other.feet - one.feet
    np.testing.assert_allclose(distances, np.broadcast_to(distances[0], distances.shape))


def test_paths_cross(walks):
    times = np.arange(0, 300, 5)
    crossings = 0
    for a, b in itertools.combinations(walks[:12], 2):
        order = [np.sign(a.at(t)[0][0] - b.at(t)[0][0]) for t in times]
        crossings += np.count_nonzero(np.diff(order))
    assert crossings > 20


@pytest.mark.parametrize("nearer", [1, 2])
def test_who_is_lower_in_the_picture_hides_the_other(nearer):
    rng = np.random.default_rng(0)
    feet = {nearer: 0.8, 3 - nearer: 0.7}
    actors = []
    for label in (1, 2):
        visit = crowd.Visit(np.array([0.0, 9.0]), np.array([[0.8, feet[label]]] * 2), np.zeros(2))
        body = crowd._draw_walker(crowd.draw_body(rng, "biped"), rng)
        actors.append(Actor(label, body, crowd.Walk((visit,))))
    labels = draw_scene(actors, crowd.HEIGHT, crowd.WIDTH, rng, shake=0).frame(1, rng)[1]
    assert labels[int(0.55 * crowd.HEIGHT), int(0.8 * crowd.HEIGHT)] == nearer


def test_the_background_stands_still():
    frames = list(crowd.draw_crowd(1, 12, 8))
    (first, a), (last, b) = frames[0], frames[-1]
    still = (a == 0) & (b == 0)
    assert np.abs(first[still].astype(int) - last[still]).mean() < 12


def test_the_layout(tmp_path):
    root = crowd.generate_crowds(
        tmp_path / "crowds", n_train=1, n_test=1, n_frames=2, workers=1, progress=False
    )
    dataset = DavisDataset(root)
    assert dataset.sides() == (("crowd-train-00",), ("crowd-00",))
    assert len(dataset.frame_names("crowd-00")) == 2
    assert dataset.frame("crowd-00", 1).label_map.any()
    again = dict(n_train=1, n_test=1, n_frames=2, progress=False)
    assert crowd.generate_crowds(root, **again) == root
    with pytest.raises(FileExistsError, match="crowds"):
        crowd.generate_crowds(root, **{**again, "n_frames": 3})


def test_bad_numbers():
    with pytest.raises(ValueError, match="n_walkers"):
        next(crowd.draw_crowd(0, 5, 0))
    with pytest.raises(ValueError, match="n_frames"):
        next(crowd.draw_crowd(0, 0))

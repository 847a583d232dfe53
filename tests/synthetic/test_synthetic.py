"""The generator: geometry against closed forms, determinism, the layout it writes."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils.data.davis import DavisDataset
from instanceid_utils.synthetic import dataset
from instanceid_utils.synthetic.bodies import PLANS, draw_body, draw_lookalike, identity_body
from instanceid_utils.synthetic.materials import KINDS, draw_material
from instanceid_utils.synthetic.optics import draw_light, draw_look, imperfect_mask
from instanceid_utils.synthetic.render import render, view_rotation
from instanceid_utils.synthetic.scenes import Actor, draw_path, draw_scene
from instanceid_utils.synthetic.skeleton import Body, Bone, Part
from instanceid_utils.synthetic.tracklets import draw_tracklet, draw_tracklets


def one_solid(shape, axes, centre=(0, 0, 0)):
    material = draw_material("any", np.random.default_rng(0))
    bones, parts = (Bone(-1, (0, 0, 0)),), (Part(0, centre, axes, "m", shape),)
    return Body("solid", bones, parts, {"m": material}, np.zeros((1, 4)))


def area(body, yaw=0.0, pitch=0.0, roll=0.0, scale=40, size=128):
    light = draw_light(np.random.default_rng(0))
    _, mask = render(body, 0, view_rotation(yaw, pitch, roll), light, size, scale=scale)
    return mask.sum() / scale**2


@pytest.mark.parametrize("roll", [0.0, 0.7])
def test_an_ellipsoid_projects_to_an_ellipse(roll):
    body = one_solid("ellipsoid", (1.0, 0.5, 0.3))
    assert area(body, roll=roll) == pytest.approx(np.pi * 1.0 * 0.5, rel=0.02)
    assert area(body, yaw=np.pi / 2, roll=roll) == pytest.approx(np.pi * 0.3 * 0.5, rel=0.03)


def test_a_box_projects_to_the_shadow_of_its_faces():
    body = one_solid("box", (1.0, 0.5, 0.3))
    yaw = 0.6
    width = 2 * (1.0 * np.cos(yaw) + 0.3 * np.sin(yaw))
    assert area(body, yaw=yaw) == pytest.approx(width * 2 * 0.5, rel=0.03)


def test_a_ring_has_a_hole():
    full = area(one_solid("ellipsoid", (0.8, 0.8, 0.05)))
    ring = area(one_solid("ring", (0.8, 0.8, 0.05)))
    assert ring / full == pytest.approx(1 - 0.8**2, abs=0.03)


def test_the_nearer_solid_hides_the_farther():
    rng = np.random.default_rng(0)
    black, white = draw_material("cloth", rng), draw_material("cloth", rng)
    plain = dict(kind="plain", grain=0.0, specular=0.0)
    black = replace(black, colours=np.zeros((3, 3), np.float32), **plain)
    white = replace(white, colours=np.ones((3, 3), np.float32), **plain)
    parts = (
        Part(0, (0, 0, 1), (0.5, 0.5, 0.1), "black"),
        Part(0, (0, 0, -1), (0.5, 0.5, 0.1), "white"),
    )
    body = Body(
        "two", (Bone(-1, (0, 0, 0)),), parts, {"black": black, "white": white}, np.zeros((1, 4))
    )
    light = draw_light(rng)
    front, mask = render(body, 0, view_rotation(0), light, 32, scale=20)
    back, _ = render(body, 0, view_rotation(np.pi), light, 32, scale=20)
    assert front[mask].max() < 0.01 < back[mask].min()


def test_view_rotation_is_a_rotation():
    turn = view_rotation(0.4, -0.3, 1.2)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_every_material_is_finite_and_stays_where_it_is(kind):
    rng = np.random.default_rng(3)
    material = replace(draw_material("any", rng), kind=kind)
    points = rng.normal(size=(500, 3)).astype(np.float32)
    albedo = material.albedo(points)
    assert albedo.shape == (500, 3) and np.isfinite(albedo).all() and albedo.min() >= -1e-6
    np.testing.assert_array_equal(albedo[::5], material.albedo(points[::5]))


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_moves_and_shows_other_sides(plan):
    body = draw_body(np.random.default_rng(1), plan)
    light = draw_light(np.random.default_rng(2))
    views = [render(body, t, view_rotation(t / 10), light, 48)[1] for t in (0, 9, 18)]
    assert all(mask.sum() > 48 * 48 / 40 for mask in views)
    assert (views[0] != views[1]).any() and (views[1] != views[2]).any()


def test_a_lookalike_shares_the_shape_and_differs_in_some_materials():
    body = draw_body(np.random.default_rng(5), "biped")
    twin = draw_lookalike(body, np.random.default_rng(6), 2)
    assert twin.parts == body.parts and twin.bones == body.bones
    changed = [name for name in body.materials if body.materials[name] is not twin.materials[name]]
    assert len(changed) == 2


def test_identities_are_told_apart_by_number_and_seed():
    tempos = {identity_body(i, seed).tempo for i in range(0, 24, 4) for seed in (1, 2)}
    assert len(tempos) == 12
    assert identity_body(5, 1).tempo == identity_body(5, 1).tempo


def test_a_perfect_mask_is_left_alone_and_a_spoilt_one_stays_near():
    mask = np.zeros((60, 60), bool)
    mask[15:45, 20:40] = True
    assert imperfect_mask(mask, np.random.default_rng(0), 0) is mask
    for seed in range(20):
        spoilt = imperfect_mask(mask, np.random.default_rng(seed))
        overlap = (spoilt & mask).sum() / (spoilt | mask).sum()
        assert 0.4 < overlap < 1


def test_scene_labels_are_those_of_the_actors_and_absent_ones_are_gone():
    rng = np.random.default_rng(4)
    path = draw_path(rng, tumbling=0, span=20)
    path.place[:] = [[0.9, 0.5], [0, 0], [0, 0], [0, 0], [0, 0]]
    actor = Actor(3, draw_body(rng, "quadruped"), path, absent=((5, 10),))
    scene = draw_scene([actor], 90, 160, rng)
    image, labels = scene.frame(0, np.random.default_rng(0))
    assert image.shape == (90, 160, 3) and image.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 3}
    assert not scene.frame(7, np.random.default_rng(0))[1].any()
    again = scene.frame(0, np.random.default_rng(0))[0]
    np.testing.assert_array_equal(image, again)


def test_a_strong_look_changes_the_picture_and_a_neutral_one_hardly():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)
    linear = np.repeat((0.2 + 0.6 * ramp[:, None] * ramp)[..., None], 3, 2)
    neutral = draw_look(np.random.default_rng(1), 0.0)
    strong = draw_look(np.random.default_rng(1), 3.0)
    srgb = linear ** (1 / 2.2) * 255
    near, far = (
        np.abs(look.develop(linear, 0, np.random.default_rng(0)).astype(float) - srgb).mean()
        for look in (neutral, strong)
    )
    assert near < 4 < far


def test_tracklets_do_not_depend_on_the_number_of_workers():
    one, clips = draw_tracklets(20, 2, seed=3, size=32, workers=1, progress=False)
    two, _ = draw_tracklets(20, 2, seed=3, size=32, workers=2, progress=False)
    assert one.shape == (20, 2, 32, 32, 4) and clips.shape == (20, 2)
    np.testing.assert_array_equal(one, two)
    assert (one[..., 3] > 127).sum((2, 3)).min() > 20


def test_views_of_a_tracklet_differ():
    crops, clips = draw_tracklet(
        identity_body(0, 1), 4, np.random.default_rng(0), size=32, n_clips=2
    )
    assert clips.tolist() == [0, 0, 1, 1]
    assert all((crops[i] != crops[j]).any() for i in range(4) for j in range(i))


def test_generated_data_set_is_davis_with_disjoint_sets(tmp_path):
    root = dataset.generate(tmp_path / "g", seed=1, n_train=2, scale=0.1, workers=1, progress=False)
    davis = DavisDataset(root)
    train, val = davis.sequences("train"), davis.sequences("val")
    assert len(train) == 2 and set(val) == set(dataset.TEST_PLOTS)
    frames = list(davis.frames("cuts"))
    assert len(frames) == 6
    assert frames[0].image.shape == (dataset.HEIGHT, dataset.WIDTH, 3)
    assert set(np.unique(frames[0].label_map)) <= set(range(5))
    # Written once: a second call leaves it, another seed is refused and changes nothing.
    stamp = (root / dataset.CARD).stat().st_mtime_ns
    dataset.generate(root, seed=1, n_train=2, scale=0.1, progress=False)
    with pytest.raises(FileExistsError, match="seed"):
        dataset.generate(root, seed=2, n_train=2, scale=0.1, progress=False)
    assert (root / dataset.CARD).stat().st_mtime_ns == stamp
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g"]


def test_a_cut_changes_the_place_and_keeps_the_cast():
    plot = dataset.Plot(n_frames=8, n_actors=3, n_shots=2)
    frames = list(dataset.draw_sequence(plot, 5))
    change = [
        np.abs(a[0].astype(float) - b[0].astype(float)).mean() for a, b in zip(frames, frames[1:])
    ]
    assert np.argmax(change) == 3
    assert set(np.unique(frames[0][1])) & set(np.unique(frames[-1][1])) - {0}

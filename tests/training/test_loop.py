"""Training: it learns, it resumes as if it had not stopped, it guards its inputs."""

from dataclasses import replace

import numpy as np
import pytest

from instanceid_utils.data.segment_sets import SegmentSet
from instanceid_utils.embedding.tensorflow import tf
from instanceid_utils.training import loop as training
from instanceid_utils.training.augmentation import augment
from instanceid_utils.training.loop import Trainer, train
from instanceid_utils.training.losses import SHARPNESS, threshold_loss
from instanceid_utils.training.recipe import Recipe, profile

TINY = Recipe(
    epochs=4,
    batches_per_epoch=12,
    n_identities=4,
    n_instances=3,
    crop_size=16,
    dim=8,
    widths=(8, 8, 16),
    n_bins=8,
    averaging=0.8,
    seed=1,
    augmentation=False,
    learning_rate=5e-3,
)


def toy_set(first, n_identities, n_views=6, seed=0):
    """Identities that differ in the colours of two halves, under noise and changing light."""
    rng = np.random.default_rng([seed, first])
    colours = rng.integers(40, 216, (n_identities, 1, 2, 1, 1, 3))
    light = rng.normal(0, 25, (n_identities, n_views, 1, 1, 1, 1))
    halves = np.broadcast_to(colours + light, (n_identities, n_views, 2, 8, 16, 3))
    pixels = halves.reshape(-1, 16, 16, 3) + rng.normal(0, 15, (n_identities * n_views, 16, 16, 3))
    crops = np.full((len(pixels), 16, 16, 4), 255, np.uint8)
    crops[..., :3] = np.clip(pixels, 0, 255)
    identities = np.repeat(np.arange(first, first + n_identities), n_views)
    return SegmentSet(crops, identities, identities, np.tile(np.arange(n_views) * 20, n_identities))


@pytest.fixture(scope="module")
def sets():
    return toy_set(0, 24), toy_set(100, 12)


@pytest.fixture(scope="module")
def whole(sets, tmp_path_factory):
    return train(*sets, TINY, tmp_path_factory.mktemp("whole"), progress=False)


def test_it_learns(whole, sets):
    first, last = whole.history[0], whole.history[-1]
    assert last["loss"] < first["loss"] and last["active"] < first["active"]
    untrained = training._validate(training.Trainer(TINY).averaged, sets[1])
    assert whole.best["map"] > untrained["map"] + 0.05
    kept = training._validate(whole.network, sets[1])
    assert kept["map"] == pytest.approx(whole.best["map"], abs=1e-6)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(whole, sets, tmp_path, monkeypatch):
    real, calls = training._validate, []

    def stop_in_the_third_epoch(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, "_validate", stop_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(*sets, TINY, tmp_path, progress=False)
    monkeypatch.setattr(training, "_validate", real)
    resumed = train(*sets, TINY, tmp_path, progress=False)
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    for a, b in zip(resumed.network.get_weights(), whole.network.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_a_finished_run_is_read_back_and_another_recipe_is_refused(whole, sets, tmp_path):
    short = replace(TINY, epochs=1, batches_per_epoch=2)
    run = train(*sets, short, tmp_path, progress=False)
    again = train(*sets, short, tmp_path, progress=False)
    assert again.history == run.history
    with pytest.raises(ValueError, match="another recipe"):
        train(*sets, replace(short, margin=0.2), tmp_path, progress=False)


@pytest.mark.parametrize("loss", ["random", "batch-hard", "batch-all", "semi-hard-sorted"])
def test_every_loss_trains(loss, sets, tmp_path):
    recipe = replace(TINY, loss=loss, epochs=1, batches_per_epoch=3, threshold_weight=1.0)
    assert np.isfinite(train(*sets, recipe, tmp_path, progress=False).history[0]["loss"])


def test_training_stops_early_when_validation_stands_still():
    rows = [{"map": v} for v in (0.1, 0.5, 0.4, 0.5)]
    assert training._stalled(rows, 2) and not training._stalled(rows, 3)
    assert not training._stalled(rows, 0)


def test_shared_identities_are_refused(sets, tmp_path):
    with pytest.raises(ValueError, match="both training and validation"):
        train(sets[0], sets[0], TINY, tmp_path)


def test_an_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="smoke"):
        profile("huge")
    assert profile("smoke", seed=7).seed == 7


def test_threshold_loss_against_plain_loops():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 4))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    labels = np.repeat(np.arange(4), 2)
    near, far = [], []
    for i in range(8):
        for j in range(8):
            if i != j:
                (near if labels[i] == labels[j] else far).append(np.linalg.norm(x[i] - x[j]))
    hard = sorted(far)[: int(np.ceil(0.25 * len(far)))]
    soft = lambda v: np.log1p(np.exp(SHARPNESS * v)) / SHARPNESS  # noqa: E731
    expected = np.mean([soft(d - 0.7 + 0.1) for d in near])
    expected += np.mean([soft(0.7 + 0.1 - d) for d in hard])
    found = threshold_loss(tf.constant(labels), tf.constant(x), 0.7, hardest=0.25)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_threshold_loss_without_negatives_counts_the_positives_alone():
    x = tf.math.l2_normalize(tf.random.stateless_normal((4, 3), (0, 1)), -1)
    assert np.isfinite(float(threshold_loss(tf.zeros(4, tf.int32), x, 0.8)))


def marked(n=4, size=16):
    crops = np.zeros((n, size, size, 4), np.uint8)
    crops[:] = (200, 100, 50, 255)
    return crops


def test_augmentation_off_changes_only_the_type():
    crops = marked()
    rng = np.random.default_rng(0)
    out = augment(crops, rng, shift=0, colour=0, erase=0)
    np.testing.assert_array_equal(out, crops)
    assert out.dtype == np.float32


def test_a_shift_moves_pixels_and_fills_with_background():
    crops = np.full((64, 16, 16, 4), (128, 128, 128, 0), np.uint8)
    crops[:, 8, 8] = (255, 0, 0, 255)
    out = augment(crops, np.random.default_rng(0), shift=3, colour=0, erase=0)
    assert (out[..., 3] > 0).sum((1, 2)).tolist() == [1] * 64
    rows, columns = np.nonzero(out[..., 3].any(0))
    assert rows.min() == 5 and rows.max() == 11 and columns.min() == 4 and columns.max() == 11


def test_colour_moves_the_segment_and_not_the_background():
    crops = marked()
    crops[:, :8] = (128, 128, 128, 0)
    out = augment(crops, np.random.default_rng(0), shift=0, colour=0.2, erase=0)
    np.testing.assert_array_equal(out[:, :8], crops[:, :8])
    assert (np.abs(out[:, 8:, :, :3] - crops[:, 8:, :, :3]) > 1).any((1, 2, 3)).all()
    np.testing.assert_array_equal(out[..., 3], crops[..., 3])


def test_erasing_takes_colour_and_mask_together():
    out = augment(marked(50), np.random.default_rng(0), shift=0, colour=0, erase=1)
    gone = out[..., 3] == 0
    assert (
        gone.any((1, 2)).all()
        and (out[gone][:, :3] == 128).all()
        and (out[~gone][:, 0] == 200).all()
    )


def test_fine_tuning_starts_where_it_is_told(whole, sets, tmp_path):
    gentle = replace(TINY, epochs=1, batches_per_epoch=1, learning_rate=1e-9)
    tuned = train(*sets, gentle, tmp_path, start=whole.network, progress=False)
    kept = training._validate(whole.network, sets[1])
    assert tuned.best["map"] == pytest.approx(kept["map"], abs=0.02)
    with pytest.raises(ValueError, match="architecture"):
        train(*sets, replace(gentle, dim=4), tmp_path / "b", start=whole.network, progress=False)


def test_a_keras_backbone_trains(sets, tmp_path):
    recipe = replace(
        TINY, epochs=1, batches_per_epoch=1, crop_size=32, backbone="MobileNetV2", n_instances=2
    )
    run = train(*(part.resized(32) for part in sets), recipe, tmp_path, progress=False)
    assert np.isfinite(run.history[0]["loss"])


def test_the_average_of_the_weights_against_plain_arithmetic(sets):
    data, _ = sets
    recipe = replace(TINY, averaging=0.9)
    trainer = Trainer(recipe)
    expected = [w.copy() for w in trainer.network.get_weights()]
    batch = np.argsort(data.identities, kind="stable")[: recipe.n_identities * recipe.n_instances]
    crops = data.crops[batch].astype(np.float32)
    labels = np.repeat(np.arange(recipe.n_identities), recipe.n_instances)
    for step in range(1, 4):
        trainer.step(crops, labels)
        momentum = min(0.9, (1 + step) / (10 + step))
        now = trainer.network.get_weights()
        expected = [momentum * e + (1 - momentum) * w for e, w in zip(expected, now)]
    for found, wanted in zip(trainer.averaged.get_weights(), expected):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)

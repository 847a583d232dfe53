import functools
import logging

import numpy as np
import pytest

from instanceid_utils.embedding.tensorflow import tf, tfa
from instanceid_utils.training.losses import (
    LOSSES,
    batch_all_loss,
    fraction_active,
    get_loss,
    random_triplet_loss,
    semi_hard_loss,
    semi_hard_sorted_loss,
)
from instanceid_utils.training.sampling import PKSampler

MARGIN = 0.3


def unit(vectors):
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_batch(seed, n_samples=12, dim=3, n_identities=4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_samples) % n_identities)
    return labels, unit(rng.normal(size=(n_samples, dim)))


def value_and_gradient(loss, labels, embeddings):
    embeddings = tf.constant(embeddings)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = loss(tf.constant(labels), embeddings)
    return value.numpy(), tape.gradient(value, embeddings).numpy()


# --- what the losses are, in plain loops -------------------------------------------------------


def triplets(labels):
    n = range(len(labels))
    return [
        (a, p, [k for k in n if labels[k] != labels[a]])
        for a in n
        for p in n
        if a != p and labels[p] == labels[a]
    ]


def oracle_semi_hard(labels, d):
    losses = []
    for a, p, negatives in triplets(labels):
        beyond = [d[a, n] for n in negatives if d[a, n] > d[a, p]]
        d_an = min(beyond) if beyond else max(d[a, n] for n in negatives)
        losses.append(max(d[a, p] - d_an + MARGIN, 0))
    return np.mean(losses)


def oracle_batch_hard(labels, d):
    losses = []
    for a in range(len(labels)):
        d_ap = max(d[a, p] for b, p, _ in triplets(labels) if b == a)
        d_an = min(d[a, n] for n in range(len(labels)) if labels[n] != labels[a])
        losses.append(max(d_ap - d_an + MARGIN, 0))
    return np.mean(losses)


def oracle_nearest_view(labels, d):
    losses = []
    n = range(len(labels))
    for a in n:
        own = [d[a, p] for p in n if p != a and labels[p] == labels[a]]
        others = [d[a, k] for k in n if labels[k] != labels[a]]
        if own and others:
            losses.append(max(min(own) - min(others) + MARGIN, 0))
    return np.mean(losses) if losses else 0


def all_losses(labels, d):
    return [d[a, p] - d[a, n] + MARGIN for a, p, negatives in triplets(labels) for n in negatives]


def oracle_batch_all(labels, d):
    return np.mean([loss for loss in all_losses(labels, d) if loss > 0])


ORACLES = {
    "semi-hard": oracle_semi_hard,
    "semi-hard-sorted": oracle_semi_hard,
    "batch-hard": oracle_batch_hard,
    "batch-all": oracle_batch_all,
    "nearest-view": oracle_nearest_view,
}


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("seed", range(4))
def test_losses_equal_plain_loops(name, seed):
    labels, embeddings = make_batch(seed)
    d = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    expected = ORACLES[name](labels, d)
    assert LOSSES[name](labels, embeddings, MARGIN).numpy() == pytest.approx(expected, rel=1e-5)
    column = labels[:, None]
    assert get_loss(name, MARGIN)(column, embeddings).numpy() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_fraction_active_equals_plain_loops(seed):
    labels, embeddings = make_batch(seed, dim=8)
    d = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    expected = np.mean(np.array(all_losses(labels, d)) > 0)
    assert 0 < expected < 1
    assert fraction_active(labels, embeddings, MARGIN).numpy() == pytest.approx(expected)


def test_fraction_active_of_a_solved_batch_is_zero():
    assert fraction_active([0, 0, 1, 1], unit([[1, 0], [1, 0], [0, 1], [0, 1]]), MARGIN) == 0
    assert fraction_active([0, 1, 2, 3], unit(np.eye(4)), MARGIN) == 0


class FixedDraws:
    """Stands in for tf.random.Generator."""

    def __init__(self, draws):
        self.draws = draws

    def uniform(self, shape):
        assert tuple(shape) == self.draws.shape
        return tf.constant(self.draws, tf.float32)


def test_random_loss_equals_plain_loops():
    labels, embeddings = make_batch(0)
    draws = np.random.default_rng(1).uniform(size=(12, 12))
    d = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)
    losses = []
    for a, p, negatives in triplets(labels):
        n = negatives[int(draws[a, p] * len(negatives))]
        losses.append(max(d[a, p] - d[a, n] + MARGIN, 0))
    value = random_triplet_loss(labels, embeddings, MARGIN, rng=FixedDraws(draws))
    assert value.numpy() == pytest.approx(np.mean(losses), rel=1e-5)


def test_random_loss_repeats_from_its_seed_and_moves_on():
    labels, embeddings = make_batch(0)
    first, second = (tf.function(get_loss("random", MARGIN, seed=3)) for _ in range(2))
    draws = [first(labels, embeddings).numpy() for _ in range(3)]
    assert draws == [second(labels, embeddings).numpy() for _ in range(3)]
    assert len(set(draws)) == 3


# --- our own semi-hard loss is TFA's -----------------------------------------------------------


def random_batch(rng, n_samples):
    return unit(rng.normal(size=(n_samples, 5)))


def tied_batch(rng, n_samples):
    """Integer coordinates: distances are exact, and equal ones abound."""
    return rng.integers(-1, 2, (n_samples, 3)).astype(np.float32)


def axes_batch(rng, n_samples):
    """Unit vectors along the axes: the distance is 0, sqrt 2 or 2, and nothing else."""
    axes = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    return axes[rng.integers(6, size=n_samples)]


@pytest.mark.parametrize("make", [random_batch, tied_batch, axes_batch])
@pytest.mark.parametrize("margin", [0.3, 1.0])
@pytest.mark.parametrize("n_samples", [5, 24])
def test_sorted_loss_equals_tfa_in_value_and_gradient(make, margin, n_samples):
    rng = np.random.default_rng(n_samples)
    ours = tf.function(functools.partial(semi_hard_sorted_loss, margin=margin))
    theirs = functools.partial(semi_hard_loss, margin=margin)
    for _ in range(10):
        labels = np.append(rng.integers(0, max(2, n_samples // 5), n_samples - 3), [0, 0, 1])
        embeddings = make(rng, n_samples)
        value, gradient = value_and_gradient(ours, labels, embeddings)
        expected, expected_gradient = value_and_gradient(theirs, labels, embeddings)
        assert np.isfinite(expected_gradient).all()
        assert value == pytest.approx(expected, rel=1e-6, abs=1e-7)
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["semi-hard-sorted", "nearest-view"])
def test_without_positive_pair_or_negative_it_is_zero_with_zero_gradient(name):
    for labels in (np.arange(6), np.zeros(6, int)):
        _, embeddings = make_batch(0, n_samples=6)
        loss = functools.partial(LOSSES[name], margin=MARGIN)
        value, gradient = value_and_gradient(loss, labels, embeddings)
        assert value == 0
        assert (gradient == 0).all()


def test_nearest_view_leaves_the_other_views_of_an_instance_where_they_are():
    labels = np.array([0, 0, 0, 1, 1])
    embeddings = unit([[1, 0.1, 0], [1, 0, 0], [-1, 0, 0.1], [0, 1, 0], [0, 1, 0.1]])
    loss = functools.partial(LOSSES["nearest-view"], margin=MARGIN)
    value, _ = value_and_gradient(loss, labels, embeddings)
    d = np.linalg.norm(embeddings[2] - embeddings, axis=1)
    far_view = max(min(d[:2]) - min(d[3:]) + MARGIN, 0)
    assert value == pytest.approx(far_view / 5, rel=1e-5)  # all others have a view nearby


def test_sorted_loss_takes_a_batch_that_tfa_cannot():
    rng = np.random.default_rng(0)
    labels, embeddings = np.repeat(np.arange(256), 4), unit(rng.normal(size=(1024, 16)))
    with pytest.raises(ValueError, match=r"22\.0 GiB for a batch of 1024.*'semi-hard-sorted'"):
        get_loss("semi-hard", MARGIN)(labels, embeddings)
    value, gradient = value_and_gradient(
        tf.function(get_loss("semi-hard-sorted", MARGIN)), labels, embeddings
    )
    assert 0 < value < MARGIN
    assert np.isfinite(gradient).all()


def test_batch_all_gradient_equals_that_of_the_table_of_all_triplets():
    def table(labels, embeddings):
        differences = embeddings[:, None] - embeddings
        d = tf.sqrt(tf.reduce_sum(differences**2, 2) + tf.eye(12) * 1e-12)
        losses = d[:, :, None] - d[:, None, :] + MARGIN  # (B, B, B) [anchor, positive, negative]
        same = labels[:, None] == labels
        positive = tf.cast(same & ~tf.eye(12, dtype=tf.bool), tf.float32)[:, :, None]
        negative = tf.cast(~same, tf.float32)[:, None, :]
        losses = tf.nn.relu(losses) * positive * negative
        return tf.reduce_sum(losses) / tf.reduce_sum(tf.cast(losses > 0, tf.float32))

    for seed in range(5):
        labels, embeddings = make_batch(seed)
        ours = functools.partial(batch_all_loss, margin=MARGIN)
        value, gradient = value_and_gradient(ours, labels, embeddings)
        expected, expected_gradient = value_and_gradient(table, labels, embeddings)
        assert value == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(gradient, expected_gradient, atol=1e-5)


# --- the traps: what TFA does, and what the guard makes of it ----------------------------------


def train_one_step(loss, labels):
    """Weights of a small network after one step on a batch."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [layers.Dense(3, input_shape=(4,)), layers.Lambda(lambda x: tf.math.l2_normalize(x, 1))]
    )
    network.compile("sgd", loss, run_eagerly=False)
    before = network.get_weights()[0]
    images = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32)
    network.fit(images, labels, batch_size=len(labels), verbose=0)
    return before, network.get_weights()[0]


def test_trap_no_positive_pair_ruins_the_weights():
    labels = np.arange(6)
    _, after = train_one_step(tfa.losses.TripletSemiHardLoss(MARGIN), labels)
    assert np.isnan(after).all()

    with pytest.raises(tf.errors.InvalidArgumentError, match="no positive pair in the batch"):
        train_one_step(get_loss("semi-hard", MARGIN), labels)
    before, after = train_one_step(get_loss("semi-hard", MARGIN, on_degenerate="skip"), labels)
    assert np.array_equal(before, after)


def test_the_guarded_loss_trains_in_keras():
    before, after = train_one_step(get_loss("semi-hard", MARGIN), np.array([0, 0, 1, 1, 2, 2]))
    assert np.isfinite(after).all()
    assert not np.array_equal(before, after)


def test_trap_no_negative_gives_a_loss_that_means_nothing():
    embeddings = unit(np.ones((4, 3)))  # as it should be, and yet
    assert semi_hard_loss(np.zeros(4, int), embeddings, MARGIN).numpy() >= MARGIN
    with pytest.raises(tf.errors.InvalidArgumentError, match="no negative in the batch"):
        get_loss("semi-hard", MARGIN)(np.zeros(4, int), embeddings)


@pytest.mark.parametrize("name", LOSSES)
def test_skipped_batches_have_no_gradient(name):
    _, embeddings = make_batch(0, n_samples=6)
    loss = tf.function(get_loss(name, MARGIN, on_degenerate="skip"))
    for labels in (np.arange(6), np.zeros(6, int)):
        value, gradient = value_and_gradient(loss, labels, embeddings)
        assert value == 0
        assert (gradient == 0).all()


def test_trap_equal_embeddings_are_a_dead_end(caplog):
    labels, embeddings = np.array([0, 0, 1, 1]), np.tile(np.float32([[1, 0, 0]]), (4, 1))
    raw = functools.partial(semi_hard_loss, margin=MARGIN)
    value, gradient = value_and_gradient(raw, labels, embeddings)
    assert value == pytest.approx(MARGIN)
    assert (gradient == 0).all()

    for loss in (get_loss("semi-hard", MARGIN), tf.function(get_loss("batch-all", MARGIN))):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="instanceid_utils"):
            for _ in range(3):
                loss(labels, embeddings)
        assert [record.message[:14] for record in caplog.records] == ["all embeddings"]


def test_no_warning_for_embeddings_that_differ(caplog):
    get_loss("semi-hard", MARGIN)(*make_batch(0))
    assert not caplog.records


def test_trap_embeddings_of_any_length_are_accepted():
    labels, embeddings = make_batch(0)
    tiny = semi_hard_loss(labels, 0.001 * embeddings, MARGIN).numpy()
    assert tiny == pytest.approx(MARGIN, abs=0.003)  # the distances are lost beside the margin
    guarded = get_loss("semi-hard", MARGIN)
    with pytest.raises(tf.errors.InvalidArgumentError, match="unit length"):
        guarded(labels, 100 * embeddings)
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite"):
        guarded(labels, embeddings * np.nan)
    normalised = get_loss("semi-hard", MARGIN, normalise=True)(labels, 100 * embeddings)
    assert normalised.numpy() == pytest.approx(guarded(labels, embeddings).numpy(), rel=1e-4)


def test_trap_one_hot_labels():
    labels, embeddings = make_batch(0)
    one_hot = np.eye(4, dtype=np.int64)[labels]
    with pytest.raises(ValueError, match="Cannot reshape"):
        semi_hard_loss(one_hot, embeddings, MARGIN)
    with pytest.raises(ValueError, match="look one-hot, use tf.argmax"):
        get_loss("semi-hard", MARGIN)(one_hot, embeddings)


def test_trap_reduction_is_ignored():
    labels, embeddings = make_batch(0)
    summed = tfa.losses.TripletSemiHardLoss(MARGIN, reduction=tf.keras.losses.Reduction.SUM)
    assert summed(labels, embeddings) == semi_hard_loss(labels, embeddings, MARGIN)


def test_batches_of_the_sampler_pass_every_guard():
    labels = np.repeat(np.arange(8), 5)
    embeddings = unit(np.random.default_rng(0).normal(size=(40, 6)))
    for name in LOSSES:
        loss = tf.function(get_loss(name, MARGIN))
        for batch in PKSampler(labels, 4, 3, np.random.default_rng(0), n_batches=2):
            assert np.isfinite(loss(labels[batch], embeddings[batch]).numpy())


def test_half_precision_embeddings_give_a_float32_loss():
    labels, embeddings = make_batch(0)
    full = get_loss("semi-hard-sorted", MARGIN)(labels, embeddings)
    half = get_loss("semi-hard-sorted", MARGIN)(labels, embeddings.astype(np.float16))
    assert half.dtype == tf.float32
    assert half.numpy() == pytest.approx(full.numpy(), abs=0.01)


@pytest.mark.parametrize(
    ("labels", "embeddings", "message"),
    [
        (np.zeros(4), np.eye(4), "labels must be integers"),
        (np.zeros(3, int), np.eye(4), "3 labels for 4 embeddings"),
        (np.zeros((4, 1, 1), int), np.eye(4), r"\(B,\) or \(B, 1\)"),
        (np.zeros(4, int), np.zeros((4, 2, 2)), r"shape \(B, D\)"),
        (np.zeros(4, int), np.eye(4, dtype=int), "embeddings must be floats"),
    ],
)
def test_bad_batches(labels, embeddings, message):
    with pytest.raises(ValueError, match=message):
        get_loss("batch-all", MARGIN)(labels, embeddings)


def test_tfa_loss_wants_to_know_the_batch_size():
    signature = [tf.TensorSpec([None], tf.int64), tf.TensorSpec([None, 3], tf.float32)]
    with pytest.raises(ValueError, match="fixed batch size"):
        tf.function(get_loss("semi-hard", MARGIN), signature).get_concrete_function()
    labels, embeddings = make_batch(0)
    sized = tf.function(get_loss("semi-hard-sorted", MARGIN), signature)(labels, embeddings)
    assert sized.numpy() == pytest.approx(semi_hard_loss(labels, embeddings, MARGIN).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("semihard",), "no loss named 'semihard'; there are: random, semi-hard"),
        (("semi-hard", 0.0), r"margin must be in \(0, 2\)"),
        (("semi-hard", 2.5), r"margin must be in \(0, 2\)"),
    ],
)
def test_bad_choices(arguments, message):
    with pytest.raises(ValueError, match=message):
        get_loss(*arguments)
    with pytest.raises(ValueError, match="on_degenerate"):
        get_loss("semi-hard", on_degenerate="ignore")

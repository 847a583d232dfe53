import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instanceid_utils.training.sampling import PKSampler, random_triplets


@pytest.fixture
def rng():
    return np.random.default_rng(0)


label_arrays = st.lists(st.integers(-3, 6), min_size=1, max_size=40).map(np.array)


@given(label_arrays, st.integers(2, 4), st.integers(2, 5), st.integers(0, 99))
def test_every_batch_has_p_identities_with_k_instances(labels, p, k, seed):
    labels = np.concatenate([labels, labels, np.repeat([10, 11, 12, 13], 2)])
    sampler = PKSampler(labels, p, k, np.random.default_rng(seed), n_batches=3)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 3
    for batch in batches:
        assert batch.shape == (sampler.batch_size,) == (p * k,)
        identities, counts = np.unique(labels[batch], return_counts=True)
        assert len(identities) == p
        assert (counts == k).all()
        for identity in identities:
            mine = batch[labels[batch] == identity]
            n_members = (labels == identity).sum()
            assert len(np.unique(mine)) == min(k, n_members)  # repeats only where it must


@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 5), st.integers(0, 99))
def test_runs_bring_neighbours_together(p, run, n_more, seed):
    n_identities = p + n_more
    run = min(run, p)
    labels = np.repeat(np.arange(n_identities), 3)
    sampler = PKSampler(labels, p, 2, np.random.default_rng(seed), n_batches=2, run=run)
    for batch in sampler:
        identities, counts = np.unique(labels[batch], return_counts=True)
        assert len(identities) == p
        assert (counts == 2).all()
        whole_runs = np.bincount(identities // run, minlength=1) == run
        assert whole_runs.sum() >= p // 2 // run


def test_an_epoch_differs_from_the_next_and_repeats_from_the_seed():
    labels = np.repeat(np.arange(20), 6)
    epochs = []
    for _ in range(2):
        sampler = PKSampler(labels, 4, 3, np.random.default_rng(7))
        epochs.append([np.concatenate(list(sampler)) for _ in range(2)])
    assert np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[0][0], epochs[0][1])


def test_all_identities_and_instances_come_up(rng):
    labels = np.repeat(np.arange(6), [2, 3, 4, 5, 6, 50])
    shown = np.concatenate(list(PKSampler(labels, 3, 2, rng, n_batches=600)))
    assert set(shown) == set(range(len(labels)))
    per_identity = np.bincount(labels[shown]) / len(shown)
    assert np.allclose(per_identity, 1 / 6, atol=0.02)  # an identity with more is shown no more


def test_default_epoch_shows_about_every_segment(rng):
    assert len(PKSampler(np.repeat(np.arange(10), 10), 5, 4, rng)) == 5
    assert len(PKSampler([1, 1, 2, 2], 2, 8, rng)) == 1


def test_identities_with_one_instance_are_named(rng):
    labels = [5, 5, 6, 6, 17, 23]
    with pytest.raises(ValueError, match=r"2 identities have one instance.*17, 23\. Leave"):
        PKSampler(labels, 2, 2, rng)
    sampler = PKSampler(labels, 4, 2, rng, n_batches=1, allow_singletons=True)
    assert sorted(np.array(labels)[next(iter(sampler))]) == [5, 5, 6, 6, 17, 17, 23, 23]


@pytest.mark.parametrize(
    ("labels", "p", "k", "message"),
    [
        ([1, 1, 2, 2], 1, 2, "n_identities must be at least 2"),
        ([1, 1, 2, 2], 2, 1, "n_instances must be at least 2"),
        ([1, 1, 2, 2], 3, 2, "hold 2 identities, a batch needs 3"),
        ([[1, 1], [2, 2]], 2, 2, r"shape \(N,\)"),
        ([1.0, 1.0, 2.0, 2.0], 2, 2, "integers"),
    ],
)
def test_bad_arguments(labels, p, k, message, rng):
    with pytest.raises(ValueError, match=message):
        PKSampler(labels, p, k, rng)
    with pytest.raises(ValueError, match=r"run must be in \[1, n_identities = 2\]: 3"):
        PKSampler([1, 1, 2, 2], 2, 2, rng, run=3)


@given(label_arrays, st.integers(0, 99))
def test_random_triplets_list_every_positive_pair_once(labels, seed):
    labels = np.concatenate([labels, [100, 100]])
    anchor, positive, negative = random_triplets(labels, np.random.default_rng(seed))
    expected = [
        (a, p)
        for a in range(len(labels))
        for p in range(len(labels))
        if a != p and labels[a] == labels[p]
    ]
    assert list(zip(anchor, positive)) == expected
    assert (labels[anchor] != labels[negative]).all()


@given(label_arrays, st.integers(0, 99))
def test_random_triplets_are_valid(labels, seed):
    labels = np.concatenate([labels, [100, 100]])
    anchor, positive, negative = random_triplets(labels, np.random.default_rng(seed), n=50)
    assert len(anchor) == len(positive) == len(negative) == 50
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()
    assert (anchor != positive).all()


def test_random_triplets_are_uniform(rng):
    labels = np.array([2, 0, 1, 0, 2, 0])
    anchor, positive, negative = random_triplets(labels, rng, n=20_000)
    _, counts = np.unique(anchor * 10 + positive, return_counts=True)
    assert len(counts) == 3 * 2 + 2
    assert np.allclose(counts / 20_000, 1 / 8, atol=0.01)
    _, counts = np.unique(negative[anchor == 0], return_counts=True)
    assert np.allclose(counts / counts.sum(), 1 / 4, atol=0.03)


def test_random_triplets_need_positives_and_negatives(rng):
    with pytest.raises(ValueError, match="no positive pair"):
        random_triplets([1, 2, 3], rng)
    with pytest.raises(ValueError, match="no negative"):
        random_triplets([1, 1, 1], rng)

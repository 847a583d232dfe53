import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from instanceid_utils.evaluation import retrieval
from instanceid_utils.evaluation.bootstrap import PairHistograms, draw_weights, group_identities
from instanceid_utils.evaluation.pairs import (
    pair_distances,
    pairwise_distances,
    valid_pairs,
    verification,
)
from instanceid_utils.evaluation.retrieval import (
    METRICS,
    evaluate_retrieval,
    format_table,
    nearest_neighbours,
    positive_ranks,
)


def make_segments(seed=0, n_identities=6, n_frames=50, dim=8, noise=0.25):
    """Three sequences of two objects each; looks drift with the frame number."""
    rng = np.random.default_rng(seed)
    identities = np.repeat(np.arange(n_identities), n_frames)
    frames = np.tile(np.arange(n_frames), n_identities)
    centres = rng.normal(size=(n_identities, dim))
    drifts = (
        rng.normal(size=(n_identities, 1, dim)) * frames.reshape(n_identities, -1, 1) / n_frames
    )
    embeddings = (centres[:, None] + drifts).reshape(-1, dim)
    embeddings += noise * rng.normal(size=embeddings.shape)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype("f4")
    keep = rng.uniform(size=len(frames)) < 0.6
    sequences = np.array(["pond", "road", "wood"])[identities // 2]
    return embeddings[keep], identities[keep], sequences[keep], frames[keep]


def allowed(i, j, identities, sequences, frames, min_gap):
    near = sequences[i] == sequences[j] and abs(frames[i] - frames[j]) < min_gap
    return i != j and not (near and identities[i] == identities[j])


def brute_force(embeddings, identities, sequences, frames, min_gap=20):
    """Every metric, segment by segment."""
    n = range(len(embeddings))
    rank1, rank5, precision, minp, left_out = [], [], [], [], 0
    same, different = [], []
    for i in n:
        d = [float(np.linalg.norm(embeddings[i].astype("f8") - embeddings[j])) for j in n]
        gallery = [j for j in n if allowed(i, j, identities, sequences, frames, min_gap)]
        for j in gallery:
            (same if identities[i] == identities[j] else different).append(d[j])
        hits = [identities[j] == identities[i] for j in sorted(gallery, key=lambda j: d[j])]
        if not any(hits):
            left_out += 1
            continue
        rank1.append(hits[0])
        rank5.append(any(hits[:5]))
        found = np.flatnonzero(hits) + 1
        precision.append(average_precision_score(hits, -np.sort([d[j] for j in gallery])))
        minp.append(len(found) / found[-1])
    return {
        "rank1": np.mean(rank1),
        "rank5": np.mean(rank5),
        "map": np.mean(precision),
        "minp": np.mean(minp),
        "n_left_out": left_out,
        "auc": roc_auc_score(
            [1] * len(same) + [0] * len(different), [-d for d in same + different]
        ),
    }


@pytest.mark.parametrize("seed", [0, 1])
def test_every_metric_equals_brute_force(seed):
    segments = make_segments(seed)
    report = evaluate_retrieval(*segments, n_bootstrap=0)
    expected = brute_force(*segments)
    assert 0.3 < expected["rank1"] < 0.99  # neither trivial nor hopeless
    for name, value in expected.items():
        assert getattr(report, name) == pytest.approx(value, abs=1e-6), name


def test_queries_without_a_positive_are_left_out_and_counted():
    embeddings = np.eye(5, dtype=np.float32)
    identities, sequences = np.array([1, 1, 1, 2, 2]), np.array(["a"] * 3 + ["b"] * 2)
    report = evaluate_retrieval(embeddings, identities, sequences, [0, 10, 25, 0, 5])
    # 0 and 25 see each other, 10 sees none 20 frames away, the frames of b are too near
    assert (report.n_queries, report.n_left_out, report.n_segments) == (2, 3, 5)
    assert [row["identity"] for row in report.per_identity] == [1]
    with pytest.raises(ValueError, match="at least 20 apart"):
        evaluate_retrieval(embeddings, identities, sequences, [0, 1, 2, 3, 4])


def test_other_objects_of_the_same_frames_stay_in_the_gallery():
    valid = valid_pairs([1, 1, 2], ["a", "a", "a"], [0, 5, 5])
    assert valid.tolist() == [[False, False, True], [False, False, True], [True, True, False]]


segment_lists = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 60)), min_size=1, max_size=25
)


@given(segment_lists, st.integers(0, 40))
def test_valid_pairs_follow_the_rule(segments, min_gap):
    identities, sequences, frames = (np.array(column) for column in zip(*segments))
    valid = valid_pairs(identities, sequences, frames, min_gap)
    n = range(len(segments))
    expected = [[allowed(i, j, identities, sequences, frames, min_gap) for j in n] for i in n]
    assert valid.tolist() == expected
    assert np.array_equal(valid, valid.T)
    rows = np.arange(0, len(segments), 2)
    assert np.array_equal(valid_pairs(identities, sequences, frames, min_gap, rows), valid[rows])


distances = st.lists(st.integers(0, 8).map(lambda i: i / 4), min_size=1, max_size=20)


@given(distances, distances)
def test_ranks_count_ties_against_the_query(d_positive, d_negative):
    ranks = positive_ranks(np.array(d_positive), np.array(d_negative))
    pool = sorted([(d, 1) for d in d_positive] + [(d, 0) for d in d_negative])
    assert ranks.tolist() == [i + 1 for i, (_, positive) in enumerate(pool) if positive]


@given(distances, distances)
def test_verification_equals_sklearn(d_same, d_different):
    found = verification(d_same, d_different)
    truth = [1] * len(d_same) + [0] * len(d_different)
    scores = -np.array(d_same + d_different)
    assert found["auc"] == pytest.approx(roc_auc_score(truth, scores))
    far, tar, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["tar_at_far_1pct"] == pytest.approx(tar[far <= 0.01].max())
    assert found["tar_at_far_01pct"] == pytest.approx(tar[far <= 0.001].max())
    threshold = found["eer_threshold"]
    errors = np.mean(np.array(d_different) <= threshold), np.mean(np.array(d_same) > threshold)
    assert found["eer"] == pytest.approx(np.mean(errors))


def test_verification_by_hand():
    d_different = np.arange(1000, 2000)
    assert verification([500, 1009, 1010], d_different)["tar_at_far_1pct"] == pytest.approx(2 / 3)
    assert verification([500, 1000, 1001], d_different)["tar_at_far_01pct"] == pytest.approx(2 / 3)
    found = verification([1, 1100, 1300, 1400], d_different)  # at 1300: .301 in, .25 out
    assert (found["eer"], found["eer_threshold"]) == (pytest.approx(0.2755), 1300)
    with pytest.raises(ValueError, match="0 same and 2 different"):
        verification([], [1.0, 2.0])


def test_a_collapsed_embedding_gets_no_credit():
    _, *where = make_segments()
    report = evaluate_retrieval(np.ones((len(where[0]), 4)) / 2, *where)
    assert report.rank1 == report.rank5 == 0
    assert report.auc == report.eer == 0.5
    assert report.tar_at_far_1pct == 0


def test_a_perfect_embedding_gets_all():
    _, *where = make_segments()
    report = evaluate_retrieval(np.eye(6)[where[0]], *where)
    for metric in METRICS:
        ideal = 0.0 if metric == "eer" else 1.0
        assert getattr(report, metric) == ideal
        assert report.intervals[metric] == (ideal, ideal)
    assert report.worst_confusions() == []


def test_order_and_names_do_not_matter():
    embeddings, identities, sequences, frames = make_segments()
    one = evaluate_retrieval(embeddings, identities, sequences, frames, n_bootstrap=0)
    shuffle = np.random.default_rng(0).permutation(len(frames))
    names = np.array([f"id {9 - i}" for i in identities])
    other = evaluate_retrieval(
        embeddings[shuffle], names[shuffle], sequences[shuffle], frames[shuffle], n_bootstrap=0
    )
    assert one.as_dict() == pytest.approx(other.as_dict())


def test_blocks_do_not_matter(monkeypatch):
    segments = make_segments()
    whole = evaluate_retrieval(*segments, n_bootstrap=20)
    monkeypatch.setattr("instanceid_utils.evaluation.pairs._BLOCK", 7)
    monkeypatch.setattr(retrieval, "_BLOCK", 7)
    assert evaluate_retrieval(*segments, n_bootstrap=20).as_dict() == whole.as_dict()


def test_per_identity_rows_add_up():
    report = evaluate_retrieval(*make_segments(), n_bootstrap=0)
    weights = [row["n_queries"] for row in report.per_identity]
    assert sum(weights) == report.n_queries
    for metric in ("rank1", "rank5", "map", "minp"):
        mean = np.average([row[metric] for row in report.per_identity], weights=weights)
        assert mean == pytest.approx(getattr(report, metric))


def test_worst_confusions_are_the_nearest_wrong_neighbours():
    embeddings, identities, sequences, frames = make_segments(noise=0.5)
    report = evaluate_retrieval(embeddings, identities, sequences, frames, n_bootstrap=0)
    assert len(report.confusions) == round((1 - report.rank1) * report.n_queries)
    worst = report.worst_confusions(5)
    assert [c.distance for c in worst] == sorted(c.distance for c in worst)
    assert len({(c.query_identity, c.neighbour_identity) for c in worst}) == 5
    neighbours, d = nearest_neighbours(
        embeddings, identities, sequences, frames, [c.query for c in worst], k=3
    )
    for confusion, first, distance in zip(worst, neighbours[:, 0], d[:, 0]):
        assert confusion.neighbour == first
        assert confusion.distance == pytest.approx(distance)
        assert identities[first] == confusion.neighbour_identity != confusion.query_identity
        assert identities[confusion.query] == identities[confusion.positive]
        assert confusion.positive_distance >= confusion.distance
    assert len(report.worst_confusions(1000, per_pair=None)) == len(report.confusions)


def test_nearest_neighbours_end_in_padding():
    found, d = nearest_neighbours(np.eye(3), [1, 1, 2], ["a"] * 3, [0, 5, 0], [0], k=2)
    assert found.tolist() == [[2, -1]]
    assert d[0, 0] == pytest.approx(np.sqrt(2))
    assert np.isinf(d[0, 1])


# --- distances ---------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_distances_equal_plain_norms(n, dim, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, dim)).astype("f4"), rng.normal(size=(7, dim)).astype("f4")
    expected = np.linalg.norm(a[:, None].astype("f8") - b, axis=2)
    assert pairwise_distances(a, b).dtype == np.float32
    np.testing.assert_allclose(pairwise_distances(a, b), expected, rtol=1e-6, atol=1e-6)


def test_distances_of_equal_and_of_close_vectors_are_safe():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(600, 128))
    a = (a / np.linalg.norm(a, axis=1, keepdims=True)).astype(np.float32)
    d = pairwise_distances(a)
    assert np.diag(d).max() < 1e-7
    assert np.isfinite(d).all()
    b = a.copy()
    b[:, 0] += 1e-4
    expected = np.linalg.norm(a.astype("f8") - b, axis=1)
    np.testing.assert_allclose(np.diag(pairwise_distances(a, b)), expected, rtol=1e-3)


# --- intervals ---------------------------------------------------------------------------------


def test_bootstrap_counts_equal_resampled_pairs():
    """Weighted histograms give what copying the drawn identities' pairs would give."""
    segments = make_segments()
    identities = segments[1]
    edges = np.unique(pairwise_distances(segments[0])[::9, ::9])  # some distances lie on them
    histograms = PairHistograms(edges, 6)
    pairs = []
    for d, a, b, same in retrieval.iterate_pairs(*segments):
        histograms.add(d, identities[a], identities[b], same)
        pairs += zip(d, identities[a], identities[b])
    weights = draw_weights(6, 3, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 6).all()
    far, tar = histograms.rates(weights)
    for w, far_row, tar_row in zip(weights, far, tar):
        same = np.concatenate([[d] * int(w[i]) for d, i, j in pairs if i == j])
        different = np.concatenate([[d] * int(w[i] * w[j]) for d, i, j in pairs if i != j])
        np.testing.assert_allclose(tar_row, (same[:, None] <= edges).mean(axis=0))
        np.testing.assert_allclose(far_row, (different[:, None] <= edges).mean(axis=0))


def test_intervals_hold_the_value_and_repeat():
    segments = make_segments()
    report = evaluate_retrieval(*segments, rng=np.random.default_rng(5))
    for metric in METRICS:
        low, high = report.intervals[metric]
        assert low <= getattr(report, metric) <= high
    assert report.intervals == evaluate_retrieval(*segments, rng=np.random.default_rng(5)).intervals
    assert report.intervals != evaluate_retrieval(*segments, rng=np.random.default_rng(6)).intervals


def test_interval_equals_that_of_resampled_identities():
    report = evaluate_retrieval(*make_segments(n_frames=30), n_bootstrap=4000)
    n_queries = np.array([row["n_queries"] for row in report.per_identity])
    precision = np.array([row["map"] for row in report.per_identity])
    drawn = np.random.default_rng(1).integers(6, size=(4000, 6))
    means = (n_queries * precision)[drawn].sum(axis=1) / n_queries[drawn].sum(axis=1)
    assert np.allclose(report.intervals["map"], np.percentile(means, [2.5, 97.5]), atol=0.02)


def test_many_identities_are_drawn_in_groups():
    assert group_identities(np.arange(500)).max() == 127
    rng = np.random.default_rng(0)
    identities = np.repeat(np.arange(300), 2)
    report = evaluate_retrieval(
        rng.normal(size=(600, 4)), identities, identities, np.tile([0, 20], 300), n_bootstrap=50
    )
    assert set(report.intervals) == set(METRICS)


# --- the report --------------------------------------------------------------------------------


def test_report_goes_to_json_and_into_a_table():
    report = evaluate_retrieval(*make_segments(), n_bootstrap=50)
    back = json.loads(json.dumps(report.as_dict()))
    assert back["rank1"] == report.rank1
    assert back["auc_interval"] == list(report.intervals["auc"])
    json.dumps(report.per_identity)

    lines = format_table({"ours": report, "other": report}, intervals=False).splitlines()
    assert len(lines) == 4
    cells = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert cells == ["ours", *(f"{getattr(report, metric):.3f}" for metric in METRICS)]
    assert f"({report.intervals['rank1'][0]:.3f}-" in str(report)


def test_bad_input_is_named():
    embeddings, identities, sequences, frames = make_segments()
    with pytest.raises(ValueError, match=r"frames must have shape \(\d+,\).*got \(3,\)"):
        evaluate_retrieval(embeddings, identities, sequences, frames[:3])
    broken = embeddings.copy()
    broken[17, 2] = np.nan
    with pytest.raises(ValueError, match="embeddings has NaN or infinite values in row 17"):
        evaluate_retrieval(broken, identities, sequences, frames)
    with pytest.raises(ValueError, match=r"shape \(N, D\)"):
        pair_distances(embeddings[0], identities, sequences, frames)
    with pytest.raises(ValueError, match="vectors of 2 values, b of 3"):
        pairwise_distances(np.ones((1, 2)), np.ones((1, 3)))


def test_names_of_any_kind_come_back_as_plain_values():
    vectors, identities, sequences, frames = make_segments()
    named = np.array([f"goat_{i}" for i in identities], dtype=object)  # as pandas gives them
    rows = evaluate_retrieval(vectors, named, sequences, frames, n_bootstrap=0).per_identity
    assert {row["identity"] for row in rows} <= set(named)


def test_no_queries_have_no_neighbours():
    vectors = np.eye(4, dtype=np.float32)
    where = np.arange(4), np.zeros(4, int), np.arange(4)
    neighbours, distances = nearest_neighbours(vectors, *where, np.array([]), k=3)
    assert neighbours.shape == distances.shape == (0, 3) and neighbours.dtype == np.int64

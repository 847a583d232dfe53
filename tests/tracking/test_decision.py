"""The rule, held against a search through all assignments."""

import io
import itertools
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking import decision
from instanceid_utils.tracking.decision import NO_ID, Decision, choose, write_jsonl


def given_ids(ids, choice):
    return [
        row[c] if c >= 0 else None for c, row in zip(choice.column.tolist(), np.array(ids).tolist())
    ]


def test_the_lowest_distance_below_the_threshold_wins():
    choice = choose([[4, 9, 2]], [[0.3, 0.2, 0.6]], threshold=0.5)
    assert given_ids([[4, 9, 2]], choice) == [9]
    assert choice.reason[0] == "reused"
    assert choice.margin[0] == pytest.approx(0.1)


def test_the_threshold_itself_is_not_below_it():
    assert choose([[1]], [[0.5]], threshold=0.5).reason[0] == "new"
    assert choose([[1]], [[0.4999]], threshold=0.5).reason[0] == "reused"


def test_without_a_candidate_it_is_new_and_the_margin_says_by_how_much():
    choice = choose([[1, NO_ID]], [[0.8, np.inf]], threshold=0.5)
    assert choice.column[0] == -1 and choice.reason[0] == "new"
    assert choice.margin[0] == pytest.approx(0.3)
    assert choose([[NO_ID]], [[np.inf]], threshold=0.5).margin[0] == np.inf


@pytest.mark.parametrize("rule", ["optimal", "plain"])
def test_an_id_is_given_once(rule):
    choice = choose([[1], [1], [1]], [[0.2], [0.1], [0.3]], 0.5, rule=rule)
    assert given_ids([[1]] * 3, choice) == [None, 1, None]
    assert choice.reason.tolist() == ["lost", "reused", "lost"]


def test_optimal_gives_the_second_choice_where_plain_gives_a_new_id():
    ids, distances = [[1, 2], [1, 2]], [[0.1, 0.3], [0.2, 0.9]]
    assert given_ids(ids, choose(ids, distances, 0.5)) == [2, 1]
    assert given_ids(ids, choose(ids, distances, 0.5, rule="plain")) == [1, None]


def test_a_rejection_costs_as_much_as_the_threshold():
    # Both matched: 0.45 + 0.45. One matched, one new: 0.1 + 0.5, which is less.
    ids, distances = [[1, 2], [1, NO_ID]], [[0.1, 0.45], [0.45, np.inf]]
    assert given_ids(ids, choose(ids, distances, 0.5)) == [1, None]


def test_the_place_cue_decides_between_look_alikes_but_never_objects():
    ids = [[1, 2]]
    assert given_ids(ids, choose(ids, [[0.30, 0.31]], 0.5, discounts=[[0.0, 0.2]])) == [2]
    assert given_ids(ids, choose(ids, [[0.30, 0.90]], 0.5, discounts=[[0.0, 0.2]])) == [1]
    assert given_ids(ids, choose(ids, [[0.60, 0.90]], 0.5, discounts=[[0.2, 0.0]])) == [1]


def test_a_near_runner_up_makes_it_ambiguous():
    assert choose([[1, 2]], [[0.30, 0.31]], 0.5, clear_margin=0.05).reason[0] == "ambiguous"
    assert choose([[1, 2]], [[0.30, 0.40]], 0.5, clear_margin=0.05).reason[0] == "reused"


def test_no_segments():
    choice = choose(np.empty((2, 0), int), np.empty((2, 0)), 0.5)
    assert choice.column.tolist() == [-1, -1] and choice.reason.tolist() == ["new", "new"]
    assert np.isinf(choice.margin).all()
    choice = choose(np.empty((0, 3), int), np.empty((0, 3)), 0.5)
    assert len(choice.column) == len(choice.reason) == len(choice.margin) == 0


@pytest.mark.parametrize(
    ("ids", "distances", "more", "message"),
    [
        ([[1, 2]], [[0.1, np.nan]], {}, r"NaN \(segment 0\)"),
        ([[1, 2]], [[0.1]], {}, "same shape"),
        ([[1, 1]], [[0.1, 0.2]], {}, "only once"),
        ([[1]], [[0.1]], {"rule": "best"}, "rule must be one of"),
        ([[1]], [[0.1]], {"discounts": [[0.1, 0.2]]}, "discounts"),
    ],
)
def test_bad_arguments(ids, distances, more, message):
    with pytest.raises(ValueError, match=message):
        choose(ids, distances, 0.5, **more)


def cheapest(ids, costs, threshold):
    """Try every assignment: the total, a segment without an ID counting as the threshold."""
    best = len(ids) * threshold
    for columns in itertools.product(range(-1, ids.shape[1]), repeat=len(ids)):
        chosen = [(r, c) for r, c in enumerate(columns) if c >= 0]
        names = [ids[r, c] for r, c in chosen]
        if NO_ID in names or len(set(names)) < len(names):
            continue
        if any(costs[r, c] >= threshold for r, c in chosen):
            continue
        total = sum(costs[r, c] for r, c in chosen) + (len(ids) - len(chosen)) * threshold
        best = min(best, total)
    return best


def draw_case(seed, n, k):
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.choice(6, k, replace=False) + 1 for _ in range(n)])
    costs = rng.random((n, k)).round(2)
    missing = rng.random((n, k)) < 0.2
    return np.where(missing, NO_ID, ids), np.where(missing, np.inf, costs)


@pytest.mark.parametrize("cells", [4_000_000, 0])  # the dense solver, the sparse one
@given(seed=st.integers(0, 10**6), n=st.integers(1, 4), k=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_optimal_is_optimal(cells, seed, n, k):
    ids, costs = draw_case(seed, n, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decision, "_DENSE_CELLS", cells)
        column = choose(ids, costs, 0.6).column
    rows = np.arange(n)
    matched = column >= 0
    names = ids[rows[matched], column[matched]].tolist()
    assert len(set(names)) == len(names) and NO_ID not in names
    own = costs[rows[matched], column[matched]]
    assert (own < 0.6).all()
    total = own.sum() + 0.6 * (~matched).sum()
    assert total == pytest.approx(cheapest(ids, costs, 0.6))


@given(seed=st.integers(0, 10**6), n=st.integers(1, 5), k=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_where_nothing_competes_both_rules_are_one(seed, n, k):
    ids, costs = draw_case(seed, n, k)
    best = [row[c] for row, c in zip(ids, costs.argmin(axis=1)) if row[c] != NO_ID]
    if len(set(best)) == len(best):
        plain = choose(ids, costs, 0.6, rule="plain")
        optimal = choose(ids, costs, 0.6)
        assert optimal.column.tolist() == plain.column.tolist()
        assert "lost" not in optimal.reason


def test_ten_thousand_segments_in_a_frame():
    rng = np.random.default_rng(0)
    ids = (np.arange(10_000)[:, None] * 7 + np.arange(16)) % 10_000 + 1
    start = time.perf_counter()
    choice = choose(ids, rng.random(ids.shape), 0.5)
    assert time.perf_counter() - start < 60
    names = ids[np.arange(10_000), choice.column][choice.column >= 0]
    assert len(np.unique(names)) == len(names) > 9_000


def test_json_lines_hold_no_nan_and_are_one_line_each():
    decisions = (
        Decision(1, 5, "reused", 0.25, 0.1, ((5, 0.25), (6, 0.5)), 0.6, 0.35),
        Decision(2, NO_ID, "empty", None, None, (), 0.6, None),
    )
    stream = io.StringIO()
    write_jsonl(stream, 12, decisions)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["frame"] for line in lines] == [12, 12]
    assert lines[0]["neighbours"] == [[5, 0.25], [6, 0.5]]
    assert lines[1]["margin"] is None and lines[1]["reason"] == "empty"
    assert json.loads(decisions[0].to_json())["id"] == 5


def test_only_who_was_reused_can_be_ambiguous():
    choice = choose([[1, 2]], [[0.60, 0.61]], 0.5, clear_margin=0.5)
    assert choice.reason[0] == "new" and choice.column[0] == -1

"""Who is confirmed, who is forgotten."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking.probation import Probation


def see(probation, id, time, new=False, good=True):
    probation.observe([id], [new], [good], time)


def test_good_views_confirm_and_bad_ones_do_not():
    probation = Probation(confirm=3, patience=10)
    see(probation, 7, 0, new=True)
    see(probation, 7, 1, good=False)
    see(probation, 7, 2)
    assert 7 in probation
    see(probation, 7, 3)
    assert 7 not in probation and len(probation) == 0
    see(probation, 7, 50)
    assert probation.overdue(100) == []


def test_who_is_not_seen_any_more_is_overdue():
    probation = Probation(confirm=3, patience=10)
    see(probation, 7, 0, new=True)
    see(probation, 7, 4, good=False)  # seen, if not well
    assert probation.overdue(13) == [] and probation.overdue(14) == [7]
    probation.forget([7])
    assert probation.overdue(14) == []


@pytest.mark.parametrize("confirm", [0, 1])
def test_without_probation_everybody_is_confirmed(confirm):
    probation = Probation(confirm=confirm)
    see(probation, 7, 0, new=True)
    assert 7 not in probation


def test_merging_adds_up():
    probation = Probation(confirm=3, patience=10)
    for id_ in (1, 2):
        see(probation, id_, 0, new=True)
    see(probation, 2, 5)
    probation.rename(2, 1)
    assert 1 not in probation and 2 not in probation  # 1 + 2 views
    see(probation, 3, 6, new=True)
    probation.rename(3, 9)  # into a confirmed one
    assert len(probation) == 0
    see(probation, 4, 6, new=True)
    probation.rename(9, 4)  # a confirmed one into it
    assert 4 not in probation


events = st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=30)


@given(events=events, cut=st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_against_a_plain_count_and_across_a_save(events, cut):
    probation, seen, views = Probation(confirm=3, patience=5), {}, {}
    for time, (id_, good) in enumerate(events):
        if time == cut:
            again = Probation(confirm=3, patience=5)
            again.restore(json.loads(json.dumps(probation.state())))
            probation = again
        new = id_ not in seen
        see(probation, id_, time, new, good)
        seen[id_], views[id_] = time, views.get(id_, 0) + good
    for id_ in seen:
        assert (id_ in probation) == (views[id_] < 3)
    late = [i for i in seen if views[i] < 3 and len(events) - seen[i] >= 5]
    assert sorted(probation.overdue(len(events))) == sorted(late)

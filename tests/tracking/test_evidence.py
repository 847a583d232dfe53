"""The evidence: monotone, bounded, and 0 where nothing is known; densities that are densities."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instanceid_utils.tracking.evidence import Evidence

numbers = st.builds(
    Evidence,
    looks=st.floats(1, 20),
    width=st.floats(0.3, 3),
    growth=st.floats(0.1, 1.5),
    jump=st.floats(0.001, 0.2),
    rivals=st.floats(0.01, 1),
    change=st.floats(1, 6),
    variety=st.floats(0.2, 1),
    entry=st.floats(0, 5),
)
ROOM = 0.01


def test_looks_are_zero_at_the_threshold_and_linear():
    evidence = Evidence(looks=6)
    assert evidence.of_looks(np.array([0, 0.4, 0.8, 1.6]), 0.8) == pytest.approx([6, 3, 0, -6])


@given(evidence=numbers, width=st.floats(0.01, 1), age=st.integers(1, 60))
@settings(max_examples=80, deadline=None)
def test_the_farther_the_less(evidence, width, age):
    errors = np.linspace(0, 30, 200)
    place = evidence.of_place(errors, age, width, ROOM)
    assert (np.diff(place) <= 1e-9).all()
    floor = np.log(1 - (1 - evidence.jump) ** age)
    assert (place >= floor - 1e-6).all()  # anywhere, by chance
    size = evidence.of_size(np.linspace(0, 5, 100), age, width)
    assert (np.diff(size) <= 1e-9).all() and (size >= floor - 1e-6).all()
    np.testing.assert_allclose(size, evidence.of_size(-np.linspace(0, 5, 100), age, width))


@given(evidence=numbers, error=st.floats(0, 10), change=st.floats(-3, 3))
@settings(max_examples=60, deadline=None)
def test_whoever_is_unseen_for_ever_may_be_anywhere(evidence, error, change):
    age = 100_000
    assert abs(evidence.of_place(error, age, 0.1, ROOM)) < 0.05
    assert abs(evidence.of_size(change, age, 0.1)) < 0.05


def test_a_place_says_more_where_places_are_foreseen_well():
    evidence = Evidence()
    sharp, vague = (evidence.of_place(np.array([0.0, 0.5]), 1, w, ROOM) for w in (0.02, 0.5))
    assert sharp[0] > vague[0] and sharp[1] < vague[1]


def test_a_place_says_less_in_a_small_frame_and_among_rivals():
    here = Evidence().of_place(0.0, 1, 0.05, ROOM)
    assert Evidence().of_place(0.0, 1, 0.05, 0.5) < here
    assert replace(Evidence(), rivals=1.0).of_place(0.0, 1, 0.05, ROOM) < here


def test_the_bell_of_places_is_a_density_in_the_plane():
    """Without jumps the ratio times what stands against it sums up to 1."""
    evidence = replace(Evidence(), jump=1e-9)
    side = np.linspace(-40, 40, 2001)
    errors = np.hypot(side[:, None], side[None])
    ratio = np.exp(evidence.of_place(errors, 1, 0.5, ROOM))
    total = ratio.sum() * (side[1] - side[0]) ** 2 * (ROOM + evidence.rivals)
    assert total == pytest.approx(1, abs=0.03)  # the tail beyond 40 holds 1.3 %


def test_sizes_are_a_ratio_of_densities():
    evidence = replace(Evidence(), jump=1e-9, change=2.0, variety=0.5)
    changes = np.linspace(-10, 10, 20001)
    usual = evidence.change * evidence.width * 0.05
    same = np.exp(-np.abs(changes) / usual) / (2 * usual)
    other = np.exp(-np.abs(changes) / evidence.variety) / (2 * evidence.variety)
    near = np.abs(changes) < 1
    np.testing.assert_allclose(
        evidence.of_size(changes, 1, 0.05)[near], np.log(same / other)[near], atol=1e-3
    )


@pytest.mark.parametrize("wrong", [{"jump": 0.0}, {"width": -1}, {"looks": "much"}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected a number"):
        Evidence(**wrong)


def test_of_an_embedder():
    class Calibrated:
        evidence = {**vars(Evidence()), "looks": 9.0}

    assert Evidence.of(Calibrated()).looks == 9 and Evidence.of(object()) == Evidence()


def test_the_longer_unseen_the_wider_the_bell():
    evidence = Evidence(growth=1.0, jump=1e-6)
    near, far = evidence.of_place(np.array([0.0, 0.0]), np.array([1, 10]), 0.05, ROOM)
    assert near > far + 1  # a place says less after a while
    near, far = evidence.of_place(np.array([1.0, 1.0]), np.array([1, 10]), 0.05, ROOM)
    assert near < far - 1  # and an error is held against it less

"""Thresholds chosen from claims of known worth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem.answerers.calibration import lowest_threshold, wilson_interval

CLAIMS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.booleans()), max_size=30)


def wrong_share(claims: list[tuple[float, bool]], threshold: float) -> float:
    made = [truth for confidence, truth in claims if confidence >= threshold]
    return made.count(False) / len(made) if made else 0.0


def test_claims_above_the_threshold_are_right_enough() -> None:
    confidences = [0.9, 0.8, 0.7, 0.6, 0.5]
    truths = [True, True, True, True, False]
    assert lowest_threshold(confidences, truths) == 0.6
    assert lowest_threshold(confidences, truths, wrong_at_most=0.2) == 0.5


def test_a_wrong_claim_may_be_outweighed_by_right_ones_below_it() -> None:
    confidences = [0.99] + [0.5] * 19
    assert lowest_threshold(confidences, [False] + [True] * 19) == 0.5


def test_no_threshold_is_good_enough() -> None:
    assert lowest_threshold([0.9, 0.1], [False, False]) == math.inf
    assert lowest_threshold([], []) == math.inf


def test_claims_of_one_confidence_stand_or_fall_together() -> None:
    assert lowest_threshold([0.5, 0.5], [True, False]) == math.inf


def test_a_truth_is_missing() -> None:
    with pytest.raises(ValueError, match="every confidence needs its truth, got 2 and 1"):
        lowest_threshold([0.1, 0.2], [True])


@given(CLAIMS, st.sampled_from([0.0, 0.05, 0.25, 0.5, 1.0]))
def test_same_as_trying_every_confidence(claims: list[tuple[float, bool]], most: float) -> None:
    confidences = [confidence for confidence, _ in claims]
    good = [value for value in confidences if wrong_share(claims, value) <= most]
    chosen = lowest_threshold(confidences, [truth for _, truth in claims], wrong_at_most=most)
    assert chosen == min(good, default=math.inf)


@pytest.mark.parametrize(
    ("right", "total", "interval"),
    [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0))],
)
def test_wilson_intervals_of_the_books(
    right: int, total: int, interval: tuple[float, float]
) -> None:
    assert wilson_interval(right, total) == pytest.approx(interval, abs=1e-4)


def test_nothing_is_known_of_no_trials() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)

"""Moments out of the presence of a thing, entry by entry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem.answerers.moments import MomentConfig, group_moments, sampling_step_s
from streammem.records import Evidence, MemoryEntry
from tests.fakes import FakeEncoder, entry

CONFIG = MomentConfig(on=0.6, off=0.3, gap_s=1.5, share_of_best=0.0)


def entries_at(spans: list[tuple[float, float]]) -> list[MemoryEntry]:
    encoder = FakeEncoder()
    return [
        entry(number, "nothing", encoder=encoder, start_s=start_s, end_s=end_s)
        for number, (start_s, end_s) in enumerate(spans)
    ]


def moments_of(presence: list[float], *, config: MomentConfig = CONFIG) -> list[Evidence]:
    """Return the moments of a stream of a frame a second."""
    entries = entries_at([(float(second), float(second)) for second in range(len(presence))])
    values = np.array(presence, np.float32)
    return group_moments(entries, values, -values, config=config)


def ends(moments: list[Evidence]) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in moments]


def test_a_moment_needs_one_clear_frame_and_lasts_while_the_thing_may_be_there() -> None:
    assert ends(moments_of([0, 0.4, 0.7, 0.4, 0.2, 0.5, 0.5])) == [(1, 3)]


def test_what_is_never_clear_is_no_moment() -> None:
    assert moments_of([0.5] * 10) == []
    assert moments_of([]) == []


def test_thresholds_count_themselves_in() -> None:
    exact = MomentConfig(on=0.5, off=0.25, gap_s=1.0, share_of_best=0.0)
    assert ends(moments_of([0.25, 0.5, 0.25], config=exact)) == [(0, 2)]


def test_a_short_hole_does_not_end_a_moment() -> None:
    wide = MomentConfig(on=0.6, off=0.3, gap_s=2.0, share_of_best=0.0)
    shown = [0.9, 0.0, 0.9, 0.0, 0.0, 0.9]
    assert ends(moments_of(shown, config=wide)) == [(0, 2), (5, 5)]
    assert ends(moments_of(shown)) == [(0, 0), (2, 2), (5, 5)]


def test_what_peaks_far_below_the_best_moment_is_something_else() -> None:
    strict = MomentConfig(on=0.2, off=0.1, gap_s=1.0, share_of_best=0.5)
    shown = [0.9, 0.0, 0.3, 0.0, 0.5]
    assert ends(moments_of(shown, config=strict)) == [(0, 0), (4, 4)]
    assert ends(moments_of([0.3, 0.0, 0.25], config=strict)) == [(0, 0), (2, 2)]


def test_a_moment_is_strongest_where_the_thing_is_clearest() -> None:
    (moment,) = moments_of([0.4, 0.7, 0.9, 0.9, 0.4])
    assert (moment.entry_id, moment.peak_s) == (2, 2.0)
    assert moment.presence == pytest.approx(0.9)
    assert moment.score == pytest.approx(-0.9)


def test_entries_of_many_frames_end_where_their_last_frame_does() -> None:
    entries = entries_at([(0.0, 8.0), (9.0, 12.0), (20.0, 21.0)])
    values = np.array([0.9, 0.9, 0.9], np.float32)
    assert ends(group_moments(entries, values, values, config=CONFIG)) == [(0, 12), (20, 21)]


def spelled_out(presence: list[float], config: MomentConfig) -> list[tuple[float, float]]:
    """Return the moments by their definition: seconds on, joined where the hole is short."""
    shown = [float(second) for second, value in enumerate(presence) if value >= config.off]
    runs: list[list[float]] = []
    for second in shown:
        joins = bool(runs) and second - runs[-1][-1] <= config.gap_s
        runs = [*runs[:-1], [*runs[-1], second]] if joins else [*runs, [second]]
    best = max(presence, default=0.0)
    least = max(config.on, best * config.share_of_best)
    peaks = [max(presence[int(second)] for second in run) for run in runs]
    return [(run[0], run[-1]) for run, peak in zip(runs, peaks, strict=True) if peak >= least]


@given(
    st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), max_size=40),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.sampled_from([0.125, 0.25]),
    st.sampled_from([1.0, 2.0, 3.5]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_same_as_spelled_out(
    presence: list[float], on: float, off: float, gap_s: float, share: float
) -> None:
    config = MomentConfig(on=on, off=off, gap_s=gap_s, share_of_best=share)
    assert ends(moments_of(presence, config=config)) == spelled_out(presence, config)


@pytest.mark.parametrize(
    ("spans", "step_s"),
    [
        ([], 1.0),
        ([(0.0, 0.0)], 1.0),
        ([(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (9.0, 9.0)], 0.5),
        ([(0.0, 0.0), (0.0, 0.0)], 1.0),
    ],
)
def test_sampling_step(spans: list[tuple[float, float]], step_s: float) -> None:
    assert sampling_step_s(entries_at(spans)) == step_s


def test_sampling_step_where_most_frames_were_merged() -> None:
    """Single frames that lie far apart do not tell how often there was one."""
    encoder = FakeEncoder()
    entries = [
        entry(0, "nothing", encoder=encoder, start_s=0.0, end_s=98.0, count=50),
        entry(1, "cat", encoder=encoder, start_s=100.0),
        entry(2, "nothing", encoder=encoder, start_s=102.0, end_s=298.0, count=99),
        entry(3, "cat", encoder=encoder, start_s=300.0),
    ]
    assert sampling_step_s(entries) == 2.0


def test_sampling_step_does_not_reach_from_one_source_into_another() -> None:
    encoder = FakeEncoder()
    far = [entry(n, "cat", encoder=encoder, start_s=500.0 + n, source_id="b") for n in range(2)]
    assert sampling_step_s([*entries_at([(0.0, 0.0)]), *far]) == 1.0


def test_rare_frames_are_not_moments_of_their_own() -> None:
    entries = entries_at([(5.0 * number, 5.0 * number) for number in range(6)])
    values = np.array([0.9, 0.9, 0.9, 0.0, 0.9, 0.0], np.float32)
    assert ends(group_moments(entries, values, values, config=CONFIG)) == [(0, 10), (20, 20)]

"""Hits become moments."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.search import group_hits
from streammem.records import MemoryEntry


def entry(number: int, *, start_s: float, end_s: float, source: str = "a") -> MemoryEntry:
    key = np.array([1.0, 0.0], np.float32)
    return MemoryEntry(number, source, start_s, end_s, (start_s + end_s) / 2, 1, key, key)


def test_near_hits_widen_the_best_one() -> None:
    hits = [
        (entry(1, start_s=10, end_s=11), 0.9),
        (entry(2, start_s=13, end_s=14), 0.5),
        (entry(3, start_s=40, end_s=41), 0.7),
    ]
    moments = group_hits(hits, k=5, gap_s=5.0)
    assert [(m.entry_id, m.start_s, m.end_s, m.score) for m in moments] == [
        (1, 10, 14, 0.9),
        (3, 40, 41, 0.7),
    ]


def test_hits_of_two_sources_stay_apart() -> None:
    hits = [(entry(1, start_s=0, end_s=1), 0.9), (entry(2, start_s=0, end_s=1, source="b"), 0.8)]
    assert [m.source_id for m in group_hits(hits, k=5, gap_s=5.0)] == ["a", "b"]


@given(
    st.lists(st.tuples(st.integers(0, 300), st.floats(-1, 1)), max_size=40),
    st.integers(1, 6),
)
def test_moments_are_few_sorted_and_hold_their_peak(hits: list[tuple[int, float]], k: int) -> None:
    entries = [(entry(i, start_s=t, end_s=t + 1.0), score) for i, (t, score) in enumerate(hits)]
    moments = group_hits(entries, k=k, gap_s=3.0)
    assert len(moments) <= k
    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)
    if hits:
        assert moments[0].score == max(score for _, score in hits)
    for moment in moments:
        assert moment.start_s <= moment.peak_s <= moment.end_s

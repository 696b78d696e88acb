"""What a search finds is forgotten: every entry of its moments, once, for good."""

import math

import numpy as np
import pytest

from memory_banks.tiered import Memory, open_memory
from pipelines.forget import forget_moments
from pipelines.session import Session
from streammem.errors import UsageError
from streammem.records import Evidence, Features, Frame, SourceInfo
from tests.fakes import FakeEncoder

SHOWN = ("dog", "dog", "rocket", "cat", "cat", "rocket", "rocket", "coins", "coins", "coins")


def remembered(encoder: FakeEncoder) -> Memory:
    """Return a memory of two sources that show the same, a frame every ten seconds."""
    memory = open_memory(None, encoder=encoder)
    for name in ("a", "b"):
        info = SourceInfo(name, f"/videos/{name}.mp4", 64, 48, 1.0, None, False)
        memory.begin_source(info, fingerprint=name, sampling_fps=0.1)
        for index, word in enumerate(SHOWN):
            frame = Frame(name, index, 10.0 * index, np.zeros((48, 64, 3), np.uint8))
            key = encoder.key_of(word)
            memory.push(frame, Features(key, key))
    return memory


def moment(source_id: str, start_s: float, end_s: float) -> Evidence:
    return Evidence(1, source_id, start_s, end_s, 1.0, start_s)


def times(memory: Memory, source_id: str) -> list[float]:
    return [entry.start_s for entry in memory.entries(source_id=source_id)]


def test_what_overlaps_a_moment_goes_once_and_only_of_its_source() -> None:
    with remembered(FakeEncoder()) as memory:
        held = {entry.entry_id: entry for entry in memory.entries()}
        moments = [moment("a", 30.0, 40.0), moment("a", 40.0, 55.0), moment("b", 85.0, 95.0)]
        would = forget_moments(memory, moments, dry=True)
        assert [(one.source_id, one.start_s) for one in would] == [
            ("a", 30.0),
            ("a", 40.0),
            ("a", 50.0),
            ("b", 90.0),
        ]
        assert len(memory.entries()) == len(held)
        assert forget_moments(memory, moments) == would
        assert {entry.entry_id for entry in memory.entries()} == held.keys() - {
            one.entry_id for one in would
        }


def test_no_moment_forgets_nothing() -> None:
    with remembered(FakeEncoder()) as memory:
        assert forget_moments(memory, []) == []
        assert len(memory.entries()) == 2 * len(SHOWN)


def test_a_session_forgets_what_words_find() -> None:
    encoder = FakeEncoder()
    with Session(remembered(encoder), encoder) as session:
        found = session.search("cat", k=2, source_id="a")
        would = session.forget("cat", k=2, source_id="a", dry=True)
        assert {one.start_s for one in would} == {moment.start_s for moment in found} == {30, 40}
        assert session.forget("cat", k=2, source_id="a") == would
        assert session.search("cat", k=1, source_id="a")[0].score < 0.5
        assert session.search("cat", k=1)[0].source_id == "b"
        assert times(session.memory, "b") == [10.0 * index for index in range(len(SHOWN))]


def test_a_session_says_what_a_span_would_take() -> None:
    encoder = FakeEncoder()
    with Session(remembered(encoder), encoder) as session:
        would = session.forget(source_id="b", start="0:50", dry=True)
        assert times(session.memory, "b")[-1] == 90.0
        assert session.forget(source_id="b", start="0:50") == would
        assert times(session.memory, "b")[-1] == 40.0
        assert max(one.end_s for one in would) < math.inf


def test_words_and_a_span_at_once_are_refused() -> None:
    encoder = FakeEncoder()
    with Session(remembered(encoder), encoder) as session:
        with pytest.raises(UsageError, match="what a query finds or a span of time, not both"):
            session.forget("cat", start=3.0)
        assert len(session.memory.entries()) == 2 * len(SHOWN)

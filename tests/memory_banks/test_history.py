"""What a memory held over time: bounded, at even steps, durable."""

from pathlib import Path

import pytest

from memory_banks.history import SAMPLES, History, Sample
from memory_banks.tiered import open_memory
from tests.memory_banks.streams import ENCODER, TIGHT, begin, fill, stream


def sample(frames_seen: int) -> Sample:
    return Sample(frames_seen, *[0] * 7)


def record(history: History, frames: range) -> None:
    for frames_seen in frames:
        if history.is_due(frames_seen):
            history.record(sample(frames_seen))
        assert len(list(history)) <= SAMPLES


@pytest.mark.parametrize("count", [0, 1, 2, SAMPLES, SAMPLES + 1, 1000, 12_345])
def test_samples_are_few_and_at_even_steps(count: int) -> None:
    history = History()
    record(history, range(1, count + 1))
    taken = [one.frames_seen for one in history]
    step = taken[0] if taken else 1
    assert taken == list(range(step, count + 1, step))
    assert len(taken) > min(count, SAMPLES) / 2 - 1


@pytest.mark.parametrize("stop", [1, 2, 127, 128, 129, 300, 4000])
def test_a_history_that_is_taken_up_goes_on_the_same(stop: int) -> None:
    first = History()
    record(first, range(1, stop + 1))
    again = History(list(first))
    for more in range(stop + 1, stop + 1000):
        for history in (first, again):
            record(history, range(more, more + 1))
        assert list(again) == list(first)


def test_a_sample_says_what_was_held_and_what_had_left() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        for frame, features in stream(100):
            memory.push(frame, features)
            stats = memory.stats()
            last = memory.history()[-1]
            assert last.frames_seen == stats.frames_seen
            assert {
                "sensory": last.sensory,
                "working": last.working,
                "long_term": last.long_term,
            } == (stats.entries)
            assert last.bytes == stats.bytes
            assert (last.merged, last.lost, last.deleted) == tuple(
                stats.evictions.get(reason, 0) for reason in ("merged", "capacity", "deleted")
            )
        memory.forget(start_s=50.0, end_s=60.0)
        memory.push(*next(stream(1, start_s=100.0)))
        assert memory.history()[-1].deleted == memory.stats().evictions["deleted"] > 0


def test_a_history_outlives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 300)
        written = memory.history()
    with open_memory(path, mode="write") as memory:
        assert memory.history() == written
        assert [one.frames_seen for one in written] == list(range(4, 301, 4))
        for frame, features in stream(300, seed=1, start_s=300.0):
            memory.push(frame, features)
        assert [one.frames_seen for one in memory.history()] == list(range(8, 601, 8))

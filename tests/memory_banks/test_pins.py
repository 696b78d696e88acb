"""Pinned entries: kept as they are under any pressure, within half of the room."""

from dataclasses import replace
from pathlib import Path

import pytest

from memory_banks.consolidation.choose import STRATEGIES
from memory_banks.settings import Strategy
from memory_banks.tiered import Memory, open_memory
from streammem.errors import UsageError
from tests.memory_banks.streams import ENCODER, TIGHT, begin, fill, stream


def go_on(memory: Memory, count: int, *, start_s: float) -> None:
    """Push frames of other scenes."""
    for frame, features in stream(count, seed=77, start_s=start_s):
        memory.push(frame, features)


def pinned(memory: Memory) -> list[int]:
    return [entry.entry_id for entry in memory.entries() if entry.pinned]


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_what_is_pinned_in_any_tier_survives_as_it_is(name: Strategy) -> None:
    with open_memory(None, encoder=ENCODER, config=replace(TIGHT, consolidation=name)) as memory:
        fill(memory, 60)
        entries = memory.entries()
        chosen = [entries[0], entries[-5], entries[-1]]
        assert [entry.tier for entry in chosen[1:]] == ["working", "sensory"]
        memory.pin([entry.entry_id for entry in chosen])
        thumbnails = [memory.thumbnail(entry.entry_id) for entry in chosen]
        go_on(memory, 200, start_s=60.0)
        kept = {entry.entry_id: entry for entry in memory.entries()}
        for entry, thumbnail in zip(chosen, thumbnails, strict=True):
            now = kept[entry.entry_id]
            assert now.pinned and now.tier == "long_term"
            assert (now.start_s, now.end_s, now.count) == (entry.start_s, entry.end_s, entry.count)
            assert now.key.tolist() == entry.key.tolist()
            assert memory.thumbnail(entry.entry_id) == thumbnail
        stats = memory.stats()
        assert stats.bytes <= stats.budget_bytes
        assert stats.entries["long_term"] == len(memory.entries(tiers=["long_term"]))


def test_pinned_entries_are_recalled_and_counted_as_used() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        entry = memory.entries()[3]
        memory.pin([entry.entry_id])
        go_on(memory, 100, start_s=60.0)
        ((found, score),) = memory.recall(entry.key, k=1)
        assert found.entry_id == entry.entry_id and score == pytest.approx(1.0, abs=2e-3)
        assert found.pinned and found.usage == entry.usage + 1.0


def test_what_is_pinned_is_in_no_entry_that_was_merged() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        entry = memory.entries()[2]
        memory.pin([entry.entry_id])
        go_on(memory, 100, start_s=60.0)
        assert entry.entry_id not in {gone.entry_id for gone in memory.evictions()}
        assert all(entry.entry_id not in one.merged_from for one in memory.entries())


def test_more_than_half_of_the_room_is_refused_and_nothing_is_pinned_then() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        held = [entry.entry_id for entry in memory.entries()]
        memory.pin(held[:2])
        refused = r"pinning \d+ more entries takes \d+ bytes for pinned ones, and \d+ are the most"
        with pytest.raises(UsageError, match=f"{refused}; unpin some, or raise the budget"):
            memory.pin(held)
        assert pinned(memory) == held[:2]
        most = 2
        with pytest.raises(UsageError, match="pinning 1 more entries takes"):
            for entry_id in held[2:]:
                memory.pin([entry_id])
                most += 1
        assert len(held) // 3 < most <= len(held) // 2 + 1
        memory.pin(pinned(memory))
        go_on(memory, 200, start_s=60.0)
        assert len(pinned(memory)) == most
        assert memory.stats().bytes <= memory.stats().budget_bytes


def test_what_is_let_go_of_makes_room_again() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        chosen = [entry.entry_id for entry in memory.entries()[:4]]
        memory.pin(chosen)
        go_on(memory, 100, start_s=60.0)
        assert pinned(memory) == chosen
        memory.unpin(chosen[:3])
        assert pinned(memory) == chosen[3:]
        for frame, features in stream(300, seed=78, start_s=160.0):
            memory.push(frame, features)
        held = {entry.entry_id for entry in memory.entries()}
        assert not held & set(chosen[:3]) and chosen[3] in held
        assert memory.stats().frames_held == 460


def test_pins_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 60)
        entries = memory.entries()
        chosen = [entry.entry_id for entry in (entries[1], entries[-4], entries[-1])]
        memory.pin(chosen)
    with open_memory(path, mode="write") as memory:
        assert pinned(memory) == chosen
        go_on(memory, 100, start_s=60.0)
        assert pinned(memory) == chosen
        memory.unpin(chosen[1:])
    with open_memory(path) as memory:
        assert pinned(memory) == chosen[:1]


def test_what_is_pinned_can_be_forgotten() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        chosen = [entry.entry_id for entry in memory.entries()[:2]]
        memory.pin(chosen)
        memory.forget(entry_ids=chosen)
        assert pinned(memory) == [] and memory._tiers.pinned_bytes == 0
        go_on(memory, 50, start_s=60.0)
        assert memory.stats().frames_held == sum(entry.count for entry in memory.entries())


def test_what_is_not_there_cannot_be_pinned(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        begin(memory)
        go_on(memory, 2, start_s=0.0)
        for edit in (memory.pin, memory.unpin):
            with pytest.raises(UsageError, match="entry 99 is not in the memory; it may have been"):
                edit([1, 99])
        assert pinned(memory) == []
    with open_memory(path) as memory:
        for edit in (memory.pin, memory.unpin):
            with pytest.raises(UsageError, match="open for reading; open it with mode='write'"):
                edit([1])

"""Looking into a memory: what an entry was made of, which tier holds what, what an edit takes."""

from dataclasses import replace

import pytest

from memory_banks.consolidation.choose import STRATEGIES
from memory_banks.editing import ancestry
from memory_banks.entries import Row
from memory_banks.settings import Strategy
from memory_banks.tiered import Memory, open_memory
from streammem.errors import UsageError
from streammem.records import Eviction
from tests.memory_banks.streams import ENCODER, TIGHT, fill

LOGGED = replace(TIGHT, budget_mb=0.4, eviction_log=1000)


def leaves(memory: Memory, entry_id: int) -> list[int]:
    """Return the frames at the ends of an entry's ancestry."""
    made_of = memory.inspect(entry_id).made_of
    found, waiting = [], [entry_id]
    while waiting:
        one = waiting.pop()
        if one in made_of:
            waiting += made_of[one]
        else:
            found.append(one)
    return sorted(found)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_the_ancestry_reaches_every_frame_while_the_log_does(name: Strategy) -> None:
    with open_memory(None, encoder=ENCODER, config=replace(LOGGED, consolidation=name)) as memory:
        fill(memory, 150)
        went = {gone.entry_id for gone in memory.evictions()}
        reached: list[int] = []
        for entry in memory.entries():
            inspection = memory.inspect(entry.entry_id)
            assert inspection.whole
            assert inspection.entry.entry_id == entry.entry_id
            assert inspection.entry.merged_from == entry.merged_from
            frames = leaves(memory, entry.entry_id)
            assert len(frames) == entry.count
            assert set(frames) <= went | {entry.entry_id}
            reached += frames
        assert len(reached) == len(set(reached)) == memory.stats().frames_held


def test_beyond_the_log_the_ancestry_says_that_it_is_not_whole() -> None:
    with open_memory(None, encoder=ENCODER, config=replace(TIGHT, eviction_log=10)) as memory:
        fill(memory, 300)
        inspections = [memory.inspect(entry.entry_id) for entry in memory.entries()]
        assert {inspection.whole for inspection in inspections} == {True, False}
        for inspection in inspections:
            count = inspection.entry.count
            assert inspection.whole or count > len(inspection.entry.merged_from)
            if count > 1:
                assert inspection.made_of[inspection.entry.entry_id] == inspection.entry.merged_from


def test_ancestry_follows_merges_of_merges() -> None:
    row = Row(9, "a", 0.0, 5.0, 2.0, 4, 1, 100, merged_from=(7, 8))
    log = [
        Eviction(1, "merged", 7),
        Eviction(2, "merged", 7),
        Eviction(30, "capacity"),
        Eviction(3, "merged", 8),
        Eviction(4, "merged", 8),
        Eviction(7, "merged", 9),
        Eviction(8, "merged", 9),
    ]
    assert ancestry(row, log) == ({9: (7, 8), 7: (1, 2), 8: (3, 4)}, True)
    assert ancestry(row, log[1:]) == ({9: (7, 8), 7: (2,), 8: (3, 4)}, False)
    assert ancestry(row, []) == ({9: (7, 8)}, False)


def test_a_frame_as_it_came_was_made_of_nothing() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 3)
        inspection = memory.inspect(2)
        assert (inspection.made_of, inspection.whole) == ({}, True)
        assert inspection.entry.start_s == 1.0
        with pytest.raises(UsageError, match=r"entry 9 is not in the memory; it may have been.*"):
            memory.inspect(9)


def test_entries_can_be_those_of_some_tiers() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 100)
        everything = memory.entries()
        counts = memory.stats().entries
        for tier in ("sensory", "working", "long_term"):
            held = memory.entries(tiers=[tier])
            assert {entry.tier for entry in held} == {tier}
            assert len(held) == counts[tier] > 0
        both = memory.entries(tiers={"long_term", "sensory"})
        assert [entry.entry_id for entry in both] == [
            entry.entry_id for entry in everything if entry.tier != "working"
        ]
        assert memory.entries(tiers=[]) == []
        assert memory.entries(tiers=["long_term"], at_s=50.0)[-1].end_s <= 50.0
        with pytest.raises(
            UsageError, match="tier 'short' is not known; choose one of sensory, working, long_term"
        ):
            memory.entries(tiers=["short"])


def test_entries_are_forgotten_by_their_ids_alone() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 100)
        before = memory.entries()
        recalled = [entry.entry_id for entry, _ in memory.recall(before[4].key, k=3)]
        gone = memory.forget(entry_ids=recalled)
        assert [went.entry_id for went in gone] == recalled
        known = {entry.entry_id: entry for entry in before}
        for went in gone:
            entry = known[went.entry_id]
            assert went.why == "asked for by its id"
            assert (went.source_id, went.start_s, went.end_s, went.count) == (
                entry.source_id, entry.start_s, entry.end_s, entry.count
            )  # fmt: skip
            assert memory.thumbnail(went.entry_id) is None
        assert {entry.entry_id for entry in memory.entries()} == known.keys() - set(recalled)
        assert memory.evictions()[-3:] == [Eviction(one, "deleted") for one in recalled]
        assert memory.sources()[0].last_s == 99.0
        assert memory.forget(entry_ids=[]) == [] and memory.sources() != []
        with pytest.raises(UsageError, match=f"entry {recalled[0]} is not in the memory"):
            memory.forget(entry_ids=[before[0].entry_id, recalled[0]])


def test_an_id_that_is_named_twice_goes_once() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 5)
        assert [went.entry_id for went in memory.forget(entry_ids=[2, 4, 2])] == [2, 4]
        assert memory.stats().evictions == {"deleted": 2}


def test_a_merged_entry_that_goes_with_part_of_its_span_says_why() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 300)
        entry = max(memory.entries(), key=lambda entry: entry.count)
        (went,) = [
            one
            for one in memory.forget(start_s=entry.start_s, end_s=entry.start_s)
            if one.entry_id == entry.entry_id
        ]
        assert went.why.startswith(f"merged of {entry.count} frames from ")
        assert went.why.endswith("of which some may be in the span")

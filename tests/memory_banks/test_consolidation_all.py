"""What every way of making room promises, under a budget that is always full."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_banks.consolidation.choose import STRATEGIES
from memory_banks.settings import Strategy
from memory_banks.tiered import Memory, MemoryConfig, open_memory
from streammem.errors import UsageError
from streammem.records import Eviction, Frame, MemoryEntry
from tests.memory_banks.lone_strategy import Lone, noisy_scenes
from tests.memory_banks.scripted import Log, everything, happenings
from tests.memory_banks.streams import DIM, ENCODER, TIGHT, begin, contents, fill, stream, unit

every_strategy = pytest.mark.parametrize("name", sorted(STRATEGIES))
MERGING = {"surprise", "merge", "prototype", "continuous"}


def begin_both(memory: Memory) -> None:
    for source in "ab":
        begin(memory, source)


def account(gone: Sequence[Eviction], entries: Sequence[MemoryEntry], *, frames: int) -> Counter:
    """Check that every id was held or went once; return how many frames left for which reason."""
    went = {eviction.entry_id: eviction for eviction in gone}
    held = {entry.entry_id: entry for entry in entries}
    assert len(went) == len(gone) and not went.keys() & held.keys()
    made = {eviction.into for eviction in gone} - {None}
    assert made <= went.keys() | held.keys()
    assert all((eviction.reason == "merged") == (eviction.into is not None) for eviction in gone)
    for entry in entries:
        into = [eviction.entry_id for eviction in gone if eviction.into == entry.entry_id]
        assert entry.merged_from == tuple(into)
    ends: Counter[int] = Counter()
    pushed = (went.keys() | held.keys()) - made
    assert len(pushed) == frames
    for entry_id in pushed:
        at = entry_id
        while at in went and went[at].into is not None:
            assert went[at].into > at
            at = went[at].into
        ends[at] += 1
    assert {one: entry.count for one, entry in held.items()} == {one: ends[one] for one in held}
    lost: Counter[str] = Counter()
    for entry_id, count in ends.items():
        if entry_id in went:
            lost[went[entry_id].reason] += count
    return lost


@every_strategy
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 130),
    sensory=st.integers(0, 4),
    working=st.integers(0, 9),
    slack=st.floats(1.0, 2.0),
)
def test_budget_times_counts_and_ancestry_hold(
    name: Strategy, seed: int, count: int, sensory: int, working: int, slack: float
) -> None:
    config = replace(
        TIGHT,
        budget_mb=0.2 * slack,
        sensory_frames=sensory,
        working_frames=working,
        consolidation=name,
    )
    log = Log()
    with open_memory(None, encoder=ENCODER, config=config) as memory:
        begin_both(memory)
        for what in happenings(count, seed=seed):
            log.let_happen(memory, what)
            stats = memory.stats()
            assert stats.bytes <= stats.budget_bytes
            assert all(e.start_s <= e.mean_s <= e.end_s for e in memory.entries())
        log.gone += memory.push(*next(stream(1, start_s=1e6)))
        lost = account(log.gone, memory.entries(), frames=count + 1)
        stats = memory.stats()
        assert stats.frames_seen == count + 1 == stats.frames_held + lost.total()
        assert stats.frames_held == sum(entry.count for entry in memory.entries())
        assert Counter(stats.evictions) == Counter(one.reason for one in log.gone)
        assert name in MERGING or stats.evictions.get("merged", 0) == 0


@every_strategy
def test_closed_and_opened_at_any_moment_it_ends_as_if_undisturbed(
    name: Strategy, tmp_path: Path
) -> None:
    config = replace(TIGHT, consolidation=name)
    stops = set(np.random.default_rng(3).integers(0, 120, 5).tolist())
    ends, logs = [], []
    for path in (None, tmp_path / "m.smem"):
        memory, log = open_memory(path, encoder=ENCODER, config=config, mode="write"), Log()
        begin_both(memory)
        for what in happenings(120, seed=3):
            log.let_happen(memory, what)
            if path is not None and what.frame.index in stops:
                memory.close()
                memory = open_memory(path, mode="write")
                assert memory.config == config
        ends.append(everything(memory))
        logs.append(log)
        memory.close()
    assert logs[1].recalled == logs[0].recalled
    assert logs[1].gone == logs[0].gone
    for resumed, undisturbed in zip(ends[1], ends[0], strict=True):
        assert resumed == undisturbed
    with open_memory(path) as memory:
        assert everything(memory) == ends[0]


@every_strategy
def test_what_becomes_another_of_an_entry_is_told_to_be_written(name: Strategy) -> None:
    rng = np.random.default_rng(4)
    lone = Lone(name)
    keys, visuals = noisy_scenes(rng, 300, 6, scenes=6), noisy_scenes(rng, 300, 4, scenes=6)
    for at_s in range(300):
        if len(lone) and rng.random() < 0.3:
            used = lone.rows()[int(rng.integers(len(lone)))]
            lone.strategy.used(used)
        before = {row.entry_id: dataclasses.astuple(row) for row in lone.strategy}
        lone.changed.clear()
        lone.push(float(at_s), keys[at_s], visuals[at_s])
        lone.keep(40)
        for row in lone.strategy:
            same = before.get(row.entry_id) in (None, dataclasses.astuple(row))
            assert same or row.entry_id in lone.changed


@every_strategy
def test_recalls_are_the_same_whatever_comes_after(name: Strategy) -> None:
    config = replace(TIGHT, consolidation=name)
    recalled = []
    for future in (None, 1, 2):
        log = Log()
        with open_memory(None, encoder=ENCODER, config=config) as memory:
            begin_both(memory)
            for what in happenings(120, seed=8):
                log.let_happen(memory, what)
            recalled.append(log.recalled)
            if future is not None:
                for what in happenings(100, seed=future, edits=False):
                    frame = replace(what.frame, time_s=1000.0 + what.frame.time_s)
                    memory.push(frame, what.features)
    assert len(recalled[0]) > 10
    assert recalled[0] == recalled[1] == recalled[2]


@pytest.mark.parametrize("name", sorted(STRATEGIES.keys() - {"last_frames"}))
def test_where_there_is_room_a_recall_at_a_time_is_the_same_with_a_future(name: Strategy) -> None:
    config = replace(TIGHT, budget_mb=3.0, consolidation=name)
    queries = [unit(np.random.default_rng(seed), DIM) for seed in range(5)]
    answers = []
    for count in (60, 200):
        with open_memory(None, encoder=ENCODER, config=config) as memory:
            fill(memory, count)
            found = [memory.recall(query, k=8, at_s=59.0) for query in queries]
            answers.append([[(one.start_s, score) for one, score in some] for some in found])
    assert answers[0] == answers[1]


def long_term(name: Strategy, *, count: int) -> list[int]:
    """Return which of `count` frames of equal size long-term memory holds one by one."""
    config = replace(TIGHT, budget_mb=0.4, consolidation=name)
    black = np.zeros((12, 16, 3), dtype=np.uint8)
    with open_memory(None, encoder=ENCODER, config=config) as memory:
        begin(memory)
        for frame, features in stream(count):
            memory.push(Frame("a", frame.index, frame.time_s, black), features)
        held = memory.entries(tiers=["long_term"])
        assert all(entry.count == 1 for entry in held)
        assert [entry.start_s for entry in memory.entries()][-8:] == list(range(count - 8, count))
        return [int(entry.start_s) for entry in held]


def test_fifo_holds_the_newest() -> None:
    held = long_term("fifo", count=500)
    assert len(held) > 30 and held == list(range(492 - len(held), 492))


def test_none_holds_what_came_first() -> None:
    held = long_term("none", count=500)
    assert len(held) > 30 and held == list(range(len(held)))


@pytest.mark.parametrize("count", [150, 500, 731])
def test_uniform_holds_an_even_share_of_all_times(count: int) -> None:
    held = long_term("uniform", count=count)
    gaps = [right - left for left, right in pairwise(held)]
    assert held[0] == 0 and len(held) > 30
    assert max(gaps) <= 2 * min(gaps)
    assert count - 8 - held[-1] <= 2 * max(gaps)


def test_last_frames_holds_nothing_in_the_long_term() -> None:
    assert long_term("last_frames", count=500) == []


def test_a_name_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="consolidation 'lifo' is not known; choose one of surp"):
        MemoryConfig(consolidation="lifo")


@pytest.mark.parametrize("weight", [-0.1, 1.5, float("nan")])
def test_a_rarity_weight_that_is_no_share_is_refused(weight: float) -> None:
    with pytest.raises(UsageError, match="rarity_weight must be from 0 to 1, got"):
        MemoryConfig(rarity_weight=weight)


def test_a_memory_goes_on_with_another_way_of_making_room(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 100)
    passed = 100
    for name in sorted(STRATEGIES):
        config = replace(TIGHT, consolidation=name)
        with open_memory(path, config=config, mode="write") as memory:
            for frame, features in stream(30, seed=passed, start_s=float(passed)):
                memory.push(frame, features)
            passed += 30
            stats = memory.stats()
            assert stats.bytes <= stats.budget_bytes and stats.frames_seen == passed
            assert memory.metadata()["consolidation"] == name
            written = contents(memory)
        with open_memory(path) as memory:
            assert contents(memory) == written

"""Prototypes of entries against a plain float64 form of XMem's usage, choice and potentiation."""

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from memory_banks.consolidation.prototype import (
    CANDIDATES,
    CANDIDATES_PER_PROTOTYPE,
    SHARPNESS,
    TOP_K,
)
from tests.memory_banks.lone_strategy import Lone, noisy_scenes

DIM, VISUAL_DIM = 6, 4


@dataclass(eq=False)
class Slot:
    """An entry of the twin: `shown` is the number of its own frame, `times` are of all it has."""

    shown: int
    source: str
    times: list[float]
    key: np.ndarray
    visual: np.ndarray
    tokens: np.ndarray
    since: int
    attention: float = 0.0
    prototype: bool = False

    @property
    def count(self) -> int:
        return len(self.times)


def affinity(a: Slot, b: Slot) -> float:
    """Return -SHARPNESS |k - k'|^2 of keys of unit length."""
    return -SHARPNESS * (2.0 - 2.0 * float(a.key @ b.key))


@dataclass
class Twin:
    """Slots in the order in which they came, and how often the memory was read."""

    slots: list[Slot] = field(default_factory=list)
    reads: int = 0

    def push(
        self, at_s: float, key: np.ndarray, visual: np.ndarray, *, source: str, tokens: np.ndarray
    ) -> None:
        self.reads += 1
        directions = [vector.astype(np.float64) for vector in (key, visual, tokens)]
        came = Slot(self.reads, source, [at_s], *directions, since=self.reads)
        nearest = sorted(self.slots, key=lambda slot: (-affinity(slot, came), slot.shown))[:TOP_K]
        powers = [np.exp(affinity(slot, came)) for slot in nearest]
        for slot, power in zip(nearest, powers, strict=True):
            slot.attention += power / sum(powers)
        self.slots.append(came)

    def usage(self, slot: Slot) -> float:
        return slot.attention / max(1, self.reads - slot.since)

    def keep(self, room: int) -> None:
        while len(self.slots) > room:
            waiting = [slot for slot in self.slots if not slot.prototype]
            prototypes = [slot for slot in self.slots if slot.prototype]
            candidates = [slot for slot in waiting if slot.source == waiting[0].source]
            candidates = candidates[:CANDIDATES]
            enough = min(CANDIDATES, max(2, len(self.slots) // 2))
            if len(candidates) >= enough or (not prototypes and len(candidates) > 1):
                self.consolidate(candidates)
            else:
                self.slots.remove(min(prototypes or waiting, key=self.usage))

    def consolidate(self, candidates: list[Slot]) -> None:
        count = max(1, len(candidates) // CANDIDATES_PER_PROTOTYPE)
        chosen = sorted(candidates, key=lambda slot: (-self.usage(slot), slot.shown))[:count]
        chosen.sort(key=lambda slot: slot.shown)
        made = []
        for one in chosen:
            powers = [np.exp(affinity(one, slot)) for slot in candidates]
            parts = zip(powers, candidates, strict=True)
            tokens = sum(power * slot.tokens for power, slot in parts) / sum(powers)
            group = [slot for slot in candidates if self.taken_by(slot, chosen) is one]
            times = sorted(at_s for slot in group for at_s in slot.times)
            attention = sum(slot.attention for slot in group)
            made.append(replace(one, times=times, tokens=tokens, attention=attention))
        for one in made:
            one.prototype = True
        self.slots = [slot for slot in self.slots if slot not in candidates] + made
        self.slots.sort(key=lambda slot: slot.shown)

    def taken_by(self, slot: Slot, chosen: list[Slot]) -> Slot:
        """Return the prototype nearest to a candidate, which is itself where it is one."""
        return slot if slot in chosen else max(chosen, key=lambda one: affinity(one, slot))


def assert_same(ours: Lone, twin: Twin) -> None:
    assert ours.strategy.state() == {"reads": twin.reads}
    rows = ours.rows()
    assert [
        (row.source_id, row.start_s, row.end_s, row.count, bool(row.merged_from)) for row in rows
    ] == [
        (slot.source, slot.times[0], slot.times[-1], slot.count, slot.prototype)
        for slot in twin.slots
    ]
    for row, slot in zip(rows, twin.slots, strict=True):
        assert row.mean_s == pytest.approx(np.mean(slot.times))
        assert row.attention == pytest.approx(slot.attention, rel=1e-4, abs=1e-6)
        key, visual = ours.vectors(row)
        assert (key == slot.key).all() and (visual == slot.visual).all()
        assert ours.tokens[row.entry_id] == pytest.approx(slot.tokens, rel=2e-3, abs=2e-3)


def run(
    count: int, room: int, *, sources: str = "a", seed: int = 0, keys: np.ndarray | None = None
) -> tuple[Lone, Twin]:
    """Push the same frames to both and keep both to `room` entries."""
    rng = np.random.default_rng(seed)
    ours, twin = Lone("prototype", dim=DIM, visual_dim=VISUAL_DIM), Twin()
    keys = noisy_scenes(rng, count, DIM) if keys is None else keys
    visuals = noisy_scenes(rng, count, VISUAL_DIM)
    for at_s, (key, visual) in enumerate(zip(keys, visuals, strict=True)):
        source = str(rng.choice(list(sources)))
        tokens = rng.normal(size=(3, 2)).astype(np.float16)
        for one in (ours, twin):
            one.push(float(at_s), key, visual, source=source, tokens=tokens)
            one.keep(room)
    return ours, twin


@pytest.mark.parametrize("sources", ["a", "ab"])
@pytest.mark.parametrize(
    ("count", "room"), [(1, 1), (63, 7), (500, 150), (257, 100), (90, 1), (40, 2), (70, 64)]
)
def test_streams_are_consolidated_as_in_the_twin(count: int, room: int, sources: str) -> None:
    ours, twin = run(count, room, sources=sources)
    assert_same(ours, twin)
    assert 0 < len(ours) <= room


@pytest.mark.parametrize("seed", range(4))
def test_equal_usage_and_equal_keys_choose_the_earliest_as_in_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.eye(DIM, dtype=np.float16)[rng.integers(0, 4, 150)]
    assert_same(*run(150, 40, seed=seed, keys=keys))


def test_an_entry_that_is_recalled_becomes_a_prototype_with_its_own_features() -> None:
    rng = np.random.default_rng(3)
    keys, visuals = noisy_scenes(rng, 64, DIM), noisy_scenes(rng, 64, VISUAL_DIM)
    ours = Lone("prototype", dim=DIM, visual_dim=VISUAL_DIM)
    for at_s in range(64):
        ours.push(float(at_s), keys[at_s], visuals[at_s])
    for row in ours.rows()[41:64:3]:
        for _ in range(70):
            ours.strategy.used(row)
    ours.keep(63)
    assert [row.thumbnail_id for row in ours.rows()] == list(range(42, 65, 3))
    for row in ours.rows():
        key, visual = ours.index.vectors(row.entry_id)
        assert (key == keys[row.thumbnail_id - 1]).all()
        assert (visual == visuals[row.thumbnail_id - 1]).all()
    assert sum(row.count for row in ours.rows()) == 64


def test_where_candidates_are_too_few_the_least_used_prototype_goes() -> None:
    rng = np.random.default_rng(4)
    keys, visuals = noisy_scenes(rng, 66, DIM), noisy_scenes(rng, 66, VISUAL_DIM)
    ours = Lone("prototype", dim=DIM, visual_dim=VISUAL_DIM)
    for at_s in range(64):
        ours.push(float(at_s), keys[at_s], visuals[at_s])
    ours.keep(63)
    first, *others = ours.rows()
    for row in others:
        for _ in range(1000):
            ours.strategy.used(row)
    for at_s in (64, 65):
        ours.push(float(at_s), keys[at_s], visuals[at_s])
    ours.keep(9)
    assert ours.gone[first.entry_id] is None
    assert {row.entry_id for row in others} < {row.entry_id for row in ours.rows()}
    assert [row.count for row in ours.rows()][-2:] == [1, 1]


def test_entries_of_different_tokens_make_a_prototype_without_any() -> None:
    rng = np.random.default_rng(5)
    ours = Lone("prototype", dim=DIM, visual_dim=VISUAL_DIM)
    for at_s in range(8):
        tokens = np.zeros((1 + at_s % 2, 2), dtype=np.float16)
        key, visual = (noisy_scenes(rng, 1, size)[0] for size in (DIM, VISUAL_DIM))
        ours.push(float(at_s), key, visual, tokens=tokens)
    ours.keep(1)
    assert len(ours) == 1 and ours.tokens == {}


def taken_up(ours: Lone) -> Lone:
    """Return the memory as a file would give it back."""
    again = Lone("prototype", dim=DIM, visual_dim=VISUAL_DIM, state=ours.strategy.state())
    again.next_id = ours.next_id
    rows = copy.deepcopy(ours.rows())
    for row in rows:
        again.put_in(row, *ours.index.vectors(row.entry_id), ours.tokens.get(row.entry_id))
    again.strategy.restore(rows)
    return again


@pytest.mark.parametrize("room", [10, 100])
def test_a_memory_that_is_taken_up_goes_on_the_same(room: int) -> None:
    ours, _ = run(150, room, sources="ab")
    again = taken_up(ours)
    rng = np.random.default_rng(6)
    keys, visuals = noisy_scenes(rng, 100, DIM), noisy_scenes(rng, 100, VISUAL_DIM)
    for at_s, (key, visual) in enumerate(zip(keys, visuals, strict=True)):
        for one in (ours, again):
            one.push(150.0 + at_s, key, visual)
            one.keep(room)
    assert again.rows() == ours.rows()


def test_an_entry_that_is_put_back_has_its_old_place_among_the_candidates() -> None:
    ours, _ = run(90, 90)
    row = ours.rows()[3]
    key, visual = (vector.copy() for vector in ours.index.vectors(row.entry_id))
    ours.forget(row)
    ours.put_in(row, key, visual, None)
    ours.strategy.add(row)
    again = taken_up(ours)
    for one in (ours, again):
        one.keep(70)
    assert again.rows() == ours.rows()
    assert min(row.thumbnail_id for row in ours.rows() if not row.merged_from) > row.thumbnail_id

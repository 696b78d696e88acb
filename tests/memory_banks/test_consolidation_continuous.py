"""Contraction of whole entries against a plain float64 form, and what must hold for any stream."""

import copy
import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_banks.consolidation.choose import choose_consolidation
from memory_banks.consolidation.continuous import Continuous, spread
from memory_banks.consolidation.step import Step, Surroundings
from memory_banks.entries import Row
from memory_banks.settings import MemoryConfig
from memory_banks.vectors.index import VectorIndex
from tests.memory_banks.streams import unit

DIM, VISUAL_DIM = 6, 4
HOLE_S = 5.0


class Bench:
    """A strategy with an index around it and a log of its steps."""

    def __init__(self, *, tau: float = 0.75, sticky: bool = True) -> None:
        self.index = VectorIndex(dim=DIM, visual_dim=VISUAL_DIM)
        self.next_id = 1
        self.gone: dict[int, int | None] = {}
        self.steps = 0
        self.changed: set[int] = set()
        self.around = Surroundings(
            config=MemoryConfig(consolidation="continuous"),
            numbers=DIM + VISUAL_DIM,
            index=self.index,
            tokens={},
            may_merge=lambda left, right: right.start_s - left.end_s <= HOLE_S,
            new_id=self.new_id,
            carry_out=self.carry_out,
            changed=lambda row: self.changed.add(row.entry_id),
        )
        self.strategy = Continuous(self.around, {}, tau=tau, sticky=sticky)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def carry_out(self, step: Step) -> None:
        self.steps += 1
        for row, into in step.gone:
            assert row.entry_id not in self.gone
            self.gone[row.entry_id] = into
            self.index.remove(row.entry_id)
        for made in step.made:
            self.index.add(
                made.row.entry_id, key=made.key, visual=made.visual, source=1, end_s=made.row.end_s
            )

    def push(self, at_s: float, key: np.ndarray, visual: np.ndarray, *, source: str = "a") -> Row:
        number = self.new_id()
        row = Row(number, source, at_s, at_s, at_s, 1, number, 100, tier="long_term")
        self.index.add(number, key=key, visual=visual, source=1, end_s=at_s)
        self.strategy.add(row)
        return row

    def fill(self, count: int, *, seed: int = 0, source: str = "a") -> list[Row]:
        rng = np.random.default_rng(seed)
        return [
            self.push(float(i), unit(rng, DIM), unit(rng, VISUAL_DIM), source=source)
            for i in range(count)
        ]

    def rows(self, source: str = "a") -> list[Row]:
        rows = [row for row in self.strategy if row.source_id == source]
        return sorted(rows, key=lambda row: row.thumbnail_id)

    def sizes(self, source: str = "a") -> list[int]:
        return [row.count for row in self.rows(source)]


@dataclass
class Plain:
    """An entry of the plain form: its frames, and the directions of its two means."""

    frames: list[float]
    key: np.ndarray
    visual: np.ndarray
    attention: float = 0.0

    @property
    def count(self) -> int:
        return len(self.frames)


def mean(parts: list[Plain], name: str) -> np.ndarray:
    total = sum(part.count * getattr(part, name) for part in parts)
    return np.asarray(total / np.linalg.norm(total))


def plain_shares(weights: list[float], total: int) -> list[float]:
    """Return min(1, scale w) that add up to `total`; the scale is found by halving."""
    low, high = 0.0, 2.0 * len(weights) / min(weights)
    for _ in range(200):
        middle = (low + high) / 2
        if sum(min(1.0, middle * weight) for weight in weights) < total:
            low = middle
        else:
            high = middle
    return [min(1.0, high * weight) for weight in weights]


def plain_contraction(entries: list[Plain], tau: float, sticky: bool) -> list[Plain]:
    """Contract the entries of one source."""
    joints = [
        (left, right)
        for left, right in pairwise(range(len(entries)))
        if entries[right].frames[0] - entries[left].frames[-1] <= HOLE_S
    ]
    weights = [
        2 + (entries[left].attention + entries[right].attention if sticky else 0)
        for left, right in joints
    ]
    closed = set()
    if joints:
        stay = min(math.ceil(Fraction(str(tau)) * (len(joints) + 1)), len(joints))
        weights.append(2 + (2 * entries[-1].attention if sticky else 0))
        passed, total = 0, 0.0
        for (_, right), share in zip(joints, plain_shares(weights, stay), strict=False):
            total += share
            if math.floor(total + 1e-6) == passed:
                closed.add(right)
            passed = math.floor(total + 1e-6)
    groups: list[list[Plain]] = []
    for place, entry in enumerate(entries):
        if place in closed:
            groups[-1].append(entry)
        else:
            groups.append([entry])
    return [
        Plain(
            [at for part in group for at in part.frames],
            mean(group, "key"),
            mean(group, "visual"),
            sum(part.attention / 2 if part.attention > 0.1 else 0.0 for part in group),
        )
        for group in groups
    ]


@dataclass
class Held:
    """What the plain form holds of each source."""

    sources: dict[str, list[Plain]] = field(default_factory=lambda: {"a": [], "b": []})

    def __len__(self) -> int:
        return sum(len(one) for one in self.sources.values())


@pytest.mark.parametrize("limit", [3, 17, 63])
@pytest.mark.parametrize("tau", [0.75, 0.5, 0.3])
@pytest.mark.parametrize("sticky", [True, False])
def test_entries_are_those_of_the_plain_form(limit: int, tau: float, sticky: bool) -> None:
    rng = np.random.default_rng(limit)
    bench, held = Bench(tau=tau, sticky=sticky), Held()
    at_s = {"a": 0.0, "b": 100.0}
    for _ in range(500):
        source = str(rng.choice(["a", "b"], p=[0.8, 0.2]))
        at_s[source] += float(rng.choice([1.0, 9.0], p=[0.9, 0.1]))
        key, visual = unit(rng, DIM), unit(rng, VISUAL_DIM)
        bench.push(at_s[source], key, visual, source=source)
        held.sources[source].append(Plain([at_s[source]], key, visual))
        if rng.random() < 0.3:
            rows = bench.rows(source)
            place = int(rng.integers(len(rows)))
            bench.strategy.used(rows[place])
            held.sources[source][place].attention += 1
        while len(bench.strategy) > limit:
            oldest = min(bench.strategy, key=lambda row: row.thumbnail_id)
            assert bench.strategy.make_room()
            contracted = Held(
                {
                    name: plain_contraction(entries, tau, sticky)
                    for name, entries in held.sources.items()
                }
            )
            if len(contracted) < len(held):
                held = contracted
            else:
                held.sources[oldest.source_id].pop(0)
        for name, entries in held.sources.items():
            rows = bench.rows(name)
            assert [row.count for row in rows] == [entry.count for entry in entries]
            for row, entry in zip(rows, entries, strict=True):
                assert (row.start_s, row.end_s) == (entry.frames[0], entry.frames[-1])
                assert row.mean_s == pytest.approx(np.mean(entry.frames))
                assert row.attention == pytest.approx(entry.attention)
    for name, entries in held.sources.items():
        for row, entry in zip(bench.rows(name), entries, strict=True):
            stored = bench.index.vectors(row.entry_id)
            for found, whole in zip(stored, (entry.key, entry.visual), strict=True):
                length = np.linalg.norm(found.astype(np.float64))
                assert found / length == pytest.approx(whole / np.linalg.norm(whole), abs=0.01)


@pytest.mark.parametrize("tau", [0.75, 0.55, 0.9])
@pytest.mark.parametrize("count", [2, 3, 4, 63, 100, 500])
def test_one_step_makes_of_a_source_a_share_of_groups_as_even_as_can_be(
    tau: float, count: int
) -> None:
    bench = Bench(tau=tau)
    bench.fill(count)
    assert bench.strategy.make_room()
    sizes = bench.sizes()
    assert bench.steps == 1
    assert len(sizes) == min(math.ceil(Fraction(str(tau)) * count), count - 1)
    assert sum(sizes) == count and set(sizes) <= {1, 2}
    doubles = [place for place, size in enumerate(sizes) if size == 2]
    assert len(set(np.diff(doubles))) <= 2
    assert sorted(bench.gone) == sorted(one for row in bench.rows() for one in row.merged_from)


def test_groups_are_small_where_recalls_look_and_large_elsewhere() -> None:
    bench = Bench()
    rows = bench.fill(80)
    for _ in range(3):
        for row in rows[40:60]:
            bench.strategy.used(row)
    bench.strategy.make_room()
    assert len(bench.strategy) == 60
    assert all(row.count == 1 for row in bench.rows() if 40 <= row.start_s < 60)
    before = [row for row in bench.rows() if row.end_s < 40]
    assert sum(row.count for row in before) == 40 and len(before) < 28
    assert {row.attention for row in bench.rows() if row.count == 1} == {0.0, 1.5}
    assert set(range(41, 61)) <= bench.changed


def test_an_entry_that_was_read_once_among_many_stays_alone() -> None:
    bench = Bench()
    row = bench.fill(400)[201]
    bench.strategy.used(row)
    bench.strategy.make_room()
    assert row in list(bench.strategy) and row.attention == 0.5
    for _ in range(4):
        bench.strategy.make_room()
    assert all(one.attention == 0.0 for one in bench.strategy)


def test_nothing_merges_over_a_hole_and_the_oldest_goes_where_nothing_may_merge() -> None:
    bench = Bench()
    rng = np.random.default_rng(5)
    for i in range(4):
        bench.push(10.0 * i, unit(rng, DIM), unit(rng, VISUAL_DIM))
    for left in (3, 2, 1, 0):
        assert bench.strategy.make_room()
        assert len(bench.strategy) == left
    assert bench.gone == {1: None, 2: None, 3: None, 4: None}
    assert not bench.strategy.make_room()


def test_a_removed_entry_is_in_no_group() -> None:
    bench = Bench()
    rows = bench.fill(9)
    bench.strategy.remove(rows[1].entry_id)
    bench.index.remove(rows[1].entry_id)
    bench.strategy.make_room()
    assert sum(bench.sizes()) == 8
    assert all(rows[1].entry_id not in row.merged_from for row in bench.rows())


def test_a_memory_that_is_opened_again_goes_on_the_same() -> None:
    first = Bench()
    rng = np.random.default_rng(8)
    for i in range(300):
        source = "b" if i % 3 == 0 else "a"
        row = first.push(float(i), unit(rng, DIM), unit(rng, VISUAL_DIM), source=source)
        if i % 7 == 0:
            first.strategy.used(row)
        if i == 150:
            first.strategy.remove(first.rows("b")[0].entry_id)
        while len(first.strategy) > 30:
            first.strategy.make_room()
    again = copy.deepcopy(first.rows("b") + first.rows("a"))
    again.sort(key=lambda row: row.thumbnail_id)
    second = Bench()
    second.next_id = first.next_id
    for row in again:
        key, visual = first.index.vectors(row.entry_id)
        second.index.add(row.entry_id, key=key, visual=visual, source=1, end_s=row.end_s)
    second.strategy = Continuous(second.around, first.strategy.state())
    second.strategy.restore(again)
    for bench in (first, second):
        bench.strategy.make_room()
        bench.strategy.make_room()
    for source in ("a", "b"):
        assert first.rows(source) == second.rows(source)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    count=st.integers(0, 120),
    limit=st.integers(0, 30),
    tau=st.sampled_from([0.75, 0.2, 0.95]),
    seed=st.integers(0, 1000),
)
def test_frames_times_and_ids_are_accounted_for(
    count: int, limit: int, tau: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(tau=tau)
    at_s = 0.0
    counts: dict[int, int] = {}
    for _ in range(count):
        at_s += float(rng.choice([0.0, 1.0, 8.0], p=[0.1, 0.8, 0.1]))
        counts[bench.push(at_s, unit(rng, DIM), unit(rng, VISUAL_DIM)).entry_id] = 1
        if len(bench.strategy) and rng.random() < 0.2:
            bench.strategy.used(bench.rows()[int(rng.integers(len(bench.strategy)))])
        while len(bench.strategy) > limit:
            before = len(bench.strategy)
            assert bench.strategy.make_room() and len(bench.strategy) < before
        counts |= {row.entry_id: row.count for row in bench.strategy}
    rows = bench.rows()
    lost = sum(counts[one] for one, into in bench.gone.items() if into is None)
    assert sum(row.count for row in rows) + lost == count
    assert all(row.start_s <= row.mean_s <= row.end_s for row in rows)
    assert all(left.end_s <= right.start_s for left, right in pairwise(rows))
    held = {row.entry_id for row in rows}
    assert held | bench.gone.keys() == set(range(1, bench.next_id))
    assert not held & bench.gone.keys()
    assert set(bench.gone.values()) <= held | bench.gone.keys() | {None}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    weights=st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=60),
    part=st.floats(0, 1, exclude_max=True),
)
def test_shares_are_those_of_a_search_for_their_scale(weights: list[float], part: float) -> None:
    total = int(part * len(weights))
    found = spread(np.array(weights), total=total)
    assert found.sum() == pytest.approx(total)
    assert found == pytest.approx(np.array(plain_shares(weights, total)), abs=1e-6)


def test_it_is_chosen_by_name() -> None:
    assert isinstance(choose_consolidation(Bench().around, {}), Continuous)

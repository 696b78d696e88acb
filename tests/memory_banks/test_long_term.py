"""Long-term merging against a twin that compares every pair again at each step."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from memory_banks.entries import Row
from memory_banks.index import VectorIndex
from memory_banks.long_term import LongTerm
from tests.memory_banks.streams import unit

HOLE_S = 5.0


@dataclass
class Slot:
    """An entry of the twin: frames `first..last`, mean directions in float64."""

    first: int
    last: int
    start_s: float
    end_s: float
    count: int
    key: np.ndarray
    visual: np.ndarray


def ward(a: Slot, b: Slot, *, floor: int) -> float:
    apart = ((a.key - b.key) ** 2).sum() + ((a.visual - b.visual) ** 2).sum()
    weights = max(a.count, floor), max(b.count, floor)
    return weights[0] * weights[1] / sum(weights) * apart


def joined(a: Slot, b: Slot, *, as_stored: bool) -> Slot:
    count = a.count + b.count
    vectors = []
    for left, right in ((a.key, b.key), (a.visual, b.visual)):
        mean = (a.count * left + b.count * right) / count
        mean = mean / np.linalg.norm(mean)
        stored = mean.astype(np.float32).astype(np.float16).astype(np.float64)
        vectors.append(stored if as_stored else mean)
    return Slot(a.first, b.last, a.start_s, b.end_s, count, *vectors)


def twin(times: np.ndarray, keys: np.ndarray, visuals: np.ndarray, *, room: int, as_stored: bool):
    """Merge by comparing all neighbours anew before each merge, in float64."""
    slots: list[Slot] = []
    floor = 1
    for i, time_s in enumerate(times):
        slots.append(Slot(i, i, time_s, time_s, 1, keys[i].astype(float), visuals[i].astype(float)))
        while len(slots) > room:
            average = (i + 1) / len(slots)
            while average >= 2 * floor:
                floor *= 2
            pairs = [
                (ward(a, b, floor=floor), a.start_s, at)
                for at, (a, b) in enumerate(pairwise(slots))
                if b.start_s - a.end_s <= HOLE_S
            ]
            if not pairs:
                break
            at = min(pairs)[2]
            slots[at : at + 2] = [joined(slots[at], slots[at + 1], as_stored=as_stored)]
    return slots


def ours(times: np.ndarray, keys: np.ndarray, visuals: np.ndarray, *, room: int):
    """Return the rows in order of time, and the index."""
    index = VectorIndex(dim=keys.shape[1], visual_dim=visuals.shape[1])
    bank = LongTerm(index, may_merge=lambda left, right: right.start_s - left.end_s <= HOLE_S)
    next_id = len(times) + 1
    for i, time_s in enumerate(times.tolist()):
        index.add(i + 1, key=keys[i], visual=visuals[i], source=0, end_s=time_s)
        bank.add(Row(i + 1, "a", time_s, time_s, time_s, 1, i + 1, 0))
        while len(bank) > room and (pair := bank.cheapest()):
            bank.merge(*pair, new_id=next_id, source=0)
            next_id += 1
    return sorted(bank, key=lambda row: row.start_s), index


def noisy_scenes(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    vectors, base = [], unit(rng, dim)
    for _ in range(count):
        base = unit(rng, dim) if rng.random() < 0.15 else base
        vector = base + 0.2 * rng.normal(size=dim)
        vectors.append(vector / np.linalg.norm(vector))
    return np.array(vectors).astype(np.float16)


@pytest.mark.parametrize(
    ("seed", "count", "room"), [(0, 1, 1), (1, 63, 7), (2, 300, 40), (3, 500, 2), (4, 257, 100)]
)
def test_streams_with_holes_merge_as_in_the_twin(seed: int, count: int, room: int) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([0.0, 0.5, 1.0, 20.0], size=count, p=[0.05, 0.4, 0.52, 0.03]))
    keys, visuals = noisy_scenes(rng, count, 16), noisy_scenes(rng, count, 6)
    rows, index = ours(times, keys, visuals, room=room)
    expected = twin(times, keys, visuals, room=room, as_stored=False)
    assert [(r.start_s, r.end_s, r.count) for r in rows] == [
        (s.start_s, s.end_s, s.count) for s in expected
    ]
    for row, slot in zip(rows, expected, strict=True):
        assert row.mean_s == pytest.approx(times[slot.first : slot.last + 1].mean())
        key, visual = index.vectors(row.entry_id)
        assert np.abs(key - slot.key).max() < 4e-3
        assert np.abs(visual - slot.visual).max() < 4e-3


@pytest.mark.parametrize("seed", range(4))
def test_equal_losses_merge_earliest_first_as_in_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = 120
    keys = np.eye(4, dtype=np.float16)[rng.integers(0, 4, count)]
    visuals = np.eye(2, dtype=np.float16)[rng.integers(0, 2, count)]
    times = np.arange(count, dtype=float)
    for room in (60, 20):
        rows, _ = ours(times, keys, visuals, room=room)
        expected = twin(times, keys, visuals, room=room, as_stored=True)
        assert [(r.start_s, r.count) for r in rows] == [(s.start_s, s.count) for s in expected]


def test_merging_loses_less_than_uniform_thinning() -> None:
    rng = np.random.default_rng(5)
    keys, visuals = noisy_scenes(rng, 400, 16), noisy_scenes(rng, 400, 6)
    rows, index = ours(np.arange(400.0), keys, visuals, room=60)
    merged = np.concatenate([np.repeat([index.vectors(r.entry_id)[0]], r.count, 0) for r in rows])
    thinned = keys[np.minimum(np.arange(400) * 60 // 400 * 400 // 60, 399)]
    loss = [((kept.astype(float) - keys) ** 2).sum() for kept in (merged, thinned)]
    assert loss[0] < 0.5 * loss[1]


def test_sources_never_merge_and_removal_makes_neighbours() -> None:
    index = VectorIndex(dim=2, visual_dim=2)
    bank = LongTerm(index, may_merge=lambda left, right: True)
    same = np.array([1.0, 0.0], dtype=np.float32)
    for i, source in enumerate("abaaab"):
        index.add(i, key=same, visual=same, source=0, end_s=float(i))
        bank.add(Row(i, source, float(i), float(i), float(i), 1, i, 0))
    bank.remove(2)
    bank.remove(0)
    assert bank.oldest().entry_id == 1
    merged = []
    next_id = 10
    while pair := bank.cheapest():
        merged.append(tuple(row.entry_id for row in pair))
        bank.merge(*pair, new_id=next_id, source=0)
        next_id += 1
    assert merged == [(1, 5), (3, 4)]
    assert sorted((row.source_id, row.count) for row in bank) == [("a", 2), ("b", 2)]
    for row in list(bank):
        bank.remove(row.entry_id)
    assert bank.cheapest() is None and len(bank) == 0


def test_the_heap_stays_in_proportion_to_what_is_held() -> None:
    rng = np.random.default_rng(6)
    index = VectorIndex(dim=4, visual_dim=2)
    bank = LongTerm(index, may_merge=lambda left, right: True)
    for i in range(2000):
        index.add(2 * i, key=unit(rng, 4), visual=unit(rng, 2), source=0, end_s=float(i))
        bank.add(Row(2 * i, "a", float(i), float(i), float(i), 1, 2 * i, 0))
        while len(bank) > 30 and (pair := bank.cheapest()):
            bank.merge(*pair, new_id=2 * i + 1, source=0)
        assert len(bank._heap) <= 2 * len(bank) + 66


def test_the_end_of_a_long_stream_is_kept_as_finely_as_its_beginning() -> None:
    rng = np.random.default_rng(7)
    keys, visuals = noisy_scenes(rng, 3000, 16), noisy_scenes(rng, 3000, 6)
    rows, _ = ours(np.arange(3000.0), keys, visuals, room=60)
    thirds = [sum(third <= row.start_s / 1000 < third + 1 for row in rows) for third in range(3)]
    assert min(thirds) >= 12
    assert max(row.count for row in rows) < 10 * 3000 / 60


def test_the_floor_follows_the_average_up_and_down() -> None:
    rng = np.random.default_rng(8)
    index = VectorIndex(dim=4, visual_dim=2)
    bank = LongTerm(index, may_merge=lambda left, right: True)
    for i in range(64):
        index.add(i, key=unit(rng, 4), visual=unit(rng, 2), source=0, end_s=float(i))
        bank.add(Row(i, "a", float(i), float(i), float(i), 1, i, 0))
    next_id = 100
    while len(bank) > 4 and (pair := bank.cheapest()):
        bank.merge(*pair, new_id=next_id, source=0)
        next_id += 1
    bank.cheapest()
    assert bank.floor == 16
    for row in sorted(bank, key=lambda row: -row.count)[:3]:
        bank.remove(row.entry_id)
    assert bank.floor == 16
    (left,) = bank
    for i in range(200, 200 + 3 * left.count):
        index.add(i, key=unit(rng, 4), visual=unit(rng, 2), source=0, end_s=float(i))
        bank.add(Row(i, "a", float(i), float(i), float(i), 1, i, 0))
    bank.cheapest()
    assert bank.floor == 1

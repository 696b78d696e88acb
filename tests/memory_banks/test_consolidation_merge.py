"""MovieChat's merging of neighbours against a twin that compares every pair again at each step."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from tests.memory_banks.lone_strategy import HOLE_S, Lone, noisy_scenes

DIM, VISUAL_DIM = 16, 6


@dataclass
class Slot:
    """An entry of the twin: the times of its frames, which of them it shows, and its means."""

    number: int
    shown: int
    times: list[float]
    key: np.ndarray
    visual: np.ndarray

    @property
    def count(self) -> int:
        return len(self.times)


def similarity(a: Slot, b: Slot) -> float:
    """Return the mean of both cosines, of directions that have unit length."""
    return float(a.key @ b.key + a.visual @ b.visual) / 2


def mean(a: Slot, b: Slot, *, number: int) -> Slot:
    directions = []
    for left, right in ((a.key, b.key), (a.visual, b.visual)):
        middle = (a.count * left + b.count * right) / (a.count + b.count)
        directions.append(as_stored(middle / np.linalg.norm(middle)))
    shown = b.shown if b.count > a.count else a.shown
    return Slot(number, shown, a.times + b.times, *directions)


def as_stored(vector: np.ndarray) -> np.ndarray:
    return vector.astype(np.float32).astype(np.float16).astype(np.float64)


class Twin:
    """Buffers of slots, one a source; the most similar neighbours of all are averaged."""

    def __init__(self) -> None:
        self.buffers: dict[str, list[Slot]] = {}
        self.next_number = 1

    def push(self, at_s: float, key: np.ndarray, visual: np.ndarray, *, source: str) -> None:
        number = self.number()
        slot = Slot(number, number, [at_s], key.astype(np.float64), visual.astype(np.float64))
        self.buffers.setdefault(source, []).append(slot)

    def number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def keep(self, room: int) -> None:
        while sum(map(len, self.buffers.values())) > room:
            pairs = [
                (-similarity(left, right), left.times[0], left.number, source, place)
                for source, buffer in self.buffers.items()
                for place, (left, right) in enumerate(pairwise(buffer))
                if right.times[0] - left.times[-1] <= HOLE_S
            ]
            if pairs:
                *_, source, place = min(pairs)
                buffer = self.buffers[source]
                buffer[place : place + 2] = [mean(*buffer[place : place + 2], number=self.number())]
            else:
                oldest = min((b for b in self.buffers.values() if b), key=lambda b: b[0].shown)
                oldest.pop(0)


def assert_same(ours: Lone, twin: Twin) -> None:
    for source, buffer in twin.buffers.items():
        rows = ours.rows(source)
        assert [(row.start_s, row.end_s, row.count) for row in rows] == [
            (slot.times[0], slot.times[-1], slot.count) for slot in buffer
        ]
        for row, slot in zip(rows, buffer, strict=True):
            assert row.mean_s == pytest.approx(np.mean(slot.times))
            key, visual = ours.vectors(row)
            assert np.abs(key - slot.key).max() < 4e-3
            assert np.abs(visual - slot.visual).max() < 4e-3


def run(
    seed: int, count: int, room: int, *, sources: str, keys: np.ndarray, visuals: np.ndarray
) -> tuple[Lone, Twin]:
    """Push the same frames, with holes, to both and keep both to `room` entries."""
    rng = np.random.default_rng(seed)
    ours, twin = Lone("merge", dim=keys.shape[1], visual_dim=visuals.shape[1]), Twin()
    at_s = {source: 17.0 * place for place, source in enumerate(sources)}
    for key, visual in zip(keys, visuals, strict=True):
        source = str(rng.choice(list(sources)))
        at_s[source] += float(rng.choice([0.0, 0.5, 1.0, 20.0], p=[0.05, 0.4, 0.52, 0.03]))
        for one in (ours, twin):
            one.push(at_s[source], key, visual, source=source)
            one.keep(room)
    assert len(ours) == min(room, count)
    return ours, twin


@pytest.mark.parametrize("sources", ["a", "abc"])
@pytest.mark.parametrize(("count", "room"), [(1, 1), (63, 7), (500, 40), (500, 2), (257, 100)])
def test_streams_with_holes_merge_as_in_the_twin(count: int, room: int, sources: str) -> None:
    rng = np.random.default_rng(count + room)
    keys, visuals = noisy_scenes(rng, count, DIM), noisy_scenes(rng, count, VISUAL_DIM)
    assert_same(*run(room, count, room, sources=sources, keys=keys, visuals=visuals))


@pytest.mark.parametrize("seed", range(4))
def test_equal_similarities_merge_earliest_first_as_in_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.eye(4, dtype=np.float16)[rng.integers(0, 4, 120)]
    visuals = np.eye(2, dtype=np.float16)[rng.integers(0, 2, 120)]
    for room in (60, 20):
        assert_same(*run(seed, 120, room, sources="ab", keys=keys, visuals=visuals))


def test_deleting_makes_neighbours_as_in_the_twin() -> None:
    rng = np.random.default_rng(9)
    ours, twin = Lone("merge", dim=DIM, visual_dim=VISUAL_DIM), Twin()
    for at_s in range(300):
        key, visual = (noisy_scenes(rng, 1, size)[0] for size in (DIM, VISUAL_DIM))
        for one in (ours, twin):
            one.push(float(at_s), key, visual, source="a")
            one.keep(30)
        if at_s % 4 == 0:
            place = int(rng.integers(len(ours)))
            ours.forget(ours.rows()[place])
            del twin.buffers["a"][place]
    assert_same(ours, twin)


def test_times_and_counts_survive_every_merge() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.uniform(0.1, 1.0, 400))
    keys, visuals = noisy_scenes(rng, 400, DIM), noisy_scenes(rng, 400, VISUAL_DIM)
    ours = Lone("merge", dim=DIM, visual_dim=VISUAL_DIM)
    for at_s, key, visual in zip(times.tolist(), keys, visuals, strict=True):
        ours.push(at_s, key, visual)
        ours.keep(12)
    passed = 0
    for row in ours.rows():
        own = times[passed : passed + row.count]
        assert (row.start_s, row.end_s) == (own[0], own[-1])
        assert row.mean_s == pytest.approx(own.mean())
        assert len(row.merged_from) == (2 if row.count > 1 else 0)
        passed += row.count
    assert passed == 400


def test_what_is_recalled_is_merged_like_anything_else() -> None:
    rng = np.random.default_rng(6)
    keys, visuals = noisy_scenes(rng, 60, DIM), noisy_scenes(rng, 60, VISUAL_DIM)
    held = []
    for recalls in (0, 5):
        ours = Lone("merge", dim=DIM, visual_dim=VISUAL_DIM)
        for at_s in range(60):
            row = ours.push(float(at_s), keys[at_s], visuals[at_s])
            for _ in range(recalls):
                ours.strategy.used(row)
            ours.keep(10)
        held.append([(row.start_s, row.count) for row in ours.rows()])
    assert held[0] == held[1]

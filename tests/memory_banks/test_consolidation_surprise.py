"""Surprise against a twin that computes every distance and every cost anew before each merge."""

import copy
import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from memory_banks.consolidation.sketches import ALONE, BITS, Sketches
from memory_banks.consolidation.surprise import (
    ELSEWHERE,
    HOLE,
    LEAST_RARITY,
    LEAST_SHARE,
    MEMORY_OF_NOISE,
    OTHER_SCENE,
)
from tests.memory_banks.lone_strategy import HOLE_S, Lone, noisy_scenes
from tests.memory_banks.streams import unit

DIM, VISUAL_DIM = 16, 6


@dataclass(eq=False)
class Slot:
    """An entry of the twin: the times of its frames, and its mean directions in float64."""

    number: int
    shown: int
    times: list[float]
    key: np.ndarray
    visual: np.ndarray
    sketch: int
    attention: float = 0.0

    @property
    def count(self) -> int:
        return len(self.times)


def squared_distance(a: Slot, b: Slot) -> float:
    return float(((a.key - b.key) ** 2).sum() + ((a.visual - b.visual) ** 2).sum())


def as_stored(vector: np.ndarray) -> np.ndarray:
    return vector.astype(np.float32).astype(np.float16)


class Twin:
    """Slots of each source in the order of time, compared all with all at every step."""

    def __init__(self, *, rarity_weight: float) -> None:
        self.sources: dict[str, list[Slot]] = {}
        self.rarity_weight = rarity_weight
        self.sketches = Sketches(DIM + VISUAL_DIM, seed=0)
        self.floor = 1
        self.next_number = 1
        self.noise = self.noise_log = 0.0
        self.arrived = 0

    def slots(self) -> list[Slot]:
        return [slot for slots in self.sources.values() for slot in slots]

    def slot(
        self, shown: int | None, times: list[float], key: np.ndarray, visual: np.ndarray
    ) -> Slot:
        number, self.next_number = self.next_number, self.next_number + 1
        key, visual = as_stored(key), as_stored(visual)
        sketch = int.from_bytes(self.sketches.of(key, visual), "big")
        stored = key.astype(np.float64), visual.astype(np.float64)
        return Slot(number, number if shown is None else shown, times, *stored, sketch)

    def push(self, at_s: float, key: np.ndarray, visual: np.ndarray, *, source: str) -> None:
        slots = self.sources.setdefault(source, [])
        slots.append(self.slot(None, [at_s], key, visual))
        self.arrived += 1
        rarity = max(LEAST_RARITY, self.rarity(slots, len(slots) - 1))
        seen = min(self.arrived, MEMORY_OF_NOISE)
        self.noise_log += (math.log2(rarity) - self.noise_log) / seen
        self.noise = 2.0 ** round(self.noise_log)

    def keep(self, room: int) -> None:
        while len(self.slots()) > room:
            self.adjust_floor()
            pairs = [
                (self.cost(slots, place), left.times[0], left.number, source, place)
                for source, slots in self.sources.items()
                for place, (left, right) in enumerate(pairwise(slots))
                if right.times[0] - left.times[-1] <= HOLE_S
            ]
            alone = [
                (cost, slot.times[0], slot.number, source, place)
                for source, slots in self.sources.items()
                for place, slot in enumerate(slots)
                if (cost := self.cost_alone(slots, place)) is not None
            ]
            if pairs and (not alone or min(pairs)[0] <= min(alone)[0]):
                *_, source, place = min(pairs)
                slots = self.sources[source]
                slots[place : place + 2] = [self.merged(*slots[place : place + 2])]
            elif alone:
                *_, source, place = min(alone)
                self.sources[source].pop(place)
            else:
                oldest = min((s for s in self.sources.values() if s), key=lambda s: s[0].shown)
                oldest.pop(0)

    def adjust_floor(self) -> None:
        slots = self.slots()
        average = sum(slot.count for slot in slots) / len(slots)
        if average < self.floor / 2 or average >= self.floor * 2:
            floor = 2 ** math.floor(math.log2(average))
            for slot in slots:
                slot.attention *= min(1.0, self.floor / floor)
            self.floor = floor

    def rarity(self, slots: list[Slot], place: int) -> float:
        """Return the squared distance to the nearest of all but the two neighbours."""
        beside = slots[max(0, place - 1) : place + 2]
        apart = [
            (slot.sketch ^ slots[place].sketch).bit_count()
            for slot in self.slots()
            if slot not in beside
        ]
        return 4.0 * (1.0 - math.cos(math.pi * min(apart) / BITS)) if apart else ALONE

    def but_for_noise(self, square: float, *counts: int) -> float:
        noise = sum(self.noise / count for count in counts)
        return max(LEAST_SHARE * square, square - noise)

    def apart(self, left: Slot, right: Slot) -> float:
        return self.but_for_noise(squared_distance(left, right), left.count, right.count)

    def loss(self, slots: list[Slot], at: int, apart: float) -> float:
        slot, power = slots[at], self.rarity_weight
        rarity = self.but_for_noise(self.rarity(slots, at), slot.count) if power else ALONE
        told = apart ** (1.0 - power) * min(apart, rarity) ** power
        return (1.0 + slot.attention) * math.sqrt(max(slot.count, self.floor)) * told

    def cost(self, slots: list[Slot], place: int) -> float:
        apart = self.apart(slots[place], slots[place + 1])
        return self.loss(slots, place, apart) + self.loss(slots, place + 1, apart)

    def cost_alone(self, slots: list[Slot], place: int) -> float | None:
        beside = [at for at in (place - 1, place + 1) if 0 <= at < len(slots)]
        apart = min([ALONE, *(self.apart(slots[at], slots[place]) for at in beside)])
        if not self.rarity_weight or apart < OTHER_SCENE * self.noise:
            return None
        if self.rarity(slots, place) >= ELSEWHERE * apart:
            return None
        return HOLE * self.loss(slots, place, apart)

    def merged(self, left: Slot, right: Slot) -> Slot:
        directions = []
        for ours, theirs in ((left.key, right.key), (left.visual, right.visual)):
            mean = left.count * ours + right.count * theirs
            directions.append(mean / np.linalg.norm(mean))
        shown = right.shown if right.count > left.count else left.shown
        made = self.slot(shown, left.times + right.times, *directions)
        made.attention = left.attention + right.attention
        return made


def scenes(
    rng: np.random.Generator, count: int, *, known: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return keys and visual keys of the same scenes; see `noisy_scenes`."""
    both = noisy_scenes(rng, count, DIM + VISUAL_DIM, scenes=known).astype(np.float64)
    keys, visuals = np.split(both, [DIM], axis=1)
    unit_keys, unit_visuals = (
        part / np.linalg.norm(part, axis=1, keepdims=True) for part in (keys, visuals)
    )
    return unit_keys.astype(np.float16), unit_visuals.astype(np.float16)


def run(
    count: int,
    room: int,
    *,
    rarity_weight: float,
    known: int | None = None,
    seed: int = 0,
    recalls: float = 0.0,
    sources: str = "ab",
) -> tuple[Lone, Twin]:
    """Push the same frames, with holes and recalls, to both and keep both to `room` entries."""
    rng = np.random.default_rng(seed)
    ours = Lone("surprise", dim=DIM, visual_dim=VISUAL_DIM, rarity_weight=rarity_weight)
    twin = Twin(rarity_weight=rarity_weight)
    at_s = {source: 3.0 * place for place, source in enumerate(sources)}
    for key, visual in zip(*scenes(rng, count, known=known), strict=True):
        source = str(rng.choice(list(sources)))
        at_s[source] += float(rng.choice([0.0, 0.5, 1.0, 20.0], p=[0.05, 0.4, 0.52, 0.03]))
        for one in (ours, twin):
            one.push(at_s[source], key, visual, source=source)
            one.keep(room)
        if rng.random() < recalls:
            rows = ours.rows(source)
            place = int(rng.integers(len(rows)))
            ours.strategy.used(rows[place])
            if place < len(twin.sources[source]):
                twin.sources[source][place].attention += 1.0
    return ours, twin


def kept(ours: Lone, source: str) -> list[tuple[float, float, int]]:
    return [(row.start_s, row.end_s, row.count) for row in ours.rows(source)]


def kept_by_twin(twin: Twin, source: str) -> list[tuple[float, float, int]]:
    slots = twin.sources.get(source, ())
    return [(slot.times[0], slot.times[-1], slot.count) for slot in slots]


@pytest.mark.parametrize("known", [None, 5])
@pytest.mark.parametrize(("rarity_weight", "recalls"), [(0.0, 0.3), (0.5, 0.0), (0.9, 0.3)])
@pytest.mark.parametrize(
    ("seed", "count", "room"), [(0, 1, 1), (1, 63, 7), (2, 300, 40), (3, 200, 2), (4, 257, 100)]
)
def test_streams_with_holes_are_kept_as_in_the_twin(
    seed: int, count: int, room: int, rarity_weight: float, recalls: float, known: int | None
) -> None:
    ours, twin = run(
        count, room, rarity_weight=rarity_weight, known=known, seed=seed, recalls=recalls
    )
    assert ours.strategy.floor == twin.floor
    for source in "ab":
        assert kept(ours, source) == kept_by_twin(twin, source)
        for row, slot in zip(ours.rows(source), twin.sources.get(source, ()), strict=True):
            assert row.mean_s == pytest.approx(np.mean(slot.times))
            assert row.attention == pytest.approx(slot.attention)
            key, visual = ours.vectors(row)
            assert np.abs(key - slot.key).max() < 1e-3
            assert np.abs(visual - slot.visual).max() < 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_equal_costs_merge_earliest_first_as_in_the_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = np.eye(DIM)[rng.integers(0, 4, 120)]
    visuals = np.eye(VISUAL_DIM)[rng.integers(0, 2, 120)]
    for room in (60, 20):
        ours = Lone("surprise", dim=DIM, visual_dim=VISUAL_DIM, rarity_weight=0.0)
        twin = Twin(rarity_weight=0.0)
        for at_s, (key, visual) in enumerate(zip(keys, visuals, strict=True)):
            for one in (ours, twin):
                one.push(float(at_s), key, visual, source="a")
                one.keep(room)
        assert kept(ours, "a") == kept_by_twin(twin, "a")


def rare_among_scenes_that_return(name: str, **settings: float) -> int:
    """Return how many of 15 frames of their own kind are still told of at the end."""
    alive = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        known = [np.hstack([unit(rng, 32), unit(rng, 16)]) for _ in range(4)]
        frames: list[np.ndarray] = []
        while len(frames) < 600:
            scene = known[int(rng.integers(4))]
            frames += [scene + 0.05 * rng.normal(size=48) for _ in range(rng.integers(3, 10))]
        rare = {place: np.hstack([unit(rng, 32), unit(rng, 16)]) for place in (60, 150, 300)}
        ours = Lone(name, dim=32, visual_dim=16, **settings)
        for place, frame in enumerate(frames):
            key, visual = np.split(rare.get(place, frame), [32])
            ours.push(float(place), key / np.linalg.norm(key), visual / np.linalg.norm(visual))
            ours.keep(20)
        keys = np.array([ours.vectors(row)[0] for row in ours.rows()])
        alive += sum(float((keys @ one[:32]).max()) > 0.9 for one in rare.values())
    return alive


def test_what_was_seen_once_outlives_scenes_that_come_back() -> None:
    assert rare_among_scenes_that_return("surprise") >= 12
    assert rare_among_scenes_that_return("surprise", rarity_weight=0.0) < 10
    assert rare_among_scenes_that_return("merge") < 10


@pytest.mark.parametrize("rarity_weight", [0.0, 0.9])
def test_the_end_of_a_long_stream_is_kept_as_finely_as_its_beginning(rarity_weight: float) -> None:
    ours = Lone("surprise", dim=DIM, visual_dim=VISUAL_DIM, rarity_weight=rarity_weight)
    for at_s, (key, visual) in enumerate(zip(*scenes(np.random.default_rng(7), 3000), strict=True)):
        ours.push(float(at_s), key, visual)
        ours.keep(60)
    thirds = [
        sum(third <= row.mean_s / 1000 < third + 1 for row in ours.rows()) for third in range(3)
    ]
    assert min(thirds) >= 12
    assert max(row.count for row in ours.rows()) < 10 * 3000 / 60


def test_the_floor_follows_the_average_up_and_down() -> None:
    rng = np.random.default_rng(8)
    ours = Lone("surprise", dim=4, visual_dim=2, rarity_weight=0.0)
    for i in range(64):
        ours.push(float(i), unit(rng, 4), unit(rng, 2))
    ours.keep(4)
    assert ours.strategy.floor == 8
    ours.keep(3)
    assert ours.strategy.floor == 16 and ours.strategy.state()["floor"] == 16
    for row in sorted(ours.rows(), key=lambda row: -row.count)[:2]:
        ours.forget(row)
    (left,) = ours.rows()
    for i in range(64, 64 + 3 * left.count):
        ours.push(float(i), unit(rng, 4), unit(rng, 2))
    ours.keep(len(ours) - 1)
    assert ours.strategy.floor == 1


def test_pairs_and_distances_stay_in_proportion_to_what_is_held() -> None:
    rng = np.random.default_rng(6)
    ours = Lone("surprise", dim=4, visual_dim=2)
    for i in range(1500):
        row = ours.push(float(i), unit(rng, 4), unit(rng, 2))
        if i % 3 == 0:
            ours.strategy.used(row)
        ours.keep(30)
        assert len(ours.strategy._entries.pairs) <= 2 * len(ours) + 66
        assert len(ours.strategy._apart) <= len(ours)
        if i % 50 == 0:
            ours.forget(ours.rows()[int(rng.integers(len(ours)))])


def test_what_is_recalled_is_spared() -> None:
    rng = np.random.default_rng(9)
    keys, visuals = scenes(rng, 100)
    spared = []
    for recalls in (0, 20):
        ours = Lone("surprise", dim=DIM, visual_dim=VISUAL_DIM)
        for at_s in range(100):
            row = ours.push(float(at_s), keys[at_s], visuals[at_s])
            for _ in range(recalls if 40 <= at_s < 50 else 0):
                ours.strategy.used(row)
        ours.keep(20)
        spared.append(sum(row.count == 1 and 40 <= row.start_s < 50 for row in ours.rows()))
    assert spared[0] <= 2 and spared[1] >= 6


def test_usage_is_halved_as_often_as_the_floor_doubles() -> None:
    rng = np.random.default_rng(10)
    ours = Lone("surprise", dim=4, visual_dim=2, rarity_weight=0.0)
    used = [ours.push(float(i), unit(rng, 4), unit(rng, 2)) for i in range(3)]
    for _ in range(1000):
        ours.strategy.used(used[1])
    ours.changed.clear()
    for i in range(3, 40):
        ours.push(float(i), unit(rng, 4), unit(rng, 2))
    ours.keep(3)
    assert ours.strategy.floor == 8
    assert used[1] in ours.rows() and used[1].attention == 1000 / 8
    assert used[1].entry_id in ours.changed


def test_a_memory_that_is_taken_up_goes_on_the_same() -> None:
    first, _ = run(200, 30, rarity_weight=0.9, known=5, recalls=0.2)
    again = Lone(
        "surprise",
        dim=DIM,
        visual_dim=VISUAL_DIM,
        state=first.strategy.state(),
        rarity_weight=0.9,
    )
    again.next_id = first.next_id
    rows = copy.deepcopy(first.rows())
    for row in rows:
        again.put_in(row, *first.index.vectors(row.entry_id), None)
    again.strategy.restore(rows)
    for at_s, (key, visual) in enumerate(zip(*scenes(np.random.default_rng(1), 150), strict=True)):
        for one in (first, again):
            one.push(500.0 + at_s, key, visual)
            one.keep(30)
    assert again.rows() == first.rows()

"""`surprise`: what the neighbours, or anything else that is kept, tell as well goes first.

To merge two neighbours in time a and b costs what the memory then no longer tells:

    cost(a, b) = u_a l_a + u_b l_b,    l_x = d^(2 - 2R) min(d, r_x)^(2R)

d is the distance between them, |k_a - k_b|^2 + |v_a - v_b|^2 = d^2 over key and visual key, and
r_x that from x to the nearest entry but its two neighbours. R is `rarity_weight` of the settings:
with 0 the cost is that of Ward (1963) but for the weights, with 1 what is kept elsewhere costs
nothing. So what was seen at other times too makes room for what was seen once.

Merging alone cannot make room for many rare moments: what lies between two of them has only them
to merge with. So an entry x goes without a trace, with the nearer of its neighbours for d, if
r_x^2 < d^2 `ELSEWHERE`: its like is kept at another time, and its neighbours are none. That costs
`HOLE` u_x l_x, for a hole in time tells less than a blur. Where neighbours differ by less than
`OTHER_SCENE` times the noise, they are of one scene, and nothing goes.

A single frame is noise beside the mean of many. Both squares are taken less what noise alone would
make of them, s^2 (1/n_a + 1/n_b) and s^2 / n_x, but never less than `LEAST_SHARE` of them: else
single frames would seem rare, and a scene that hardly changes would be kept as its last frames. s^2
is how far a frame is from the nearest entry when it comes, typically: the geometric mean over about
the last `MEMORY_OF_NOISE` frames, as a power of two.

u_x = (1 + the aged usage of x) sqrt(w_x) keeps what is asked for. The weight w is the number of
frames, but never below a floor near the average: it keeps the last entry of a full memory from
swallowing all that follows, frame by frame. With the whole number instead of its root, scenes that
last would outweigh moments. The floor is a power of two that moves when the average has doubled or
halved beyond it. Usage is halved when it doubles.

Distances to the nearest entry come from sketches. They are taken when an entry comes, of it and of
all that it is nearer to than anything before, and again when an entry is about to go, for what made
it common may have gone before.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from memory_banks.consolidation.adjacent import Adjacent
from memory_banks.consolidation.lazy_heap import LazyHeap
from memory_banks.consolidation.sketches import ALONE, Sketches
from memory_banks.consolidation.step import State, Surroundings
from memory_banks.entries import Row

ELSEWHERE = 1 / 8
HOLE = 6.0
"""In two hours of real frames, 788 entries tell of 95 % of the time with this, of 53 % with 1."""

OTHER_SCENE = 4.0
LEAST_SHARE = 1 / 4
MEMORY_OF_NOISE = 1000
LEAST_RARITY = 1e-4
"""What is nearer than this to another entry is as good as equal to it."""


class Surprise:
    """Merging of the neighbours with which least is lost; O(log n) and one look at the sketches."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self.floor = int(state.get("floor", 1))
        self._around = around
        self._rarity_weight = around.config.rarity_weight
        self._sketches = Sketches(around.numbers, seed=around.config.seed)
        self._entries = Adjacent(around, cost=self._cost)
        self._alone = LazyHeap()
        self._postponed = False
        self._drawn_anew = state.get("seed", around.config.seed) != around.config.seed
        self._noise = float(state.get("noise", 0.0))
        self._noise_log = float(state.get("noise_log", 0.0))
        self._arrived = int(state.get("arrived", 0))
        self._frames = 0
        self._apart: dict[int, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._entries)

    def add(self, row: Row) -> None:
        self._entries.timeline.add(row)
        self._arrive(row)
        self._adjust_noise(row.rarity)

    def restore(self, rows: Iterable[Row]) -> None:
        held = list(rows)
        for row in held:
            if self._drawn_anew:
                row.sketch = b""
            self._sketch(row)
        self._frames = sum(row.count for row in held)
        self._sketches.fill(
            [row.entry_id for row in held],
            [row.sketch for row in held],
            [row.rarity for row in held],
        )
        self._entries.restore(held)
        self._postponed = True

    def make_room(self) -> bool:
        if self._postponed:
            self._offer_all()
        self._adjust_floor()
        while True:
            pair, alone = self._entries.pairs.cheapest(), self._alone.least()
            if pair is not None and (alone is None or pair[0] <= alone[0]):
                _, left, right = pair
                if not self._changed(left) | self._changed(right):
                    self._merge(left, right)
                    return True
            elif alone is not None:
                row = self._entries.timeline.rows[alone[1]]
                if not self._changed(row):
                    self._let_go(row)
                    return True
            else:
                oldest = self._entries.timeline.oldest()
                if oldest is not None:
                    self._let_go(oldest)
                return oldest is not None

    def remove(self, entry_id: int) -> None:
        row = self._entries.timeline.rows[entry_id]
        beside = self._beside(row)
        self._drop(row)
        self._entries.remove(entry_id)
        for one in beside:
            self._offer_alone(one)

    def used(self, row: Row) -> None:
        row.attention += 1.0
        if row.entry_id in self._entries.timeline.rows:
            self._offer(row)

    def state(self) -> State:
        return {
            "floor": self.floor,
            "noise": self._noise,
            "noise_log": self._noise_log,
            "arrived": self._arrived,
            "seed": self._around.config.seed,
        }

    def _sketch(self, row: Row) -> None:
        """Give an entry its sketch, if it has none yet."""
        if not row.sketch:
            row.sketch = self._sketches.of(*self._around.index.vectors(row.entry_id))
            self._around.changed(row)

    def _arrive(self, row: Row) -> None:
        """Count an entry in that the timeline has, and offer all that it makes less rare."""
        self._sketch(row)
        row.rarity, nearer = self._look_around(row)
        self._sketches.add(row.entry_id, row.sketch, rarity=row.rarity)
        self._frames += row.count
        for entry_id, rarity in nearer.items():
            self._set_rarity(self._entries.timeline.rows[entry_id], rarity)
        self._offer(row)

    def _drop(self, row: Row) -> None:
        """Count an entry out, with its sketch."""
        self._sketches.remove(row.entry_id)
        self._frames -= row.count
        self._apart.pop(row.entry_id, None)
        self._alone.discard(row.entry_id)

    def _merge(self, left: Row, right: Row) -> None:
        merged = self._entries.merge(left, right)
        for row in (left, right):
            self._drop(row)
        self._arrive(merged)

    def _let_go(self, row: Row) -> None:
        beside = self._beside(row)
        before = self._entries.timeline.before(row)
        if before is not None and self._around.may_merge(before, row):
            before.seen_s = max(before.seen_s, row.end_s, row.seen_s)
            self._around.changed(before)
        self._drop(row)
        self._entries.let_go(row)
        for one in beside:
            self._offer_alone(one)

    def _beside(self, row: Row) -> list[Row]:
        """Return the neighbours of an entry."""
        timeline = self._entries.timeline
        return [one for one in (timeline.before(row), timeline.after(row)) if one is not None]

    def _look_around(self, row: Row) -> tuple[float, dict[int, float]]:
        """Return how rare an entry is now, and which entries it makes less rare, and how much."""
        passed = (row.entry_id, *(one.entry_id for one in self._beside(row)))
        return self._sketches.look(row.sketch, without=passed)

    def _changed(self, row: Row) -> bool:
        """Look again how rare an entry is; return whether it costs something else now."""
        rarity, _ = self._look_around(row)
        if rarity == row.rarity:
            return False
        self._set_rarity(row, rarity)
        return True

    def _set_rarity(self, row: Row, rarity: float) -> None:
        row.rarity = rarity
        self._sketches.note(row.entry_id, rarity=rarity)
        self._around.changed(row)
        self._offer(row)

    def _adjust_floor(self) -> None:
        """Keep the floor within a factor of two of the average count."""
        average = self._frames / max(1, len(self))
        if self.floor / 2 <= average < self.floor * 2 or average < 1:
            return
        before, self.floor = self.floor, 2 ** int(math.log2(average))
        for row in self:
            if row.attention > 0.0 and self.floor > before:
                row.attention *= before / self.floor
                self._around.changed(row)
        self._offer_all()

    def _adjust_noise(self, rarity: float) -> None:
        """Let a frame that comes have its part in what is typical."""
        self._arrived = min(MEMORY_OF_NOISE, self._arrived + 1)
        step = math.log2(max(rarity, LEAST_RARITY)) - self._noise_log
        self._noise_log += step / self._arrived
        noise = 2.0 ** round(self._noise_log)
        if noise != self._noise:
            self._noise = noise
            self._offer_all()

    def _offer_all(self) -> None:
        self._postponed = False
        self._entries.pairs.offer_all()
        self._offer_all_alone()

    def _offer(self, row: Row) -> None:
        """Offer an entry, and those beside it, at what they cost now."""
        self._entries.pairs.offer_beside(row)
        for one in (row, *self._beside(row)):
            self._offer_alone(one)

    def _offer_alone(self, row: Row) -> None:
        if self._postponed:
            return
        cost = self._cost_alone(row)
        if cost is None:
            self._alone.discard(row.entry_id)
        else:
            self._alone.offer(row.entry_id, cost, time_s=row.start_s)

    def _offer_all_alone(self) -> None:
        costs = ((row, self._cost_alone(row)) for row in self)
        self._alone.offer_all(
            (cost, row.start_s, row.entry_id) for row, cost in costs if cost is not None
        )

    def _cost(self, left: Row, right: Row) -> float:
        """Return the cost of merging two neighbours."""
        apart = self._apart_but_for_noise(left, right)
        return self._loss(left, apart) + self._loss(right, apart)

    def _cost_alone(self, row: Row) -> float | None:
        """Return the cost of letting go of an entry, None where it may not go alone."""
        before, after = self._entries.timeline.before(row), self._entries.timeline.after(row)
        apart = min(
            ALONE if before is None else self._apart_but_for_noise(before, row),
            ALONE if after is None else self._apart_but_for_noise(row, after),
        )
        same_scene = apart < OTHER_SCENE * self._noise
        if self._rarity_weight == 0.0 or same_scene or row.rarity >= ELSEWHERE * apart:
            return None
        return HOLE * self._loss(row, apart)

    def _loss(self, row: Row, apart: float) -> float:
        """Return u_x l_x of an entry whose neighbour is `apart`, squared."""
        rarity = self._but_for_noise(row.rarity, 1.0 / row.count)
        power = self._rarity_weight
        told = math.pow(apart, 1.0 - power) * math.pow(min(apart, rarity), power)
        return (1.0 + row.attention) * math.sqrt(max(row.count, self.floor)) * told

    def _but_for_noise(self, square: float, share: float) -> float:
        return max(LEAST_SHARE * square, square - self._noise * share)

    def _apart_but_for_noise(self, left: Row, right: Row) -> float:
        square = self._squared_distance(left, right)
        return self._but_for_noise(square, 1.0 / left.count + 1.0 / right.count)

    def _squared_distance(self, left: Row, right: Row) -> float:
        """Return |k - k'|^2 + |v - v'|^2."""
        known = self._apart.get(left.entry_id)
        if known is not None and known[0] == right.entry_id:
            return known[1]
        vectors = (self._around.index.vectors(row.entry_id) for row in (left, right))
        apart = 0.0
        for here, there in zip(*vectors, strict=True):
            step = here.astype(np.float32) - there.astype(np.float32)
            apart += float(step @ step)
        self._apart[left.entry_id] = (right.entry_id, apart)
        return apart

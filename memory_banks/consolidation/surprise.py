"""`surprise`: what neighbours, or anything else that is kept, tell as well goes first.

The cost of merging two neighbours in time a and b into their mean m is what the memory then no
longer tells, counted by the frames it was told of:

    cost = g_a w_a l_a + g_b w_b l_b,    l_x = (1 - R) |x - m|^2 + R min(|x - m|^2, r_x^2)

With R = 0 and g = 1 this is Ward's cost (Ward 1963: the growth of the squared distances of members
to their mean), over key and visual key together. r_x is the distance from x to the nearest entry
but its two neighbours: what was seen at other times too is not lost with x, so that scenes which
come back again and again make room for what was seen once. R is `rarity_weight` of the settings.
g_x = 1 + the aged usage of x keeps what is asked for.

The weight w of an entry is its count, but never below a floor near the average count of all
entries. Without the floor a stream is merged unfairly: its frames come one by one, one frame costs
less than one squared distance to swallow however large the swallower, and so the last entry of a
full memory swallows all that follows. The floor is a power of two that moves when the average has
doubled or halved beyond it. Usage is halved when it doubles.

Distances to the nearest entry come from sketches. They are taken when an entry comes, and again
when it is about to go, for what made it common may have gone before.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np

from memory_banks.consolidation.adjacent import Adjacent
from memory_banks.consolidation.sketches import Sketches
from memory_banks.consolidation.step import State, Surroundings
from memory_banks.entries import Row

ALONE = 8.0
"""The squared distance to the nearest entry where there is none: the largest of two unit pairs."""


class Surprise:
    """Merging of the neighbours with which least is lost; O(log n) and one look at the sketches."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self.floor = int(state.get("floor", 1))
        self._around = around
        self._rarity_weight = around.config.rarity_weight
        self._sketches = Sketches(around.numbers, seed=around.config.seed)
        self._entries = Adjacent(around, cost=self._loss)
        self._frames = 0
        self._apart: dict[int, tuple[int, float]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._entries)

    def add(self, row: Row) -> None:
        self._hold(row)
        self._entries.timeline.add(row)
        common = self._look_around(row)
        if common is not None and row.rarity < common.rarity:
            common.rarity = row.rarity
            self._around.changed(common)
            self._entries.pairs.offer_beside(common)
        self._entries.pairs.offer_beside(row)

    def restore(self, rows: Iterable[Row]) -> None:
        held = list(rows)
        for row in held:
            self._hold(row)
        self._entries.restore(held)

    def make_room(self) -> bool:
        self._adjust_floor()
        while (cheapest := self._entries.pairs.cheapest()) is not None:
            _, left, right = cheapest
            if self._changed(left) | self._changed(right):
                continue
            merged = self._entries.merge(left, right)
            for row in (left, right):
                self._let_go(row)
            self._hold(merged)
            self._look_around(merged)
            self._entries.pairs.offer_beside(merged)
            return True
        oldest = self._entries.timeline.oldest()
        if oldest is not None:
            self._let_go(oldest)
        return self._entries.let_go_of_oldest()

    def remove(self, entry_id: int) -> None:
        self._let_go(self._entries.timeline.rows[entry_id])
        self._entries.remove(entry_id)

    def used(self, row: Row) -> None:
        row.attention += 1.0
        if row.entry_id in self._entries.timeline.rows:
            self._entries.pairs.offer_beside(row)

    def state(self) -> State:
        return {"floor": self.floor}

    def _hold(self, row: Row) -> None:
        """Count an entry in, with its sketch."""
        if not row.sketch:
            row.sketch = self._sketches.of(*self._around.index.vectors(row.entry_id))
        self._sketches.add(row.entry_id, row.sketch)
        self._frames += row.count

    def _let_go(self, row: Row) -> None:
        self._sketches.remove(row.entry_id)
        self._frames -= row.count
        self._apart.pop(row.entry_id, None)

    def _look_around(self, row: Row) -> Row | None:
        """Note how rare an entry is now; return the entry that is nearest to it."""
        timeline = self._entries.timeline
        beside = [one for one in (timeline.before(row), timeline.after(row)) if one is not None]
        passed = (row.entry_id, *(one.entry_id for one in beside))
        found = self._sketches.nearest(row.sketch, without=passed)
        row.rarity = ALONE if found is None else found[1]
        return None if found is None else timeline.rows[found[0]]

    def _changed(self, row: Row) -> bool:
        """Look again how rare an entry is; return whether its pairs cost something else now."""
        before = row.rarity
        self._look_around(row)
        if row.rarity == before:
            return False
        self._around.changed(row)
        self._entries.pairs.offer_beside(row)
        return True

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
        self._entries.pairs.offer_all()

    def _loss(self, left: Row, right: Row) -> float:
        """Return the cost of merging two neighbours."""
        apart = self._squared_distance(left, right)
        loss = 0.0
        for row, other in ((left, right), (right, left)):
            moved = (other.count / (row.count + other.count)) ** 2 * apart
            kept = min(moved, row.rarity)
            lost = (1.0 - self._rarity_weight) * moved + self._rarity_weight * kept
            loss += (1.0 + row.attention) * max(row.count, self.floor) * lost
        return loss

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

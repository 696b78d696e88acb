"""The cheapest pair of neighbours in time, kept as entries come, merge and go."""

import heapq
from collections.abc import Callable
from itertools import pairwise

from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row

Item = tuple[float, float, int, int]
"""Cost, time, and the ids of both neighbours; the earliest of equals comes first."""


class PairHeap:
    """A heap with an item for each pair of neighbours that may merge.

    A pair whose cost has changed is offered again, and its older items are passed over when they
    come up. They are swept out before they outnumber the living, so that an offer costs O(log n).
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        cost: Callable[[Row, Row], float],
        may_merge: Callable[[Row, Row], bool],
    ) -> None:
        self._timeline = timeline
        self._cost = cost
        self._may_merge = may_merge
        self._items: list[Item] = []
        self._newest: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def offer_beside(self, row: Row) -> None:
        """Offer the pairs that `row` makes with its neighbours at what they cost now."""
        before, after = self._timeline.before(row), self._timeline.after(row)
        if before is not None:
            self.offer(before, row)
        if after is not None:
            self.offer(row, after)

    def offer(self, left: Row, right: Row) -> None:
        """Offer two neighbours at what they cost now, if they may merge."""
        if not self._may_merge(left, right):
            return
        item = (self._cost(left, right), left.start_s, left.entry_id, right.entry_id)
        if self._newest.get(left.entry_id) == item:
            return
        self._newest[left.entry_id] = item
        heapq.heappush(self._items, item)
        if len(self._items) > 2 * len(self._timeline) + 64:
            self._items = [one for one in self._items if self._holds(one)]
            self._newest = {one[2]: one for one in self._items}
            heapq.heapify(self._items)

    def offer_all(self) -> None:
        """Forget every item and offer all pairs anew."""
        self._newest.clear()
        for rows in self._timeline.sources():
            for left, right in pairwise(rows):
                if self._may_merge(left, right):
                    cost = self._cost(left, right)
                    item = (cost, left.start_s, left.entry_id, right.entry_id)
                    self._newest[left.entry_id] = item
        self._items = list(self._newest.values())
        heapq.heapify(self._items)

    def cheapest(self) -> tuple[float, Row, Row] | None:
        """Return the cost and both entries of the cheapest pair, None where no pair is left."""
        while self._items:
            item = self._items[0]
            cost, _, left, right = item
            if self._holds(item):
                rows = self._timeline.rows[left], self._timeline.rows[right]
                if self._may_merge(*rows):
                    return cost, *rows
            heapq.heappop(self._items)
            self._forget(item)
        return None

    def _holds(self, item: Item) -> bool:
        """Return whether an item tells of a pair as it is now."""
        _, _, left, right = item
        return self._newest.get(left) == item and self._timeline.follows(right, left)

    def _forget(self, item: Item) -> None:
        if self._newest.get(item[2]) == item:
            del self._newest[item[2]]

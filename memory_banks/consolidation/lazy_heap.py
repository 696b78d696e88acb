"""Costs by key, the least of them first, while costs come, change and go."""

import heapq
from collections.abc import Iterable

Item = tuple[float, float, int]
"""Cost, time and key: of equal costs the earliest comes first, and of those the smallest key."""


class LazyHeap:
    """One cost for each key; an offer takes O(log n).

    What a newer offer has replaced is passed over when it comes up, and swept out before it
    outnumbers the living.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._newest: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, key: int, cost: float, *, time_s: float) -> None:
        """Set the cost of a key."""
        item = (cost, time_s, key)
        if self._newest.get(key) == item:
            return
        self._newest[key] = item
        heapq.heappush(self._items, item)
        if len(self._items) > 2 * len(self._newest) + 64:
            self.offer_all(list(self._newest.values()))

    def offer_all(self, items: Iterable[Item]) -> None:
        """Set the costs of these keys, and of no others."""
        self._items = list(items)
        self._newest = {item[2]: item for item in self._items}
        heapq.heapify(self._items)

    def discard(self, key: int) -> None:
        """Take a key out, if it is in."""
        self._newest.pop(key, None)

    def least(self) -> tuple[float, int] | None:
        """Return the least cost and its key, None where there is none."""
        while self._items:
            item = self._items[0]
            if self._newest.get(item[2]) == item:
                return item[0], item[2]
            heapq.heappop(self._items)
        return None

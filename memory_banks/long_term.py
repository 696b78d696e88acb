"""Long-term memory: neighbours in time become one where that loses least.

The loss is Ward's, w_a w_b / (w_a + w_b) (|k_a - k_b|^2 + |v_a - v_b|^2), over key and visual key
together (Ward 1963: the growth of the squared distances of all members to their mean). The weight
of an entry is its count, but never below a floor near the average count of all entries. Without the
floor a stream is merged unfairly: its frames come one by one, one frame costs less than one squared
distance to swallow however large the swallower, any two grown entries cost more, and so the last
entry of a full memory swallows all that follows.

A heap holds one item for each pair of neighbours. Items of entries that are gone are passed over
when they come up, and swept out before they outnumber the living, so that taking in a frame costs
O(log n). The floor is a power of two that moves when the average has doubled or halved beyond it;
the heap is made anew then.
"""

import heapq
import math
from collections.abc import Callable, Iterator

import numpy as np

from memory_banks.entries import Row, merge, merge_vectors
from memory_banks.index import VectorIndex


class LongTerm:
    """Entries of each source in the order of time, merged on demand.

    `may_merge(left, right)` says whether two neighbours are close enough in time to be one.
    `floor` is the least weight of an entry; a memory that is taken up again has to bring it along.
    """

    def __init__(
        self, index: VectorIndex, *, may_merge: Callable[[Row, Row], bool], floor: int = 1
    ) -> None:
        self.floor = floor
        self._frames = 0
        self._index = index
        self._may_merge = may_merge
        self._rows: dict[int, Row] = {}
        self._before: dict[int, int | None] = {}
        self._after: dict[int, int | None] = {}
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._heap: list[tuple[float, float, int, int]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def add(self, row: Row) -> None:
        """Put `row` after all others of its source."""
        self._link(self._last.get(row.source_id), row, None)

    def cheapest(self) -> tuple[Row, Row] | None:
        """Return the neighbours whose merging loses least, the earliest of equals, or None."""
        self._adjust_floor()
        while self._heap:
            _, _, left, right = self._heap[0]
            if self._after.get(left) == right and self._may_merge(
                self._rows[left], self._rows[right]
            ):
                return self._rows[left], self._rows[right]
            heapq.heappop(self._heap)
        return None

    def merge(self, left: Row, right: Row, *, new_id: int, source: int) -> Row:
        """Put one entry in the place of two neighbours, here and in the index."""
        merged = merge(left, right, new_id=new_id)
        counts = left.count, right.count
        key, visual = (
            merge_vectors(a, b, counts=counts)
            for a, b in zip(
                self._index.vectors(left.entry_id),
                self._index.vectors(right.entry_id),
                strict=True,
            )
        )
        before, after = self._before[left.entry_id], self._after[right.entry_id]
        for row in (left, right):
            self._forget_links(row)
            self._index.remove(row.entry_id)
        self._index.add(new_id, key=key, visual=visual, source=source, end_s=merged.end_s)
        self._link(before, merged, after)
        return merged

    def oldest(self) -> Row:
        """Return the entry whose frames came before all others."""
        return min((self._rows[one] for one in self._first.values()), key=_order)

    def remove(self, entry_id: int) -> None:
        """Take out one entry; its neighbours become neighbours. Its vectors stay in the index."""
        row = self._rows[entry_id]
        before, after = self._before[entry_id], self._after[entry_id]
        self._forget_links(row)
        if before is not None:
            self._after[before] = after
        elif after is not None:
            self._first[row.source_id] = after
        else:
            del self._first[row.source_id]
        if after is not None:
            self._before[after] = before
        elif before is not None:
            self._last[row.source_id] = before
        else:
            del self._last[row.source_id]
        if before is not None and after is not None:
            self._offer(before, after)

    def _link(self, before: int | None, row: Row, after: int | None) -> None:
        entry_id = row.entry_id
        self._rows[entry_id] = row
        self._frames += row.count
        self._before[entry_id], self._after[entry_id] = before, after
        if before is not None:
            self._after[before] = entry_id
            self._offer(before, entry_id)
        else:
            self._first[row.source_id] = entry_id
        if after is not None:
            self._before[after] = entry_id
            self._offer(entry_id, after)
        else:
            self._last[row.source_id] = entry_id

    def _forget_links(self, row: Row) -> None:
        self._frames -= row.count
        for held in (self._rows, self._before, self._after):
            del held[row.entry_id]

    def _offer(self, left: int, right: int) -> None:
        """Put a pair of neighbours on the heap, unless they may never merge."""
        first, second = self._rows[left], self._rows[right]
        if not self._may_merge(first, second):
            return
        heapq.heappush(self._heap, self._item(first, second))
        if len(self._heap) > 2 * len(self._rows) + 64:
            self._heap = [item for item in self._heap if self._after.get(item[2]) == item[3]]
            heapq.heapify(self._heap)

    def _adjust_floor(self) -> None:
        """Keep the floor within a factor of two of the average count."""
        average = self._frames / max(1, len(self._rows))
        if self.floor / 2 <= average < self.floor * 2 or average < 1:
            return
        self.floor = 2 ** int(math.log2(average))
        live = [
            (row, self._rows[after])
            for row in self._rows.values()
            if (after := self._after[row.entry_id]) is not None
        ]
        self._heap = [self._item(*pair) for pair in live if self._may_merge(*pair)]
        heapq.heapify(self._heap)

    def _item(self, left: Row, right: Row) -> tuple[float, float, int, int]:
        return self._loss(left, right), left.start_s, left.entry_id, right.entry_id

    def _loss(self, left: Row, right: Row) -> float:
        """Return Ward's cost of merging two neighbours, under the floor."""
        distance = 0.0
        for here, there in zip(
            self._index.vectors(left.entry_id), self._index.vectors(right.entry_id), strict=True
        ):
            apart = here.astype(np.float32) - there.astype(np.float32)
            distance += float(apart @ apart)
        a, b = max(left.count, self.floor), max(right.count, self.floor)
        return a * b / (a + b) * distance


def _order(row: Row) -> int:
    """Return the place of an entry in the order in which frames came."""
    return row.thumbnail_id

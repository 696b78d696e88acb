"""The cheapest pair of neighbours in time, kept as entries come, merge and go."""

from collections.abc import Callable
from itertools import pairwise

from memory_banks.consolidation.lazy_heap import LazyHeap
from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row


class PairHeap:
    """A cost for each pair of neighbours that may merge, under the id of the earlier.

    Who changes the timeline offers the pairs that this makes and discards the entries that go.
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
        self._heap = LazyHeap()
        self._postponed = False

    def __len__(self) -> int:
        return len(self._heap)

    def offer_beside(self, row: Row) -> None:
        """Offer the pairs that `row` makes with its neighbours at what they cost now."""
        before = self._timeline.before(row)
        if before is not None:
            self.offer_after(before)
        self.offer_after(row)

    def offer_after(self, left: Row) -> None:
        """Offer the pair that `left` makes with what comes after it, if those may merge."""
        if self._postponed:
            return
        right = self._timeline.after(left)
        if right is not None and self._may_merge(left, right):
            self._heap.offer(left.entry_id, self._cost(left, right), time_s=left.start_s)
        else:
            self._heap.discard(left.entry_id)

    def postpone(self) -> None:
        """Offer nothing until the cheapest is asked for, and all pairs then."""
        self._postponed = True

    def offer_all(self) -> None:
        """Forget every cost and offer all pairs anew."""
        self._postponed = False
        self._heap.offer_all(
            (self._cost(left, right), left.start_s, left.entry_id)
            for rows in self._timeline.sources()
            for left, right in pairwise(rows)
            if self._may_merge(left, right)
        )

    def discard(self, row: Row) -> None:
        """Take out the pair that an entry makes with what comes after it."""
        self._heap.discard(row.entry_id)

    def cheapest(self) -> tuple[float, Row, Row] | None:
        """Return the cost and both entries of the cheapest pair, None where no pair is left."""
        if self._postponed:
            self.offer_all()
        while (least := self._heap.least()) is not None:
            cost, left_id = least
            left = self._timeline.rows[left_id]
            right = self._timeline.after(left)
            if right is not None and self._may_merge(left, right):
                return cost, left, right
            self._heap.discard(left_id)
        return None

"""Making room by merging neighbours in time, the cheapest pair first."""

from collections.abc import Callable, Iterable, Iterator

from memory_banks.consolidation.pair_heap import PairHeap
from memory_banks.consolidation.step import Step, Surroundings, let_go
from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row


class Adjacent:
    """Entries in time with a heap of their pairs; where no pair may merge, the oldest entry goes.

    `cost(left, right)` may change with the rows, as long as `offer_beside` is told.
    """

    def __init__(self, around: Surroundings, *, cost: Callable[[Row, Row], float]) -> None:
        self._around = around
        self.timeline = Timeline()
        self.pairs = PairHeap(self.timeline, cost=cost, may_merge=around.may_merge)

    def __len__(self) -> int:
        return len(self.timeline)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.timeline)

    def add(self, row: Row) -> None:
        """Put in an entry and offer the pairs it makes."""
        self.timeline.add(row)
        self.pairs.offer_beside(row)

    def restore(self, rows: Iterable[Row]) -> None:
        """Put in many entries; what their pairs cost is not computed before it is asked for."""
        for row in rows:
            self.timeline.add(row)
        self.pairs.postpone()

    def merge(self, left: Row, right: Row) -> Row:
        """Put the weighted mean of two neighbours in their place and return its row."""
        made = self._around.mean_of((left, right))
        self.timeline.replace((left, right), made.row)
        for row in (left, right):
            self.pairs.discard(row)
        into = made.row.entry_id
        self._around.carry_out(Step([(left, into), (right, into)], [made]))
        return made.row

    def let_go(self, row: Row) -> None:
        """Let go of one entry for want of room."""
        self.remove(row.entry_id)
        self._around.carry_out(let_go(row))

    def let_go_of_oldest(self) -> bool:
        """Let go of the oldest entry; return False where there is none."""
        oldest = self.timeline.oldest()
        if oldest is not None:
            self.let_go(oldest)
        return oldest is not None

    def remove(self, entry_id: int) -> None:
        """Take out one entry and offer the pair that those beside it make."""
        row = self.timeline.rows[entry_id]
        before = self.timeline.before(row)
        self.timeline.remove(row)
        self.pairs.discard(row)
        if before is not None:
            self.pairs.offer_after(before)

"""Ways of making room that merge nothing, to be measured against: what is let go is lost."""

from collections.abc import Iterable, Iterator

from memory_banks.consolidation.pair_heap import PairHeap
from memory_banks.consolidation.step import State, Surroundings, let_go
from memory_banks.consolidation.timeline import Timeline
from memory_banks.entries import Row


class Fifo:
    """`fifo`: the oldest entry goes first."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self._around = around
        self._timeline = Timeline()

    def __len__(self) -> int:
        return len(self._timeline)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._timeline)

    def add(self, row: Row) -> None:
        self._timeline.add(row)

    def restore(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._timeline.add(row)

    def make_room(self) -> bool:
        row = self._next()
        if row is None:
            return False
        self.remove(row.entry_id)
        self._around.carry_out(let_go(row))
        return True

    def remove(self, entry_id: int) -> None:
        self._timeline.remove(self._timeline.rows[entry_id])

    def used(self, row: Row) -> None:
        pass

    def state(self) -> State:
        return {}

    def _next(self) -> Row | None:
        return self._timeline.oldest()


class First(Fifo):
    """`none`: no consolidation; what comes first is kept, and a full memory takes in no more."""

    def _next(self) -> Row | None:
        return self._timeline.newest()


class LastFrames(Fifo):
    """`last_frames`: nothing is kept beyond sensory and working memory."""

    def add(self, row: Row) -> None:
        self._around.carry_out(let_go(row))


class Uniform(Fifo):
    """`uniform`: entries stay evenly spread over all of the time that was seen.

    The later of the two neighbours that are nearest in time goes first.
    """

    def __init__(self, around: Surroundings, state: State) -> None:
        super().__init__(around, state)
        self._pairs = PairHeap(
            self._timeline,
            cost=lambda left, right: right.start_s - left.start_s,
            may_merge=lambda left, right: True,
        )

    def add(self, row: Row) -> None:
        super().add(row)
        self._pairs.offer_beside(row)

    def restore(self, rows: Iterable[Row]) -> None:
        super().restore(rows)
        self._pairs.offer_all()

    def remove(self, entry_id: int) -> None:
        row = self._timeline.rows[entry_id]
        before = self._timeline.before(row)
        super().remove(entry_id)
        self._pairs.discard(row)
        if before is not None:
            self._pairs.offer_after(before)

    def _next(self) -> Row | None:
        cheapest = self._pairs.cheapest()
        return self._timeline.oldest() if cheapest is None else cheapest[2]

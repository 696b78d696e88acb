"""`merge`: the two most similar neighbours become one (MovieChat, arXiv:2307.16449, section 3.2).

The paper merges the adjacent frames of largest cosine until a buffer is short enough. Here the
buffer is all of long-term memory, entries are weighted by the frames they stand for, and the
similarities of neighbours are kept in a heap instead of being computed anew. Its global reading is
the entries of the long-term tier; its breakpoint reading those of all tiers, as of a moment.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from memory_banks.consolidation.adjacent import Adjacent
from memory_banks.consolidation.step import State, Surroundings
from memory_banks.entries import Row


class Merge:
    """Merging by the mean of the cosines of key and of visual key."""

    def __init__(self, around: Surroundings, state: State) -> None:
        self._index = around.index
        self._entries = Adjacent(around, cost=self._dissimilarity)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._entries)

    def add(self, row: Row) -> None:
        self._entries.add(row)

    def restore(self, rows: Iterable[Row]) -> None:
        self._entries.restore(rows)

    def make_room(self) -> bool:
        cheapest = self._entries.pairs.cheapest()
        if cheapest is None:
            return self._entries.let_go_of_oldest()
        _, left, right = cheapest
        self._entries.pairs.offer_beside(self._entries.merge(left, right))
        return True

    def remove(self, entry_id: int) -> None:
        self._entries.remove(entry_id)

    def used(self, row: Row) -> None:
        pass

    def state(self) -> State:
        return {}

    def _dissimilarity(self, left: Row, right: Row) -> float:
        cosines = [
            float(here.astype(np.float32) @ there.astype(np.float32))
            for here, there in zip(
                self._index.vectors(left.entry_id),
                self._index.vectors(right.entry_id),
                strict=True,
            )
        ]
        return -sum(cosines) / len(cosines)

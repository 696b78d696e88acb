"""What every way of making room shares: what it is given, and what one step of it does."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from memory_banks.entries import Row, join, mean_direction
from memory_banks.settings import MemoryConfig
from memory_banks.vectors.index import VectorIndex
from streammem.records import Vector

Tokens: TypeAlias = NDArray[np.float16]
"""The parts of a picture for models that read them, `[M, C]`."""

State: TypeAlias = Mapping[str, int | float]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """An entry that stands for others: `key [D]` and `visual [V]` of unit length."""

    row: Row
    key: Vector
    visual: Vector
    tokens: Tokens | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What goes, each with the id of the entry that takes it in, and what is made of it.

    What no entry takes in, None, is lost for want of room.
    """

    gone: Sequence[tuple[Row, int | None]]
    made: Sequence[Made] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a way of making room may use of the memory around it.

    The vectors of entries, `numbers` numbers each, lie in `index`, their `tokens` under their ids.
    `may_merge` says
    whether two neighbours in time are close enough to be one, `new_id` draws the id of an entry,
    `carry_out` puts a step into the index and the books, and `changed` has a row written at the
    next checkpoint.
    """

    config: MemoryConfig
    numbers: int
    index: VectorIndex
    tokens: Mapping[int, Tokens]
    may_merge: Callable[[Row, Row], bool]
    new_id: Callable[[], int]
    carry_out: Callable[[Step], None]
    changed: Callable[[Row], None]

    def mean_of(self, rows: Sequence[Row]) -> Made:
        """Return neighbours in time as one entry: features are weighted by count."""
        row = join(rows, new_id=self.new_id())
        weights = [one.count for one in rows]
        vectors = [self.index.vectors(one.entry_id) for one in rows]
        return Made(
            row,
            key=mean_direction([key for key, _ in vectors], weights=weights),
            visual=mean_direction([visual for _, visual in vectors], weights=weights),
            tokens=self.mean_tokens(rows, weights),
        )

    def mean_tokens(self, rows: Sequence[Row], weights: Sequence[float]) -> Tokens | None:
        """Return the weighted mean of the entries' tokens; None unless all have as many."""
        tokens = [self.tokens.get(row.entry_id) for row in rows]
        if tokens[0] is None or any(one is None or one.shape != tokens[0].shape for one in tokens):
            return None
        mean = np.zeros(tokens[0].shape, dtype=np.float32)
        for one, weight in zip(tokens, weights, strict=True):
            mean += (weight / sum(weights)) * np.asarray(one, dtype=np.float32)
        return mean.astype(np.float16)


def let_go(row: Row) -> Step:
    """Return the step in which one entry is lost for want of room."""
    return Step([(row, None)])


class Consolidation(Protocol):
    """The entries of long-term memory, and how they make room.

    All that it knows is in its rows and in `state`, so that a memory that is opened again goes on
    as if it had never been closed.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...

    def add(self, row: Row) -> None:
        """Take in an entry that came out of working memory; its vectors are in the index."""
        ...

    def restore(self, rows: Iterable[Row]) -> None:
        """Take in the entries that a file held, in the order in which they were first seen."""
        ...

    def make_room(self) -> bool:
        """Carry out the next step; return False where there is no entry left to let go."""
        ...

    def remove(self, entry_id: int) -> None:
        """Take out an entry, of which the index still has the vectors."""
        ...

    def used(self, row: Row) -> None:
        """Note that a recall returned an entry."""
        ...

    def state(self) -> State:
        """Return what has to be known beside the rows to go on."""
        ...

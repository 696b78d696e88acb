"""A way of making room by itself: an index around it, and a log of what it did."""

from typing import Any

import numpy as np

from memory_banks.consolidation.choose import choose_consolidation
from memory_banks.consolidation.step import State, Step, Surroundings, Tokens
from memory_banks.entries import Row
from memory_banks.settings import MemoryConfig
from memory_banks.vectors.index import VectorIndex
from tests.memory_banks.streams import unit

HOLE_S = 5.0


class Lone:
    """The strategy of a name, with what it let go in `gone` and the rows to write in `changed`."""

    def __init__(
        self,
        name: str,
        *,
        dim: int = 6,
        visual_dim: int = 4,
        state: State | None = None,
        **settings: Any,
    ) -> None:
        self.index = VectorIndex(dim=dim, visual_dim=visual_dim)
        self.tokens: dict[int, Tokens] = {}
        self.next_id = 1
        self.gone: dict[int, int | None] = {}
        self.changed: set[int] = set()
        self.strategy: Any = choose_consolidation(
            Surroundings(
                config=MemoryConfig(consolidation=name, **settings),
                numbers=dim + visual_dim,
                index=self.index,
                tokens=self.tokens,
                may_merge=lambda left, right: right.start_s - left.end_s <= HOLE_S,
                new_id=self.new_id,
                carry_out=self.carry_out,
                changed=lambda row: self.changed.add(row.entry_id),
            ),
            state or {},
        )

    def __len__(self) -> int:
        return len(self.strategy)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id - 1

    def carry_out(self, step: Step) -> None:
        for row, into in step.gone:
            assert row.entry_id not in self.gone
            self.gone[row.entry_id] = into
            self.take_out(row.entry_id)
        for made in step.made:
            self.put_in(made.row, made.key, made.visual, made.tokens)

    def put_in(self, row: Row, key: Any, visual: Any, tokens: Tokens | None) -> None:
        """Give an entry its vectors and its tokens."""
        source, start_s, end_s = ord(row.source_id), row.start_s, row.end_s
        self.index.add(
            row.entry_id, key=key, visual=visual, source=source, start_s=start_s, end_s=end_s
        )
        if tokens is not None:
            self.tokens[row.entry_id] = tokens

    def take_out(self, entry_id: int) -> None:
        """Take away what `put_in` gave."""
        self.index.remove(entry_id)
        self.tokens.pop(entry_id, None)

    def push(
        self, at_s: float, key: Any, visual: Any, *, source: str = "a", tokens: Any = None
    ) -> Row:
        """Let a frame come."""
        number = self.new_id()
        row = Row(number, source, at_s, at_s, at_s, 1, number, 100, tier="long_term")
        self.put_in(row, key, visual, tokens)
        self.strategy.add(row)
        return row

    def keep(self, room: int) -> None:
        """Make room until at most `room` entries are held."""
        while len(self.strategy) > room:
            before = len(self.strategy)
            assert self.strategy.make_room() and len(self.strategy) < before

    def forget(self, row: Row) -> None:
        """Delete an entry."""
        self.strategy.remove(row.entry_id)
        self.take_out(row.entry_id)

    def rows(self, source: str | None = None) -> list[Row]:
        """Return the rows of a source, or of all, in the order in which they were first seen."""
        rows = [row for row in self.strategy if source in (None, row.source_id)]
        return sorted(rows, key=lambda row: row.thumbnail_id)

    def vectors(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Return the stored key and visual key in float64."""
        key, visual = self.index.vectors(row.entry_id)
        return key.astype(np.float64), visual.astype(np.float64)


def noisy_scenes(
    rng: np.random.Generator, count: int, dim: int, *, noise: float = 0.2, scenes: int | None = None
) -> np.ndarray:
    """Return float16 directions `[count, dim]` of scenes that last a few frames each.

    Every scene is a new one, or one of `scenes` that come back again and again.
    """
    known = None if scenes is None else [unit(rng, dim) for _ in range(scenes)]
    vectors, base = [], unit(rng, dim)
    for _ in range(count):
        if rng.random() < 0.15:
            base = unit(rng, dim) if known is None else known[int(rng.integers(len(known)))]
        vector = base + noise * rng.normal(size=dim)
        vectors.append(vector / np.linalg.norm(vector))
    return np.array(vectors).reshape(count, dim).astype(np.float16)

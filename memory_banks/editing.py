"""Which entries a user's edit means, why each of them goes, and what an entry was made of."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from memory_banks.entries import Row
from streammem.errors import UsageError
from streammem.names import format_time
from streammem.records import Eviction, MemoryEntry


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time of all sources, or of those of `source_ids`; both ends belong to it."""

    start_s: float = -math.inf
    end_s: float = math.inf
    source_ids: Collection[str] | None = None

    def overlaps(self, row: Row) -> bool:
        """Return whether any frame of an entry may lie in the span."""
        here = self.source_ids is None or row.source_id in self.source_ids
        return here and row.start_s <= self.end_s and row.end_s >= self.start_s


@dataclass(frozen=True, slots=True)
class Forgotten:
    """An entry that was deleted, what it stood for, and `why` it had to go."""

    entry_id: int
    source_id: str
    start_s: float
    end_s: float
    count: int
    why: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """An entry with what it was made of, as far back as the log of evictions reaches.

    `made_of` maps each merged entry that is known to the entries it took in; ids that have no
    place in it are frames as they came, or, unless the ancestry is `whole`, from before the log.
    """

    entry: MemoryEntry
    made_of: Mapping[int, tuple[int, ...]]
    whole: bool


def forgotten(row: Row, span: Span | None) -> Forgotten:
    """Return the record of an entry that goes with `span`, or by its id where that is None."""
    return Forgotten(
        row.entry_id, row.source_id, row.start_s, row.end_s, row.count, _why(row, span)
    )


def _why(row: Row, span: Span | None) -> str:
    if span is None:
        return "asked for by its id"
    if span.start_s <= row.start_s and row.end_s <= span.end_s:
        return "inside the span"
    return (
        f"merged of {row.count} frames from {format_time(row.start_s)} to "
        f"{format_time(row.end_s)}, of which some may be in the span"
    )


def ancestry(row: Row, log: Iterable[Eviction]) -> tuple[dict[int, tuple[int, ...]], bool]:
    """Return what a row was made of, entry by entry, and whether every frame of it is known."""
    parents: dict[int, list[int]] = {}
    for gone in log:
        if gone.into is not None:
            parents.setdefault(gone.into, []).append(gone.entry_id)
    made_of: dict[int, tuple[int, ...]] = {}
    frames, waiting = 0, [(row.entry_id, row.merged_from)]
    while waiting:
        entry_id, merged_from = waiting.pop()
        if merged_from:
            made_of[entry_id] = merged_from
            waiting.extend((one, tuple(parents.get(one, ()))) for one in merged_from)
        else:
            frames += 1
    return made_of, frames == row.count


def rows_of(rows: Mapping[int, Row], entry_ids: Sequence[int]) -> list[Row]:
    """Return the rows of `entry_ids`, each once, or say which of them is not held."""
    for entry_id in entry_ids:
        if entry_id not in rows:
            raise UsageError(
                f"entry {entry_id} is not in the memory; it may have been merged or let go since. "
                "List what there is with: streammem memories FILE --entries"
            )
    return [rows[entry_id] for entry_id in dict.fromkeys(entry_ids)]

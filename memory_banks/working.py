"""Working memory: the recent past, frame by frame, first in first out."""

from collections.abc import Iterator

from memory_banks.entries import Row


class Working:
    """At most `frames` entries in the order they came."""

    def __init__(self, *, frames: int) -> None:
        self.frames = frames
        self._rows: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def add(self, row: Row) -> list[Row]:
        """Take in an entry; return those that are no longer recent."""
        self._rows[row.entry_id] = row
        older = []
        while len(self._rows) > self.frames:
            older.append(self.pop_oldest())
        return older

    def pop_oldest(self) -> Row:
        """Take out the oldest entry."""
        return self._rows.pop(next(iter(self._rows)))

    def remove(self, entry_id: int) -> None:
        """Take out one entry."""
        del self._rows[entry_id]

"""Entries of each source in the order of time, linked to their neighbours."""

from collections.abc import Iterator, Sequence

from memory_banks.entries import Row


class Timeline:
    """Rows by id, with what comes before and after each in its source."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self._before: dict[int, int | None] = {}
        self._after: dict[int, int | None] = {}
        self._first: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def add(self, row: Row) -> None:
        """Put `row` in its place in time, which is nearly always the last of its source."""
        before = self._last.get(row.source_id)
        after = None
        while before is not None and row.thumbnail_id < self.rows[before].thumbnail_id:
            before, after = self._before[before], before
        self._link(before, row, after)

    def replace(self, group: Sequence[Row], by: Row) -> None:
        """Put `by` in the place of neighbours that follow each other."""
        before, after = self._before[group[0].entry_id], self._after[group[-1].entry_id]
        for row in group:
            self._unlink(row)
        self._link(before, by, after)

    def remove(self, row: Row) -> None:
        """Take out one entry; those beside it become neighbours."""
        before, after = self._before[row.entry_id], self._after[row.entry_id]
        self._unlink(row)
        self._join(row.source_id, before, after)

    def before(self, row: Row) -> Row | None:
        """Return the entry before `row`, None for the first of its source."""
        one = self._before[row.entry_id]
        return None if one is None else self.rows[one]

    def after(self, row: Row) -> Row | None:
        """Return the entry after `row`, None for the last of its source."""
        one = self._after[row.entry_id]
        return None if one is None else self.rows[one]

    def oldest(self) -> Row | None:
        """Return the entry whose frames came before all others."""
        firsts = (self.rows[one] for one in self._first.values())
        return min(firsts, key=lambda row: row.thumbnail_id, default=None)

    def newest(self) -> Row | None:
        """Return the entry whose frames came after all others."""
        lasts = (self.rows[one] for one in self._last.values())
        return max(lasts, key=lambda row: row.thumbnail_id, default=None)

    def sources(self) -> Iterator[list[Row]]:
        """Yield the entries of each source in the order of time."""
        for first in self._first.values():
            rows = [self.rows[first]]
            while (row := self.after(rows[-1])) is not None:
                rows.append(row)
            yield rows

    def _link(self, before: int | None, row: Row, after: int | None) -> None:
        self.rows[row.entry_id] = row
        self._join(row.source_id, before, row.entry_id)
        self._join(row.source_id, row.entry_id, after)

    def _join(self, source_id: str, before: int | None, after: int | None) -> None:
        """Make two entries neighbours; None stands for the beginning and for the end."""
        if before is not None:
            self._after[before] = after
        elif after is not None:
            self._first[source_id] = after
        else:
            del self._first[source_id]
        if after is not None:
            self._before[after] = before
        elif before is not None:
            self._last[source_id] = before
        else:
            del self._last[source_id]

    def _unlink(self, row: Row) -> None:
        for held in (self.rows, self._before, self._after):
            del held[row.entry_id]

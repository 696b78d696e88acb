"""What a memory has to write at its next checkpoint."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from memory_banks.entries import Row
from streammem.records import Eviction


@dataclass(slots=True)
class Changes:
    """Rows that are new, changed or gone since the last checkpoint; empty after it.

    `evictions` is bounded like the log in the file, whose end it will be. `gaps` is set where
    the gaps are other than in the file; `tensors` holds the arrays of each kind that are.
    Rows are shared with the tiers and are written as they are when the checkpoint comes. An entry
    that comes and goes between two checkpoints never reaches the file.
    """

    evictions: deque[Eviction]
    added: dict[int, Row] = field(default_factory=dict)
    changed: dict[int, Row] = field(default_factory=dict)
    removed: set[int] = field(default_factory=set)
    thumbnails: dict[int, bytes] = field(default_factory=dict)
    removed_thumbnails: set[int] = field(default_factory=set)
    removed_sources: set[int] = field(default_factory=set)
    gaps: bool = False
    tensors: dict[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Note a new entry."""
        self.added[row.entry_id] = row

    def change(self, row: Row) -> None:
        """Note that what is known of an entry beside its features is another."""
        if row.entry_id not in self.added:
            self.changed[row.entry_id] = row

    def remove(self, entry_id: int) -> None:
        """Note that an entry is gone."""
        if self.added.pop(entry_id, None) is None:
            self.changed.pop(entry_id, None)
            self.removed.add(entry_id)

    def remove_thumbnail(self, thumbnail_id: int) -> None:
        """Note that nothing shows a thumbnail any more."""
        if self.thumbnails.pop(thumbnail_id, None) is None:
            self.removed_thumbnails.add(thumbnail_id)

    def clear(self) -> None:
        """Forget what was written."""
        for part in (self.evictions, self.added, self.changed, self.removed, self.thumbnails):
            part.clear()
        self.removed_thumbnails.clear()
        self.removed_sources.clear()
        self.gaps = False
        self.tensors.clear()

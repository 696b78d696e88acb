"""The three tiers together: how an entry passes through them, and how they keep to the budget."""

from collections.abc import Callable, Iterator

from memory_banks.budget import Budget
from memory_banks.changes import Changes
from memory_banks.entries import Row, entry_bytes
from memory_banks.index import Floats, VectorIndex
from memory_banks.long_term import LongTerm
from memory_banks.sensory import Sensory
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.working import Working
from streammem.records import Eviction, Features, Frame, Tier, Vector


class Tiers:
    """Sensory, working and long-term memory over one index.

    `changes` learns of everything that has to be written. `may_merge` and `source_number` speak
    for the sources.
    """

    def __init__(
        self,
        *,
        config: MemoryConfig,
        budget: Budget,
        encoder: EncoderIdentity,
        changes: Changes,
        may_merge: Callable[[Row, Row], bool],
        source_number: Callable[[str], int],
        next_id: int,
        floor: int,
    ) -> None:
        self.index = VectorIndex(dim=encoder.dim, visual_dim=encoder.visual_dim)
        self.rows: dict[int, Row] = {}
        self.next_id = next_id
        self.frames_held = 0
        self.bytes: dict[Tier, int] = {"sensory": 0, "working": 0, "long_term": 0}
        self.sensory = Sensory(frames=config.sensory_frames, picture_bytes=budget.pictures)
        self._working = Working(frames=config.working_frames)
        self._long_term = LongTerm(self.index, may_merge=may_merge, floor=floor)
        self._numbers = encoder.dim + encoder.visual_dim
        self._recent_limit = budget.recent
        self._changes = changes
        self._source_number = source_number

    @property
    def floor(self) -> int:
        """The least weight of an entry in long-term memory."""
        return self._long_term.floor

    @property
    def entries_bytes(self) -> int:
        """What all entries cost together, without whole pictures."""
        return sum(self.bytes.values())

    def add(self, row: Row, *, key: Vector, visual: Vector, whole: tuple[Frame, Features]) -> None:
        """Take in the entry of a new frame and move older ones down."""
        self._hold(row, key=key, visual=visual)
        self._changes.add(row)
        for older in self.sensory.add(row, whole=whole):
            self._to_working(older)
        self.settle()

    def restore(self, row: Row, *, key: Floats, visual: Floats) -> None:
        """Put back an entry where it was, in the order in which entries were first seen."""
        self._hold(row, key=key, visual=visual)
        if row.tier == "long_term":
            self._long_term.add(row)
        elif row.tier == "working":
            self._to_working(row)
        else:
            for older in self.sensory.add(row):
                self._to_working(older)

    def settle(self) -> None:
        """Move recent entries on until they fit their share."""
        while self.bytes["sensory"] + self.bytes["working"] > self._recent_limit:
            self._to_long_term(self._oldest_recent())

    def make_room(self, limit_bytes: int) -> Iterator[Eviction]:
        """Merge, and where nothing may be merged let go of the oldest, until entries fit."""
        while self.rows and self.entries_bytes > limit_bytes:
            pair = self._long_term.cheapest()
            if pair is not None:
                yield from self._merge(*pair)
            elif len(self._long_term) == 0:
                self._to_long_term(self._oldest_recent())
            else:
                oldest = self._long_term.oldest()
                self.remove(oldest)
                yield Eviction(oldest.entry_id, "capacity")

    def remove(self, row: Row) -> None:
        """Take an entry out of its tier and of the index, with its thumbnail."""
        tiers: dict[Tier, Sensory | Working | LongTerm] = {
            "sensory": self.sensory,
            "working": self._working,
            "long_term": self._long_term,
        }
        tiers[row.tier].remove(row.entry_id)
        self.index.remove(row.entry_id)
        self._let_go(row)
        self._changes.remove_thumbnail(row.thumbnail_id)

    def bytes_of(self, row: Row) -> int:
        """Return what an entry costs in RAM and file together."""
        return entry_bytes(numbers=self._numbers, thumbnail_bytes=row.thumbnail_bytes)

    def counts(self) -> dict[Tier, int]:
        """Return how many entries each tier holds."""
        return {
            "sensory": len(self.sensory),
            "working": len(self._working),
            "long_term": len(self._long_term),
        }

    def _merge(self, left: Row, right: Row) -> Iterator[Eviction]:
        merged = self._long_term.merge(
            left, right, new_id=self.next_id, source=self._source_number(left.source_id)
        )
        self.next_id += 1
        for row in (left, right):
            self._let_go(row)
            if row.thumbnail_id != merged.thumbnail_id:
                self._changes.remove_thumbnail(row.thumbnail_id)
        self._count(merged)
        self._changes.add(merged)
        for row in (left, right):
            yield Eviction(row.entry_id, "merged", into=merged.entry_id)

    def _hold(self, row: Row, *, key: Floats, visual: Floats) -> None:
        number = self._source_number(row.source_id)
        self.index.add(row.entry_id, key=key, visual=visual, source=number, end_s=row.end_s)
        self._count(row)

    def _count(self, row: Row) -> None:
        self.rows[row.entry_id] = row
        self.bytes[row.tier] += self.bytes_of(row)
        self.frames_held += row.count

    def _let_go(self, row: Row) -> None:
        del self.rows[row.entry_id]
        self.bytes[row.tier] -= self.bytes_of(row)
        self.frames_held -= row.count
        self._changes.remove(row.entry_id)

    def _oldest_recent(self) -> Row:
        return (self._working if len(self._working) else self.sensory).pop_oldest()

    def _to_working(self, row: Row) -> None:
        self._move(row, "working")
        for older in self._working.add(row):
            self._to_long_term(older)

    def _to_long_term(self, row: Row) -> None:
        self._move(row, "long_term")
        self._long_term.add(row)

    def _move(self, row: Row, tier: Tier) -> None:
        if row.tier != tier:
            self.bytes[row.tier] -= self.bytes_of(row)
            self.bytes[tier] += self.bytes_of(row)
            row.tier = tier
            self._changes.change(row)

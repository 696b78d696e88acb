"""The three tiers together: how an entry passes through them, and how they keep to the budget."""

from collections.abc import Callable, Iterable

from memory_banks.budget import Budget
from memory_banks.changes import Changes
from memory_banks.consolidation.choose import choose_consolidation
from memory_banks.consolidation.step import Consolidation, State, Step, Surroundings, Tokens
from memory_banks.entries import Row, entry_bytes
from memory_banks.sensory import Sensory
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.vectors.index import Floats, VectorIndex
from memory_banks.working import Working
from streammem.records import Eviction, Features, Frame, Tier, Vector


class Tiers:
    """Sensory, working and long-term memory over one index.

    Pinned entries are of the long-term tier as far as others can tell, but lie beside it: how
    long-term memory makes room never touches them. `changes` learns of everything that has to be
    written. `may_merge` and `source_number` speak for the sources.
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
        state: State,
    ) -> None:
        self.index = VectorIndex(dim=encoder.dim, visual_dim=encoder.visual_dim)
        self.rows: dict[int, Row] = {}
        self.tokens: dict[int, Tokens] = {}
        self.frames_held = 0
        self.pinned_bytes = 0
        self.bytes: dict[Tier, int] = {"sensory": 0, "working": 0, "long_term": 0}
        self.sensory = Sensory(frames=config.sensory_frames, picture_bytes=budget.pictures)
        self.next_id = next_id
        self._working = Working(frames=config.working_frames)
        self._pinned: dict[int, Row] = {}
        self._numbers = encoder.dim + encoder.visual_dim
        self._recent_limit = budget.recent
        self._changes = changes
        self._source_number = source_number
        self._evictions: list[Eviction] = []
        self._long_term: Consolidation = choose_consolidation(
            Surroundings(
                config=config,
                numbers=self._numbers,
                index=self.index,
                tokens=self.tokens,
                may_merge=may_merge,
                new_id=self.new_id,
                carry_out=self._carry_out,
                changed=changes.change,
            ),
            state,
        )

    @property
    def state(self) -> State:
        """What long-term memory has to know, beside its entries, to go on."""
        return self._long_term.state()

    @property
    def entries_bytes(self) -> int:
        """What all entries cost together, without whole pictures."""
        return sum(self.bytes.values())

    def new_id(self) -> int:
        """Return an id that no entry ever had."""
        self.next_id += 1
        return self.next_id - 1

    def add(
        self,
        row: Row,
        *,
        key: Vector,
        visual: Vector,
        tokens: Tokens | None = None,
        whole: tuple[Frame, Features] | None = None,
    ) -> None:
        """Take in the entry of a new frame and move older ones down."""
        self._hold(row, key=key, visual=visual, tokens=tokens)
        self._changes.add(row)
        for older in self.sensory.add(row, whole=whole):
            self._to_working(older)
        self.settle()

    def restore(self, entries: Iterable[tuple[Row, tuple[Floats, Floats], Tokens | None]]) -> None:
        """Put entries back where they were, in the order in which they were first seen."""
        rows: dict[Tier, list[Row]] = {"long_term": [], "working": [], "sensory": []}
        for row, (key, visual), tokens in entries:
            self._hold(row, key=key, visual=visual, tokens=tokens)
            if row.tier == "long_term" and row.pinned:
                self._pin(row)
            else:
                rows[row.tier].append(row)
        self._long_term.restore(rows["long_term"])
        for row in rows["working"]:
            self._to_working(row)
        for row in rows["sensory"]:
            for older in self.sensory.add(row):
                self._to_working(older)

    def settle(self) -> None:
        """Move recent entries on until they fit their share."""
        while self.bytes["sensory"] + self.bytes["working"] > self._recent_limit:
            self._to_long_term(self._oldest_recent())

    def make_room(self, limit_bytes: int) -> list[Eviction]:
        """Let long-term memory make room until entries fit; return all that left since the last."""
        while self.entries_bytes > limit_bytes:
            if not self._long_term.make_room():
                if not len(self._working) + len(self.sensory):
                    break
                self._to_long_term(self._oldest_recent())
        evictions, self._evictions = self._evictions, []
        return evictions

    def remove(self, row: Row) -> None:
        """Take an entry out of its tier and of the index, with its thumbnail."""
        if row.entry_id in self._pinned:
            self._unpin(row)
        else:
            tiers: dict[Tier, Sensory | Working | Consolidation] = {
                "sensory": self.sensory,
                "working": self._working,
                "long_term": self._long_term,
            }
            tiers[row.tier].remove(row.entry_id)
        self._let_go(row)
        self._changes.remove_thumbnail(row.thumbnail_id)

    def set_pinned(self, row: Row, pinned: bool) -> None:
        """Keep an entry from being merged or let go from now on, or no longer."""
        if row.pinned == pinned:
            return
        row.pinned = pinned
        self._changes.change(row)
        if row.tier != "long_term":
            return
        if pinned:
            self._long_term.remove(row.entry_id)
            self._pin(row)
        else:
            self._unpin(row)
            self._long_term.add(row)

    def used(self, row: Row) -> None:
        """Note that a recall returned an entry."""
        row.usage += 1.0
        self._long_term.used(row)
        self._changes.change(row)

    def bytes_of(self, row: Row) -> int:
        """Return what an entry costs in RAM and file together."""
        return entry_bytes(
            numbers=self._numbers,
            thumbnail_bytes=row.thumbnail_bytes,
            token_bytes=row.token_bytes,
        )

    def counts(self) -> dict[Tier, int]:
        """Return how many entries each tier holds."""
        return {
            "sensory": len(self.sensory),
            "working": len(self._working),
            "long_term": len(self._long_term) + len(self._pinned),
        }

    def _carry_out(self, step: Step) -> None:
        """Put a step of making room into the index and the books."""
        shown = {made.row.thumbnail_id for made in step.made}
        for row, into in step.gone:
            self._let_go(row)
            if row.thumbnail_id not in shown:
                self._changes.remove_thumbnail(row.thumbnail_id)
            gone = Eviction(row.entry_id, "capacity" if into is None else "merged", into)
            self._evictions.append(gone)
        for made in step.made:
            self._hold(made.row, key=made.key, visual=made.visual, tokens=made.tokens)
            self._changes.add(made.row)

    def _hold(self, row: Row, *, key: Floats, visual: Floats, tokens: Tokens | None) -> None:
        number = self._source_number(row.source_id)
        self.index.add(
            row.entry_id,
            key=key,
            visual=visual,
            source=number,
            end_s=row.end_s,
            start_s=row.start_s,
        )
        if tokens is not None:
            self.tokens[row.entry_id] = tokens
        row.token_bytes = 0 if tokens is None else tokens.nbytes
        self.rows[row.entry_id] = row
        self.bytes[row.tier] += self.bytes_of(row)
        self.frames_held += row.count

    def _let_go(self, row: Row) -> None:
        self.index.remove(row.entry_id)
        self.tokens.pop(row.entry_id, None)
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
        if row.pinned:
            self._pin(row)
        else:
            self._long_term.add(row)

    def _pin(self, row: Row) -> None:
        self._pinned[row.entry_id] = row
        self.pinned_bytes += self.bytes_of(row)

    def _unpin(self, row: Row) -> None:
        del self._pinned[row.entry_id]
        self.pinned_bytes -= self.bytes_of(row)

    def _move(self, row: Row, tier: Tier) -> None:
        if row.tier != tier:
            self.bytes[row.tier] -= self.bytes_of(row)
            self.bytes[tier] += self.bytes_of(row)
            row.tier = tier
            self._changes.change(row)

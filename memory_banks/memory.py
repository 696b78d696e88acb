"""The memory as its users hold it: tiers under one budget, an index, and a durable store."""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray

from memory_banks.budget import GAP_BYTES, SOURCE_BYTES, budget_of
from memory_banks.changes import Changes
from memory_banks.checks import check_fits, check_pins, check_states, half, state_bytes, unit
from memory_banks.editing import Forgotten, Inspection, Span, ancestry, forgotten, rows_of
from memory_banks.entries import Row, entry_bytes, record_of, row_of, thumbnail_of
from memory_banks.history import Sample
from memory_banks.parts import CELLS, STATES, load_parts
from memory_banks.settings import EncoderIdentity, MemoryConfig, check_same, identity
from memory_banks.state import MemoryStats, SourceRecord, SourceState
from memory_banks.store import Store
from memory_banks.vectors.index import By
from streammem.errors import UsageError, one_of
from streammem.protocols import Encoder
from streammem.records import (
    Eviction,
    Features,
    Frame,
    Gap,
    MemoryEntry,
    SourceInfo,
    Tier,
    Vector,
)


class Memory:
    """What was seen of any number of sources, within one budget; made by `open_memory`.

    A frame enters sensory memory, passes on to working memory as newer ones come, and from there
    to long-term memory, where neighbours in time become one entry as the budget runs out. What was
    pushed is durable after `checkpoint`, and `close` makes one. One thread at a time; other
    processes read the last checkpoint through a memory of their own, as it was when they opened it.
    """

    def __init__(self, store: Store, *, encoder: EncoderIdentity, config: MemoryConfig) -> None:
        self.encoder = encoder
        self.config = config
        self.path = store.path
        self.writable = store.writable
        self._store = store
        self._budget = budget_of(config, encoder)
        self._changes = Changes(evictions=deque(maxlen=config.eviction_log))
        parts = load_parts(
            store, encoder=encoder, config=config, budget=self._budget, changes=self._changes
        )
        self._books, self._progress, self._tiers = parts.books, parts.progress, parts.tiers
        self._states = parts.states
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._created_at = parts.metadata.get("created_at", now)
        self._app_version = parts.metadata.get("app_version", version("streammem"))
        self._saved_cells = 0
        self._closed = False
        if self.writable:
            self._tiers.settle()
            self._make_room()

    def begin_source(
        self, info: SourceInfo, *, fingerprint: str, sampling_fps: float
    ) -> SourceState:
        """Return where to go on with a source; `fingerprint` tells it from others of its id."""
        self._must_write()
        known = self._progress.begin(info, fingerprint=fingerprint, sampling_fps=sampling_fps)
        self._make_room()
        return SourceState(known.source_id, known.last_s, known.finished)

    def push(self, frame: Frame, features: Features) -> list[Eviction]:
        """Take in the next frame of a source that was begun; return which entries had to go."""
        self._must_write()
        source = self._progress.check(frame)
        key = unit(features.key, self.encoder.dim, "key")
        visual = unit(features.visual, self.encoder.visual_dim, "visual key")
        jpeg = thumbnail_of(frame.rgb, longest_px=self.config.thumbnail_px)
        tokens = half(features.tokens)
        numbers = self.encoder.dim + self.encoder.visual_dim
        token_bytes = 0 if tokens is None else tokens.nbytes
        check_fits(
            entry_bytes(numbers=numbers, thumbnail_bytes=len(jpeg), token_bytes=token_bytes),
            room=self._room(),
            tokens=tokens,
        )
        row = row_of(frame, entry_id=self._tiers.new_id(), thumbnail_bytes=len(jpeg))
        self._progress.saw(source, frame.time_s)
        self._books.frames_seen += 1
        self._changes.thumbnails[row.thumbnail_id] = jpeg
        self._tiers.add(row, key=key, visual=visual, tokens=tokens, whole=(frame, features))
        evictions = self._make_room()
        self._books.sample(self._tiers, held_bytes=self._held_bytes())
        return evictions

    def checkpoint(self) -> None:
        """Make everything up to now durable, entries and progress together or not at all."""
        self._must_write()
        trained = self._tiers.index.trained_generation
        if trained != self._saved_cells:
            cells = self._tiers.index.centroids()
            self._changes.tensors[CELLS] = {str(by): middles for by, middles in cells.items()}
        self._store.commit(
            self._changes,
            index=self._tiers.index,
            sources=self._progress.sources.values(),
            gaps=self._progress.gaps(),
            tokens=self._tiers.tokens,
            history=self._books.history,
            metadata={
                "created_at": self._created_at,
                "app_version": self._app_version,
                "encoder": asdict(self.encoder),
                "config": asdict(self.config),
                "next_id": self._tiers.next_id,
                "consolidation": {self.config.consolidation: dict(self._tiers.state)},
                "frames_held": self._tiers.frames_held,
                **self._books.metadata(),
            },
            evicted=self._books.evicted.total(),
            log_size=self.config.eviction_log,
        )
        self._changes.clear()
        self._saved_cells = trained

    def add_gap(self, gap: Gap) -> list[Eviction]:
        """Note a span of a source of which nothing could be read; nothing is merged across it.

        Returns which entries had to go for it.
        """
        self._must_write()
        if not self._progress.add_gap(gap):
            return []
        self._changes.gaps = True
        return self._make_room()

    def gaps(self, source_id: str | None = None) -> list[Gap]:
        """Return the gaps of one source or of all, by source and time."""
        return self._progress.gaps(source_id)

    def finish_source(self, source_id: str) -> None:
        """Note that a source was seen to its end."""
        self._must_write()
        self._progress.find(source_id).finished = True

    def sources(self) -> list[SourceRecord]:
        """Return every source, in the order they were begun."""
        return [replace(source) for source in self._progress.sources.values()]

    def recall(
        self,
        query: Vector,
        *,
        k: int,
        at_s: float | None = None,
        source_id: str | None = None,
        by: By = "key",
        between: tuple[float, float] | None = None,
    ) -> list[tuple[MemoryEntry, float]]:
        """Return the `k` entries of all tiers nearest to `query [D]` with cosines, best first.

        `at_s` hides whatever was not wholly seen by then: an entry of which any frame came later
        is not returned, for its features would tell of the future. `between` leaves only entries
        that overlap that span. What is returned counts as used; a memory open for reading forgets
        that when it closes.
        """
        if k < 1:
            raise UsageError(f"a recall needs a k of at least 1, got {k}")
        number = None if source_id is None else self._progress.find(source_id).number
        found = self._tiers.index.search(
            query, k=k, by=by, source=number, at_s=at_s, between=between
        )
        recalled = []
        for entry_id, score in found:
            row = self._tiers.rows[entry_id]
            self._tiers.used(row)
            recalled.append((self._record(row), min(1.0, max(-1.0, score))))
        return recalled

    def entries(
        self,
        *,
        at_s: float | None = None,
        source_id: str | None = None,
        tiers: Collection[Tier] = get_args(Tier),
    ) -> list[MemoryEntry]:
        """Return every entry of these tiers by source and time, as far as seen by `at_s`.

        In the terms of MovieChat, all tiers at a moment are its breakpoint reading, the long-term
        tier alone its global reading.
        """
        for tier in tiers:
            if tier not in get_args(Tier):
                raise one_of("tier", tier, get_args(Tier))
        limit = math.inf if at_s is None else at_s
        numbers = {one: source.number for one, source in self._progress.sources.items()}
        if source_id is not None:
            numbers = {source_id: self._progress.find(source_id).number}
        rows = [
            row
            for row in self._tiers.rows.values()
            if row.end_s <= limit and row.source_id in numbers and row.tier in tiers
        ]
        rows.sort(key=lambda row: (numbers[row.source_id], row.start_s, row.thumbnail_id))
        return [self._record(row) for row in rows]

    def whole_frames(self) -> list[tuple[Frame, Features]]:
        """Return the newest frames that are still held whole, oldest first."""
        return self._tiers.sensory.whole()

    def thumbnail(self, entry_id: int) -> bytes | None:
        """Return the JPEG of an entry; None where it is gone, or merged by a writer since."""
        row = self._tiers.rows.get(entry_id)
        if row is None:
            return None
        waiting = self._changes.thumbnails.get(row.thumbnail_id)
        return waiting if waiting is not None else self._store.thumbnail(row.thumbnail_id)

    def inspect(self, entry_id: int) -> Inspection:
        """Return an entry with what it was made of, as far back as the log of evictions reaches."""
        (row,) = rows_of(self._tiers.rows, [entry_id])
        made_of, whole = ancestry(row, self._books.log)
        return Inspection(self._record(row), made_of, whole)

    def pin(self, entry_ids: Sequence[int]) -> None:
        """Keep entries from being merged or let go; at most half of the room is for such."""
        self._must_write()
        rows = [row for row in rows_of(self._tiers.rows, entry_ids) if not row.pinned]
        held = [row for row in self._tiers.rows.values() if row.pinned]
        check_pins(sum(map(self._tiers.bytes_of, held + rows)), more=len(rows), room=self._room())
        for row in rows:
            self._tiers.set_pinned(row, True)

    def unpin(self, entry_ids: Sequence[int]) -> list[Eviction]:
        """Let entries be merged or let go again; return which had to go at once."""
        self._must_write()
        for row in rows_of(self._tiers.rows, entry_ids):
            self._tiers.set_pinned(row, False)
        return self._make_room()

    def pinned(self) -> list[int]:
        """Return the ids of the pinned entries, in order."""
        return sorted(row.entry_id for row in self._tiers.rows.values() if row.pinned)

    def forget(
        self,
        *,
        source_id: str | None = None,
        start_s: float = -math.inf,
        end_s: float = math.inf,
        entry_ids: Sequence[int] | None = None,
        dry: bool = False,
    ) -> list[Forgotten]:
        """Delete every entry that overlaps `start_s..end_s`, of one source or of all, for good.

        Or, where `entry_ids` are given, those entries alone, such as a recall has returned. A
        merged entry that holds part of the span goes with all of it, and so do pinned ones. Where
        the span is all of a source, the source and its gaps go too. Afterwards no byte of what
        went is in the file; everything else that was pushed is durable. A `dry` run only returns
        what would go. The states of a recurrent model go too, for they may tell of the span.
        """
        wanted = (
            list(self._progress.sources)
            if source_id is None
            else [self._progress.find(source_id).source_id]
        )
        span = None if entry_ids is not None else Span(start_s, end_s, wanted)
        rows = [row for row in self._tiers.rows.values() if span is not None and span.overlaps(row)]
        if entry_ids is not None:
            rows = rows_of(self._tiers.rows, entry_ids)
        if dry:
            return [forgotten(row, span) for row in rows]
        self._must_write()
        if rows:
            self.set_states({})
        for row in rows:
            self._tiers.remove(row)
        self._note([Eviction(row.entry_id, "deleted") for row in rows])
        for one in wanted if span is not None else ():
            source = self._progress.sources[one]
            first_s = 0.0 if source.first_s is None else source.first_s
            if end_s == math.inf and start_s <= max(0.0, first_s):
                self._forget_source(source)
        self.checkpoint()
        self._store.wipe_traces()
        return [forgotten(row, span) for row in rows]

    def states(self) -> dict[str, NDArray[Any]]:
        """Return what a recurrent model left to go on with, by name."""
        return dict(self._states)

    def set_states(self, states: Mapping[str, NDArray[Any]]) -> list[Eviction]:
        """Keep the arrays that a recurrent model needs to go on, instead of those before.

        They are durable after the next checkpoint, together with the entries up to it, and may
        take an eighth of the budget. Returns which entries had to go for them.
        """
        self._must_write()
        check_states(states, budget_bytes=self._budget.total)
        self._states = {name: np.array(state) for name, state in states.items()}
        self._changes.tensors[STATES] = self._states
        return self._make_room()

    def history(self) -> list[Sample]:
        """Return what was held over time, at even steps of frames."""
        return list(self._books.history)

    def save(self, path: Path, *, force: bool = False) -> None:
        """Write all that was pushed to a memory file of its own; `force` replaces one there."""
        if self.writable:
            self.checkpoint()
        self._store.copy_to(path, force=force)

    def evictions(self, *, limit: int | None = None) -> list[Eviction]:
        """Return the newest `limit` evictions that the log still holds, oldest first."""
        log = list(self._books.log)
        return log if limit is None else log[max(0, len(log) - limit) :]

    def stats(self) -> MemoryStats:
        """Return what the memory holds now, and what left it."""
        tier_bytes = dict(self._tiers.bytes)
        tier_bytes["sensory"] += self._tiers.sensory.held_bytes
        return MemoryStats(
            frames_seen=self._books.frames_seen,
            frames_held=self._tiers.frames_held,
            entries=self._tiers.counts(),
            tier_bytes=tier_bytes,
            bytes=self._held_bytes(),
            budget_bytes=self._budget.total,
            evictions=dict(self._books.evicted),
            file_bytes=self._store.file_bytes,
            search=self._tiers.index.how("key"),
        )

    def check_encoder(self, encoder: Encoder | EncoderIdentity) -> None:
        """Refuse an encoder whose features are not those that the memory holds."""
        check_same(self.path, self.encoder, identity(encoder))

    def metadata(self) -> dict[str, Any]:
        """Return what the memory was made with, in plain values."""
        return {
            "schema": self._store.schema,
            "created_at": self._created_at,
            "app_version": self._app_version,
            "encoder": self.encoder.name,
            "encoder_revision": self.encoder.revision,
            "dim": self.encoder.dim,
            "visual_dim": self.encoder.visual_dim,
            "config": asdict(self.config),
            "consolidation": self.config.consolidation,
            "seed": self.config.seed,
        }

    def close(self) -> None:
        """Make a last checkpoint where the memory can be written, and let go of the file."""
        if self._closed:
            return
        self._closed = True
        try:
            if self.writable:
                self.checkpoint()
        finally:
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _make_room(self) -> list[Eviction]:
        evictions = self._tiers.make_room(self._room())
        self._note(evictions)
        return evictions

    def _room(self) -> int:
        """Return the bytes that all entries may take."""
        return self._budget.total - self._budget.pictures - self._fixed_bytes()

    def _fixed_bytes(self) -> int:
        """Return what is used before the first entry: the empty file, sources, gaps and states."""
        sources = SOURCE_BYTES * len(self._progress.sources)
        gaps = GAP_BYTES * self._progress.gap_count
        extras = state_bytes(self._states) + self._tiers.index.overhead_bytes
        return self._budget.fixed + sources + gaps + extras

    def _held_bytes(self) -> int:
        """Return everything that the budget bounds."""
        held = self._tiers.entries_bytes + self._tiers.sensory.held_bytes
        return self._fixed_bytes() + held

    def _note(self, evictions: list[Eviction]) -> None:
        self._books.note(evictions)
        self._changes.evictions.extend(evictions)

    def _forget_source(self, source: SourceRecord) -> None:
        self._progress.forget(source.source_id)
        self._changes.removed_sources.add(source.number)

    def _record(self, row: Row) -> MemoryEntry:
        key, visual = self._tiers.index.vectors(row.entry_id)
        return record_of(
            row,
            key=key.astype(np.float32),
            visual=visual.astype(np.float32),
            tokens=self._tiers.tokens.get(row.entry_id),
        )

    def _must_write(self) -> None:
        if not self.writable:
            raise UsageError(f"memory {self.path} is open for reading; open it with mode='write'")

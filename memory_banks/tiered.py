"""The memory as its users hold it: tiers under one budget, an index, and a durable store."""

import math
from collections import Counter, deque
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from memory_banks.budget import GAP_BYTES, SOURCE_BYTES, budget_of
from memory_banks.changes import Changes
from memory_banks.entries import Row, record_of, row_of, thumbnail_of
from memory_banks.faults import damaged
from memory_banks.index import By
from memory_banks.opening import Mode, is_fresh, missing
from memory_banks.progress import Progress
from memory_banks.settings import EncoderIdentity, MemoryConfig, identity
from memory_banks.state import MemoryStats, SourceRecord, SourceState
from memory_banks.store import Store
from memory_banks.tiers import Tiers
from streammem.errors import StoreMismatch, UsageError
from streammem.protocols import Encoder
from streammem.records import Eviction, Features, Frame, Gap, MemoryEntry, SourceInfo, Vector

__all__ = ["EncoderIdentity", "Memory", "MemoryConfig", "open_memory"]

UNIT_TOLERANCE = 1e-2


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
        self._log: deque[Eviction] = deque(maxlen=config.eviction_log)
        self._created_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._app_version = version("streammem")
        self._frames_seen = 0
        self._evicted: Counter[str] = Counter()
        self._closed = False
        self._load()

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
        key = _unit(features.key, self.encoder.dim, "key")
        visual = _unit(features.visual, self.encoder.visual_dim, "visual key")
        jpeg = thumbnail_of(frame.rgb, longest_px=self.config.thumbnail_px)
        row = row_of(frame, entry_id=self._tiers.next_id, thumbnail_bytes=len(jpeg))
        self._tiers.next_id += 1
        self._progress.saw(source, frame.time_s)
        self._frames_seen += 1
        self._changes.thumbnails[row.thumbnail_id] = jpeg
        self._tiers.add(row, key=key, visual=visual, whole=(frame, features))
        return self._make_room()

    def checkpoint(self) -> None:
        """Make everything up to now durable, entries and progress together or not at all."""
        self._must_write()
        self._store.commit(
            self._changes,
            index=self._tiers.index,
            sources=self._progress.sources.values(),
            gaps=self._progress.gaps(),
            metadata={
                "created_at": self._created_at,
                "app_version": self._app_version,
                "encoder": asdict(self.encoder),
                "config": asdict(self.config),
                "next_id": self._tiers.next_id,
                "weight_floor": self._tiers.floor,
                "frames_seen": self._frames_seen,
                "frames_held": self._tiers.frames_held,
                "evicted": dict(self._evicted),
            },
            evicted=self._evicted.total(),
            log_size=self.config.eviction_log,
        )
        self._changes.clear()

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
    ) -> list[tuple[MemoryEntry, float]]:
        """Return the `k` entries of all tiers nearest to `query [D]` with cosines, best first.

        `at_s` hides whatever was not wholly seen by then: an entry of which any frame came later
        is not returned, for its features would tell of the future. What is returned counts as
        used; a memory open for reading forgets that when it closes.
        """
        if k < 1:
            raise UsageError(f"a recall needs a k of at least 1, got {k}")
        number = None if source_id is None else self._progress.find(source_id).number
        found = self._tiers.index.search(query, k=k, by=by, source=number, at_s=at_s)
        recalled = []
        for entry_id, score in found:
            row = self._tiers.rows[entry_id]
            row.usage += 1.0
            if self.writable:
                self._changes.change(row)
            recalled.append((self._record(row), min(1.0, max(-1.0, score))))
        return recalled

    def entries(
        self, *, at_s: float | None = None, source_id: str | None = None
    ) -> list[MemoryEntry]:
        """Return every entry of all tiers by source and time, as far as seen by `at_s`."""
        limit = math.inf if at_s is None else at_s
        numbers = {one: source.number for one, source in self._progress.sources.items()}
        if source_id is not None:
            numbers = {source_id: self._progress.find(source_id).number}
        rows = [
            row
            for row in self._tiers.rows.values()
            if row.end_s <= limit and row.source_id in numbers
        ]
        rows.sort(key=lambda row: (numbers[row.source_id], row.thumbnail_id))
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

    def forget(
        self, *, source_id: str | None = None, start_s: float = 0.0, end_s: float = math.inf
    ) -> list[Eviction]:
        """Delete every entry that overlaps `start_s..end_s`, of one source or of all, for good.

        A merged entry that holds part of the span goes with all of it. Where the span is all of a
        source, the source and its gaps go too. Afterwards no byte of what went is in the file;
        everything else that was pushed is durable.
        """
        self._must_write()
        wanted = (
            list(self._progress.sources)
            if source_id is None
            else [self._progress.find(source_id).source_id]
        )
        gone = []
        for row in list(self._tiers.rows.values()):
            if row.source_id in wanted and row.start_s <= end_s and row.end_s >= start_s:
                self._tiers.remove(row)
                gone.append(Eviction(row.entry_id, "deleted"))
        self._note(gone)
        for one in wanted:
            source = self._progress.sources[one]
            first_s = 0.0 if source.first_s is None else source.first_s
            if end_s == math.inf and start_s <= max(0.0, first_s):
                self._forget_source(source)
        self.checkpoint()
        self._store.wipe_traces()
        return gone

    def evictions(self, *, limit: int | None = None) -> list[Eviction]:
        """Return the newest `limit` evictions that the log still holds, oldest first."""
        log = list(self._log)
        return log if limit is None else log[max(0, len(log) - limit) :]

    def stats(self) -> MemoryStats:
        """Return what the memory holds now, and what left it."""
        tier_bytes = dict(self._tiers.bytes)
        tier_bytes["sensory"] += self._tiers.sensory.held_bytes
        return MemoryStats(
            frames_seen=self._frames_seen,
            frames_held=self._tiers.frames_held,
            entries=self._tiers.counts(),
            tier_bytes=tier_bytes,
            bytes=self._fixed_bytes() + sum(tier_bytes.values()),
            budget_bytes=self._budget.total,
            evictions=dict(self._evicted),
            file_bytes=self._store.file_bytes,
        )

    def check_encoder(self, encoder: Encoder | EncoderIdentity) -> None:
        """Refuse an encoder whose features are not those that the memory holds."""
        _check_same(self.path, self.encoder, identity(encoder))

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

    def _load(self) -> None:
        """Fill the tiers and the index with what the store holds."""
        with self._store.reading():
            found = self._store.metadata()
            self._created_at = found.get("created_at", self._created_at)
            self._app_version = found.get("app_version", self._app_version)
            self._frames_seen = found.get("frames_seen", 0)
            self._evicted.update(found.get("evicted", {}))
            self._log.extend(self._store.evictions())
            self._progress = Progress(
                sources=self._store.sources(),
                gaps=self._store.gaps(),
                max_hole_s=self.config.max_hole_s,
                source_limit=self._budget.sources,
                gap_limit=self._budget.gaps,
            )
            self._tiers = Tiers(
                config=self.config,
                budget=self._budget,
                encoder=self.encoder,
                changes=self._changes,
                may_merge=self._progress.may_merge,
                source_number=lambda source_id: self._progress.sources[source_id].number,
                next_id=found.get("next_id", 1),
                floor=found.get("weight_floor", 1),
            )
            for row, (key, visual) in self._store.entries(self.encoder):
                self._tiers.restore(row, key=key, visual=visual)
        held, written = self._tiers.frames_held, found.get("frames_held", 0)
        if held != written:
            raise damaged(self.path, f"its entries stand for {held} frames of {written}")
        if self.writable:
            self._tiers.settle()
            self._make_room()

    def _make_room(self) -> list[Eviction]:
        room = self._budget.total - self._budget.pictures - self._fixed_bytes()
        evictions = list(self._tiers.make_room(room))
        self._note(evictions)
        return evictions

    def _fixed_bytes(self) -> int:
        """Return what is used before the first entry: the empty file, sources and gaps."""
        sources = SOURCE_BYTES * len(self._progress.sources)
        return self._budget.fixed + sources + GAP_BYTES * self._progress.gap_count

    def _note(self, evictions: list[Eviction]) -> None:
        self._log.extend(evictions)
        self._changes.evictions.extend(evictions)
        self._evicted.update(gone.reason for gone in evictions)

    def _forget_source(self, source: SourceRecord) -> None:
        self._progress.forget(source.source_id)
        self._changes.removed_sources.add(source.number)

    def _record(self, row: Row) -> MemoryEntry:
        key, visual = self._tiers.index.vectors(row.entry_id)
        return record_of(row, key=key.astype(np.float32), visual=visual.astype(np.float32))

    def _must_write(self) -> None:
        if not self.writable:
            raise UsageError(f"memory {self.path} is open for reading; open it with mode='write'")


def open_memory(
    path: Path | None,
    *,
    encoder: Encoder | EncoderIdentity | None = None,
    config: MemoryConfig | None = None,
    mode: Mode = "read",
) -> Memory:
    """Open the memory at `path`, or a new one in RAM where that is None.

    For writing, a file that is missing is made, and no other process may be writing to it; for
    reading it has to be there. `encoder` may be left out where the file names it; another one
    than the file's is refused. `config` wins over the file's where the memory can be written.
    """
    wanted = None if encoder is None else identity(encoder)
    if path is None or (mode == "write" and is_fresh(path)):
        if wanted is None:
            raise UsageError("a new memory needs the encoder whose features it will hold")
        budget_of(config or MemoryConfig(), wanted)
    store = Store(path, mode=mode)
    try:
        with store.reading():
            found = store.metadata()
        if "encoder" not in found:
            return _begin(store, wanted, config)
        try:
            made_with = EncoderIdentity(**found["encoder"])
            settings = MemoryConfig(**found["config"])
        except (KeyError, TypeError) as error:
            raise damaged(path, "its settings cannot be read") from error
        if wanted is not None:
            _check_same(path, made_with, wanted)
        if config is not None and store.writable:
            settings = config
        return Memory(store, encoder=made_with, config=settings)
    except BaseException:
        store.close()
        raise


def _begin(store: Store, encoder: EncoderIdentity | None, config: MemoryConfig | None) -> Memory:
    """Return a memory that holds nothing yet, with its settings already durable."""
    if encoder is None or not store.writable:
        assert store.path is not None
        raise missing(store.path)
    memory = Memory(store, encoder=encoder, config=config or MemoryConfig())
    memory.checkpoint()
    return memory


def _check_same(path: Path | None, made_with: EncoderIdentity, wanted: EncoderIdentity) -> None:
    if wanted != made_with:
        raise StoreMismatch(
            f"memory {path} was made with encoder {made_with}, and encoder {wanted} was asked "
            "for; choose the encoder it was made with, or ingest into another memory file"
        )


def _unit(vector: Vector, size: int, what: str) -> Vector:
    """Return `vector [size]` if it has unit length."""
    if vector.shape != (size,) or not abs(float(vector @ vector) - 1.0) < UNIT_TOLERANCE:
        raise ValueError(
            f"a {what} must be {size} numbers of unit length, got {list(vector.shape)} of length "
            f"{math.sqrt(float((vector * vector).sum())):.3g}"
        )
    return vector

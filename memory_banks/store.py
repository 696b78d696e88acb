"""The durable form of a memory: one SQLite file, written in whole checkpoints."""

import dataclasses
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks import opening
from memory_banks.changes import Changes
from memory_banks.entries import Row
from memory_banks.faults import PRIMARY_CODE, damaged, faults_of
from memory_banks.index import VectorIndex
from memory_banks.lock import WriterLock
from memory_banks.opening import Mode
from memory_banks.schema import APPLICATION_ID
from memory_banks.settings import EncoderIdentity
from memory_banks.state import SourceRecord
from streammem.errors import StoreBusy
from streammem.records import Eviction, Gap, SourceInfo

Vectors = tuple[NDArray[np.float16], NDArray[np.float16]]
DTYPE = "float16"


def is_memory(path: Path) -> bool:
    """Return whether `path` is a memory file, without opening it; a damaged one still counts."""
    try:
        with path.open("rb") as file:
            head = file.read(72)
    except OSError:
        return False
    return head.startswith(opening.MAGIC) and head[68:72] == APPLICATION_ID.to_bytes(4, "big")


class Store:
    """One memory file, open for reading or, under its lock, for writing; `path` None is in RAM."""

    def __init__(self, path: Path | None, *, mode: Mode) -> None:
        self.path = path
        self.writable = path is None or mode == "write"
        self._lock: WriterLock | None = None
        if path is not None and mode == "write":
            opening.check_place(path)
            with faults_of(path, "opening"):
                self._lock = WriterLock(path)
        try:
            self._connection = opening.connect(path, mode=mode)
        except BaseException:
            self._release()
            raise

    @property
    def file_bytes(self) -> int:
        """The size of the file and its write-ahead log; of the pages in RAM where there is none."""
        if self.path is None:
            (pages,) = self._one("PRAGMA page_count")
            (size,) = self._one("PRAGMA page_size")
            return int(pages * size)
        parts = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    @property
    def schema(self) -> int:
        """The number of the form its tables have."""
        return int(self._one("PRAGMA user_version")[0])

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold one committed state for everything that is read inside."""
        with faults_of(self.path, "reading"):
            self._connection.execute("BEGIN")
            try:
                yield
            except (ValueError, TypeError, KeyError) as error:
                raise damaged(self.path, f"it holds what was never written: {error}") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def metadata(self) -> dict[str, Any]:
        """Return everything that was set by name."""
        rows = self._connection.execute("SELECT name, value FROM metadata")
        return {name: json.loads(value) for name, value in rows}

    def sources(self) -> list[SourceRecord]:
        """Return every source, in the order they were begun."""
        rows = self._connection.execute(
            "SELECT number, source_id, info, fingerprint, sampling_fps, created_at, first_s, "
            "last_s, frames, finished FROM sources ORDER BY number"
        )
        return [_source(*row) for row in rows]

    def gaps(self) -> list[Gap]:
        """Return every gap, by source and time."""
        rows = self._connection.execute(
            "SELECT source_id, start_s, end_s, reason FROM gaps "
            "JOIN sources ON sources.number = gaps.source ORDER BY source, start_s, end_s"
        )
        return [Gap(*row) for row in rows]

    def evictions(self) -> list[Eviction]:
        """Return the newest evictions, oldest first."""
        rows = self._connection.execute(
            "SELECT entry_id, reason, into_id FROM evictions ORDER BY number"
        )
        return [Eviction(*row) for row in rows]

    def entries(self, encoder: EncoderIdentity) -> Iterator[tuple[Row, Vectors]]:
        """Yield every entry with its vectors, by the time it was first seen."""
        rows = self._connection.execute(
            "SELECT entry_id, source_id, start_s, end_s, mean_s, count, thumbnail_id, "
            "thumbnail_bytes, tier, usage, merged_from, dtype, crc, key, visual FROM entries "
            "JOIN sources ON sources.number = entries.source "
            "LEFT JOIN vectors USING (entry_id) ORDER BY thumbnail_id"
        )
        sizes = [2 * encoder.dim, 2 * encoder.visual_dim]
        for *plain, merged_from, dtype, crc, key, visual in rows:
            if dtype != DTYPE or [len(key), len(visual)] != sizes or crc != _crc(key, visual):
                raise damaged(self.path, f"the features of entry {plain[0]} are not as written")
            values = [*plain, tuple(json.loads(merged_from))]
            yield (
                Row(*values),
                (np.frombuffer(key, dtype=np.float16), np.frombuffer(visual, dtype=np.float16)),
            )

    def thumbnail(self, thumbnail_id: int) -> bytes | None:
        """Return a committed JPEG, None where there is none (any more)."""
        with faults_of(self.path, "reading"):
            found = self._connection.execute(
                "SELECT jpeg FROM thumbnails WHERE thumbnail_id = ?", (thumbnail_id,)
            ).fetchone()
        return None if found is None else bytes(found[0])

    def commit(
        self,
        changes: Changes,
        *,
        index: VectorIndex,
        sources: Iterable[SourceRecord],
        gaps: Iterable[Gap],
        metadata: Mapping[str, Any],
        evicted: int,
        log_size: int,
    ) -> None:
        """Write `changes` with the progress of the sources, all or nothing.

        `evicted` counts all evictions ever, of which the log keeps the last `log_size`. After an
        error the file is as it was. The same changes can be committed again, even if they were
        written and only the news of it was lost.
        """
        with faults_of(self.path, "writing"), self._writing() as connection:
            _remove(connection, changes)
            connection.executemany(
                "REPLACE INTO metadata VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in metadata.items()],
            )
            numbers = _write_sources(connection, sources)
            if changes.gaps:
                connection.execute("DELETE FROM gaps")
                connection.executemany(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?)",
                    [(numbers[gap.source_id], gap.start_s, gap.end_s, gap.reason) for gap in gaps],
                )
            for row in changes.added.values():
                _write_entry(connection, row, source=numbers[row.source_id])
                _write_vectors(connection, row.entry_id, index.vectors(row.entry_id))
            connection.executemany(
                "REPLACE INTO thumbnails VALUES (?, ?)", changes.thumbnails.items()
            )
            connection.executemany(
                "UPDATE entries SET tier = ?, usage = ? WHERE entry_id = ?",
                [(row.tier, row.usage, row.entry_id) for row in changes.changed.values()],
            )
            _log_evictions(connection, changes.evictions, evicted=evicted, log_size=log_size)

    def wipe_traces(self) -> None:
        """Leave no byte of what was deleted in the file or its log.

        Deleted pages are overwritten with zeros by `secure_delete`; here the file is made smaller,
        where the disk has room for that, and the log that still holds them is emptied.
        """
        if self.path is None:
            return
        with faults_of(self.path, "forgetting in"):
            try:
                self._connection.execute("VACUUM")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & PRIMARY_CODE != sqlite3.SQLITE_FULL:
                    raise
            self._empty_log()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        try:
            with faults_of(self.path, "closing"):
                self._connection.close()
        finally:
            self._release()

    def _empty_log(self) -> None:
        busy, *_ = self._one("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StoreBusy(
                f"memory {self.path}: entries are deleted, but another process is reading, and "
                "traces of them stay in the log until it ends; then forget again to wipe them"
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, statement: str) -> tuple[Any, ...]:
        with faults_of(self.path, "reading"):
            row: tuple[Any, ...] = self._connection.execute(statement).fetchone()
        return row

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _source(number: int, source_id: str, info: str, *rest: Any) -> SourceRecord:
    known = SourceInfo(**json.loads(info))
    *plain, finished = rest
    fingerprint, sampling_fps, created_at, first_s, last_s, frames = plain
    return SourceRecord(
        number=number,
        source_id=source_id,
        uri=known.uri,
        info=known,
        fingerprint=fingerprint,
        sampling_fps=sampling_fps,
        created_at=created_at,
        first_s=first_s,
        last_s=last_s,
        frames=frames,
        finished=bool(finished),
    )


def _remove(connection: sqlite3.Connection, changes: Changes) -> None:
    """Delete before anything is written, so that the new takes the pages of the old."""
    for statement, ids in (
        ("DELETE FROM entries WHERE entry_id = ?", changes.removed),
        ("DELETE FROM thumbnails WHERE thumbnail_id = ?", changes.removed_thumbnails),
        ("DELETE FROM sources WHERE number = ?", changes.removed_sources),
    ):
        connection.executemany(statement, [(one,) for one in sorted(ids)])


def _write_sources(
    connection: sqlite3.Connection, sources: Iterable[SourceRecord]
) -> dict[str, int]:
    """Write the progress of every source; return their numbers by id."""
    numbers = {}
    for source in sources:
        numbers[source.source_id] = source.number
        connection.execute(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO "
            "UPDATE SET info = excluded.info, sampling_fps = excluded.sampling_fps, "
            "first_s = excluded.first_s, last_s = excluded.last_s, frames = excluded.frames, "
            "finished = excluded.finished",
            (
                source.number,
                source.source_id,
                json.dumps(dataclasses.asdict(source.info)),
                source.fingerprint,
                source.sampling_fps,
                source.created_at,
                source.first_s,
                source.last_s,
                source.frames,
                int(source.finished),
            ),
        )
    return numbers


def _write_entry(connection: sqlite3.Connection, row: Row, *, source: int) -> None:
    connection.execute(
        "REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.entry_id,
            source,
            row.start_s,
            row.end_s,
            row.mean_s,
            row.count,
            row.tier,
            row.usage,
            json.dumps(row.merged_from),
            row.thumbnail_id,
            row.thumbnail_bytes,
        ),
    )


def _write_vectors(connection: sqlite3.Connection, entry_id: int, vectors: Vectors) -> None:
    key_dim, visual_dim = map(len, vectors)
    key, visual = (vector.tobytes() for vector in vectors)
    connection.execute(
        "REPLACE INTO vectors VALUES (?, ?, ?, ?, ?, ?, ?)",
        (entry_id, DTYPE, key_dim, visual_dim, _crc(key, visual), key, visual),
    )


def _crc(key: bytes, visual: bytes) -> int:
    """Return the checksum by which damage to an entry's features shows."""
    return zlib.crc32(visual, zlib.crc32(key))


def _log_evictions(
    connection: sqlite3.Connection, evictions: Sequence[Eviction], *, evicted: int, log_size: int
) -> None:
    """Put the newest `evictions` at the end of the log and drop what is older than `log_size`."""
    numbers = range(evicted - len(evictions) + 1, evicted + 1)
    connection.executemany(
        "REPLACE INTO evictions VALUES (?, ?, ?, ?)",
        [
            (number, gone.entry_id, gone.reason, gone.into)
            for number, gone in zip(numbers, evictions, strict=True)
        ],
    )
    connection.execute("DELETE FROM evictions WHERE number <= ?", (evicted - log_size,))

"""The durable form of a memory: one SQLite file, written in whole checkpoints."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from memory_banks import opening, tables
from memory_banks.changes import Changes
from memory_banks.entries import Half, Row
from memory_banks.faults import PRIMARY_CODE, damaged, faults_of
from memory_banks.history import Sample
from memory_banks.lock import WriterLock
from memory_banks.opening import Mode
from memory_banks.schema import APPLICATION_ID
from memory_banks.settings import EncoderIdentity
from memory_banks.state import SourceRecord
from memory_banks.tables import Vectors
from memory_banks.vectors.index import VectorIndex
from streammem.errors import StoreBusy, UsageError
from streammem.records import Eviction, Gap


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
        return [tables.source_of(*row) for row in rows]

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

    def entries(self, encoder: EncoderIdentity) -> Iterator[tuple[Row, Vectors, Half | None]]:
        """Yield every entry with its vectors and its tokens, by the time it was first seen."""
        return tables.read_entries(self._connection, encoder, path=self.path)

    def history(self) -> list[Sample]:
        """Return what was held over time."""
        return tables.read_history(self._connection, path=self.path)

    def tensors(self, kind: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of one kind that the memory keeps by name."""
        return tables.read_tensors(self._connection, kind, path=self.path)

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
        tokens: Mapping[int, Half],
        history: Iterable[Sample],
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
            tables.remove(connection, changes)
            connection.executemany(
                "REPLACE INTO metadata VALUES (?, ?)",
                [(name, json.dumps(value)) for name, value in metadata.items()],
            )
            numbers = tables.write_sources(connection, sources)
            if changes.gaps:
                connection.execute("DELETE FROM gaps")
                connection.executemany(
                    "INSERT INTO gaps VALUES (?, ?, ?, ?)",
                    [(numbers[gap.source_id], gap.start_s, gap.end_s, gap.reason) for gap in gaps],
                )
            for row in changes.added.values():
                tables.write_entry(connection, row, source=numbers[row.source_id])
                tables.write_vectors(connection, row.entry_id, index.vectors(row.entry_id))
                if row.entry_id in tokens:
                    tables.write_tokens(connection, row.entry_id, tokens[row.entry_id])
            connection.executemany(
                "REPLACE INTO thumbnails VALUES (?, ?)", changes.thumbnails.items()
            )
            tables.change_entries(connection, changes.changed.values())
            for kind, tensors in changes.tensors.items():
                tables.write_tensors(connection, kind, tensors)
            tables.write_history(connection, history)
            tables.log_evictions(connection, changes.evictions, evicted=evicted, log_size=log_size)

    def copy_to(self, path: Path, *, force: bool) -> None:
        """Write the last checkpoint to a file of its own, whole or not at all.

        Whoever reads or writes here meanwhile, or reads what `path` held, is not disturbed.
        """
        opening.check_place(path)
        with faults_of(path, "saving"):
            if path.exists() and self.path is not None and path.samefile(self.path):
                raise UsageError(f"{path} is the memory itself; choose another name")
            if path.exists() and not force:
                raise UsageError(f"{path} exists; choose another name, or allow overwriting")
            lock = WriterLock(path)
            part, *log = (path.with_name(path.name + end) for end in (".part", "-wal", "-shm"))
            try:
                part.unlink(missing_ok=True)
                with closing(sqlite3.connect(part)) as copy:
                    self._connection.backup(copy)
                # The log of what was here before would be taken for that of the new file.
                for old in log:
                    old.unlink(missing_ok=True)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
                lock.release()

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

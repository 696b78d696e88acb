"""The durable form of a pose bank: tables of a memory file, written in whole checkpoints."""

import json
import sqlite3
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from memory_banks import opening
from memory_banks.faults import damaged, faults_of
from memory_banks.lock import WriterLock
from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import frustum_of
from memory_banks.pose_bank.rows import row_of
from memory_banks.pose_bank.settings import SAMPLES, PoseBankConfig
from streammem.errors import StoreError, StoreMismatch
from streammem.records import Eviction, Pose

NAME = "pose_bank"
"""Under which the file has the settings of the bank and its counts."""


Beside = Callable[[sqlite3.Connection], None]
"""Writes what belongs with a checkpoint, such as surfels, inside its transaction."""


class Changes:
    """What is to be written at the next checkpoint; a view that came and went is not among it."""

    def __init__(self, eviction_log: int) -> None:
        self.added: set[int] = set()
        self.removed: set[int] = set()
        self.slots: set[int] = set()
        self.evictions: deque[Eviction] = deque(maxlen=eviction_log)

    def remove(self, view_id: int) -> None:
        """Note that a view is gone."""
        if view_id in self.added:
            self.added.remove(view_id)
        else:
            self.removed.add(view_id)


@dataclass(slots=True)
class Found:
    """What a file holds."""

    config: PoseBankConfig
    columns: Columns
    next_id: int = 1
    evicted: int = 0
    log: list[Eviction] = field(default_factory=list)


def new(config: PoseBankConfig) -> Found:
    """Return a bank that holds nothing."""
    return Found(config, Columns(config.capacity + 1, depth_px=config.depth_px))


class PoseStore:
    """The pose bank of a memory file, open for reading or, under its lock, for writing."""

    def __init__(self, path: Path, *, mode: Literal["read", "write"]) -> None:
        self.path = path
        self.writable = mode == "write"
        self._lock: WriterLock | None = None
        opening.check_place(path)
        if self.writable:
            with faults_of(path, "opening"):
                self._lock = WriterLock(path)
        try:
            self._connection = opening.connect(path, mode=mode)
        except BaseException:
            self._release()
            raise

    def load(self, config: PoseBankConfig | None) -> Found:
        """Return what the file holds; if anything, it must be of `config` or that None."""
        with faults_of(self.path, "reading"):
            self._connection.execute("BEGIN")
            try:
                return self._load(config)
            except (ValueError, TypeError, KeyError) as error:
                raise damaged(self.path, f"it holds what was never written: {error}") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def commit(
        self,
        changes: Changes,
        columns: Columns,
        *,
        config: PoseBankConfig,
        next_id: int,
        evicted: int,
        beside: Beside | None = None,
    ) -> None:
        """Write `changes` of `columns`, and what `beside` writes, all of it or nothing.

        `evicted` counts all evictions ever.
        """
        with faults_of(self.path, "writing"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(changes, columns, config, next_id=next_id, evicted=evicted)
                if beside is not None:
                    beside(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file and let the next writer in."""
        try:
            with faults_of(self.path, "closing"):
                self._connection.close()
        finally:
            self._release()

    def _load(self, asked: PoseBankConfig | None) -> Found:
        row = self._connection.execute("SELECT value FROM metadata WHERE name = ?", (NAME,))
        found = row.fetchone()
        if found is None:
            if not self.writable:
                raise StoreError(
                    f"there is no pose bank in {self.path}; open it for writing to make one"
                )
            return new(asked or PoseBankConfig())
        kept = json.loads(found[0])
        config = PoseBankConfig(**kept["config"])
        if asked is not None and asked != config:
            raise StoreMismatch(
                f"pose bank {self.path} was made with {config}, and {asked} was asked for; leave "
                "the settings out, or make another bank"
            )
        columns = new(config).columns
        stored = self._connection.execute(
            "SELECT slot, slots.view_id, pinned, others, payload_id, time_s, width_px, height_px, "
            "camera_to_world, intrinsics, nearness, crc FROM view_slots AS slots "
            "LEFT JOIN views USING (view_id) ORDER BY slot"
        )
        for slot, view_id, pinned, others, *view in stored:
            if slot != columns.append(self._row(view_id, view, pinned=bool(pinned), config=config)):
                raise damaged(self.path, f"slot {slot} is not where it was written")
            columns.others[slot] = np.frombuffer(others, np.uint32).reshape(SAMPLES)
        if columns.count != kept["count"]:
            raise damaged(self.path, f"it holds {columns.count} of {kept['count']} views")
        log = self._connection.execute(
            "SELECT entry_id, reason, into_id FROM view_evictions ORDER BY number"
        )
        return Found(
            config,
            columns,
            next_id=kept["next_id"],
            evicted=kept["evicted"],
            log=[Eviction(*gone) for gone in log],
        )

    def _row(
        self, view_id: int, view: list[Any], *, pinned: bool, config: PoseBankConfig
    ) -> Mapping[str, Any]:
        payload_id, time_s, width_px, height_px, *blobs, crc = view
        if any(blob is None for blob in blobs) or crc != _crc(*blobs):
            raise damaged(self.path, f"view {view_id} is not as written")
        placed, intrinsics = (np.frombuffer(blob, np.float64) for blob in blobs[:2])
        pose = Pose(placed.reshape(4, 4), intrinsics.reshape(3, 3))
        side = config.depth_px
        nearness = np.zeros((side, side), np.float16)
        if blobs[2]:
            nearness[:] = np.frombuffer(blobs[2], np.float16).reshape(side, side)
        return row_of(
            pose,
            frustum_of(pose, width_px=width_px, height_px=height_px),
            nearness,
            view_id=view_id,
            payload_id=payload_id,
            size_px=(width_px, height_px),
            time_s=time_s,
            pinned=pinned,
            config=config,
        )

    def _write(
        self,
        changes: Changes,
        columns: Columns,
        config: PoseBankConfig,
        *,
        next_id: int,
        evicted: int,
    ) -> None:
        connection = self._connection
        kept = {
            "config": asdict(config),
            "count": columns.count,
            "next_id": next_id,
            "evicted": evicted,
        }
        connection.execute("REPLACE INTO metadata VALUES (?, ?)", (NAME, json.dumps(kept)))
        gone = [(view_id,) for view_id in sorted(changes.removed)]
        connection.executemany("DELETE FROM views WHERE view_id = ?", gone)
        connection.execute("DELETE FROM view_slots WHERE slot >= ?", (columns.count,))
        connection.executemany(
            "INSERT INTO views VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_view(columns, columns.slot_of[view_id]) for view_id in sorted(changes.added)],
        )
        connection.executemany(
            "REPLACE INTO view_slots VALUES (?, ?, ?, ?)",
            [
                (
                    slot,
                    int(columns.view_id[slot]),
                    int(columns.pinned[slot]),
                    columns.others[slot].tobytes(),
                )
                for slot in sorted(changes.slots)
                if slot < columns.count
            ],
        )
        first = evicted - len(changes.evictions) + 1
        connection.executemany(
            "INSERT INTO view_evictions VALUES (?, ?, ?, ?)",
            [
                (number, one.entry_id, one.reason, one.into)
                for number, one in enumerate(changes.evictions, first)
            ],
        )
        oldest = evicted - config.eviction_log
        connection.execute("DELETE FROM view_evictions WHERE number <= ?", (oldest,))

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _view(columns: Columns, slot: int) -> tuple[Any, ...]:
    """Return the row of `views` for the view in `slot`."""
    placed = np.eye(4)
    placed[:3, :3], placed[:3, 3] = columns.rotation[slot], columns.place[slot]
    nearness = columns.nearness[slot].tobytes() if columns.has_depth[slot] else b""
    blobs = placed.tobytes(), columns.intrinsics[slot].tobytes(), nearness
    width_px, height_px = columns.size_px[slot].tolist()
    numbers = int(columns.view_id[slot]), int(columns.payload_id[slot]), float(columns.time_s[slot])
    return *numbers, width_px, height_px, *blobs, _crc(*blobs)


def _crc(*blobs: bytes) -> int:
    return zlib.crc32(b"".join(blobs))

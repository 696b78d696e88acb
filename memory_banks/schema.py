"""The tables of a memory file, and the numbered steps from one form of them to the next."""

import sqlite3

APPLICATION_ID = 0x53744D65
"""Marks the file as ours; `StMe` in ASCII."""

PAGE_BYTES = 1024
"""Small pages, so that a blob of a few kilobytes wastes little of its last one."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE sources (
        number INTEGER PRIMARY KEY,
        source_id TEXT NOT NULL UNIQUE,
        info TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        sampling_fps REAL NOT NULL,
        created_at TEXT NOT NULL,
        first_s REAL,
        last_s REAL,
        frames INTEGER NOT NULL,
        finished INTEGER NOT NULL
    );
    CREATE TABLE gaps (
        source INTEGER NOT NULL REFERENCES sources ON DELETE CASCADE,
        start_s REAL NOT NULL,
        end_s REAL NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE TABLE thumbnails (thumbnail_id INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
    CREATE TABLE entries (
        entry_id INTEGER PRIMARY KEY,
        source INTEGER NOT NULL REFERENCES sources,
        start_s REAL NOT NULL,
        end_s REAL NOT NULL,
        mean_s REAL NOT NULL,
        count INTEGER NOT NULL,
        tier TEXT NOT NULL,
        usage REAL NOT NULL,
        merged_from TEXT NOT NULL,
        thumbnail_id INTEGER NOT NULL,
        thumbnail_bytes INTEGER NOT NULL
    );
    CREATE TABLE vectors (
        entry_id INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE,
        dtype TEXT NOT NULL,
        key_dim INTEGER NOT NULL,
        visual_dim INTEGER NOT NULL,
        crc INTEGER NOT NULL,
        key BLOB NOT NULL,
        visual BLOB NOT NULL
    );
    CREATE TABLE evictions (
        number INTEGER PRIMARY KEY,
        entry_id INTEGER NOT NULL,
        reason TEXT NOT NULL,
        into_id INTEGER
    );
    """,
    """
    ALTER TABLE entries ADD COLUMN token_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN attention REAL NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN rarity REAL NOT NULL DEFAULT 0;
    ALTER TABLE entries ADD COLUMN sketch BLOB NOT NULL DEFAULT X'';
    ALTER TABLE entries ADD COLUMN seen_s REAL NOT NULL DEFAULT -9e999;
    CREATE TABLE tokens (
        entry_id INTEGER PRIMARY KEY REFERENCES entries ON DELETE CASCADE,
        dtype TEXT NOT NULL,
        shape TEXT NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE TABLE tensors (
        name TEXT PRIMARY KEY,
        dtype TEXT NOT NULL,
        shape TEXT NOT NULL,
        crc INTEGER NOT NULL,
        data BLOB NOT NULL
    );
    CREATE TABLE history (
        frames_seen INTEGER PRIMARY KEY,
        sensory INTEGER NOT NULL,
        working INTEGER NOT NULL,
        long_term INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        merged INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        deleted INTEGER NOT NULL
    );
    """,
    # Views in space. Their slots are kept as they were, since sums and ties depend on their order.
    """
    CREATE TABLE views (
        view_id INTEGER PRIMARY KEY,
        payload_id INTEGER NOT NULL,
        time_s REAL NOT NULL,
        width_px INTEGER NOT NULL,
        height_px INTEGER NOT NULL,
        camera_to_world BLOB NOT NULL,
        intrinsics BLOB NOT NULL,
        nearness BLOB NOT NULL,
        crc INTEGER NOT NULL
    );
    CREATE TABLE view_slots (
        slot INTEGER PRIMARY KEY,
        view_id INTEGER NOT NULL,
        pinned INTEGER NOT NULL,
        others BLOB NOT NULL
    );
    CREATE TABLE view_evictions (
        number INTEGER PRIMARY KEY,
        entry_id INTEGER NOT NULL,
        reason TEXT NOT NULL,
        into_id INTEGER
    );
    """,
)
"""Step `n` brings a file of schema `n` to schema `n + 1`. A step is never changed once released."""

SCHEMA = len(MIGRATIONS)


def prepare(connection: sqlite3.Connection) -> None:
    """Set what has to be set before the first table is made."""
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA journal_mode = WAL")


def migrate(connection: sqlite3.Connection, *, steps: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the tables to the newest form, all steps or none, inside the caller's transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for step in steps[version:]:
        for statement in filter(str.strip, step.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(steps)}")

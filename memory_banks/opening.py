"""Opening a memory file, with every way in which it can be the wrong one told apart."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Literal

from memory_banks import schema
from memory_banks.faults import PRIMARY_CODE, damaged, faults_of
from streammem.errors import StoreDamaged, StoreError

Mode = Literal["read", "write"]
MAGIC = b"SQLite format 3\0"
WAIT_S = 10.0
SETTINGS = (
    "foreign_keys = ON",
    "secure_delete = ON",
    "synchronous = FULL",
    "temp_store = MEMORY",
    "journal_size_limit = 1048576",
)


def connect(path: Path | None, *, mode: Mode) -> sqlite3.Connection:
    """Return a connection to the memory at `path`, None for one in RAM, with its tables made.

    A writer must hold the lock, and brings a file of an older form up to date. A reader changes
    nothing: it has a copy of such a file in RAM, and reads a folder that cannot be written to.
    """
    if path is None:
        connection = _open("file::memory:")
    else:
        if not is_fresh(path):
            _check_header(path)
        elif mode == "read":
            raise missing(path)
        connection = _open_file(path, mode=mode)
    try:
        with faults_of(path, "opening"):
            if path is None or mode == "write":
                _make_tables(connection, path)
            elif _is_empty(connection):
                raise missing(path)
            _check_tables(connection, path)
            if _version(connection) < schema.SCHEMA:
                connection = _newer(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def missing(path: Path) -> StoreError:
    """Return the error for a memory that is not there."""
    return StoreError(
        f"there is no memory at {path}; make one with: streammem ingest SOURCE --memory {path}"
    )


def check_place(path: Path) -> None:
    """Refuse a path at which no file can be."""
    with faults_of(path, "opening"):
        if path.is_dir():
            raise StoreError(f"memory {path} is a folder; name a file in it")
        if not path.parent.is_dir():
            raise StoreError(f"memory {path}: its folder does not exist; make it first")


def is_fresh(path: Path) -> bool:
    """Return whether nothing is at `path` yet; an empty file is a memory not yet begun."""
    check_place(path)
    with faults_of(path, "opening"):
        return not path.exists() or path.stat().st_size == 0


def _check_header(path: Path) -> None:
    with faults_of(path, "opening"), path.open("rb") as file:
        head = file.read(100)
        size = path.stat().st_size
    if not head.startswith(MAGIC[: len(head)]):
        raise StoreDamaged(f"{path} is not a memory; name a file that streammem ingest has made")
    page = int.from_bytes(head[16:18], "big") or 1
    page = 65536 if page == 1 else page
    whole = int.from_bytes(head[28:32], "big") * page
    if len(head) < 100 or (size < whole and not _log_of(path)):
        raise damaged(path, f"it is cut short, {size} of {max(whole, 100)} bytes are there")


def _log_of(path: Path) -> int:
    """Return the bytes of the write-ahead log, which may hold what the file lacks."""
    log = path.with_name(path.name + "-wal")
    return log.stat().st_size if log.exists() else 0


def _open_file(path: Path, *, mode: Mode) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    with faults_of(path, "opening"):
        if mode == "write":
            return _open(f"{address}?mode=rwc")
        try:
            # A connection that may write also tidies up the log's files when it is the last.
            connection = _open(f"{address}?mode=rw")
            connection.execute("PRAGMA query_only = ON")
            return connection
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & PRIMARY_CODE not in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise
        if _log_of(path):
            raise StoreError(
                f"opening memory {path}: its last changes are in {path.name}-wal beside it, and a "
                "read-only folder does not let them be read; copy both files to a folder that "
                "can be written to"
            )
        return _open(f"{address}?mode=ro&immutable=1")


def _open(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        address, uri=True, isolation_level=None, timeout=WAIT_S, check_same_thread=False
    )
    try:
        for setting in SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _make_tables(connection: sqlite3.Connection, path: Path | None) -> None:
    """Make the tables of a new file, or bring those of an older one to the newest form."""
    if _is_empty(connection):
        schema.prepare(connection)
    else:
        _check_ours(connection, path)
    if _version(connection) < schema.SCHEMA:
        connection.execute("BEGIN IMMEDIATE")
        try:
            schema.migrate(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _newer(older: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy in RAM that has the newest form, and close `older`."""
    connection = _open("file::memory:")
    try:
        with closing(older):
            older.backup(connection)
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _check_ours(connection: sqlite3.Connection, path: Path | None) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if owner != schema.APPLICATION_ID:
        raise StoreDamaged(
            f"{path} is an SQLite database of another program, not a memory; "
            "name a file that streammem ingest has made"
        )


def _check_tables(connection: sqlite3.Connection, path: Path | None) -> None:
    _check_ours(connection, path)
    version = _version(connection)
    if version > schema.SCHEMA:
        raise StoreError(
            f"memory {path} has schema {version}, this StreamMem knows up to {schema.SCHEMA}; "
            "upgrade with: pip install -U streammem"
        )

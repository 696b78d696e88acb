"""What SQLite and the disk can refuse, said in words of this project."""

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streammem.errors import StoreBusy, StoreDamaged, StoreError

NEARLY_FULL_BYTES = 1 << 20
PRIMARY_CODE = 0xFF


@contextmanager
def faults_of(path: Path | None, doing: str) -> Iterator[None]:
    """Turn errors of SQLite and the system, met while `doing` something to `path`, into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _fault(path, doing, error) from error
    except UnicodeDecodeError as error:
        raise damaged(path, f"{doing} it found text that is none") from error
    except OSError as error:
        raise _system_fault(path, doing, error) from error


def _fault(path: Path | None, doing: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _nearly_full(path)):
        return _full(path, doing)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return _not_allowed(path, doing)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(
            f"{doing} memory {path}: another process holds it; try again when it has ended"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, f"{doing} it found: {error}")
    return StoreError(f"{doing} memory {path} failed: {error}")


def _system_fault(path: Path | None, doing: str, error: OSError) -> StoreError:
    """Return our error for what the system refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return _full(path, doing)
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return _not_allowed(path, doing)
    return StoreError(f"{doing} memory {path} failed: {error.strerror or error}")


def damaged(path: Path | None, found: str) -> StoreDamaged:
    """Return the error for a memory whose bytes are broken."""
    return StoreDamaged(
        f"memory {path} is damaged: {found}; restore a copy, or remove the file and ingest again "
        f'(what is left can be read with: sqlite3 "{path}" .recover)'
    )


def _full(path: Path | None, doing: str) -> StoreError:
    return StoreError(
        f"{doing} memory {path}: disk full; nothing committed was lost. Free some space, then go "
        "on or resume from the last checkpoint"
    )


def _not_allowed(path: Path | None, doing: str) -> StoreError:
    folder = path.parent if path else path
    return StoreError(
        f"{doing} memory {path} is not allowed: the file or its folder {folder} is read-only or "
        "closed to this user; choose another place or change its permissions"
    )


def _nearly_full(path: Path | None) -> bool:
    """Return whether a failed write to `path` was for want of room, where SQLite does not say."""
    return path is not None and shutil.disk_usage(path.parent).free < NEARLY_FULL_BYTES

"""A surfel bank in a memory file: its arrays beside all else, whole or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

from memory_banks import opening
from memory_banks.faults import damaged, faults_of
from memory_banks.lock import WriterLock
from memory_banks.surfel_bank.bank import SurfelBank
from memory_banks.surfel_bank.settings import SurfelBankConfig
from memory_banks.tables import read_tensors, write_tensors
from streammem.errors import StoreError

KIND = "surfel_bank"
"""The kind of arrays under which the bank is found in the file."""


def save_surfels(bank: SurfelBank, path: Path) -> None:
    """Write `bank` to the memory file at `path`, instead of the one it held, or make the file.

    A process that dies meanwhile leaves the file as it was.
    Raises `StoreBusy` where the file is being written to by another, and other `StoreError`s.
    """
    opening.check_place(path)
    with faults_of(path, "saving surfels to"):
        lock = WriterLock(path)
        try:
            with closing(opening.connect(path, mode="write")) as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    write_surfels(connection, bank)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        finally:
            lock.release()


def load_surfels(path: Path, *, config: SurfelBankConfig | None = None) -> SurfelBank:
    """Return the surfel bank in the memory file at `path`; it goes on as the saved one would have.

    The settings are those it was saved with, unless others are given that it can go on with.
    Raises `StoreError` where there is none, `StoreDamaged` where it is not as it was written.
    """
    with closing(opening.connect(path, mode="read")) as connection:
        return read_surfels(connection, path=path, config=config)


def write_surfels(connection: sqlite3.Connection, bank: SurfelBank) -> None:
    """Write `bank` inside the caller's transaction."""
    write_tensors(connection, KIND, bank.state())


def read_surfels(
    connection: sqlite3.Connection, *, path: Path | None, config: SurfelBankConfig | None = None
) -> SurfelBank:
    """Return the bank that a connection to the file `path` holds, as `load_surfels` does."""
    with faults_of(path, "reading surfels from"):
        state = read_tensors(connection, KIND, path=path)
    if not state:
        raise StoreError(f"memory {path} holds no surfels; write them there with save_surfels")
    try:
        return SurfelBank.restore(state, config=config)
    except (KeyError, ValueError) as error:
        raise damaged(path, f"its surfels are not as written: {error}") from error

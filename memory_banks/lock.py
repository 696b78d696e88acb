"""One writer at a time, by a lock that dies with its process."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from streammem.errors import StoreBusy

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[str]) -> None:
        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
else:
    import fcntl

    def _take(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """The right to write to a memory file, held until `release` or the end of the process.

    The lock lies on `FILE.lock` beside the memory, which holds the process id of the writer.
    """

    def __init__(self, memory: Path) -> None:
        self._path = memory.with_name(memory.name + ".lock")
        while True:
            file = open(self._path, "a+", encoding="ascii")  # noqa: SIM115 - held until release
            try:
                _take(file)
            except OSError:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                file.close()
                raise StoreBusy(
                    f"memory {memory} is being written by process {holder}; wait until it ends, "
                    "or write to another memory file"
                ) from None
            if _is_still(self._path, file):
                break
            file.close()
        self._file = file
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let the next writer in."""
        if sys.platform != "win32":
            self._path.unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()


def _is_still(path: Path, file: IO[str]) -> bool:
    """Return whether `path` is still the locked file, not removed by a writer that just ended."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

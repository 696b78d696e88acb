"""Every error a user can meet, as one tree.

    StreamMemError            exit code 1: something outside went wrong
    ├─ UsageError             exit code 2: what was asked for cannot be
    ├─ SourceError            a file, camera or folder cannot be read
    ├─ WeightsError           a model's files are missing or not the ones named
    ├─ StoreError             the memory file
    │  ├─ StoreBusy           another process is writing to it
    │  ├─ StoreMismatch       it was made with another encoder, or of another file of that name
    │  └─ StoreDamaged        it is not a memory, or its bytes are broken
    └─ MissingExtra           an optional part is not installed

A message says what was tried, what was found, what is allowed, and what to do next. The command
line prints it without a traceback; anything outside this tree is a fault of ours and keeps one.
"""

from collections.abc import Iterable


class StreamMemError(Exception):
    """Base of the tree."""

    exit_code = 1


class UsageError(StreamMemError):
    """What was asked for cannot be: a wrong name, time, flag or setting."""

    exit_code = 2


class SourceError(StreamMemError):
    """A source of frames cannot be opened or has stopped giving frames."""


class WeightsError(StreamMemError):
    """A model's files are missing, damaged, or not the ones that were named."""


class StoreError(StreamMemError):
    """A memory file cannot be read or written."""


class StoreBusy(StoreError):
    """Another process holds the memory for writing."""


class StoreMismatch(StoreError):
    """The memory was made with another encoder, or holds another source of the same name."""


class StoreDamaged(StoreError):
    """The file is not a memory, or its content is broken."""


class MissingExtra(StreamMemError):
    """An optional part of StreamMem is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is not installed; add it with: pip install 'streammem[{extra}]'"
        )
        self.package = package
        self.extra = extra


def one_of(what: str, got: object, allowed: Iterable[str]) -> UsageError:
    """Return the error for a name that is not among `allowed`."""
    return UsageError(f"{what} {got!r} is not known; choose one of {', '.join(allowed)}")

"""Single frames of a file by time or by number: decord where it is sound, PyAV behind it."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from streammem.errors import SourceError, UsageError
from streammem.records import Frame
from streammem.sources.av_reader import AvReader
from streammem.sources.container import refuse_missing
from streammem.sources.decord_reader import DecordReader, decord_problem, decord_version
from streammem.sources.read_ahead import call_within

T = TypeVar("T")


class Backend(Protocol):
    """What decodes the frames of one file."""

    @property
    def frame_count(self) -> int: ...

    def frame_at(self, time_s: float) -> Frame: ...

    def frames(self, indices: Sequence[int]) -> list[Frame]: ...

    def close(self) -> None: ...


def decord_status() -> str:
    """Return in words which backend serves random access here, and why."""
    problem = decord_problem()
    return decord_version() if problem is None else f"PyAV, since {problem}"


def choose_reader(
    path: str | Path, *, source_id: str | None = None, stall_s: float = 30.0
) -> "FrameReader":
    """Open the file at `path` for random access; `backend` and `reason` tell what reads it."""
    return FrameReader(Path(path), source_id=source_id, stall_s=stall_s)


class FrameReader:
    """Random access to one file that goes over to PyAV where decord fails or hangs.

    Frames are whole, upright, and numbered in the order shown. Calls may come from any thread, one
    is served at a time.
    """

    def __init__(self, path: Path, *, source_id: str | None, stall_s: float) -> None:
        refuse_missing(path)
        self._path = path
        self._source_id = source_id or path.resolve().name
        self._stall_s = stall_s
        self._lock = threading.Lock()
        self._backend: Backend | None = None
        self.backend = "decord"
        self.reason = "it is installed"
        problem = decord_problem()
        if problem is None:
            try:
                self._backend = self._within(lambda: DecordReader(path, source_id=self._source_id))
            except SourceError as error:
                problem = str(error)
        if problem is not None:
            self._retreat(problem)

    def frame_at(self, time_s: float) -> Frame:
        """Return the frame that a player shows at `time_s`, the last one where that is later."""
        if not time_s >= 0:
            raise UsageError(f"time {time_s} is before the start; ask for 0 or later")
        return self._ask(lambda backend: backend.frame_at(time_s))

    def frames(self, indices: Sequence[int]) -> list[Frame]:
        """Return the frames with these numbers, in the order asked."""
        count = self._ask(lambda backend: backend.frame_count)
        for index in indices:
            if not 0 <= index < count:
                raise UsageError(
                    f"frame {index} is not in {self._path}; it has frames 0 to {count - 1}"
                )
        return self._ask(lambda backend: backend.frames(indices))

    def close(self) -> None:
        """Free the decoder."""
        with self._lock:
            if self._backend is not None:
                self._backend.close()
                self._backend = None

    def _ask(self, call: Callable[[Backend], T]) -> T:
        """Return the backend's answer; where decord has none, go over to PyAV for good."""
        with self._lock:
            backend = self._backend
            if backend is None:
                raise SourceError(f"{self._path} was closed; open it again to read it")
            try:
                return self._within(lambda: call(backend))
            except SourceError as error:
                if self.backend != "decord":
                    raise
                self._retreat(str(error))
                return self._within(lambda: call(self._backend or backend))

    def _retreat(self, problem: str) -> None:
        self._backend = self._within(lambda: AvReader(self._path, source_id=self._source_id))
        self.backend = "pyav"
        self.reason = problem

    def _within(self, call: Callable[[], T]) -> T:
        return call_within(self._stall_s, str(self._path), call)

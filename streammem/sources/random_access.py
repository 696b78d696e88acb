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
from streammem.sources.read_ahead import Stalled, call_within

T = TypeVar("T")
# decord reads all of a file before it gives the first frame; PyAV seeks.
_LARGEST_FOR_DECORD = 2 << 30


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
        self._closed = False
        self._decord: Backend | None = None
        self._pyav = self._within(lambda: AvReader(path, source_id=self._source_id))
        self.backend, self.reason = "decord", "it is installed and sound for this file"
        try:
            self._decord = self._sound_decord()
        except SourceError as error:
            self._retreat(str(error))

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
        """Free the decoders."""
        with self._lock:
            self._closed = True
            self._pyav.close()
            if self._decord is not None:
                self._decord.close()

    def _sound_decord(self) -> Backend:
        """Return decord's reader, or raise for what is known to make it give wrong frames."""
        if problem := decord_problem():
            raise SourceError(problem)
        if self._path.stat().st_size > _LARGEST_FOR_DECORD:
            raise SourceError(f"{self._path} is so large that decord would be slow to open it")
        if self._pyav.open_groups:
            raise SourceError(
                f"{self._path} has key frames that are followed by pictures shown before them,"
                " which decord miscounts"
            )
        reader = self._within(lambda: DecordReader(self._path, source_id=self._source_id))
        if reader.frame_count != self._pyav.frame_count:
            raise SourceError(f"decord miscounts the frames of {self._path}")
        return reader

    def _ask(self, call: Callable[[Backend], T]) -> T:
        """Return decord's answer; where it has none, go over to PyAV for good."""
        with self._lock:
            if self._closed:
                raise SourceError(f"{self._path} was closed; open it again to read it")
            if (decord := self._decord) is not None:
                try:
                    return self._within(lambda: call(decord))
                except SourceError as error:
                    self._retreat(str(error))
            try:
                return self._within(lambda: call(self._pyav))
            except Stalled:
                # The call that hangs still holds the decoder; a second one would break it.
                self._closed = True
                raise

    def _retreat(self, problem: str) -> None:
        self._decord = None
        self.backend, self.reason = "pyav", problem

    def _within(self, call: Callable[[], T]) -> T:
        return call_within(self._stall_s, str(self._path), call)

"""Frames made on a thread of their own, a bounded number ahead, under a watchdog."""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

from streammem.errors import SourceError
from streammem.records import Frame

T = TypeVar("T")
FrameSteps = Generator[Frame | None, None, None]
"""Frames as they are made; None says that work goes on though no frame is ready."""

_JOIN_S = 5.0


class Stalled(SourceError):
    """Nothing came for so long that the wait was given up; the work may still go on."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(
            f"{what} gave nothing for {seconds:g} s and was given up; see whether it is still"
            " there, or raise stall_s"
        )


class ReadAhead:
    """Runs `steps` on a thread and hands over its frames, at most `ahead` of them waiting.

    Where the reader is slow the thread waits, or with `newest_only` drops the oldest frame waiting.
    Raises `Stalled` where neither a frame nor a sign of work comes for `stall_s` seconds while
    someone waits. The generator is closed on the thread that ran it.
    The thread ends with the iteration.
    """

    def __init__(
        self,
        steps: FrameSteps,
        *,
        name: str,
        ahead: int,
        stall_s: float,
        newest_only: bool = False,
    ) -> None:
        self._steps = steps
        self._name = name
        self._ahead = ahead
        self._stall_s = stall_s
        self._newest_only = newest_only
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._last_sign = time.monotonic()
        self._closed = False
        self._done = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"read {name}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self.close()

    def close(self) -> None:
        """End the iteration and the thread; safe from any thread."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _next(self) -> Frame | None:
        """Return the next frame, or None at the end."""
        asked = time.monotonic()
        with self._changed:
            while not self._closed:
                if self._waiting:
                    self._changed.notify_all()
                    return self._waiting.popleft()
                if self._done:
                    if self._error is not None:
                        raise self._error
                    return None
                patience = max(asked, self._last_sign) + self._stall_s - time.monotonic()
                if patience <= 0:
                    self._closed = True
                    raise Stalled(self._name, self._stall_s)
                self._changed.wait(patience)
        return None

    def _work(self) -> None:
        try:
            for frame in self._steps:
                if not self._put(frame):
                    break
        except Exception as error:
            self._error = error
        finally:
            self._steps.close()
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, frame: Frame | None) -> bool:
        """Queue a frame, or note the sign of work; return whether more is wanted."""
        with self._changed:
            self._last_sign = time.monotonic()
            if frame is not None:
                if self._newest_only and len(self._waiting) == self._ahead:
                    self._waiting.popleft()
                while len(self._waiting) >= self._ahead and not self._closed:
                    self._changed.wait()
                self._last_sign = time.monotonic()
                self._waiting.append(frame)
                self._changed.notify_all()
            return not self._closed


class _Outcome(Generic[T]):
    """What a call on another thread came to."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None


def call_within(seconds: float, what: str, call: Callable[[], T]) -> T:
    """Return `call()`, run on a thread; raise `Stalled` when it is not back in `seconds`.

    The thread of a call that hangs is left behind: nothing can end it from outside.
    """
    outcome: _Outcome[T] = _Outcome()

    def run() -> None:
        try:
            outcome.value = call()
        except Exception as error:
            outcome.error = error

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Stalled(what, seconds)
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]  # set, since there was no error

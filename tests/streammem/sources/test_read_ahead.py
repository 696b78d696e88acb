"""The thread that works ahead: bounded, watched, and ended by close."""

import threading
import time

import numpy as np
import pytest

from streammem.errors import SourceError
from streammem.records import Frame
from streammem.sources.read_ahead import FrameSteps, ReadAhead, call_within


def frame(index: int) -> Frame:
    return Frame("s", index, float(index), np.zeros((2, 2, 3), np.uint8))


class Counted:
    """Steps that note how far they came, and on which thread they were closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.closed_on: str | None = None

    def steps(self) -> FrameSteps:
        try:
            for index in range(self.count):
                self.made += 1
                yield frame(index)
                yield None
        finally:
            self.closed_on = threading.current_thread().name


def settle(until: float = 0.1) -> None:
    """Give the reading thread time to go as far as it will."""
    time.sleep(until)


def test_hands_over_every_frame_in_order() -> None:
    reading = ReadAhead(Counted(50).steps(), name="x", ahead=3, stall_s=5)
    assert [f.index for f in reading] == list(range(50))


def test_never_works_further_ahead_than_allowed() -> None:
    counted = Counted(50)
    reading = ReadAhead(counted.steps(), name="x", ahead=3, stall_s=5)
    settle()
    assert counted.made <= 4  # three wait, one is held in hand
    next(iter(reading))
    settle()
    assert counted.made <= 5
    reading.close()


def test_newest_only_drops_the_oldest() -> None:
    counted = Counted(50)
    reading = ReadAhead(counted.steps(), name="x", ahead=2, stall_s=5, newest_only=True)
    settle()
    assert [f.index for f in reading] == [48, 49]


def test_close_ends_the_thread_and_the_iteration() -> None:
    counted = Counted(50)
    reading = ReadAhead(counted.steps(), name="x", ahead=2, stall_s=5)
    frames = iter(reading)
    next(frames)
    reading.close()
    assert list(frames) == []
    assert counted.closed_on == "read x"
    assert "read x" not in [thread.name for thread in threading.enumerate()]


def test_close_from_another_thread_frees_a_waiting_reader() -> None:
    stuck = threading.Event()

    def steps() -> FrameSteps:
        yield frame(0)
        stuck.wait(10)

    reading = ReadAhead(steps(), name="x", ahead=2, stall_s=60)
    frames = iter(reading)
    next(frames)
    closer = threading.Timer(0.05, reading.close)
    closer.start()
    assert list(frames) == []
    stuck.set()
    closer.join()


def test_gives_up_a_reader_that_shows_no_sign_of_work() -> None:
    stuck = threading.Event()

    def steps() -> FrameSteps:
        yield frame(0)
        stuck.wait(10)

    frames = iter(ReadAhead(steps(), name="stuck.mp4", ahead=2, stall_s=0.1))
    next(frames)
    with pytest.raises(SourceError, match=r"stuck\.mp4 gave nothing for 0\.1 s and was given up"):
        next(frames)
    stuck.set()


def test_work_without_frames_is_no_stall() -> None:
    def steps() -> FrameSteps:
        for _ in range(10):
            time.sleep(0.05)
            yield None
        yield frame(0)

    reading = ReadAhead(steps(), name="x", ahead=2, stall_s=0.4)
    assert [f.index for f in reading] == [0]


def test_a_slow_taker_is_no_stall() -> None:
    reading = ReadAhead(Counted(6).steps(), name="x", ahead=1, stall_s=0.1)
    for taken in reading:
        if taken.index == 2:
            time.sleep(0.2)


def test_an_error_reaches_the_reader_after_the_frames_before_it() -> None:
    def steps() -> FrameSteps:
        yield frame(0)
        raise SourceError("the disk is gone")

    frames = iter(ReadAhead(steps(), name="x", ahead=2, stall_s=5))
    assert next(frames).index == 0
    with pytest.raises(SourceError, match="the disk is gone"):
        next(frames)


def test_call_within_returns_raises_and_gives_up() -> None:
    assert call_within(5, "x", lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        call_within(5, "x", lambda: 1 // 0)
    stuck = threading.Event()
    with pytest.raises(SourceError, match=r"x gave nothing for 0\.05 s"):
        call_within(0.05, "x", lambda: stuck.wait(10))
    stuck.set()

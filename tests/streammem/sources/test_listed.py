"""Frames in memory as a source."""

import numpy as np
import pytest

from streammem.errors import SourceError
from streammem.protocols import FrameSource
from streammem.records import Frame
from streammem.sources.listed import ListSource


def frame(index: int, time_s: float) -> Frame:
    return Frame("talk", index, time_s, np.zeros((4, 6, 3), np.uint8))


def test_gives_its_frames_any_number_of_times() -> None:
    source: FrameSource = ListSource([frame(0, 0.0), frame(1, 2.5)])
    assert [f.time_s for f in source] == [f.time_s for f in source] == [0.0, 2.5]
    info = source.info
    assert (info.source_id, info.width, info.height, info.frame_count) == ("talk", 6, 4, 2)


def test_close_ends_the_iteration() -> None:
    source = ListSource([frame(0, 0.0), frame(1, 2.5)])
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []


def test_refuses_no_frames_and_falling_times() -> None:
    with pytest.raises(SourceError, match="the list of frames is empty"):
        ListSource([])
    with pytest.raises(SourceError, match="frame 1 at 1 s comes after 2 s; sort the frames"):
        ListSource([frame(0, 2.0), frame(1, 1.0)])

"""Frames that are already in memory, as a source."""

from collections.abc import Iterable, Iterator

from streammem.errors import SourceError
from streammem.records import Frame, Gap, SourceInfo


class ListSource:
    """A list of frames with times that do not fall; for tests and for programs with own frames."""

    def __init__(self, frames: Iterable[Frame], *, gaps: Iterable[Gap] = ()) -> None:
        self._frames = list(frames)
        self._closed = False
        if not self._frames:
            raise SourceError("the list of frames is empty; give at least one frame")
        first, last = self._frames[0], self._frames[-1]
        for before, after in zip(self._frames, self._frames[1:], strict=False):
            if after.time_s < before.time_s:
                raise SourceError(
                    f"frame {after.index} at {after.time_s:g} s comes after {before.time_s:g} s;"
                    " sort the frames by time"
                )
        self.info = SourceInfo(
            source_id=first.source_id,
            uri=f"list:{first.source_id}",
            width=first.rgb.shape[1],
            height=first.rgb.shape[0],
            duration_s=last.time_s - first.time_s,
            frame_count=len(self._frames),
        )
        self.gaps = list(gaps)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if self._closed:
                return
            yield frame

    def close(self) -> None:
        """End the iteration before its next frame."""
        self._closed = True

"""Any frame of a file through PyAV: seek to the key frame before it, decode up to it."""

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
from av.video.frame import VideoFrame

from streammem.errors import SourceError
from streammem.names import format_time
from streammem.records import Frame
from streammem.sources.container import VideoPacket, open_video
from streammem.sources.packets import FrameCounter, seek_packets
from streammem.sources.video import Picture

_SLACK_S = 1e-6


class AvReader:
    """Random access to the frames of one file; times and numbers are those of `VideoSource`.

    Asking by number reads all packets once, without decoding them, to learn the times.
    """

    def __init__(self, path: Path, *, source_id: str) -> None:
        self._path = path
        self._source_id = source_id
        self._file = open_video(path)
        if not self._file.timed:
            self._file.container.close()
            raise SourceError(f"{path} carries no times; its frames can only be read in order")
        self._picture = Picture(max_side=0)
        self._table: _Table | None = None
        self._decoding: Iterator[VideoFrame] = iter(())
        self._reached: int | None = None

    def frame_at(self, time_s: float) -> Frame:
        """Return the frame that a player shows at `time_s`."""
        clock = self._file.clock
        counter = FrameCounter()
        shown = None
        for frame in self._frames_from(time_s, counter):
            if frame.pts is None or clock.seconds(frame.pts) < 0:
                continue
            if shown is not None and clock.seconds(frame.pts) > time_s + _SLACK_S:
                break
            shown = frame
        self._reached = None
        if shown is None or shown.pts is None:
            raise SourceError(f"{self._path} has no picture at {format_time(time_s)} to decode")
        return self._frame(shown, counter.index_of(shown.pts))

    def frames(self, indices: Sequence[int]) -> list[Frame]:
        """Return the frames with these numbers, in the order asked."""
        found = {index: self._numbered(index) for index in sorted(set(indices))}
        return [found[index] for index in indices]

    @property
    def frame_count(self) -> int:
        """How many frames the file shows."""
        return len(self._times().shown)

    @property
    def open_groups(self) -> bool:
        """Whether a key frame is followed by pictures that are shown before it."""
        return self._times().open_groups

    def close(self) -> None:
        """Close the file."""
        self._file.container.close()

    def _numbered(self, index: int) -> Frame:
        table = self._times()
        wanted = table.shown[index]
        if self._reached is None or not table.is_just_ahead(self._reached, wanted):
            self._decoding = self._frames_from(self._file.clock.seconds(wanted), FrameCounter())
        for frame in self._decoding:
            self._reached = frame.pts
            if frame.pts is not None and frame.pts >= wanted:
                if frame.pts == wanted:
                    return self._frame(frame, index)
                break
        self._reached = None
        time = format_time(self._file.clock.seconds(wanted), decimals=1)
        raise SourceError(f"frame {index} of {self._path}, at {time}, is damaged")

    def _frames_from(self, time_s: float, counter: FrameCounter) -> Iterator[VideoFrame]:
        """Decode on from the key frame before `time_s`, past damage."""
        file = self._file
        packets = seek_packets(file, max(0.0, time_s), on_error=lambda reason: None)
        if packets is None:
            raise SourceError(f"{self._path} can only be read from its start to its end")
        for packet in packets:
            counter.saw(packet, clock=file.clock, fps=file.fps)
            yield from self._decode(packet)
        yield from self._decode(None)

    def _decode(self, packet: VideoPacket | None) -> list[VideoFrame]:
        try:
            return self._file.stream.codec_context.decode(packet)
        except av.FFmpegError:
            return []

    def _frame(self, frame: VideoFrame, index: int) -> Frame:
        return Frame(
            source_id=self._source_id,
            index=index,
            time_s=self._file.clock.seconds(frame.pts or 0),
            rgb=self._picture.rgb(frame, name=str(self._path)),
        )

    def _times(self) -> "_Table":
        if self._table is None:
            packets = seek_packets(self._file, 0.0, on_error=lambda reason: None) or iter(())
            self._table = _Table(packets, start=self._file.clock.start)
            self._reached = None
        return self._table


class _Table:
    """The time stamps of all shown frames in order, and those of the key frames."""

    def __init__(self, packets: Iterator[VideoPacket], *, start: int) -> None:
        self.shown: list[int] = []
        self._keys: list[int] = []
        self.open_groups = False
        for packet in packets:
            if packet.pts is None or packet.pts < start or packet.is_discard:
                continue
            self.shown.append(packet.pts)
            if packet.is_keyframe:
                self._keys.append(packet.pts)
            elif self._keys and packet.pts < self._keys[-1]:
                self.open_groups = True
        self.shown.sort()
        self._keys.sort()

    def is_just_ahead(self, reached: int, wanted: int) -> bool:
        """Return whether decoding on is a shorter way than to seek."""
        keys = self._keys
        return reached < wanted and bisect.bisect(keys, reached) == bisect.bisect(keys, wanted)

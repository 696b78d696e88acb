"""Frames of a video file, in one pass, decoding no more than the sampling needs."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from streammem.errors import SourceError
from streammem.names import format_time
from streammem.records import Frame, Gap, Image, SourceInfo
from streammem.sources.container import VideoFile, VideoPacket, open_video, refuse_missing
from streammem.sources.gap_log import GapLog
from streammem.sources.packets import FrameCounter, PacketPlan, packets_from
from streammem.sources.picture import check_pixels, fitted, upright, whole_turns
from streammem.sources.read_ahead import FrameSteps, ReadAhead, call_within
from streammem.sources.sampling import Sampler, SamplingConfig

_MISSING_END_S = 0.5


class Picture:
    """Turns decoded frames into upright RGB pictures; one is kept for a stream."""

    def __init__(self, *, max_side: int) -> None:
        self._max_side = max_side
        # Setting a reformatter up costs more than using it once.
        self._reformatter = VideoReformatter()

    def rgb(self, frame: VideoFrame, *, name: str) -> Image:
        """Return `frame` as uint8 `[H, W, 3]`; HDR is cut to 8 bits without tone mapping."""
        check_pixels(name, width=frame.width, height=frame.height)
        width, height = fitted(frame.width, frame.height, max_side=self._max_side)
        rgb = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        pixels = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        return upright(pixels, rotation_deg=whole_turns(frame.rotation))


class VideoSource:
    """A video file as a stream of sampled frames with their true times.

    Time 0 is the stream's declared start, so that times are those a player shows;
    `info.start_s` is what the file itself calls that moment. `Frame.index` is the number of the
    frame in the order shown; after a start in the middle it is counted on from the time and rate
    of the key frame there. A file can be iterated again, a pipe only once.
    """

    def __init__(self, path: Path, sampling: SamplingConfig, *, source_id: str) -> None:
        self._path = path
        self._sampling = sampling
        self._reading: ReadAhead | None = None
        self._closed = False
        refuse_missing(path)
        self._file: VideoFile | None = self._open()
        self.info = _info(self._file, path, source_id)
        self.gaps: list[Gap] = []

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise SourceError(f"{self._path} was closed; open it again to read it")
        file, self._file = self._file or self._open(), None
        self.gaps.clear()
        self._reading = ReadAhead(
            self._steps(file),
            name=str(self._path),
            ahead=self._sampling.ahead,
            stall_s=self._sampling.stall_s,
        )
        yield from self._reading

    def close(self) -> None:
        """End the reading; safe from any thread."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()
        elif self._file is not None:
            self._file.container.close()

    def _open(self) -> VideoFile:
        return call_within(self._sampling.stall_s, str(self._path), lambda: open_video(self._path))

    def _steps(self, file: VideoFile) -> FrameSteps:
        """Yield the wanted frames, and None after each packet that gave none."""
        try:
            yield from _Reading(file, self._sampling, self.info, self.gaps).steps()
        finally:
            file.container.close()


class _Reading:
    """One pass over a file: the state that decoding needs."""

    def __init__(
        self, file: VideoFile, sampling: SamplingConfig, info: SourceInfo, gaps: list[Gap]
    ) -> None:
        self._file = file
        self._sampling = sampling
        self._info = info
        self._sampler = Sampler(sampling)
        self._plan = PacketPlan(self._sampler, clock=file.clock, codec=info.codec or "")
        self._counter = FrameCounter()
        self._picture = Picture(max_side=sampling.max_side)
        self._gaps = GapLog(info.source_id, gaps)
        self._interval_s = 1.0 / info.fps if info.fps else 0.0
        self._last_s = 0.0
        self._read_to_s = 0.0
        self._untimed_frames = 0

    def steps(self) -> FrameSteps:
        """Yield frames, or None as a sign of work."""
        for packet in packets_from(self._file, self._sampling.start_s, on_error=self._note_error):
            self._counter.saw(packet, clock=self._file.clock, fps=self._info.fps)
            self._note_reach(packet)
            yield None
            for due in self._plan.take(packet):
                yield from self._frames(due)
            if self._sampler.ended(self._sampler.target_s):
                break
        else:
            yield from self._frames(None)
            self._note_missing_end()
        self._gaps.settle()

    def _frames(self, packet: VideoPacket | None) -> FrameSteps:
        """Yield the wanted frames that decoding `packet` brings; None drains the decoder."""
        context = self._file.stream.codec_context
        if packet is not None:
            if self._plan.jumped:
                context.flush_buffers()
                self._plan.jumped = False
            skip = self._plan.skip_frame(packet)
            if context.skip_frame != skip:
                context.skip_frame = skip
        try:
            decoded = context.decode(packet)
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            start_s = self._read_to_s
            if packet is not None and packet.pts is not None:
                start_s = max(0.0, self._file.clock.seconds(packet.pts))
            reason = f"a damaged packet: {error.strerror}"
            self._lose(start_s, start_s + self._interval_s, reason)
            return
        for frame in decoded:
            time_s = self._time(frame)
            self._gaps.reached(time_s)
            if self._sampler.ended(time_s) or not self._sampler.wants(time_s):
                continue
            self._sampler.take(time_s)
            index = self._untimed_frames - 1
            if frame.pts is not None:
                index = self._counter.index_of(frame.pts)
            yield Frame(
                source_id=self._info.source_id,
                index=index,
                time_s=time_s,
                rgb=self._picture.rgb(frame, name=self._file.name),
            )

    def _time(self, frame: VideoFrame) -> float:
        """Return the frame's time: its stamp, or where it has none the rate's; it never falls."""
        if frame.pts is None:
            time_s = self._untimed_frames * self._interval_s
            self._untimed_frames += 1
        else:
            time_s = self._file.clock.seconds(frame.pts)
        self._last_s = max(self._last_s, time_s)
        return self._last_s if time_s >= 0 else time_s

    def _note_reach(self, packet: VideoPacket) -> None:
        if packet.pts is not None:
            end_s = self._file.clock.seconds(packet.pts + (packet.duration or 0))
            self._read_to_s = max(self._read_to_s, end_s)

    def _note_error(self, reason: str) -> None:
        end_s = self._read_to_s + self._interval_s
        self._lose(self._read_to_s, end_s, f"the file is damaged: {reason}")

    def _lose(self, start_s: float, end_s: float, reason: str) -> None:
        """Record a loss, unless it lies before the wanted span and is only passed on the way."""
        if end_s > self._sampling.start_s:
            self._gaps.lost(start_s, end_s, reason)

    def _note_missing_end(self) -> None:
        """Record what the file says it holds but does not."""
        claimed_s = self._info.duration_s
        if claimed_s is None or claimed_s - self._read_to_s < _MISSING_END_S:
            return
        reason = (
            f"the file ends at {format_time(self._read_to_s)} though it says it lasts"
            f" {format_time(claimed_s)}"
        )
        self._lose(self._read_to_s, claimed_s, reason)


def _info(file: VideoFile, path: Path, source_id: str) -> SourceInfo:
    sideways = file.rotation_deg in (90, 270)
    width, height = (file.height, file.width) if sideways else (file.width, file.height)
    clock = file.clock
    return SourceInfo(
        source_id=source_id,
        uri=str(path.absolute()),
        width=width,
        height=height,
        fps=file.fps,
        duration_s=file.duration_s,
        start_s=clock.start * clock.numerator / clock.denominator,
        frame_count=file.stream.frames or None,
        codec=file.stream.codec.canonical_name,
        rotation_deg=file.rotation_deg,
    )

"""A video file opened with PyAV: its picture stream, its clock, and a sentence where it is none."""

import os
import re
import stat
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from streammem.errors import SourceError
from streammem.sources.picture import check_pixels, whole_turns

if TYPE_CHECKING:
    VideoPacket: TypeAlias = Packet[VideoStream]
else:  # a packet is generic in its type stub only
    VideoPacket = Packet

WANTED = "give a video file, a folder of pictures, a camera number such as 0, or rtsp://..."
PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# Only containers that hold their own data: a playlist could name other files and addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,asf,ogg,"
    "gif,h264,hevc,ivf,obu,mxf,nut,dv,rm,wtv,mjpeg,yuv4mpegpipe,"
    "mp3,wav,flac,aac,aiff,amr,ac3"
)
_PEEKED_PACKETS = 1000
_PEEKED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class StreamClock:
    """Stream time stamps as seconds since the stream's declared start, exactly rounded."""

    start: int
    numerator: int
    denominator: int

    def seconds(self, pts: int) -> float:
        """Return the time of `pts`."""
        return (pts - self.start) * self.numerator / self.denominator

    def pts(self, time_s: float) -> int:
        """Return the last time stamp at or before `time_s`."""
        return self.start + int(time_s * self.denominator // self.numerator)


@dataclass(frozen=True, slots=True)
class VideoFile:
    """An open container with the stream that is watched.

    `peeked` are the packets that were read to see the first picture. `width`, `height` and
    `rotation_deg` (counter-clockwise) are that picture's, before it is turned.
    """

    name: str
    container: InputContainer
    stream: VideoStream
    clock: StreamClock
    peeked: tuple[VideoPacket, ...]
    width: int
    height: int
    rotation_deg: int

    @property
    def timed(self) -> bool:
        """Whether packets carry times; those of a bare H.264 stream do not."""
        return self.peeked[0].pts is not None

    @property
    def fps(self) -> float | None:
        """The stream's mean rate where it says one."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None

    @property
    def duration_s(self) -> float | None:
        """How long the file says its pictures last, counted from the clock's zero."""
        stream, container = self.stream, self.container
        if stream.duration:
            return self.clock.seconds(self.clock.start + stream.duration)
        offset_s = self.clock.start * self.clock.numerator / self.clock.denominator
        if found := re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", "")):
            return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) - offset_s
        if container.duration:
            return ((container.start_time or 0) + container.duration) / av.time_base - offset_s
        return None


def open_video(path: Path, *, threads: int | None = None) -> VideoFile:
    """Open the file at `path` and decode its first picture; the decoder stands at the start again.

    A pipe is read as it comes. Raises `SourceError` with the reason where there is no video.
    """
    refuse_missing(path)
    container = _container(path)
    try:
        stream = _picture_stream(container, str(path))
        check_pixels(str(path), width=stream.width, height=stream.height)
        _set_threads(stream, threads)
        return _peek(container, stream, str(path))
    except BaseException:
        container.close()
        raise


def refuse_missing(path: Path) -> None:
    """Raise `SourceError` where `path` is not there, may not be read, or is empty."""
    try:
        status = path.stat()
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise SourceError(f"{path} {reason}; {WANTED}") from error
    if not os.access(path, os.R_OK):
        raise SourceError(f"{path} may not be read; change its permissions")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceError(f"{path} is empty (0 bytes); {WANTED}")


def _container(path: Path) -> InputContainer:
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        return av.open(str(path.absolute()), metadata_errors="replace", options=options)
    except av.FFmpegError as error:
        raise SourceError(f"{path} is not a video that can be read: {_why(path)}") from error


def _why(path: Path) -> str:
    """Say what the file seems to be, from its first bytes."""
    if not path.is_file():
        return f"it ended before a video began; {WANTED}"
    with path.open("rb") as file:
        head = file.read(2048)
    if head[4:8] == b"ftyp":
        return (
            "its index (moov) is missing or broken, as in a recording that was cut off; repair it"
            " with the program that recorded it"
        )
    if head.startswith(b"#EXTM3U"):
        return "it is a playlist; give the video files that it names"
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return "it looks like a picture; put pictures into a folder and give the folder"
    if b"\0" not in head:
        try:
            head[:-4].decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return f"it looks like text; {WANTED}"
    return f"no known video format is found in it; {WANTED}"


def _picture_stream(container: InputContainer, name: str) -> VideoStream:
    """Return the stream a player would show; the cover of a song is none."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    best = container.streams.best("video")
    if not streams:
        what = "only sound" if container.streams.audio else "no video"
        raise SourceError(f"{name} has {what} and nothing to see; {WANTED}")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if stream.codec_context is None:
        raise SourceError(f"{name} is coded in a way that this build of PyAV cannot decode")
    return stream


def _set_threads(stream: VideoStream, threads: int | None) -> None:
    """Choose the decoder's threads.

    Slice threads give frames at once and cost no work where a file has one slice a frame; they
    leave a second core to the encoder. Frame threads only pay where cores are idle.
    """
    known = getattr(os, "sched_getaffinity", None)
    cores = len(known(0)) if known else os.cpu_count() or 1
    count = threads or (2 if cores < 4 else min(8, cores // 2))
    stream.thread_type = "SLICE" if count <= 2 else "FRAME"
    stream.thread_count = count


def _peek(container: InputContainer, stream: VideoStream, name: str) -> VideoFile:
    """Decode up to the first picture, which alone tells rotation and true size."""
    peeked: list[VideoPacket] = []
    size = 0
    first = None
    try:
        for packet in container.demux(stream):
            if packet.size:
                peeked.append(packet)
                size += packet.size
            try:
                first = next(iter(stream.codec_context.decode(packet)), None)
            except av.FFmpegError:
                continue
            if first or len(peeked) > _PEEKED_PACKETS or size > _PEEKED_BYTES:
                break
    except av.FFmpegError:
        pass
    if first is None:
        raise SourceError(
            f"{name} holds no picture that can be decoded: {len(peeked)} packets of"
            f" {stream.codec.canonical_name} were tried; see whether a player shows it"
        )
    stream.codec_context.flush_buffers()
    base = stream.time_base or Fraction(1, av.time_base)
    start = stream.start_time if stream.start_time is not None else first.pts
    return VideoFile(
        name=name,
        container=container,
        stream=stream,
        clock=StreamClock(start or 0, base.numerator, base.denominator),
        peeked=tuple(peeked),
        width=first.width,
        height=first.height,
        rotation_deg=whole_turns(first.rotation),
    )

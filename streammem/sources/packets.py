"""The packets of a video: read past damage, from a moment on, and only those that matter."""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Literal

import av

from streammem.sources.container import StreamClock, VideoFile, VideoPacket
from streammem.sources.sampling import Sampler

# In these a picture that is marked as not referred to is never needed for another one.
_SKIPPABLE_CODECS = ("h264", "mpeg4", "mpeg2video", "mpeg1video")
_HELD_BYTES = 32 << 20
_HELD_PACKETS = 1000
_FAILURES_IN_A_ROW = 32


def read_packets(file: VideoFile, *, on_error: Callable[[str], None]) -> Iterator[VideoPacket]:
    """Yield the packets from where the container stands to its end, going on after errors."""
    failures = 0
    while failures < _FAILURES_IN_A_ROW:
        try:
            for packet in file.container.demux(file.stream):
                if packet.size:
                    failures = 0
                    yield packet
            return
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            failures += 1
            on_error(error.strerror or "unknown error")


def packets_from(
    file: VideoFile, start_s: float, *, on_error: Callable[[str], None]
) -> Iterator[VideoPacket]:
    """Yield packets from a key frame at or before `start_s` on; all where one cannot seek.

    The file must be as it was opened.
    """
    sought = None
    if start_s > 0 and file.timed:
        sought = seek_packets(file, start_s, on_error=on_error)
    if sought is None:
        sought = chain(file.peeked, read_packets(file, on_error=on_error))
    yield from joined(sought, file)


def joined(packets: Iterator[VideoPacket], file: VideoFile) -> Iterator[VideoPacket]:
    """Let the time stamps go on where they start anew, as in recordings that were put together."""
    second = file.clock.denominator // file.clock.numerator
    usual = round(second / file.fps) if file.fps else 0
    shift, end = 0, None
    for packet in packets:
        if packet.pts is not None:
            if packet.is_keyframe and end is not None and packet.pts + shift < end - second:
                shift = end - packet.pts
            if shift:
                packet.pts += shift
                packet.dts = None if packet.dts is None else packet.dts + shift
            end = max(end or packet.pts, packet.pts + (packet.duration or usual))
        yield packet


def seek_packets(
    file: VideoFile, start_s: float, *, on_error: Callable[[str], None]
) -> Iterator[VideoPacket] | None:
    """Return packets from the last key frame that can be found at or before `start_s` on.

    None where the container cannot seek. A seek may land late, most of all in a transport stream,
    so that earlier ones are tried, at last one before the start.
    """
    clock = file.clock
    found: Iterator[VideoPacket] | None = None
    for back_s in (0.0, 2.0, 10.0, 60.0, 600.0, start_s, start_s + 10.0):
        at_s = start_s - back_s if back_s > start_s else max(0.0, start_s - back_s)
        try:
            file.container.seek(clock.pts(at_s), stream=file.stream)
        except av.FFmpegError:
            if found is None:
                return None
            continue
        packets = read_packets(file, on_error=on_error)
        key = next((packet for packet in packets if packet.is_keyframe), None)
        found = packets if key is None else chain((key,), packets)
        if key is not None and key.pts is not None and clock.seconds(key.pts) <= start_s:
            break
    return found


class PacketPlan:
    """Holds packets back until it is known whether the wanted frames depend on them.

    A group of pictures without a wanted frame is never decoded, and of the others no picture that
    comes too early and that nothing refers to. The frames that come out are those that decoding
    everything would give. Where packets carry no times, all are decoded.
    """

    def __init__(self, sampler: Sampler, *, clock: StreamClock, codec: str) -> None:
        self._sampler = sampler
        self._clock = clock
        self._skippable = codec in _SKIPPABLE_CODECS
        self._held: list[VideoPacket] = []
        self._held_bytes = 0
        self._untimed = False
        self._dropped = False
        self.jumped = False
        """Whether packets were left out before those returned last: flush the decoder."""

    def take(self, packet: VideoPacket) -> list[VideoPacket]:
        """Return the packets that are to be decoded now that `packet` is known."""
        self.jumped = False
        self._untimed = self._untimed or packet.pts is None
        if packet.is_keyframe and self._held and self._can_start_at(packet):
            self._dropped = True
            self._held.clear()
            self._held_bytes = 0
        self._held.append(packet)
        self._held_bytes += packet.size
        full = self._held_bytes > _HELD_BYTES or len(self._held) > _HELD_PACKETS
        if not (full or self._untimed or self._wanted(packet)):
            return []
        due, self._held, self._held_bytes = self._held, [], 0
        self.jumped, self._dropped = self._dropped, False
        return due

    def skip_frame(self, packet: VideoPacket) -> Literal["NONREF", "DEFAULT"]:
        """Return which pictures the decoder may leave out at `packet`."""
        spare = self._skippable and not self._untimed and not self._wanted(packet)
        return "NONREF" if spare else "DEFAULT"

    def _can_start_at(self, key: VideoPacket) -> bool:
        """Return whether every wanted frame that is still to come is at `key` or after it."""
        if self._untimed or key.pts is None:
            return False
        return self._clock.seconds(key.pts) <= self._sampler.target_s

    def _wanted(self, packet: VideoPacket) -> bool:
        return packet.pts is None or self._sampler.wants(self._clock.seconds(packet.pts))


class FrameCounter:
    """Numbers frames by how many packets are shown before them, decoded or not."""

    def __init__(self) -> None:
        self._passed = 0
        self._ahead: list[int] = []
        self._first: int | None = None

    def saw(self, packet: VideoPacket, *, clock: StreamClock, fps: float | None) -> None:
        """Note a packet; the first one tells by its time how many frames were sought past."""
        if packet.pts is None or packet.is_discard:
            return
        if self._first is None:
            self._first = packet.pts
            self._passed = max(0, round(clock.seconds(packet.pts) * (fps or 0.0)))
        # Pictures that are shown before the first key frame are among those sought past.
        if packet.pts >= self._first:
            heapq.heappush(self._ahead, packet.pts)

    def index_of(self, pts: int) -> int:
        """Return the number of the frame at `pts`; ask in rising order."""
        while self._ahead and self._ahead[0] < pts:
            heapq.heappop(self._ahead)
            self._passed += 1
        return self._passed

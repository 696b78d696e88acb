"""A live camera: the newest frames on the wall's clock, with the losses in between recorded."""

import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from streammem.errors import SourceError
from streammem.records import Frame, Gap, Image, SourceInfo
from streammem.sources.addresses import without_secrets
from streammem.sources.gap_log import GapLog
from streammem.sources.picture import check_pixels, fitted
from streammem.sources.read_ahead import FrameSteps, ReadAhead, call_within
from streammem.sources.sampling import Sampler, SamplingConfig

_NAP_S = 0.05


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """How patient a camera is treated.

    A first connection that fails ends at once. One that is lost is tried again
    `reconnect_tries` times, after `first_wait_s`, then twice that and so on, at most
    `longest_wait_s`.
    """

    connect_s: float = 5.0
    read_s: float = 10.0
    reconnect_tries: int = 10
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


class CameraStream:
    """A webcam by number, or a stream by address, read by OpenCV.

    Times are seconds since the first frame, counted on from `sampling.start_s`. Frames that come
    faster than they are taken are dropped, the oldest first. It can be iterated once. Raises
    `SourceError` when the first connection fails, or a lost one does not come back.
    """

    def __init__(
        self,
        address: str | int,
        sampling: SamplingConfig,
        *,
        source_id: str,
        config: CameraConfig | None = None,
    ) -> None:
        self._address = address
        self._sampling = sampling
        self._config = config or CameraConfig()
        self._name = f"camera {address}"
        if isinstance(address, str):
            self._name = without_secrets(address)
        self._reading: ReadAhead | None = None
        self._closed = False
        self.gaps: list[Gap] = []
        patience_s = self._config.connect_s + self._config.read_s + 1.0
        self._first = call_within(patience_s, self._name, self._connect)
        height, width, _ = self._first.bgr.shape
        self.info = SourceInfo(
            source_id=source_id,
            uri=str(address) if isinstance(address, int) else self._name,
            width=width,
            height=height,
            fps=self._first.fps,
            start_s=0.0,
            live=True,
        )

    def __iter__(self) -> Iterator[Frame]:
        if self._closed or self._reading is not None:
            raise SourceError(f"{self._name} was read before; open it again to go on")
        self._reading = ReadAhead(
            self._steps(),
            name=self._name,
            ahead=self._sampling.ahead,
            stall_s=max(self._sampling.stall_s, 2 * self._config.read_s),
            newest_only=True,
        )
        yield from self._reading

    def close(self) -> None:
        """End the reading; safe from any thread."""
        self._closed = True
        if self._reading is not None:
            self._reading.close()
        else:
            self._first.capture.release()

    def _steps(self) -> FrameSteps:
        """Yield wanted frames, and None as a sign of work."""
        capture, bgr = self._first.capture, self._first.bgr
        sampler, gaps = Sampler(self._sampling), GapLog(self.info.source_id, self.gaps)
        zero = time.monotonic() - self._sampling.start_s
        index = 0
        try:
            while True:
                time_s = time.monotonic() - zero
                if sampler.ended(time_s):
                    return
                if sampler.wants(time_s):
                    sampler.take(time_s)
                    rgb = _rgb(bgr, name=self._name, max_side=self._sampling.max_side)
                    yield Frame(source_id=self.info.source_id, index=index, time_s=time_s, rgb=rgb)
                yield None
                index += 1
                if (next_bgr := _next_picture(capture)) is not None:
                    bgr = next_bgr
                    continue
                capture.release()
                lost_s = time.monotonic() - zero
                try:
                    again = yield from self._reconnect()
                finally:
                    gaps.lost(lost_s, time.monotonic() - zero, "the camera gave no pictures")
                    gaps.settle()
                capture, bgr = again.capture, again.bgr
        finally:
            capture.release()

    def _reconnect(self) -> Generator[None, None, "_Connection"]:
        """Try until the camera is there again; yield while waiting."""
        config = self._config
        wait_s = config.first_wait_s
        for _ in range(config.reconnect_tries):
            until = time.monotonic() + wait_s
            while (left := until - time.monotonic()) > 0:
                yield None
                time.sleep(min(left, _NAP_S))
            wait_s = min(2 * wait_s, config.longest_wait_s)
            try:
                return self._connect()
            except SourceError:
                yield None
        raise SourceError(
            f"{self._name} was lost and did not come back in {config.reconnect_tries} tries;"
            " what was seen until then is kept. See whether it is switched on and reachable"
        )

    def _connect(self) -> "_Connection":
        """Open the camera and take its first picture."""
        capture = self._opened()
        if not capture.isOpened():
            raise SourceError(
                f"{self._name} cannot be reached; see whether it is switched on, and whether"
                " its address and password are right"
            )
        if isinstance(self._address, str) and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            capture.release()
            raise SourceError(
                f"{self._name} is a file of known length and no live stream; download it first"
                " and give its path, so that its own times are kept"
            )
        bgr = _next_picture(capture)
        if bgr is None:
            capture.release()
            raise SourceError(
                f"{self._name} answers but gives no picture; see whether another program uses it"
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        return _Connection(capture, bgr, fps if 0 < fps <= 1000 else None)

    def _opened(self) -> cv2.VideoCapture:
        _silence_opencv()
        if isinstance(self._address, int):
            capture = cv2.VideoCapture(self._address)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            return capture
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(self._config.connect_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(self._config.read_s * 1000),
        ]
        return cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, limits)


@dataclass(frozen=True, slots=True, eq=False)
class _Connection:
    """A camera that is open, with the first picture it gave (BGR, as OpenCV has it)."""

    capture: cv2.VideoCapture
    bgr: Image
    fps: float | None


def _next_picture(capture: cv2.VideoCapture) -> Image | None:
    """Return the next picture in BGR, or None where there is none."""
    good, bgr = capture.read()
    if not good or bgr is None or bgr.size == 0:
        return None
    if bgr.ndim == 2:
        bgr = cv2.cvtColor(bgr, cv2.COLOR_GRAY2BGR)
    return np.asarray(bgr, dtype=np.uint8)


def _rgb(bgr: Image, *, name: str, max_side: int) -> Image:
    height, width, _ = bgr.shape
    check_pixels(name, width=width, height=height)
    size = fitted(width, height, max_side=max_side)
    if size != (width, height):
        bgr = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _silence_opencv() -> None:
    """Keep OpenCV and its FFmpeg from writing to the terminal; what matters comes as errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

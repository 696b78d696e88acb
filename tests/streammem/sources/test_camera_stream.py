"""Cameras by address, with a small server that drops the line, and addresses without secrets."""

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

from streammem.errors import SourceError, UsageError
from streammem.records import Frame
from streammem.sources.addresses import camera_name, without_secrets
from streammem.sources.camera_stream import CameraConfig
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig
from tests.streammem.sources.numbered_clips import number_in, painted

QUICK = CameraConfig(connect_s=2.0, read_s=2.0, reconnect_tries=2, first_wait_s=0.02)
FRAMES = 60


@pytest.fixture(scope="module")
def broadcast() -> bytes:
    """A transport stream of numbered frames, as a camera sends it."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = 208, 112, "yuv420p"
        stream.gop_size, stream.max_b_frames, stream.bit_rate = 5, 0, 2_000_000
        for number in range(FRAMES):
            rgb = painted(number, width=208, height=112)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


@contextmanager
def camera(content: bytes, *, sessions: int, length: bool = False) -> Iterator[str]:
    """Serve `content` to that many callers one after another; yield the address, with secrets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(sessions):
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                line.recv(4096)
                size = f"Content-Length: {len(content)}\r\n" if length else ""
                head = f"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n{size}\r\n"
                try:
                    line.sendall(head.encode() + content)
                except OSError:
                    continue
        server.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://admin:hunter2@127.0.0.1:{server.getsockname()[1]}/live?token=abc"
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # wakes a server that waits for a caller
        server.close()
        thread.join(5)


def test_a_lost_camera_is_taken_up_again_and_then_given_up(
    broadcast: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    frames: list[Frame] = []
    with camera(broadcast, sessions=2) as address:
        settings = SamplingConfig(fps=0, start_s=100.0, ahead=1000)
        source = open_source(address, settings, camera=QUICK)
        with pytest.raises(SourceError, match="was lost and did not come back in 2 tries") as lost:
            frames.extend(source)
    assert source.info.live
    assert (source.info.width, source.info.height) == (208, 112)
    assert [number_in(frame.rgb) for frame in frames] == [*range(FRAMES), *range(FRAMES)]
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    assert times[0] == pytest.approx(100.0, abs=0.05)
    dropped, gone = source.gaps
    assert times[FRAMES - 1] <= dropped.start_s < dropped.end_s <= times[FRAMES]
    assert gone.start_s >= times[-1]
    shown = f"{source.info} {lost.value} {source.gaps}"
    assert "hunter2" not in shown and "abc" not in shown and "admin" not in shown
    assert capfd.readouterr() == ("", "")


def test_only_the_newest_frames_wait(broadcast: bytes) -> None:
    with camera(broadcast, sessions=1) as address:
        source = open_source(address, SamplingConfig(fps=0, ahead=2), camera=QUICK)
        frames = iter(source)
        next(frames)
        source.close()
        assert len(list(frames)) <= 2
    with pytest.raises(SourceError, match="was read before; open it again"):
        next(iter(source))


def test_a_dead_address_is_refused_at_once_without_its_password(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        SourceError, match="cannot be reached; see whether it is switched on"
    ) as refused:
        open_source(f"rtsp://me:hunter2@127.0.0.1:{port}/door", SamplingConfig(), camera=QUICK)
    assert "hunter2" not in str(refused.value)
    assert capfd.readouterr() == ("", "")


def test_a_camera_number_that_is_not_there_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SourceError, match="camera 99 cannot be reached"):
        open_source("99", SamplingConfig(), camera=QUICK)
    assert capfd.readouterr() == ("", "")


def test_a_file_behind_an_address_is_no_camera(long_gop: Path) -> None:
    with (
        camera(long_gop.read_bytes(), sessions=3, length=True) as address,
        pytest.raises(SourceError, match="is a file of known length and no live stream"),
    ):
        open_source(address, SamplingConfig(), camera=QUICK)


def test_other_schemes_are_refused_with_the_allowed_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'ftp' is not known; choose one of rtsp, rtsps, http"):
        open_source("ftp://host/video.mp4", SamplingConfig())
    with pytest.raises(SourceError, match="give the path of the file itself"):
        open_source(f"file://{tmp_path}/video.mp4", SamplingConfig())
    with pytest.raises(UsageError, match="names no host; write it like rtsp://host:554/stream"):
        open_source("rtsp:///stream", SamplingConfig())


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://a:b@host:554/s1", "rtsp://host:554/s1"),
        ("rtsp://a:p@ss@host/s1", "rtsp://host/s1"),
        ("http://host/s?user=a&pwd=b&channel=1", "http://host/s?user=hidden&pwd=hidden&channel=1"),
        ("rtsp://host/s#secret", "rtsp://host/s"),
        ("rtsp://[broken", "rtsp://..."),
    ],
)
def test_addresses_are_shown_without_secrets(address: str, shown: str) -> None:
    assert without_secrets(address) == shown


def test_a_camera_is_named_by_host_and_path() -> None:
    assert camera_name("rtsp://a:b@door.local:554/s1/?token=x") == "door.local/s1"

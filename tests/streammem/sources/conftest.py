"""Small videos that several tests read."""

from pathlib import Path

import pytest

from tests.streammem.sources.numbered_clips import write_clip


@pytest.fixture(scope="session")
def long_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 frames at 25 a second, a key frame every 250, with B-frames."""
    path = tmp_path_factory.mktemp("clips") / "long_gop.mp4"
    return write_clip(path, times_s=[n / 25 for n in range(600)])


@pytest.fixture(scope="session")
def short_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames at 25 a second, a key frame every 20."""
    path = tmp_path_factory.mktemp("clips") / "short_gop.mkv"
    return write_clip(path, times_s=[n / 25 for n in range(300)], gop=20)


@pytest.fixture(scope="session")
def fast_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 frames with the index in front, so that a cut file still opens."""
    path = tmp_path_factory.mktemp("clips") / "fast_start.mp4"
    times = [n / 25 for n in range(200)]
    return write_clip(path, times_s=times, gop=50, options={"movflags": "faststart"})


@pytest.fixture(scope="session")
def open_gop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames whose key frames are followed by pictures shown before them."""
    path = tmp_path_factory.mktemp("clips") / "open_gop.mkv"
    coder = {"x264-params": "open-gop=1:scenecut=0"}
    return write_clip(path, times_s=[n / 25 for n in range(300)], gop=20, coder_options=coder)


@pytest.fixture(scope="session")
def broadcast_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames in a transport stream, which has no index to seek by."""
    path = tmp_path_factory.mktemp("clips") / "broadcast.ts"
    return write_clip(path, times_s=[n / 25 for n in range(300)], gop=100)

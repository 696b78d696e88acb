"""Real footage of many kinds opens right: size, number, times, orientation, by every reader."""

import zlib
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streammem.errors import SourceError
from streammem.records import Frame
from streammem.sources.av_reader import AvReader
from streammem.sources.decord_reader import DecordReader, decord_problem
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig
from streammem.sources.video import VideoSource

FOOTAGE = Path(__file__).resolve().parents[4] / "shared" / "data" / "footage"

pytestmark = pytest.mark.skipif(
    not FOOTAGE.is_dir(), reason="the footage that lies beside the project is not there"
)

# name: width, height, frames, first time, last time, rotation, start in the file
EXPECTED = {
    "flash_vstream_example.mp4": (480, 360, 929, 0.0, 928 * 1001 / 24000, 0, 1001 / 24000),
    "flipping_a_pancake.mkv": (426, 240, 310, 0.0, 10.3, 0, 0.0),
    "mmaction2_demo.mp4": (340, 256, 280, 0.0, 279 / 28, 0, 0.0),
    "mmaction2_spatiotemporal.mp4": (340, 256, 57, 0.0, 56 / 6, 0, 0.0),
    "mmaction2_structuralize.mp4": (426, 240, 300, 0.0, 299 * 1001 / 30000, 0, 0.0),
    "mmaction2_test.mp4": (340, 256, 300, 0.0, 299 / 30, 0, 0.0),
    "nasa_13013.mp4": (480, 270, 390, 0.0, 389 * 1001 / 30000, 0, 0.0),
    "broken/corrupted.mp4": (1280, 720, 49, 0.0, 4.9, 0, 0.0),
    "odd_formats/av1_video.mkv": (640, 360, 125, 0.0, 4.96, 0, 0.0),
    "odd_formats/discard_first_keyframe.mp4": (64, 64, 25, 0.0, 0.96, 0, 0.0),
    "odd_formats/h264_10bits.mp4": (200, 200, 30, 0.0, 29 / 30, 0, 0.0),
    "odd_formats/h265_video.mp4": (128, 128, 10, 0.0, 0.9, 0, 0.0),
    "odd_formats/nasa_13013_hdr.mp4": (320, 180, 325, 0.0, 12.96, 0, 0.0),
    "odd_formats/nasa_13013_rotated.mp4": (270, 480, 17, 0.0, 16 * 1001 / 30000, 90, 0.0),
    "odd_formats/rotation_0.mov": (568, 320, 3, 0.0, 2 / 30, 0, 0.0),
    "odd_formats/rotation_90.mov": (320, 568, 3, 0.0, 2 / 30, 270, 0.0),
    "odd_formats/rotation_180.mov": (568, 320, 3, 0.0, 2 / 30, 180, 0.0),
    "odd_formats/rotation_270.mov": (320, 568, 3, 0.0, 2 / 30, 90, 0.0),
    "odd_formats/test_non_zero_start.mp4": (200, 112, 12, 0.0, 11 / 30, 0, 127995 / 15360),
    "odd_formats/testsrc2_hdr.mp4": (320, 180, 60, 0.0, 59 / 30, 0, 0.0),
    "odd_formats/testsrc2_mpeg4.avi": (1280, 720, 30, 0.0, 29 / 30, 0, 0.0),
    "odd_formats/testsrc2_odd_height_and_width_vp9.mp4": (321, 241, 25, 0.0, 0.96, 0, 0.0),
    "odd_formats/testsrc2_vp8.webm": (1280, 720, 30, 0.0, 0.967, 0, 0.0),
    "odd_formats/unordered_pts.mov": (50, 50, 4, 0.0, 3 / 32, 0, 0.0),
}
REFUSED_BY_DECORD = ("odd_formats/av1_video.mkv", "odd_formats/discard_first_keyframe.mp4")
# Pictures of more than 8 bits are rounded differently by the two FFmpegs.
ROUNDED_LEVELS = 4.0


def apart(one: Frame, other: Frame) -> float:
    """Return the mean difference of two pictures in levels of 255."""
    return float(np.abs(one.rgb.astype(int) - other.rgb).mean())


Traits = tuple[int, float, tuple[int, ...], int]


def traits_of(frame: Frame) -> Traits:
    """Return number, time, shape and a checksum of the pixels."""
    return frame.index, frame.time_s, frame.rgb.shape, zlib.crc32(frame.rgb.tobytes())


@cache
def every_frame(name: str) -> list[Traits]:
    """Return the traits of all frames of a file."""
    return [traits_of(frame) for frame in open_source(FOOTAGE / name, SamplingConfig(fps=0))]


def some_of(frames: Sequence[Frame]) -> list[Frame]:
    """Return a few frames in an order that makes readers seek back and forth."""
    picked = np.random.default_rng(0).permutation(len(frames))[:6]
    return [frames[i] for i in picked]


def test_every_file_is_expected() -> None:
    found = {str(p.relative_to(FOOTAGE)) for p in FOOTAGE.rglob("*.*") if p.suffix != ".md"}
    assert found == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_opens_right(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    width, height, count, first_s, last_s, rotation_deg, start_s = EXPECTED[name]
    source = open_source(FOOTAGE / name, SamplingConfig(fps=0))
    info = source.info
    frames = every_frame(name)
    assert (info.width, info.height, info.rotation_deg) == (width, height, rotation_deg)
    assert info.start_s == pytest.approx(start_s)
    assert {shape for _, _, shape, _ in frames} == {(height, width, 3)}
    assert len(frames) == count
    times = [time_s for _, time_s, _, _ in frames]
    assert times[0] == pytest.approx(first_s)
    assert times[-1] == pytest.approx(last_s)
    assert all(before < after for before, after in pairwise(times))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"broken/corrupted.mp4"}))
@pytest.mark.parametrize(("fps", "start_s"), [(0.4, 0.0), (3.0, 1.3)])
def test_sampling_picks_from_what_a_full_decode_gives(
    name: str, fps: float, start_s: float
) -> None:
    expected = []
    target = 0
    for traits in every_frame(name):
        if traits[1] >= start_s + target / fps - 1e-6 / fps:
            expected.append(traits)
            while start_s + target / fps <= traits[1] + 1e-6 / fps:
                target += 1
    source = VideoSource(FOOTAGE / name, SamplingConfig(fps, start_s), source_id="x")
    assert [traits_of(frame) for frame in source] == expected
    assert source.gaps == []


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - {"broken/corrupted.mp4"}))
@pytest.mark.parametrize("backend", [AvReader, DecordReader])
def test_single_frames_are_those_of_the_stream(
    name: str, backend: type[AvReader] | type[DecordReader]
) -> None:
    if backend is DecordReader and (problem := decord_problem()):
        pytest.skip(problem)
    if backend is DecordReader and name in REFUSED_BY_DECORD:
        with pytest.raises(SourceError, match=r"decord (cannot open|miscounts the frames of)"):
            DecordReader(FOOTAGE / name, source_id="x")
        return
    every = list(open_source(FOOTAGE / name, SamplingConfig(fps=0)))
    reader = backend(FOOTAGE / name, source_id="x")
    assert reader.frame_count == len(every)
    picked = some_of(every)
    for frame, numbered in zip(picked, reader.frames([f.index for f in picked]), strict=True):
        shown = reader.frame_at(frame.time_s + 0.004)
        for got in (numbered, shown):
            assert got.index == frame.index
            assert got.time_s == pytest.approx(frame.time_s, abs=1e-4)
            assert apart(got, frame) < ROUNDED_LEVELS
    reader.close()


def test_of_a_broken_stream_the_rest_is_read() -> None:
    source = open_source(FOOTAGE / "broken" / "corrupted.mp4", SamplingConfig(fps=0))
    times = [frame.time_s for frame in source]
    (gap,) = source.gaps
    assert (gap.start_s, gap.end_s) == (pytest.approx(3.0), pytest.approx(3.1))
    assert times == pytest.approx([n / 10 for n in range(50) if n != 30])

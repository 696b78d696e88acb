"""Video files read in order: the right frames, at true times, with no more work than needed."""

import math
import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streammem.errors import SourceError
from streammem.records import Frame
from streammem.sources import picture
from streammem.sources.container import open_video
from streammem.sources.open import open_source
from streammem.sources.packets import PacketPlan, read_packets
from streammem.sources.sampling import Sampler, SamplingConfig
from tests.streammem.sources.numbered_clips import number_in, painted, write_clip


def frames_of(path: Path, **settings: float) -> list[Frame]:
    return list(open_source(path, SamplingConfig(**settings)))  # type: ignore[arg-type]


def wanted(times: list[float], *, fps: float, start_s: float = 0.0) -> list[int]:
    """Return by its definition which frames a sampling wants."""
    numbers: list[int] = []
    target = 0
    for number, time_s in enumerate(times):
        if time_s >= start_s + target / fps - 1e-9:
            numbers.append(number)
            while start_s + target / fps <= time_s + 1e-9:
                target += 1
    return numbers


def test_every_frame_of_a_long_gop_in_order(long_gop: Path) -> None:
    frames = frames_of(long_gop, fps=0)
    assert [number_in(frame.rgb) for frame in frames] == list(range(600))
    assert [frame.index for frame in frames] == list(range(600))
    assert [frame.time_s for frame in frames] == [n / 25 for n in range(600)]


@pytest.mark.parametrize("fps", [0.13, 1, 2.7, 8, 24, 60])
@pytest.mark.parametrize("clip", ["long_gop", "short_gop", "open_gop"])
def test_strided_frames_are_those_of_the_definition(
    clip: str, fps: float, request: pytest.FixtureRequest
) -> None:
    path, count = request.getfixturevalue(clip), 600 if clip == "long_gop" else 300
    expected = wanted([n / 25 for n in range(count)], fps=fps)
    frames = frames_of(path, fps=fps)
    assert [number_in(frame.rgb) for frame in frames] == expected
    assert [frame.index for frame in frames] == expected


@pytest.mark.parametrize("start_s", [0.02, 3.96, 4.0, 7.33, 11.9])
@pytest.mark.parametrize("clip", ["long_gop", "open_gop", "broadcast_clip"])
def test_a_start_in_the_middle_gives_the_same_frames(
    clip: str, start_s: float, request: pytest.FixtureRequest
) -> None:
    times = [n / 25 for n in range(600 if clip == "long_gop" else 300)]
    frames = frames_of(request.getfixturevalue(clip), fps=2, start_s=start_s)
    assert [number_in(frame.rgb) for frame in frames] == wanted(times, fps=2, start_s=start_s)
    assert [frame.index for frame in frames] == [number_in(frame.rgb) for frame in frames]


def test_stops_before_the_end_asked_for(long_gop: Path) -> None:
    assert [frame.time_s for frame in frames_of(long_gop, start_s=3, end_s=6)] == [3, 4, 5]


def test_skipping_gives_the_same_pixels_as_decoding_everything(short_gop: Path) -> None:
    every = {frame.time_s: frame.rgb for frame in frames_of(short_gop, fps=0)}
    for fps in (0.4, 1.7):
        for frame in frames_of(short_gop, fps=fps):
            assert np.array_equal(frame.rgb, every[frame.time_s])


def test_groups_without_a_wanted_frame_are_not_decoded(short_gop: Path) -> None:
    file = open_video(short_gop)
    sampler = Sampler(SamplingConfig(fps=0.25))
    plan = PacketPlan(sampler, clock=file.clock, codec="h264")
    file.container.seek(0)
    due = []
    for packet in read_packets(file, on_error=pytest.fail):
        for taken in plan.take(packet):
            due.append(taken.pts)
            time_s = file.clock.seconds(taken.pts or 0)
            if sampler.wants(time_s):
                sampler.take(time_s)
    file.container.close()
    assert len(due) < 60  # targets at 0, 4 and 8 s lie at or just after key frames


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.08, 1.5, 1.54, 4.0, 4.25, 4.5, 9.0, 9.04]
    path = write_clip(tmp_path / "vfr.mp4", times_s=times)
    frames = frames_of(path, fps=0)
    assert [frame.time_s for frame in frames] == times
    assert [number_in(frame.rgb) for frame in frames_of(path, fps=1)] == wanted(times, fps=1)


def test_a_late_start_is_zero_on_the_clock_and_recorded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "late.mkv", times_s=[15 + n / 25 for n in range(50)])
    source = open_source(path, SamplingConfig(fps=0, start_s=1.0))
    frames = list(source)
    assert source.info.start_s == pytest.approx(15.0)
    assert frames[0].time_s == pytest.approx(1.0)
    assert number_in(frames[0].rgb) == 25


def test_times_go_on_where_a_joined_recording_starts_anew(tmp_path: Path) -> None:
    part = write_clip(tmp_path / "part.ts", times_s=[n / 25 for n in range(75)], gop=25)
    both = tmp_path / "both.ts"
    both.write_bytes(part.read_bytes() * 2)
    frames = frames_of(both, fps=0)
    assert [number_in(frame.rgb) for frame in frames] == [*range(75), *range(75)]
    assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(150)])
    assert [frame.index for frame in frames] == list(range(150))


def test_a_bare_stream_without_times_is_timed_by_its_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "bare.h264", times_s=[n / 25 for n in range(75)], gop=25)
    frames = frames_of(path, fps=1, start_s=1)
    assert [number_in(frame.rgb) for frame in frames] == [25, 50]
    assert [frame.index for frame in frames] == [25, 50]


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_pictures_are_turned_upright(tmp_path: Path, rotation_deg: int) -> None:
    upright = painted(5, width=208, height=208)
    stored = np.ascontiguousarray(np.rot90(upright, -rotation_deg // 90))
    path = write_clip(
        tmp_path / "turned.mp4",
        times_s=[0.0, 0.04],
        size=(208, 208),
        rotation_deg=rotation_deg,
        paint=lambda number: stored,
    )
    (frame, _) = frames_of(path, fps=0)
    assert number_in(frame.rgb) == 5


def test_width_and_height_are_those_shown(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "side.mp4", times_s=[0.0], size=(320, 180), rotation_deg=90)
    source = open_source(path, SamplingConfig())
    (frame,) = source
    assert (source.info.width, source.info.height) == (180, 320)
    assert frame.rgb.shape == (320, 180, 3)
    assert source.info.rotation_deg == 90


def test_large_pictures_are_made_smaller_on_wish(long_gop: Path) -> None:
    frame = frames_of(long_gop, max_side=160, end_s=1)[0]
    assert frame.rgb.shape == (90, 160, 3)


def test_what_the_file_says_is_in_info(long_gop: Path) -> None:
    info = open_source(long_gop, SamplingConfig()).info
    assert (info.source_id, info.uri) == ("long_gop.mp4", str(long_gop))
    assert (info.fps, info.duration_s, info.frame_count, info.codec) == (25.0, 24.0, 600, "h264")
    assert not info.live


def test_of_a_cut_file_what_is_there_is_read(fast_start: Path, tmp_path: Path) -> None:
    whole = fast_start.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    source = open_source(cut, SamplingConfig(fps=0))
    numbers = [number_in(frame.rgb) for frame in source]
    (gap,) = source.gaps
    assert 60 < len(numbers) < 180
    assert numbers == list(range(len(numbers)))
    assert gap.start_s == pytest.approx(len(numbers) / 25, abs=0.13)
    assert gap.end_s == pytest.approx(8.0)


def test_the_missing_end_of_half_a_matroska_file_is_a_gap(short_gop: Path, tmp_path: Path) -> None:
    whole = short_gop.read_bytes()
    half = tmp_path / "half.mkv"
    half.write_bytes(whole[: len(whole) // 2])
    source = open_source(half, SamplingConfig(fps=1))
    last = list(source)[-1]
    assert source.gaps[-1].end_s == pytest.approx(12.0)
    assert source.gaps[-1].start_s >= last.time_s
    assert "though it says it lasts 0:12" in source.gaps[-1].reason


def test_damage_in_the_middle_is_a_gap_and_the_rest_is_read(
    fast_start: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(fast_start.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    source = open_source(broken, SamplingConfig(fps=0))
    frames = list(source)
    assert 1 <= len(source.gaps) <= 3
    assert all("damaged" in gap.reason for gap in source.gaps)
    sound = [frame for frame in frames if frame.time_s < 2 or frame.time_s >= 6]
    assert [number_in(frame.rgb) for frame in sound] == [*range(50), *range(150, 200)]
    assert [frame.time_s for frame in frames] == sorted(frame.time_s for frame in frames)
    assert capfd.readouterr() == ("", "")


def test_a_gap_before_the_start_is_not_told_again(fast_start: Path, tmp_path: Path) -> None:
    data = bytearray(fast_start.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    whole = open_source(broken, SamplingConfig(fps=0))
    list(whole)
    after_s = max(gap.end_s for gap in whole.gaps) + 0.1
    resumed = open_source(broken, SamplingConfig(fps=0, start_s=after_s))
    list(resumed)
    assert whole.gaps and not resumed.gaps


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", r"empty\.mp4 is empty \(0 bytes\); give a video file"),
        (
            "notes.txt",
            b"These are notes.\n" * 40,
            "not a video that can be read: it looks like text",
        ),
        ("video.mp4", b"no video at all, only words. " * 40, "it looks like text"),
        ("random.avi", np.random.default_rng(0).bytes(4000), "no known video format"),
        ("cut.mp4", b"\0\0\0\x20ftypisom" + bytes(500), r"its index \(moov\) is missing"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nother.ts\n", "it is a playlist"),
        ("page.png", b"\x89PNG\r\n\x1a\n" + bytes(100), "put pictures into a folder"),
    ],
)
def test_what_is_no_video_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        open_source(path, SamplingConfig())
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.mp4 does not exist; give a video file"):
        open_source(tmp_path / "gone.mp4", SamplingConfig())


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(SourceError, match="has only sound and nothing to see"):
        open_source(path, SamplingConfig())


def test_a_playlist_cannot_name_other_files(long_gop: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"ffconcat version 1.0\nfile '{long_gop}'\n")
    with pytest.raises(SourceError, match="not a video that can be read"):
        open_source(path, SamplingConfig())


def test_pictures_beyond_any_measure_are_refused(
    long_gop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "MAX_PIXELS", 1000)
    with pytest.raises(SourceError, match="320 x 180 pixels; at most 1,000 pixels are read"):
        open_source(long_gop, SamplingConfig())


def test_close_ends_the_reading_thread(long_gop: Path) -> None:
    source = open_source(long_gop, SamplingConfig(fps=0))
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    assert not any("long_gop" in thread.name for thread in threading.enumerate())
    with pytest.raises(SourceError, match="was closed; open it again"):
        next(iter(source))


def test_leaving_the_loop_ends_the_reading_thread(long_gop: Path) -> None:
    frames = iter(open_source(long_gop, SamplingConfig(fps=0)))
    next(frames)
    frames.close()  # type: ignore[attr-defined]  # what leaving a loop does
    assert not any("long_gop" in thread.name for thread in threading.enumerate())


def test_a_source_can_be_read_again(long_gop: Path) -> None:
    source = open_source(long_gop, SamplingConfig(fps=0.5))
    first = [frame.index for frame in source]
    assert [frame.index for frame in source] == first
    source.close()


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    with pytest.raises(SourceError, match=r"pipe\.mp4 gave nothing for 0\.2 s and was given up"):
        open_source(pipe, SamplingConfig(stall_s=0.2))
    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # let the thread go


def test_a_pipe_is_read_as_it_comes(short_gop: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(short_gop.read_bytes()))
    writer.start()
    frames = frames_of(pipe, fps=1, start_s=2)
    writer.join()
    assert [number_in(frame.rgb) for frame in frames] == [25 * n for n in range(2, 12)]


def test_the_definition_used_here_agrees_with_hand_counts() -> None:
    assert wanted([0.0, 0.9, 1.1, 2.0], fps=1) == [0, 2, 3]
    assert wanted([0.0, 5.0, 5.5], fps=1, start_s=1) == [1]
    assert math.isclose(len(wanted([n / 25 for n in range(600)], fps=2)), 48)

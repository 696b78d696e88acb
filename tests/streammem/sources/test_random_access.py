"""Single frames by number and by time, through both backends and over their failures."""

import importlib.metadata
import threading
from pathlib import Path

import numpy as np
import pytest

from streammem.errors import SourceError, UsageError
from streammem.sources import decord_reader, random_access
from streammem.sources.av_reader import AvReader
from streammem.sources.decord_reader import DecordReader, decord_problem
from streammem.sources.random_access import choose_reader, decord_status
from tests.streammem.sources.numbered_clips import number_in, write_clip

with_decord = pytest.mark.skipif(decord_problem() is not None, reason=str(decord_problem()))
BACKENDS = [AvReader, pytest.param(DecordReader, marks=with_decord)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("clip", ["long_gop", "short_gop", "open_gop"])
def test_no_random_frame_is_a_wrong_one(
    clip: str, backend: type[AvReader] | type[DecordReader], request: pytest.FixtureRequest
) -> None:
    if backend is DecordReader and clip == "open_gop":
        pytest.skip("decord gives wrong frames of it, and is not chosen")
    reader = backend(request.getfixturevalue(clip), source_id="x")
    rng = np.random.default_rng(7)
    numbers = [int(n) for n in rng.integers(0, reader.frame_count, 60)]
    assert [number_in(frame.rgb) for frame in reader.frames(numbers)] == numbers
    for number in numbers[:20]:
        assert number_in(reader.frame_at(number / 25).rgb) == number
        assert number_in(reader.frame_at(number / 25 + 0.039).rgb) == number
    reader.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_in_rising_order_are_right(
    long_gop: Path, backend: type[AvReader] | type[DecordReader]
) -> None:
    reader = backend(long_gop, source_id="x")
    for stride in (7, 100):
        numbers = list(range(0, 600, stride))
        assert [number_in(frame.rgb) for frame in reader.frames(numbers)] == numbers
    reader.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_of_a_variable_rate_the_frame_shown_is_given(
    tmp_path: Path, backend: type[AvReader] | type[DecordReader]
) -> None:
    times = [0.0, 0.04, 1.5, 1.54, 4.0, 9.0]
    reader = backend(write_clip(tmp_path / "vfr.mp4", times_s=times), source_id="x")
    asked = [0.0, 0.03, 1.49, 1.5, 3.99, 4.0, 8.9, 9.0, 100.0]
    shown = [reader.frame_at(time_s) for time_s in asked]
    assert [number_in(frame.rgb) for frame in shown] == [0, 0, 1, 2, 3, 4, 4, 5, 5]
    assert [frame.time_s for frame in reader.frames([2, 5])] == pytest.approx([1.5, 9.0])
    reader.close()


@with_decord
def test_decord_is_chosen_where_it_is_sound(long_gop: Path) -> None:
    reader = choose_reader(long_gop)
    assert (reader.backend, reader.reason) == ("decord", "it is installed and sound for this file")
    frame = reader.frame_at(3.0)
    assert (frame.source_id, frame.index, number_in(frame.rgb)) == ("long_gop.mp4", 75, 75)
    assert decord_status().startswith("decord 0.6.")


@with_decord
def test_decord_is_not_chosen_for_open_groups_which_it_miscounts(open_gop: Path) -> None:
    reader = choose_reader(open_gop)
    assert reader.backend == "pyav"
    assert "pictures shown before them, which decord miscounts" in reader.reason
    numbers = [140, 139, 17, 257, 20, 18]
    assert [number_in(frame.rgb) for frame in reader.frames(numbers)] == numbers


@with_decord
def test_pyav_takes_a_cut_file_that_decord_refuses(fast_start: Path, tmp_path: Path) -> None:
    whole = fast_start.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    reader = choose_reader(cut)
    assert reader.backend == "pyav"
    assert "decord cannot open" in reader.reason
    assert number_in(reader.frame_at(1.0).rgb) == 25


@pytest.mark.parametrize(
    ("versions", "problem"),
    [
        ({"decord": "0.6.0", "decord2": "3.4.0"}, r"decord2 3\.4\.0 is installed, .*wrong frames"),
        ({"decord": "0.7.1"}, r"decord 0\.7\.1 is not the 0\.6"),
        ({}, "decord is not installed"),
    ],
)
def test_a_decord_that_is_not_sound_is_not_used(
    long_gop: Path, monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], problem: str
) -> None:
    def version(package: str) -> str:
        if package in versions:
            return versions[package]
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(decord_reader.importlib.metadata, "version", version)
    reader = choose_reader(long_gop)
    assert reader.backend == "pyav"
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(reader.reason)
    assert decord_status() == f"PyAV, since {reader.reason}"
    assert number_in(reader.frame_at(1.0).rgb) == 25


def test_a_decord_that_hangs_is_left_for_pyav(
    long_gop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    class Hanging:
        def __init__(self, path: Path, *, source_id: str) -> None:
            released.wait(20)

    monkeypatch.setattr(random_access, "DecordReader", Hanging)
    monkeypatch.setattr(random_access, "decord_problem", lambda: None)
    reader = choose_reader(long_gop, stall_s=1.0)
    released.set()
    assert reader.backend == "pyav"
    assert "gave nothing for 1 s" in reader.reason
    assert number_in(reader.frame_at(1.0).rgb) == 25


def test_a_decord_that_fails_later_is_left_for_pyav(
    long_gop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(AvReader):
        def frame_at(self, time_s: float) -> None:  # type: ignore[override]
            raise SourceError("decord cannot decode frame 25")

    monkeypatch.setattr(random_access, "DecordReader", Failing)
    monkeypatch.setattr(random_access, "decord_problem", lambda: None)
    reader = choose_reader(long_gop)
    assert reader.backend == "decord"
    assert number_in(reader.frame_at(1.0).rgb) == 25
    assert (reader.backend, reader.reason) == ("pyav", "decord cannot decode frame 25")


def test_a_damaged_frame_is_said_to_be_damaged(fast_start: Path, tmp_path: Path) -> None:
    data = bytearray(fast_start.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    reader = AvReader(broken, source_id="x")
    lost = []
    for number in range(50, 150):
        try:
            reader.frames([number])
        except SourceError as error:
            lost.append(str(error))
    assert lost
    assert all("is damaged" in message for message in lost)
    assert number_in(reader.frames([190])[0].rgb) == 190


def test_what_cannot_be_asked_is_refused(long_gop: Path, tmp_path: Path) -> None:
    reader = choose_reader(long_gop)
    with pytest.raises(UsageError, match=r"frame 600 is not in .*; it has frames 0 to 599"):
        reader.frames([600])
    with pytest.raises(UsageError, match=r"time -1\.0 is before the start"):
        reader.frame_at(-1.0)
    reader.close()
    with pytest.raises(SourceError, match="was closed; open it again"):
        reader.frame_at(1.0)
    with pytest.raises(SourceError, match=r"gone\.mp4 does not exist"):
        choose_reader(tmp_path / "gone.mp4")
    bare = write_clip(tmp_path / "bare.h264", times_s=[0.0, 0.04])
    with pytest.raises(SourceError, match="carries no times"):
        AvReader(bare, source_id="x")

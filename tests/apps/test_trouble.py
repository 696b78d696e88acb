"""What a person meets when something is wrong: a sentence, the right exit code, nothing lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from memory_banks.tiered import open_memory
from streammem.errors import StoreError
from tests.clips import make_clip, make_sound
from tests.models import needs_models

pytestmark = needs_models


def streammem(*words: object, **how: object) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "apps.cli", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        **how,
    )


def refused(run: "subprocess.CompletedProcess[str]", code: int, *parts: str) -> None:
    """Check that a run ended with one clear sentence."""
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    for part in parts:
        assert part in run.stderr
    assert ".cpp" not in run.stderr and ".cc:" not in run.stderr
    assert run.stdout == ""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=12)


def test_a_missing_file(tmp_path: Path) -> None:
    run = streammem("ingest", tmp_path / "no.mp4", "--memory", tmp_path / "m.smem")
    refused(run, 1, "no.mp4", "does not exist")
    assert not list(tmp_path.iterdir())


def test_a_question_about_a_missing_file_leaves_nothing_behind(tmp_path: Path) -> None:
    run = streammem("ask", tmp_path / "no.mp4", "is there a cat?")
    refused(run, 1, "no.mp4", "does not exist")
    assert not list(tmp_path.iterdir())


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    run = streammem("ingest", tmp_path / "empty.mp4", "--memory", tmp_path / "m.smem")
    refused(run, 1, "empty.mp4", "empty")


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a video at all\n" * 50)
    run = streammem("ingest", tmp_path / "notes.mp4", "--memory", tmp_path / "m.smem")
    refused(run, 1, "notes.mp4")


def test_a_file_with_sound_only(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "talk.m4a")
    run = streammem("ingest", sound, "--memory", tmp_path / "m.smem")
    refused(run, 1, "talk.m4a", "only sound")


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("hello")
    run = streammem("ingest", tmp_path / "folder", "--memory", tmp_path / "m.smem")
    refused(run, 1, "folder", "picture")


def test_a_dead_camera_address(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"rtsp://user:secret@127.0.0.1:{taken.getsockname()[1]}/live"
        run = streammem("ingest", address, "--memory", tmp_path / "m.smem")
    refused(run, 1, "rtsp://", "127.0.0.1")
    assert "secret" not in run.stderr


def test_a_truncated_file_gives_what_it_has_and_names_the_gap(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "whole.mp4", seconds=20, container_options={"movflags": "faststart"}
    )
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])
    run = streammem("ingest", cut, "--memory", tmp_path / "m.smem", "--quiet", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert 5 <= report["frames"] < 20
    assert report["gaps"] and report["gaps"][-1]["end_s"] == pytest.approx(20, abs=1.5)
    assert "gap in cut.mp4" in run.stderr


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (("--encoder", "clap"), "choose one of"),
        (("--encoder", "Open Clip"), "openclip:NAME/TAG"),
        (("--device", "tpu"), "choose one of auto"),
        (("--from", "soon"), "00:01:35.500"),
        (("--budget-mb", "0.001"), "budget"),
        (("--config", "absent.toml"), "absent.toml"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(
    clip: Path, tmp_path: Path, flags: tuple[str, ...], part: str
) -> None:
    run = streammem("ingest", clip, "--memory", tmp_path / "m.smem", *flags)
    refused(run, 2, part)


def test_a_target_that_is_not_a_memory(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "notes.smem"
    target.write_text("my notes, not a memory")
    run = streammem("ingest", clip, "--memory", target)
    refused(run, 1, "notes.smem")
    assert target.read_text() == "my notes, not a memory"


def test_a_question_of_no_words(clip: Path) -> None:
    refused(streammem("ask", clip, "  "), 2, "question is empty")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a disk of 3 MB, or skip where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True
    )
    if mount.returncode != 0:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_target(clip: Path, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    run = streammem("ingest", clip, "--memory", tiny_disk / "m.smem")
    refused(run, 1, "m.smem")


def test_a_full_disk_keeps_what_was_committed(tmp_path: Path, tiny_disk: Path) -> None:
    memory_path = tiny_disk / "m.smem"
    short = make_clip(tmp_path / "short.mp4", seconds=10)
    assert streammem("ingest", short, "--memory", memory_path).returncode == 0
    long = make_clip(tmp_path / "long.mp4", seconds=900, fps=2)
    run = streammem("ingest", long, "--memory", memory_path, "--quiet")
    refused(run, 1, "full")
    with open_memory(memory_path, mode="read") as memory:
        kept = memory.entries(source_id="short.mp4")
    assert sum(entry.count for entry in kept) == 10


@contextmanager
def ingesting(clip: Path, memory: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run an ingest that commits often, in a process of its own; it is gone in the end."""
    config = memory.with_suffix(".toml")
    config.write_text("[ingest]\ncheckpoint_s = 0.05\nbatch_size = 2\n")
    words = ["ingest", str(clip), "--memory", str(memory), "--config", str(config), "--quiet"]
    with subprocess.Popen(
        [sys.executable, "-m", "apps.cli", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ingest_to_the_end(clip: Path, memory: Path) -> None:
    with ingesting(clip, memory) as process:
        _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said


def wait_for_entries(path: Path, *, count: int, timeout_s: float = 40.0) -> None:
    """Wait until another process has committed `count` frames to the memory at `path`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if path.exists() and path.stat().st_size:
            with suppress(StoreError), open_memory(path, mode="read") as memory:
                if memory.stats().frames_seen >= count:
                    return
        time.sleep(0.05)
    raise AssertionError(f"no {count} frames were committed in {timeout_s} s")


def contents(path: Path) -> list[tuple[float, float, int, bytes]]:
    """Return what a memory holds, to compare two of them."""
    with open_memory(path, mode="read") as memory:
        return [
            (entry.start_s, entry.end_s, entry.count, np.asarray(entry.key, np.float16).tobytes())
            for entry in memory.entries()
        ]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("long") / "long.mp4", seconds=240, fps=5)


@pytest.fixture(scope="module")
def undisturbed(
    long_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[float, float, int, bytes]]:
    path = tmp_path_factory.mktemp("whole") / "whole.smem"
    ingest_to_the_end(long_clip, path)
    return contents(path)


def test_a_killed_ingest_resumes_to_the_same_memory(
    long_clip: Path, tmp_path: Path, undisturbed: list[tuple[float, float, int, bytes]]
) -> None:
    path = tmp_path / "m.smem"
    with ingesting(long_clip, path) as process:
        wait_for_entries(path, count=20)
        process.send_signal(signal.SIGKILL)
    with open_memory(path, mode="read") as memory:
        kept = memory.stats().frames_seen
    assert 20 <= kept < 240
    ingest_to_the_end(long_clip, path)
    assert contents(path) == undisturbed


def test_ctrl_c_commits_and_prints_the_command_that_resumes(
    long_clip: Path, tmp_path: Path, undisturbed: list[tuple[float, float, int, bytes]]
) -> None:
    path = tmp_path / "m.smem"
    with ingesting(long_clip, path) as process:
        wait_for_entries(path, count=10)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert f"streammem ingest {long_clip} --memory {path}" in said
    ingest_to_the_end(long_clip, path)
    assert contents(path) == undisturbed


def test_a_second_ingest_is_told_who_holds_the_memory(long_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    clip = make_clip(tmp_path / "short.mp4", seconds=2)
    assert streammem("ingest", clip, "--memory", path).returncode == 0
    with open_memory(path, mode="write"):
        second = streammem("ingest", long_clip, "--memory", path)
    refused(second, 1, str(os.getpid()))


def test_a_copy_is_saved_while_the_memory_is_written(long_clip: Path, tmp_path: Path) -> None:
    path, copy = tmp_path / "m.smem", tmp_path / "copy.smem"
    with ingesting(long_clip, path) as writer:
        wait_for_entries(path, count=20)
        run = streammem("save", path, "--out", copy)
        assert writer.poll() is None
    assert run.returncode == 0, run.stderr
    with open_memory(copy) as saved:
        stats = saved.stats()
        assert 20 <= stats.frames_seen == stats.frames_held
        assert sum(entry.count for entry in saved.entries()) == stats.frames_held
        assert all(saved.thumbnail(entry.entry_id) for entry in saved.entries())


def test_closing_the_reader_of_the_output_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "apps.cli", "doctor"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert "Traceback" not in run.stderr and "BrokenPipe" not in run.stderr

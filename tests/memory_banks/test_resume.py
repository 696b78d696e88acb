"""A writer killed at any moment loses nothing committed, and the next one ends the same."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from memory_banks.tiered import open_memory
from streammem.errors import StoreBusy
from tests.memory_banks.pusher import push_rest
from tests.memory_banks.streams import contents

COUNT, EVERY = 2100, 7
ROOT = Path(__file__).resolve().parents[2]


def start(path: Path) -> "subprocess.Popen[str]":
    """Start a process that pushes what `path` still lacks; return once it has opened the memory."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.memory_banks.pusher", str(path), str(COUNT), str(EVERY)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    """End a process where it stands."""
    process.kill()
    process.communicate()


def test_killed_again_and_again_it_ends_as_if_undisturbed(tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "whole.smem", tmp_path / "killed.smem"
    push_rest(undisturbed, COUNT, every=EVERY)
    stops = []
    for after_s in np.random.default_rng(4).uniform(0.0, 0.05, 10):
        process = start(killed)
        time.sleep(after_s)
        kill(process)
        with open_memory(killed) as memory:
            stats = memory.stats()
            assert stats.frames_seen == stats.frames_held
            assert stats.frames_seen % EVERY == 0
            assert stats.bytes <= stats.budget_bytes
            assert [e.end_s for e in memory.entries()][-1:] in ([], [stats.frames_seen - 1.0])
            stops.append(stats.frames_seen)
    assert stops == sorted(stops)
    assert any(0 < stop < COUNT for stop in stops), f"no kill struck midway: {stops}"
    push_rest(killed, COUNT, every=EVERY)
    with open_memory(undisturbed) as expected, open_memory(killed) as resumed:
        assert contents(resumed) == contents(expected)
        assert resumed.evictions() == expected.evictions()
        assert resumed.sources()[0].finished and resumed.sources()[0].frames == COUNT
        assert resumed.stats().evictions == expected.stats().evictions


def test_a_second_writer_is_told_who_holds_the_memory_until_that_one_dies(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    process = start(path)
    try:
        with pytest.raises(StoreBusy, match=f"written by process {process.pid}; wait until it"):
            open_memory(path, mode="write")
    finally:
        kill(process)
    with open_memory(path, mode="write"):
        pass

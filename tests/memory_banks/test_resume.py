"""A writer killed at any moment loses nothing committed, and the next one ends the same."""

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_banks.tiered import open_memory
from streammem.errors import StoreBusy
from tests.memory_banks.pusher import push_rest
from tests.memory_banks.streams import contents

COUNT, EVERY, KILLS = 700, 7, 6
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


def rows(path: Path) -> dict[str, list[Any]]:
    """Return every row of a file by table, but for what tells of when and by whom it was made.

    That is, beside the times, the RAM that pictures took, which a process takes with it.
    """
    found: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            left_out = {"created_at"} | ({"bytes"} if table == "history" else set())
            all_rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
            found[table] = sorted(
                repr([(name, row[name]) for name in row if name not in left_out])
                for row in all_rows
                if row.get("name") != "created_at"
            )
    return found


@pytest.mark.parametrize("seed", [4, 5])
def test_killed_again_and_again_it_ends_as_if_undisturbed(tmp_path: Path, seed: int) -> None:
    undisturbed, killed = tmp_path / "whole.smem", tmp_path / "killed.smem"
    started = time.monotonic()
    push_rest(undisturbed, COUNT, every=EVERY)
    longest_s = (time.monotonic() - started) / KILLS
    stops = []
    for number, after_s in enumerate(np.random.default_rng(seed).uniform(0.0, longest_s, KILLS)):
        process = start(killed)
        time.sleep(after_s)
        kill(process)
        with open_memory(killed, mode=("read", "write")[number % 2]) as memory:
            stats = memory.stats()
            assert stats.frames_held == sum(entry.count for entry in memory.entries())
            assert stats.frames_seen % EVERY == 0
            assert stats.bytes <= stats.budget_bytes
            assert [e.end_s for e in memory.entries()][-1:] in ([], [stats.frames_seen - 1.0])
            stops.append(stats.frames_seen)
    assert stops == sorted(stops)
    assert any(0 < stop < COUNT for stop in stops), f"no kill struck midway: {stops}"
    push_rest(killed, COUNT, every=EVERY)
    expected = rows(undisturbed)
    for table, found in rows(killed).items():
        assert found == expected[table], f"{table} of {killed}"
    for table in ("entries", "vectors", "thumbnails", "tokens", "tensors", "history", "gaps"):
        assert len(expected[table]) > 1, f"nothing to compare in {table}"
    assert any("('pinned', 1)" in row for row in expected["entries"])
    with open_memory(undisturbed) as whole, open_memory(killed) as resumed:
        assert contents(resumed) == contents(whole)
        assert resumed.evictions() == whole.evictions()
        assert resumed.stats().evictions == whole.stats().evictions


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

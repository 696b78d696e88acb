"""One writer and many readers, in processes of their own, and files that change hands."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from memory_banks.store import Store
from memory_banks.tiered import open_memory
from streammem.errors import StoreBusy, UsageError
from tests.memory_banks.streams import ENCODER, TIGHT, contents, fill

ROOT = Path(__file__).resolve().parents[2]
COUNT, EVERY = 400, 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "m.smem"


def writer(path: Path) -> "subprocess.Popen[str]":
    """Start a process that fills a memory, and wait until it has begun."""
    words = [sys.executable, "-m", "tests.memory_banks.pusher", str(path), str(COUNT), str(EVERY)]
    process = subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_readers_see_whole_checkpoints_however_the_writer_goes_on(path: Path) -> None:
    seen: list[int] = []
    with writer(path) as process, ExitStack() as stack:
        readers = []
        while not seen or seen[-1] < COUNT:
            assert process.poll() is None
            reader = stack.enter_context(open_memory(path))
            stats = reader.stats()
            assert stats.frames_held == sum(entry.count for entry in reader.entries())
            assert stats.frames_seen % EVERY == 0
            if not seen or stats.frames_seen > seen[-1]:
                readers.append((reader, [one[:11] for one in contents(reader)]))
                seen.append(stats.frames_seen)
            else:
                reader.close()
        for reader, opened_with in readers:
            assert [one[:11] for one in contents(reader)] == opened_with
        with pytest.raises(StoreBusy, match=f"being written by process {process.pid}; wait until"):
            open_memory(path, mode="write")
        process.communicate()
    assert len(seen) > 2, f"the writer was done at once: {seen}"


def test_a_reader_changes_nothing_even_where_the_writer_is_gone(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 10)
    with open_memory(path) as reader:
        for change in (
            lambda: reader.pin([1]),
            lambda: reader.unpin([1]),
            lambda: reader.forget(entry_ids=[1]),
            lambda: reader.set_states({"h": np.zeros(3)}),
        ):
            with pytest.raises(UsageError, match="open for reading; open it with mode='write'"):
                change()


def test_forgetting_while_a_reader_is_midway_leaves_it_what_it_began_with(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 40)
        memory.checkpoint()
        held = [entry.entry_id for entry in memory.entries()]
        reader = Store(path, mode="read")
        with reader.reading():
            midway = reader.entries(ENCODER)
            read = [next(midway)[0].entry_id]
            memory._store._connection.execute("PRAGMA busy_timeout = 50")
            with pytest.raises(StoreBusy, match="another process is reading"):
                memory.forget()
            read += [row.entry_id for row, _, _ in midway]
        assert sorted(read) == sorted(held)
        with reader.reading():
            assert list(reader.entries(ENCODER)) == []
        reader.close()
        assert memory.entries() == [] and memory.forget() == []


def test_saving_over_a_memory_that_is_being_written_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.smem"
    with open_memory(other, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 5)
        with writer(path) as process:
            with pytest.raises(StoreBusy, match=f"being written by process {process.pid}; wait"):
                memory.save(path, force=True)
            process.communicate()
    with open_memory(path) as written:
        assert written.stats().frames_seen == COUNT


def test_a_memory_is_not_saved_over_itself(path: Path, tmp_path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 5)
        (tmp_path / "same.smem").hardlink_to(path)
        for same in (path, tmp_path / "same.smem"):
            with pytest.raises(UsageError, match="is the memory itself; choose another name"):
                memory.save(same, force=True)


def test_a_saved_memory_takes_nothing_from_the_log_of_what_it_replaces(
    path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 30, seed=1)
        memory.checkpoint()
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{target}{end}")
        assert Path(f"{target}-wal").stat().st_size > 0
        memory.forget()
        fill(memory, 8, seed=2, source_id="b")
        memory.save(target, force=True)
        saved = contents(memory)
    with open_memory(target) as copy:
        assert contents(copy) == saved
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["m.smem", "target.smem"]


def test_a_reader_of_what_a_save_replaces_reads_on(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.smem"
    for one, seed in ((path, 1), (target, 2)):
        with open_memory(one, encoder=ENCODER, config=TIGHT, mode="write") as memory:
            fill(memory, 12, seed=seed)
    reader = open_memory(target)
    before = contents(reader)
    with open_memory(path) as memory:
        memory.save(target, force=True)
        saved = contents(memory)
    with open_memory(target, mode="write") as copy:
        fill(copy, 3, source_id="b")
        copy.checkpoint()
        assert contents(reader) == before
        reader.close()
        written = contents(copy)
    assert [one[:6] for one in saved] == [one[:6] for one in written[: len(saved)]]
    with open_memory(target) as copy:
        assert contents(copy) == written
    with sqlite3.connect(target) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()

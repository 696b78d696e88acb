"""The memory file: what survives, who may write, and every way of being the wrong file."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_banks import schema
from memory_banks.settings import EncoderIdentity
from memory_banks.store import Store, is_memory
from memory_banks.tiered import Memory, MemoryConfig, open_memory
from streammem.errors import StoreBusy, StoreDamaged, StoreError, StoreMismatch, UsageError
from streammem.records import Features, Frame, Gap
from tests.memory_banks.streams import (
    DIM,
    ENCODER,
    TIGHT,
    VISUAL_DIM,
    begin,
    contents,
    fill,
    stream,
    unit,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a memory, with a name that an address has to escape."""
    return tmp_path / "my memory #1?.smem"


def write(path: Path, *, frames: int = 120, config: MemoryConfig = TIGHT) -> None:
    with open_memory(path, encoder=ENCODER, config=config, mode="write") as memory:
        fill(memory, frames)


def test_what_was_written_is_read_again(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 200)
        memory.add_gap(Gap("a", 200.0, 201.0, "lost"))
        memory.checkpoint()
        memory.recall(unit(np.random.default_rng(0), DIM), k=4)
        written = contents(memory)
        asked = [unit(np.random.default_rng(i), DIM) for i in range(5)]
        answers = [memory.recall(query, k=6) for query in asked]
        memory.checkpoint()
        said = memory.metadata(), memory.sources(), memory.gaps(), memory.evictions()
        counted = memory.stats()
    with open_memory(path, encoder=ENCODER) as memory:
        assert (memory.metadata(), memory.sources(), memory.gaps(), memory.evictions()) == said
        stats = memory.stats()
        assert (stats.frames_seen, stats.entries, stats.evictions) == (
            counted.frames_seen,
            counted.entries,
            counted.evictions,
        )
        read = contents(memory)
        assert [one[:7] + one[8:] for one in read] == [one[:7] + one[8:] for one in written]
        assert sum(one[7] for one in read) == 4 + 5 * 6
        for query, answer in zip(asked, answers, strict=True):
            again = memory.recall(query, k=6)
            assert [(e.entry_id, score) for e, score in again] == [
                (e.entry_id, score) for e, score in answer
            ]
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]


def test_reading_changes_nothing_in_the_file(path: Path) -> None:
    write(path)
    before = path.read_bytes()
    with open_memory(path) as memory:
        memory.recall(unit(np.random.default_rng(0), DIM), k=5)
        assert sum(entry.usage for entry in memory.entries()) == 5
    assert path.read_bytes() == before
    with open_memory(path) as memory:
        assert sum(entry.usage for entry in memory.entries()) == 0


def test_a_reader_refuses_to_write(path: Path) -> None:
    write(path)
    frame, features = next(iter(stream(1, start_s=500.0)))
    with open_memory(path) as memory:
        for change in (
            lambda: memory.push(frame, features),
            lambda: begin(memory),
            memory.checkpoint,
            memory.forget,
            lambda: memory.finish_source("a"),
            lambda: memory.add_gap(Gap("a", 0.0, 1.0, "lost")),
        ):
            with pytest.raises(UsageError, match="open for reading; open it with mode='write'"):
                change()


def test_a_reader_sees_the_last_checkpoint_while_the_writer_goes_on(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as writer:
        begin(writer)
        for frame, features in stream(90):
            writer.push(frame, features)
            if frame.index == 59:
                writer.checkpoint()
                committed = contents(writer)
        with open_memory(path) as reader:
            assert contents(reader) == committed
            assert reader.stats().frames_seen == 60
            writer.checkpoint()
            assert len(reader.entries()) == len(committed)
            gone = {entry.entry_id for entry in reader.entries()} - {
                entry.entry_id for entry in writer.entries()
            }
            assert gone
            with open_memory(path) as newer:
                assert contents(newer) == contents(writer)


def test_two_writers_in_one_process_exclude_each_other(path: Path) -> None:
    with (
        open_memory(path, encoder=ENCODER, config=TIGHT, mode="write"),
        pytest.raises(StoreBusy, match=f"being written by process {os.getpid()}"),
    ):
        open_memory(path, mode="write")
    with open_memory(path, mode="write"):
        pass


def test_another_encoder_is_refused_with_both_named(path: Path) -> None:
    write(path, frames=3)
    for other in (
        EncoderIdentity("made-up", "r2", DIM, VISUAL_DIM),
        EncoderIdentity("openclip:X/Y", "r1", DIM, VISUAL_DIM),
        EncoderIdentity("made-up", "r1", DIM + 1, VISUAL_DIM),
    ):
        with pytest.raises(StoreMismatch) as refused:
            open_memory(path, encoder=other)
        assert str(ENCODER) in str(refused.value) and str(other) in str(refused.value)
        assert "choose the encoder it was made with, or ingest into another" in str(refused.value)
        with open_memory(path) as memory, pytest.raises(StoreMismatch, match="was made with"):
            memory.check_encoder(other)
    with open_memory(path, encoder=ENCODER) as memory:
        memory.check_encoder(ENCODER)


def test_a_missing_memory_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"there is no memory at .*make one with: streammem ingest"
    ):
        open_memory(path)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(StoreError, match="its folder does not exist"):
        open_memory(path / "deeper" / "m.smem", encoder=ENCODER, mode="write")
    with pytest.raises(StoreError, match="is a folder; name a file in it"):
        open_memory(path.parent, encoder=ENCODER, mode="write")
    with pytest.raises(StoreError, match="there is no memory at"):
        open_memory(path, mode="write")
    with pytest.raises(UsageError, match="too small"):
        open_memory(path, encoder=ENCODER, config=MemoryConfig(budget_mb=0.1), mode="write")
    assert list(path.parent.iterdir()) == []


def test_an_empty_file_is_a_memory_not_yet_begun(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match="there is no memory at"):
        open_memory(path)
    write(path, frames=2)
    with open_memory(path) as memory:
        assert len(memory.entries()) == 2


@pytest.mark.parametrize("mode", ["read", "write"])
def test_files_of_another_kind_are_refused_untouched(path: Path, mode: str) -> None:
    path.write_text("When I find time I shall write a film.")
    with pytest.raises(StoreDamaged, match="is not a memory; name a file that streammem ingest"):
        open_memory(path, encoder=ENCODER, mode=mode)
    assert path.read_text().startswith("When I find time") and not is_memory(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE films (name TEXT)")
    other.close()
    with pytest.raises(StoreDamaged, match="SQLite database of another program"):
        open_memory(path, encoder=ENCODER, mode=mode)
    assert not is_memory(path) and not is_memory(path.parent)


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("kept", [50, 512, 1024, 5000, 25_000])
def test_a_file_cut_short_is_damaged(path: Path, kept: int, mode: str) -> None:
    write(path)
    with path.open("r+b") as file:
        file.truncate(kept)
    with pytest.raises(StoreDamaged, match=rf"cut short, {kept} of \d+ bytes.*ingest again"):
        open_memory(path, mode=mode)


def test_bytes_changed_anywhere_never_pass_for_other_features(path: Path) -> None:
    write(path)
    with open_memory(path) as memory:
        intact = {one[0]: one[:11] for one in contents(memory)}
    whole = path.read_bytes()
    rng = np.random.default_rng(2)
    refused = 0
    for at in rng.integers(0, len(whole), 150):
        spoilt = bytearray(whole)
        spoilt[at : at + 16] = rng.bytes(16)
        path.write_bytes(spoilt)
        try:
            with open_memory(path) as memory:
                keys = {entry.entry_id: entry.key.tobytes() for entry in memory.entries()}
        except StoreError as error:
            refused += 1
            assert str(path) in str(error)
            continue
        assert keys == {entry_id: one[9] for entry_id, one in intact.items()}
    assert refused > 20


def test_one_changed_bit_of_a_feature_is_found(path: Path) -> None:
    write(path)
    with open_memory(path) as memory:
        entry = memory.entries()[4]
    content = bytearray(path.read_bytes())
    for vector in (entry.key, entry.visual):
        at = content.find(vector.astype(np.float16).tobytes())
        assert at > 0
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(StoreDamaged, match=f"the features of entry {entry.entry_id} are not"):
            open_memory(path)
        content[at] ^= 1


def test_a_memory_of_a_later_form_asks_for_an_upgrade(path: Path) -> None:
    write(path, frames=2)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {schema.SCHEMA + 1}")
    connection.close()
    for mode in ("read", "write"):
        with pytest.raises(StoreError, match=r"has schema \d.*knows up to \d; upgrade with"):
            open_memory(path, mode=mode)


def test_an_earlier_form_is_brought_up_to_date_by_the_steps_it_lacks() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    first = "CREATE TABLE one (a); CREATE TABLE two (b)"
    second = "ALTER TABLE one ADD COLUMN c"
    schema.migrate(connection, steps=(first,))
    connection.execute("INSERT INTO one VALUES (5)")
    schema.migrate(connection, steps=(first, second))
    assert connection.execute("SELECT a, c FROM one").fetchall() == [(5, None)]
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()


def test_a_writing_killed_before_the_first_table_can_be_begun_again(path: Path) -> None:
    connection = sqlite3.connect(path)
    schema.prepare(connection)
    connection.close()
    assert path.stat().st_size > 0
    write(path, frames=2)
    with open_memory(path) as memory:
        assert len(memory.entries()) == 2


def test_a_writing_killed_before_its_settings_were_kept_can_be_begun_again(path: Path) -> None:
    Store(path, mode="write").close()
    with pytest.raises(StoreError, match="there is no memory at"):
        open_memory(path)
    with pytest.raises(StoreError, match="there is no memory at"):
        open_memory(path, mode="write")
    write(path, frames=2)
    with open_memory(path) as memory:
        assert len(memory.entries()) == 2


def test_a_full_disk_loses_nothing_and_writing_goes_on_when_there_is_room(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 10)
        memory.checkpoint()
        committed = contents(memory)
        connection = memory._store._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        for frame, features in stream(8, seed=1, start_s=10.0):
            memory.push(frame, features)
        for _ in range(2):
            with pytest.raises(StoreError, match="disk full; nothing committed was lost"):
                memory.checkpoint()
            with open_memory(path) as reader:
                assert contents(reader) == committed
        connection.execute("PRAGMA max_page_count = 100000")
        memory.checkpoint()
        written = contents(memory)
    with open_memory(path) as memory:
        assert contents(memory) == written
        assert memory.stats().frames_seen == 18


def test_an_interrupted_checkpoint_writes_nothing_and_can_be_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 40)
        with monkeypatch.context() as patched:
            patched.setattr(memory._tiers.index, "vectors", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                memory.checkpoint()
        with open_memory(path) as reader:
            assert reader.entries() == [] and reader.sources() == []
        memory.checkpoint()
        with open_memory(path) as reader:
            assert contents(reader) == contents(memory)


def _interrupt(entry_id: int) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_whose_success_was_not_heard_of_can_be_repeated(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 60)
        memory.add_gap(Gap("a", 60.0, 61.0, "lost"))
        clear = memory._changes.clear
        memory._changes = _Unclearable(memory._changes)
        memory.checkpoint()
        memory.checkpoint()
        clear()
        written = contents(memory), memory.evictions(), memory.gaps()
    with open_memory(path) as memory:
        assert (contents(memory), memory.evictions(), memory.gaps()) == written


class _Unclearable:
    """Changes of which nobody heard that they were written."""

    def __init__(self, changes: object) -> None:
        self._changes = changes

    def __getattr__(self, name: str) -> object:
        return getattr(self._changes, name)

    def clear(self) -> None:
        return None


def searched_for(folder: Path, needle: bytes) -> list[str]:
    """Return which files of a folder hold some bytes."""
    return [one.name for one in folder.iterdir() if needle in one.read_bytes()]


def test_no_byte_of_what_was_forgotten_stays_in_any_file(path: Path) -> None:
    rng = np.random.default_rng(3)
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        begin(memory)
        secrets: list[bytes] = []
        for frame, features in stream(40):
            if 18 <= frame.index <= 20:
                rgb = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
                frame = Frame("a", frame.index, frame.time_s, rgb)
                features = Features(unit(rng, DIM), unit(rng, VISUAL_DIM))
            memory.push(frame, features)
            if frame.index in (18, 20, 25, 39):
                memory.checkpoint()
            if frame.index == 20:
                for entry in memory.entries()[-3:]:
                    jpeg = memory.thumbnail(entry.entry_id)
                    assert jpeg is not None
                    secrets += [jpeg[-60:-20], entry.key.astype(np.float16).tobytes()]
        held = [
            memory.thumbnail(e.entry_id) for e in memory.entries() if e.start_s <= 20 <= e.end_s
        ]
        merged_away = {secret for secret in secrets if not searched_for(path.parent, secret)}
        assert len(merged_away) < len(secrets)
        gone = memory.forget(start_s=17.5, end_s=20.5)
        assert gone and held
        for secret in secrets:
            assert searched_for(path.parent, secret) == []
    for secret in secrets:
        assert searched_for(path.parent, secret) == []
    with open_memory(path, mode="write") as memory:
        uri = b"/videos/a.mp4"
        assert searched_for(path.parent, uri)
        size = path.stat().st_size
        memory.forget()
        assert searched_for(path.parent, uri) == []
        assert path.stat().st_size < size


@pytest.mark.parametrize("by", ["span", "ids"])
def test_no_byte_of_forgotten_tokens_and_sketches_stays_either(path: Path, by: str) -> None:
    rng = np.random.default_rng(4)
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        begin(memory)
        for frame, features in stream(60):
            memory.push(frame, replace(features, tokens=rng.normal(size=(3, 7))))
            if frame.index % 9 == 0:
                memory.checkpoint()
        memory.checkpoint()
        first, *others = memory.entries(tiers=["long_term"])[2:6]
        memory.pin([first.entry_id])
        memory.checkpoint()
        secrets = [memory._tiers.rows[first.entry_id].sketch]
        for entry in (first, *others):
            jpeg = memory.thumbnail(entry.entry_id)
            assert entry.tokens is not None and jpeg is not None
            secrets += [
                entry.tokens.tobytes(),
                entry.key.astype(np.float16).tobytes(),
                entry.visual.astype(np.float16).tobytes(),
                jpeg[-60:-20],
                memory._tiers.rows[entry.entry_id].sketch,
            ]
        assert all(searched_for(path.parent, secret) for secret in secrets)
        if by == "span":
            memory.forget(start_s=first.start_s, end_s=others[-1].end_s)
        else:
            memory.forget(entry_ids=[entry.entry_id for entry in (first, *others)])
        assert [searched_for(path.parent, secret) for secret in secrets] == [[]] * len(secrets)
        assert len(memory.entries()) > 5
    assert [searched_for(path.parent, secret) for secret in secrets] == [[]] * len(secrets)


def test_what_merging_replaced_leaves_no_bytes_either(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 30)
        memory.checkpoint()
        early = {entry.entry_id: entry.key for entry in memory.entries()}
        for frame, features in stream(200, seed=1, start_s=30.0):
            memory.push(frame, features)
        held = {entry.entry_id for entry in memory.entries()}
    replaced = [key for entry_id, key in early.items() if entry_id not in held]
    assert len(replaced) > 10
    for key in replaced:
        assert searched_for(path.parent, key.astype(np.float16).tobytes()) == []


def test_the_floor_of_weights_outlives_the_process(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 900)
        floor = memory._tiers.state["floor"]
        while (average := _average_count(memory)) >= floor:
            heaviest = max(memory.entries(), key=lambda entry: entry.count)
            memory.forget(start_s=heaviest.mean_s, end_s=heaviest.mean_s)
        assert floor / 2 <= average
    with open_memory(path, mode="write") as memory:
        assert memory._tiers.state["floor"] == floor


def _average_count(memory: Memory) -> float:
    counts = [entry.count for entry in memory.entries() if entry.tier == "long_term"]
    return sum(counts) / len(counts)


def test_traces_that_a_reader_keeps_in_the_log_are_told_of(path: Path) -> None:
    write(path, frames=40)
    other = sqlite3.connect(path, isolation_level=None)
    with open_memory(path, mode="write") as memory:
        memory._store._connection.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM entries").fetchone()
        with pytest.raises(StoreBusy, match="traces of them stay in the log until it ends"):
            memory.forget(start_s=0.0, end_s=5.0)
        other.execute("ROLLBACK")
        assert [entry for entry in memory.entries() if entry.start_s <= 5.0] == []
        assert memory.forget(start_s=0.0, end_s=5.0) == []
    other.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("this system does not let a small disk be mounted")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_really_full_disk_loses_nothing(small_disk: Path) -> None:
    path, ballast = small_disk / "m.smem", small_disk / "ballast"
    wide = MemoryConfig(budget_mb=1.0, thumbnail_px=16, eviction_log=50)
    memory = open_memory(path, encoder=ENCODER, config=wide, mode="write")
    fill(memory, 5)
    memory.checkpoint()
    committed = contents(memory)
    _fill_disk(ballast)
    for frame, features in stream(40, seed=1, start_s=5.0):
        memory.push(frame, features)
    with pytest.raises(StoreError, match="disk full; nothing committed was lost"):
        memory.checkpoint()
    with open_memory(path) as reader:
        assert contents(reader) == committed
    with pytest.raises(StoreError, match="disk full"):
        open_memory(small_disk / "other.smem", encoder=ENCODER, config=wide, mode="write")
    ballast.unlink()
    memory.checkpoint()
    memory.close()
    with open_memory(path) as reader:
        assert reader.stats().frames_seen == 45


def test_a_full_disk_loses_no_tokens_and_no_states(small_disk: Path) -> None:
    path, ballast = small_disk / "m.smem", small_disk / "ballast"
    wide = MemoryConfig(budget_mb=1.0, thumbnail_px=16, eviction_log=50)
    frames = [
        (frame, replace(features, tokens=np.full((20, 30), frame.index)))
        for frame, features in stream(40)
    ]
    memory = open_memory(path, encoder=ENCODER, config=wide, mode="write")
    begin(memory)
    for frame, features in frames[:5]:
        memory.push(frame, features)
    memory.set_states({"hidden": np.arange(50.0)})
    memory.checkpoint()
    committed = contents(memory)
    _fill_disk(ballast)
    memory.set_states({"hidden": np.arange(4000.0)})
    for frame, features in frames[5:]:
        memory.push(frame, features)
    with pytest.raises(StoreError, match="disk full; nothing committed was lost"):
        memory.checkpoint()
    with open_memory(path) as reader:
        assert contents(reader) == committed
        np.testing.assert_array_equal(reader.states()["hidden"], np.arange(50.0))
        assert len(reader.history()) == 5
    ballast.unlink()
    memory.checkpoint()
    written = contents(memory)
    memory.close()
    with open_memory(path) as reader:
        assert contents(reader) == written
        np.testing.assert_array_equal(reader.states()["hidden"], np.arange(4000.0))
        for entry in reader.entries():
            assert entry.tokens is not None and entry.tokens.shape == (20, 30)


@pytest.mark.parametrize("target", ["new.smem", "old.smem"])
def test_a_copy_that_the_disk_has_no_room_for_leaves_what_was_there(
    small_disk: Path, target: str
) -> None:
    path, old = small_disk / "m.smem", small_disk / "old.smem"
    write(old, frames=5)
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 60)
        memory.checkpoint()
        written, before = contents(memory), old.read_bytes()
        _fill_disk(small_disk / "ballast")
        for room in (0, 20_000):
            os.truncate(small_disk / "ballast", (small_disk / "ballast").stat().st_size - room)
            with (
                open_memory(path) as reader,
                pytest.raises(StoreError, match=rf"saving memory .*{target}: disk full; nothing"),
            ):
                reader.save(small_disk / target, force=True)
        names = {one.name for one in small_disk.iterdir()}
        assert names == {"ballast", "m.smem", "m.smem-shm", "m.smem-wal", "m.smem.lock", "old.smem"}
        assert old.read_bytes() == before
        (small_disk / "ballast").unlink()
        memory.save(small_disk / target, force=True)
    with open_memory(small_disk / target) as copy:
        assert contents(copy) == written


def _fill_disk(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_read_only_disk_can_be_read_and_not_written(small_disk: Path) -> None:
    path = small_disk / "m.smem"
    write(path, frames=30)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with open_memory(path) as memory:
        assert memory.stats().frames_seen == 30
        assert memory.thumbnail(memory.entries()[0].entry_id)
    for name in ("m.smem", "new.smem"):
        with pytest.raises(StoreError, match=r"not allowed: .*is read-only or .*; choose another"):
            open_memory(small_disk / name, encoder=ENCODER, config=TIGHT, mode="write")


def test_changes_still_in_the_log_of_a_read_only_disk_are_told_of(small_disk: Path) -> None:
    path = small_disk / "m.smem"
    memory = open_memory(path, encoder=ENCODER, config=TIGHT, mode="write")
    fill(memory, 30)
    memory.checkpoint()
    copy = small_disk / "copy.smem"
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    memory.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(StoreError, match=r"last changes are in copy\.smem-wal.*copy both files"):
        open_memory(copy)


def test_a_memory_in_ram_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 30)
        memory.checkpoint()
        assert memory.writable and isinstance(memory, Memory)
        memory.forget(start_s=3.0, end_s=9.0)
    assert list(tmp_path.iterdir()) == []

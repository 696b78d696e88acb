"""Damage to any part of a memory file is told of, and never passes for what was written."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_banks.tiered import Memory, open_memory
from streammem.errors import StoreDamaged, StoreError
from tests.memory_banks.streams import ENCODER, TIGHT, begin, stream

ROOMY = replace(TIGHT, budget_mb=0.4)


def tokens_of(index: int) -> np.ndarray:
    """Return the tokens of a frame, `[3, 5]`, which are like those of no other."""
    return np.random.default_rng(index).normal(size=(3, 5)).astype(np.float16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory with something in each of its tables."""
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=ROOMY, mode="write") as memory:
        begin(memory)
        for frame, features in stream(60):
            memory.push(frame, replace(features, tokens=tokens_of(frame.index)))
        memory.set_states({"hidden": np.arange(40, dtype=np.float32).reshape(5, 8)})
        memory.pin([memory.entries()[0].entry_id])
    return path


def change(path: Path, statement: str) -> None:
    """Change a row behind the back of the memory."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount == 1


def first(path: Path, condition: str) -> int:
    """Return the first entry of which something holds."""
    with closing(sqlite3.connect(path)) as connection:
        (entry_id,) = connection.execute(
            f"SELECT min(entry_id) FROM entries WHERE {condition}"
        ).fetchone()
    return int(entry_id)


@pytest.mark.parametrize(
    "change_of",
    [
        "start_s = end_s + 1",
        "end_s = 9e999",
        "mean_s = 'soon'",
        "mean_s = start_s - 0.5",
        "count = 0",
        "count = 1.5",
        "thumbnail_bytes = -1",
        "tier = 'longterm'",
        "pinned = 2",
        "usage = -1",
        "usage = 'much'",
        "attention = -0.5",
        "rarity = 9e999",
        "since = -3",
        "merged_from = '{}'",
        "merged_from = '[\"a\"]'",
        "sketch = X'0102'",
        "sketch = 'text that is as long as a sketch, but is none: it has 64 letters.'",
        "sketch = zeroblob(65)",
    ],
)
def test_an_entry_that_was_never_written(path: Path, change_of: str) -> None:
    damaged = first(path, "tier = 'long_term'")
    change(path, f"UPDATE entries SET {change_of} WHERE entry_id = {damaged}")
    for mode in ("read", "write"):
        with pytest.raises(StoreDamaged, match=f"entry {damaged} is not as written; restore"):
            open_memory(path, mode=mode)


@pytest.mark.parametrize(
    "change_of",
    [
        "dtype = '>f2'",
        "dtype = '<i2'",
        "dtype = 'O'",
        "shape = '[5, 3]'",
        "shape = '[15]'",
        "shape = ''",
        "data = zeroblob(30)",
        "data = substr(data, 1, 28)",
        "crc = crc + 1",
    ],
)
@pytest.mark.parametrize("table", ["tokens", "tensors"])
def test_an_array_that_was_never_written(path: Path, table: str, change_of: str) -> None:
    damaged = first(path, "count > 1")
    where = "name = 'state/hidden'" if table == "tensors" else f"entry_id = {damaged}"
    what = "numbers of state/hidden" if table == "tensors" else f"tokens of entry {damaged}"
    change(path, f"UPDATE {table} SET {change_of} WHERE {where}")
    with pytest.raises(StoreDamaged, match=f"the {what} are not as written; restore"):
        open_memory(path)


def test_an_array_that_is_gone(path: Path) -> None:
    damaged = first(path, "count > 1")
    intact = path.read_bytes()
    change(path, "DELETE FROM tensors")
    with pytest.raises(StoreDamaged, match="it holds 0 arrays of state, not as many as written"):
        open_memory(path)
    path.write_bytes(intact)
    change(path, f"DELETE FROM tokens WHERE entry_id = {damaged}")
    with pytest.raises(StoreDamaged, match=f"the tokens of entry {damaged} are not as written"):
        open_memory(path)


@pytest.mark.parametrize("change_of", ["merged = -1", "bytes = 'few'", "working = 0.5"])
def test_a_history_that_was_never_written(path: Path, change_of: str) -> None:
    change(path, f"UPDATE history SET {change_of} WHERE frames_seen = 7")
    with pytest.raises(StoreDamaged, match="its history is not as written"):
        open_memory(path)


def test_one_changed_bit_of_tokens_or_of_a_state_is_found(path: Path) -> None:
    with open_memory(path) as memory:
        entry = memory.entries()[-1]
        assert entry.tokens is not None
        wanted = {
            f"tokens of entry {entry.entry_id}": entry.tokens.tobytes(),
            "numbers of state/hidden": memory.states()["hidden"].tobytes(),
        }
    intact = path.read_bytes()
    for what, content in wanted.items():
        spoilt = bytearray(intact)
        at = intact.find(content)
        assert at > 0
        spoilt[at + 7] ^= 4
        path.write_bytes(spoilt)
        with pytest.raises(StoreDamaged, match=f"the {what} are not as written"):
            open_memory(path)


def test_pages_in_the_place_of_others_do_not_count_twice(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM tokens")
        connection.execute("UPDATE entries SET token_bytes = 0, count = 1")
        (held,) = connection.execute("SELECT count(*) FROM entries").fetchone()
        connection.execute(f"UPDATE metadata SET value = {held} WHERE name = 'frames_held'")
    content = path.read_bytes()
    all_pages = range(0, len(content), 1024)
    pages = [at for at in all_pages if content[at : at + 1024].count(b"long_term") > 1]
    assert len(pages) > 2
    refused = set()
    for at in pages:
        for other in pages:
            spoilt = bytearray(content)
            spoilt[at : at + 1024] = content[other : other + 1024]
            path.write_bytes(spoilt)
            if at != other:
                with pytest.raises(StoreDamaged) as error:
                    open_memory(path)
                refused.add(str(error.value).split(";")[0].partition("damaged: ")[2][:14])
    assert "it holds entry" in refused


def everything(memory: Memory) -> dict[int, tuple[Any, ...]]:
    """Return what must never change unnoticed: features and tokens by entry, and states."""
    held: dict[int, tuple[Any, ...]] = {0: tuple(map(bytes, memory.states().values()))}
    for entry in memory.entries():
        tokens = None if entry.tokens is None else (entry.tokens.shape, entry.tokens.tobytes())
        held[entry.entry_id] = (entry.key.tobytes(), entry.visual.tobytes(), tokens)
    return held


def spoil_bit(content: bytearray, rng: np.random.Generator) -> None:
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))


def spoil_run(content: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(content)))
    run = rng.bytes(int(rng.integers(1, 200)))
    content[at : at + len(run)] = run[: len(content) - at]


def spoil_page(content: bytearray, rng: np.random.Generator) -> None:
    at, other = (1024 * int(rng.integers(len(content) // 1024)) for _ in range(2))
    content[at : at + 1024] = content[other : other + 1024]


@pytest.mark.parametrize("spoil", [spoil_bit, spoil_run, spoil_page])
def test_whatever_is_damaged_is_refused_or_makes_no_difference(
    path: Path, spoil: Callable[[bytearray, np.random.Generator], None]
) -> None:
    with open_memory(path) as memory:
        intact = everything(memory)
    whole = path.read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        content = bytearray(whole)
        spoil(content, rng)
        path.write_bytes(content)
        try:
            with open_memory(path) as memory:
                assert everything(memory) == intact
                memory.recall(memory.entries()[0].key, k=3)
                memory.stats(), memory.history(), memory.evictions(), memory.sources()
        except StoreError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 2

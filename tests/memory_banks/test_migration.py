"""A memory of schema 1: read as it is, brought up to date by a writer, and gone on with."""

import json
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from memory_banks import schema
from memory_banks.consolidation.sketches import BITS
from memory_banks.entries import thumbnail_of
from memory_banks.tiered import Memory, MemoryConfig, open_memory
from streammem.records import SourceInfo
from tests.memory_banks.streams import DIM, ENCODER, TIGHT, contents, stream, unit

FRAMES = 15
LONG_TERM, WORKING = 10, 12
"""The first entries are of long-term memory, those before the second number of working memory."""


def write_schema_1(path: Path) -> None:
    """Make a file as the first version wrote it, of `FRAMES` frames and one gap."""
    config = asdict(TIGHT)
    for later in ("consolidation", "rarity_weight", "seed"):
        del config[later]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.prepare(connection)
        connection.execute("BEGIN")
        schema.migrate(connection, steps=schema.MIGRATIONS[:1])
        for name, value in {
            "created_at": "2025-01-01T00:00:00+00:00",
            "app_version": "0.1.0",
            "encoder": asdict(ENCODER),
            "config": config,
            "next_id": FRAMES + 3,
            "frames_seen": FRAMES + 2,
            "frames_held": FRAMES + 2,
            "evicted": {"merged": 2},
            "weight_floor": 1,
        }.items():
            connection.execute("INSERT INTO metadata VALUES (?, ?)", (name, json.dumps(value)))
        info = json.dumps(asdict(SourceInfo("a", "a.mp4")))
        connection.execute(
            "INSERT INTO sources VALUES (1, 'a', ?, 'f', 1.0, '2025-01-01', 0.0, ?, ?, 0)",
            (info, FRAMES - 1.0, FRAMES + 2),
        )
        connection.execute("INSERT INTO gaps VALUES (1, 3.5, 3.75, 'lost')")
        for frame, features in stream(FRAMES):
            entry_id = frame.index + 3
            jpeg = thumbnail_of(frame.rgb, longest_px=16)
            tiers = Counter([frame.index >= LONG_TERM, frame.index >= WORKING])
            tier = ("long_term", "working", "sensory")[tiers[True]]
            merged, count = ("[1, 2]", 3) if frame.index == 5 else ("[]", 1)
            at = frame.time_s
            connection.execute(
                "INSERT INTO entries VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (entry_id, at, at, at, count, tier, 2.0, merged, entry_id, len(jpeg)),
            )
            connection.execute("INSERT INTO thumbnails VALUES (?, ?)", (entry_id, jpeg))
            key, visual = (
                vector.astype(np.float16).tobytes() for vector in (features.key, features.visual)
            )
            connection.execute(
                "INSERT INTO vectors VALUES (?, 'float16', ?, ?, ?, ?, ?)",
                (entry_id, DIM, len(visual) // 2, zlib.crc32(visual, zlib.crc32(key)), key, visual),
            )
        connection.execute("INSERT INTO evictions VALUES (1, 1, 'merged', 8), (2, 2, 'merged', 8)")
        connection.execute("COMMIT")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A memory of schema 1."""
    write_schema_1(tmp_path / "old.smem")
    return tmp_path / "old.smem"


def check_is_whole(memory: Memory) -> None:
    """Check that a memory holds what `write_schema_1` wrote, in the newest form."""
    assert memory.metadata()["schema"] == schema.SCHEMA
    assert memory.config == TIGHT
    stats = memory.stats()
    assert stats.entries == {"long_term": LONG_TERM, "working": 2, "sensory": 3}
    assert stats.frames_seen == stats.frames_held == FRAMES + 2
    assert memory.inspect(8).made_of == {8: (1, 2)} and memory.inspect(8).whole is False
    assert [(gap.start_s, gap.reason) for gap in memory.gaps()] == [(3.5, "lost")]
    assert memory.history() == [] and memory.states() == {}
    held = {entry.entry_id: entry for entry in memory.entries()}
    for frame, features in stream(FRAMES):
        entry = held.pop(frame.index + 3)
        assert (entry.start_s, entry.usage, entry.pinned) == (frame.time_s, 2.0, False)
        assert entry.count == (3 if frame.index == 5 else 1)
        np.testing.assert_array_equal(entry.key, features.key.astype(np.float16))
        np.testing.assert_array_equal(entry.visual, features.visual.astype(np.float16))
        assert memory.thumbnail(entry.entry_id) == thumbnail_of(frame.rgb, longest_px=16)
    assert held == {}


def test_a_reader_reads_it_and_leaves_it_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path)):
        before = path.read_bytes()
    with open_memory(path, encoder=ENCODER) as memory:
        check_is_whole(memory)
        (entry, score), *_ = memory.recall(next(iter(stream(1)))[1].key, k=3)
        assert entry.entry_id == 3 and score > 0.99
        memory.save(path.with_name("copy.smem"))
    assert path.read_bytes() == before
    with open_memory(path.with_name("copy.smem")) as copy:
        assert copy.metadata()["schema"] == schema.SCHEMA and len(copy.entries()) == FRAMES


def test_a_writer_brings_it_up_to_date_and_keeps_everything(path: Path) -> None:
    with open_memory(path, encoder=ENCODER, mode="write") as memory:
        check_is_whole(memory)
        written = contents(memory)
    with open_memory(path) as memory:
        check_is_whole(memory)
        assert contents(memory) == written
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA,)
        sketched = f"SELECT count(*) FROM entries WHERE length(sketch) = {BITS // 8}"
        assert connection.execute(sketched).fetchone() == (LONG_TERM,)


def test_it_goes_on_as_a_memory_that_was_new_from_the_start(path: Path) -> None:
    asked = unit(np.random.default_rng(1), DIM)
    with open_memory(path, encoder=ENCODER, mode="write") as memory:
        memory.begin_source(SourceInfo("a", "a.mp4"), fingerprint="f", sampling_fps=1.0)
        for frame, features in stream(120, seed=3, start_s=float(FRAMES)):
            memory.push(
                frame,
                features,
            )
        stats = memory.stats()
        assert stats.bytes <= stats.budget_bytes and stats.evictions["merged"] > 60
        assert stats.frames_seen == stats.frames_held == FRAMES + 2 + 120
        assert [sample.frames_seen for sample in memory.history()][:1] == [FRAMES + 3]
        for row in memory._tiers.rows.values():
            assert len(row.sketch) == (BITS // 8 if row.tier == "long_term" else 0)
        answer = [(entry.entry_id, score) for entry, score in memory.recall(asked, k=5)]
        written = contents(memory)
    with open_memory(path) as memory:
        assert contents(memory) == written
        assert [(entry.entry_id, score) for entry, score in memory.recall(asked, k=5)] == answer


def test_old_entries_merge_by_what_they_tell_and_not_by_their_age(path: Path) -> None:
    """The pair that the rule would choose first goes first, though no rarity was ever written."""
    with open_memory(path, encoder=ENCODER, mode="write") as memory:
        old = memory.entries(tiers=["long_term"])
        apart = [
            float(((left.key - right.key) ** 2).sum() + ((left.visual - right.visual) ** 2).sum())
            for left, right in pairwise(old)
        ]
        assert memory._tiers._long_term.make_room()
        merged = [entry for entry in memory.entries(tiers=["long_term"]) if entry.merged_from]
        (made,) = [entry for entry in merged if entry.entry_id >= FRAMES + 3]
        chosen = [entry.entry_id for entry in old].index(made.merged_from[0])
        assert made.merged_from == (old[chosen].entry_id, old[chosen + 1].entry_id)
        assert apart[chosen] < np.median(apart)
        assert memory._tiers.rows[made.entry_id].rarity > 0


KILLED_INSIDE = """
import os, signal, sqlite3, sys
from memory_banks import schema
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
schema.migrate(connection)
connection.execute("UPDATE entries SET usage = 9")
os.kill(os.getpid(), signal.SIGKILL)
"""
"""With so small a cache the pages are in the log before they are committed."""


@pytest.mark.parametrize("mode", ["read", "write"])
def test_killed_inside_the_migration_it_is_still_whole(path: Path, mode: str) -> None:
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run([sys.executable, "-c", KILLED_INSIDE, str(path)], cwd=root, timeout=60)
    assert run.returncode == -9
    assert path.with_name(path.name + "-wal").stat().st_size > 0
    with open_memory(path, mode=mode) as memory:
        check_is_whole(memory)


def test_settings_of_the_first_version_take_the_defaults_of_later_ones(path: Path) -> None:
    with open_memory(path) as memory:
        assert memory.config.consolidation == MemoryConfig().consolidation

"""What a kill -9 costs: nothing committed, and the seconds until a large memory is open again.

    .venv/bin/python scripts/bench_crash.py [--quick] [--json] [--seed N]

1. A process ingests a stream into a memory of a tight budget, with merges, recalls, pins, gaps,
   tokens and states of a model. It is killed at a random moment, wherever it stands: opening,
   pushing or in the middle of a checkpoint. The file is opened, by turns for reading and for
   writing, and the next process goes on, 50 times over. In the end every row of every table is held
   against that of a run that nobody disturbed, all but the times at which both were made and the
   bytes of RAM in the history: these count pictures, which a process takes with it.
2. A memory of 100,000 entries of 384 + 128 numbers is opened after it was closed, and after a
   process was killed in the middle of writing more to it.
"""

import argparse
import multiprocessing
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from ctypes import c_int
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_output import Goals, say, show

from memory_banks.opening import Mode
from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory, open_memory
from streammem.errors import StoreError
from streammem.records import Features, Frame, Gap, SourceInfo

STAGES = ("starting", "opening", "pushing", "committing", "done")
STARTING, OPENING, PUSHING, CHECKPOINT, DONE = range(len(STAGES))
OPEN_S = 3.0
TURNS = 5
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Stream:
    """Frames to ingest, the same for the same seed; `eventful` ones bring all that can be kept."""

    frames: int
    dim: int
    visual_dim: int
    budget_mb: float
    every: int
    eventful: bool
    seed: int

    @property
    def encoder(self) -> EncoderIdentity:
        """What a memory is told of where the features come from."""
        return EncoderIdentity("made-up", "r1", self.dim, self.visual_dim)

    @property
    def config(self) -> MemoryConfig:
        """Settings under which an eventful stream fills every tier many times over."""
        recent = {"sensory_frames": 4, "working_frames": 16} if self.eventful else {}
        return MemoryConfig(budget_mb=self.budget_mb, thumbnail_px=16, **recent)

    def after(self, seen: int) -> Iterator[tuple[Frame, Features]]:
        """Yield the frames after the first `seen`, each drawn by its own number."""
        numbers = self.dim + self.visual_dim
        for index in range(seen, self.frames):
            scene = np.random.default_rng((self.seed, index // 10)).normal(size=numbers)
            rng = np.random.default_rng((self.seed, 1, index))
            both = (scene + 0.3 * rng.normal(size=numbers)).astype(np.float32)
            key, visual = both[: self.dim], both[self.dim :]
            rgb = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
            tokens = rng.normal(size=(4, 8)).astype(np.float16) if self.eventful else None
            yield (
                Frame("a", index, float(index), rgb),
                Features(key / np.linalg.norm(key), visual / np.linalg.norm(visual), tokens),
            )


def ingest(path: Path, stream: Stream, stage: Any = None) -> None:
    """Push what the memory at `path` lacks of a stream; `stage.value` says where it stands."""
    stage = SPAWN.Value(c_int, STARTING, lock=False) if stage is None else stage
    stage.value = OPENING
    config = stream.config
    with open_memory(path, encoder=stream.encoder, config=config, mode="write") as memory:
        source = SourceInfo("a", "a.mp4")
        known = memory.begin_source(source, fingerprint="f", sampling_fps=1.0)
        stage.value = PUSHING
        seen = 0 if known.last_s is None else int(known.last_s) + 1
        for frame, features in stream.after(seen):
            memory.push(frame, features)
            if stream.eventful:
                use(memory, frame, features)
            if frame.index % stream.every == stream.every - 1:
                stage.value = CHECKPOINT
                memory.checkpoint()
                stage.value = PUSHING
        memory.finish_source("a")
        stage.value = CHECKPOINT
    stage.value = DONE


def use(memory: Memory, frame: Frame, features: Features) -> None:
    """Do with a memory what else can be done, by the number of the frame."""
    if frame.index % 5 == 0:
        memory.recall(features.visual, k=4, by="visual")
    if frame.index % 40 == 0:
        found = [entry for entry, _ in memory.recall(features.key, k=6)]
        memory.unpin([entry.entry_id for entry in found if entry.pinned])
        memory.pin([entry.entry_id for entry in found[-2:] if not entry.pinned])
    if frame.index % 90 == 0:
        memory.add_gap(Gap("a", frame.time_s + 0.2, frame.time_s + 0.8, "lost"))
    if frame.index % 7 == 0:
        memory.set_states({"hidden": np.outer(features.key, features.visual)})


def killed(path: Path, stream: Stream, *, after_s: float, at: int = OPENING) -> int:
    """Kill a process that ingests, some seconds after it came to a stage; return where it stood."""
    stage = SPAWN.Value(c_int, STARTING, lock=False)
    process = SPAWN.Process(target=ingest, args=(path, stream, stage), daemon=True)
    process.start()
    while stage.value < at and process.is_alive():
        time.sleep(0.001)
    time.sleep(after_s)
    process.kill()
    process.join()
    return int(stage.value)


def opened(path: Path, stream: Stream, *, mode: Mode, spent: list[float] | None = None) -> float:
    """Return the seconds in which a memory is open; put those of the processor into `spent`."""
    started, started_cpu = time.perf_counter(), time.process_time()
    memory = open_memory(path, encoder=stream.encoder, mode=mode)
    took = time.perf_counter() - started
    if spent is not None:
        spent.append(time.process_time() - started_cpu)
    memory.close()
    return took


def rows(path: Path) -> dict[str, list[Any]]:
    """Return every row of a memory file by table, but for when it was made and the RAM it took."""
    kept: dict[str, list[Any]] = {}
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            chosen = set(columns) - {"created_at"} - ({"bytes"} if table == "history" else set())
            found = connection.execute(f"SELECT {', '.join(sorted(chosen))} FROM {table}")
            kept[table] = sorted((row for row in found if "created_at" not in row), key=repr)
    return kept


def kill_again_and_again(folder: Path, *, kills: int, seed: int) -> dict[str, float]:
    """Return what became of a memory whose writers were killed."""
    stream = Stream(60 * kills, 24, 16, 0.5, every=16, eventful=True, seed=seed)
    whole, path = folder / "whole.smem", folder / "killed.smem"
    started = time.perf_counter()
    ingest(whole, stream)
    longest_s = (time.perf_counter() - started) / kills
    clean_s = statistics.median(opened(whole, stream, mode="write") for _ in range(TURNS))
    rng = np.random.default_rng(seed)
    stages: Counter[int] = Counter()
    seconds: list[float] = []
    refused = 0
    while sum(stages.values()) < kills:
        stages[killed(path, stream, after_s=rng.uniform(0.0, longest_s))] += 1
        if stages[DONE]:
            break
        # A file in which nothing was ever committed can only be begun again.
        mode: Mode = "read" if len(seconds) % 2 else "write"
        try:
            seconds.append(opened(path, stream, mode=mode))
        except StoreError as error:
            refused += 1
            say(str(error))
    ingest(path, stream)
    return {
        "kills": float(sum(stages.values()) - stages[DONE]),
        "kills_while_opening": float(stages[OPENING]),
        "kills_inside_a_checkpoint": float(stages[CHECKPOINT]),
        "opened_of_kills": len(seconds) / (len(seconds) + refused),
        "equal": float(rows(path) == rows(whole)),
        "clean_open_ms": 1e3 * clean_s,
        "median_open_after_kill_over_clean": statistics.median(seconds) / clean_s,
        "worst_open_after_kill_over_clean": max(seconds) / clean_s,
    }


def open_large(folder: Path, *, entries: int, seed: int) -> dict[str, float]:
    """Return how long a memory of many entries takes to be open, after its end and after a kill."""
    stream = Stream(entries, 384, 128, 0.02 * entries, every=256, eventful=False, seed=seed)
    path = folder / "large.smem"
    started = time.perf_counter()
    ingest(path, stream)
    built_s = time.perf_counter() - started
    spent: list[float] = []
    clean_s = statistics.median(
        opened(path, stream, mode="read", spent=spent) for _ in range(TURNS)
    )
    more = Stream(10 * entries, 384, 128, 0.02 * entries, every=256, eventful=False, seed=seed)
    after_kill = []
    rng = np.random.default_rng(seed)
    modes: tuple[Mode, ...] = ("read", "write", "write")
    for mode in modes:
        stood = killed(path, more, after_s=rng.uniform(0.5, 1.5), at=PUSHING)
        log = path.with_name(path.name + "-wal").stat().st_size
        say(f"killed while {STAGES[stood]}, with {log / 1e6:.1f} MB in the log")
        after_kill.append(opened(path, stream, mode=mode))
    return {
        "large_entries": float(entries),
        "large_push_ms": 1e3 * built_s / entries,
        "large_open_s": clean_s,
        "large_open_cpu_s": statistics.median(spent),
        "large_open_after_kill_s": max(after_kill),
        "large_open_speed": OPEN_S / clean_s,
        "large_recovery_speed": OPEN_S / max(after_kill),
    }


def measure(*, quick: bool, seed: int = 0) -> tuple[dict[str, float], Goals]:
    """Return figures and goals; `speed` of opening is against the goal of `OPEN_S` seconds."""
    kills, entries = (4, 5_000) if quick else (50, 100_000)
    folder = Path(tempfile.mkdtemp(prefix="streammem-bench-"))
    try:
        figures = kill_again_and_again(folder, kills=kills, seed=seed)
        say(f"{figures['kills']:.0f} kills, equal in the end: {figures['equal']:.0f}")
        figures |= open_large(folder, entries=entries, seed=seed)
    finally:
        shutil.rmtree(folder)
    goals: Goals = {
        "kills": (">=", float(kills)),
        "opened_of_kills": (">=", 1.0),
        "equal": (">=", 1.0),
        "large_open_speed": (">=", 1.0),
        "large_recovery_speed": (">=", 1.0),
    }
    return figures, goals


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="4 kills and 5,000 entries")
    parser.add_argument("--json", action="store_true", help="print figures and goals as JSON")
    parser.add_argument("--seed", type=int, default=0, help="draws the stream and the kills")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parsed()
    show(*measure(quick=arguments.quick, seed=arguments.seed), as_json=arguments.json)
    sys.exit(0)

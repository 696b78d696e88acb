"""Streams of small made-up frames with features, the same for the same seed."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory
from streammem.records import Features, Frame, SourceInfo

DIM, VISUAL_DIM = 12, 8
ENCODER = EncoderIdentity("made-up", "r1", DIM, VISUAL_DIM)
TIGHT = MemoryConfig(
    budget_mb=0.2, sensory_frames=3, working_frames=5, thumbnail_px=16, eviction_log=50
)
"""A budget that holds about twenty entries."""


def unit(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a random direction `[size]`."""
    vector = rng.normal(size=size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def stream(
    count: int, *, seed: int = 0, source_id: str = "a", start_s: float = 0.0
) -> Iterator[tuple[Frame, Features]]:
    """Yield `count` frames, one a second, of scenes that last a few seconds each."""
    rng = np.random.default_rng(seed)
    key, visual = unit(rng, DIM), unit(rng, VISUAL_DIM)
    for index in range(count):
        if rng.random() < 0.2:
            key, visual = unit(rng, DIM), unit(rng, VISUAL_DIM)
        near = [base + 0.1 * rng.normal(size=len(base)) for base in (key, visual)]
        features = [(vector / np.linalg.norm(vector)).astype(np.float32) for vector in near]
        rgb = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        yield Frame(source_id, index, start_s + index, rgb), Features(*features)


def begin(memory: Memory, source_id: str = "a") -> None:
    """Begin a source that gives a frame a second."""
    info = SourceInfo(source_id, f"/videos/{source_id}.mp4")
    memory.begin_source(info, fingerprint=f"print of {source_id}", sampling_fps=1.0)


def fill(memory: Memory, count: int, *, seed: int = 0, source_id: str = "a") -> None:
    """Begin a source and push `count` frames of it."""
    begin(memory, source_id)
    for frame, features in stream(count, seed=seed, source_id=source_id):
        memory.push(frame, features)


def contents(memory: Memory) -> list[tuple[Any, ...]]:
    """Return everything that a memory holds in a form that can be compared."""
    return [
        (
            entry.entry_id,
            entry.source_id,
            entry.start_s,
            entry.end_s,
            entry.mean_s,
            entry.count,
            entry.tier,
            entry.usage,
            entry.merged_from,
            entry.key.tobytes(),
            entry.visual.tobytes(),
            memory.thumbnail(entry.entry_id),
        )
        for entry in memory.entries()
    ]

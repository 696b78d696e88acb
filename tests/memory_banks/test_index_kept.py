"""Cells of a large index are kept with the memory, so that it answers the same when opened."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from memory_banks.settings import EncoderIdentity, MemoryConfig
from memory_banks.tiered import Memory, open_memory
from memory_banks.vectors.index import VectorIndex
from streammem.records import Features, Frame
from tests.memory_banks.streams import begin, unit

ENCODER = EncoderIdentity("made-up", "r1", 32, 8)
ROOMY = MemoryConfig(budget_mb=40.0, thumbnail_px=16)


def answers(memory: Memory) -> list[list[tuple[int, float]]]:
    rng = np.random.default_rng(5)
    return [
        [(entry.entry_id, score) for entry, score in memory.recall(unit(rng, 32), k=10)]
        for _ in range(20)
    ]


def test_a_memory_searches_as_it_did_before_it_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(VectorIndex, exact_numbers=32 * 400)
    monkeypatch.setattr("memory_banks.tiers.VectorIndex", small)
    rng = np.random.default_rng(4)
    rgb = np.zeros((4, 4, 3), dtype=np.uint8)
    with open_memory(tmp_path / "m.smem", encoder=ENCODER, config=ROOMY, mode="write") as memory:
        begin(memory)
        for index in range(1500):
            features = Features(unit(rng, 32), unit(rng, 8))
            memory.push(Frame("a", index, float(index), rgb), features)
        first = answers(memory)
        assert "cells" in memory.stats().search
        held = memory.stats()
        assert held.bytes <= held.budget_bytes
    with open_memory(tmp_path / "m.smem") as memory:
        assert answers(memory) == first

"""Tokens of entries: kept, merged by weight, counted, refused where they are too large."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_banks.tiered import Memory, MemoryConfig, open_memory
from streammem.errors import StoreDamaged, UsageError
from streammem.records import Features, MemoryEntry
from tests.memory_banks.streams import ENCODER, TIGHT, begin, stream

MERGE = replace(TIGHT, consolidation="merge", budget_mb=0.3)


def push(memory: Memory, count: int, *, shape: tuple[int, ...] = (4, 3)) -> list[np.ndarray]:
    """Begin a source, push frames with tokens, and return those."""
    begin(memory)
    rng = np.random.default_rng(5)
    pushed = []
    for frame, features in stream(count):
        tokens = rng.normal(size=shape).astype(np.float16)
        memory.push(frame, Features(features.key, features.visual, tokens))
        pushed.append(tokens)
    return pushed


def held_tokens(memory: Memory) -> list[list[list[float]] | None]:
    entries = memory.entries()
    return [None if entry.tokens is None else entry.tokens.tolist() for entry in entries]


def merged_of(memory: Memory) -> list[MemoryEntry]:
    return [entry for entry in memory.entries() if entry.count > 1]


def test_tokens_are_kept_as_they_came() -> None:
    with open_memory(None, encoder=ENCODER, config=MemoryConfig(budget_mb=4.0)) as memory:
        pushed = push(memory, 20)
        for entry, tokens in zip(memory.entries(), pushed, strict=True):
            assert entry.tokens is not None and entry.tokens.dtype == np.float16
            assert (entry.tokens == tokens).all()
        ((found, _),) = memory.recall(memory.entries()[7].key, k=1)
        assert found.tokens is not None and (found.tokens == pushed[7]).all()


@pytest.mark.parametrize("name", ["merge", "surprise", "continuous"])
def test_merged_tokens_are_the_mean_over_frames(name: str) -> None:
    with open_memory(None, encoder=ENCODER, config=replace(MERGE, consolidation=name)) as memory:
        pushed = push(memory, 150)
        merged = merged_of(memory)
        assert len(merged) > 5
        for entry in merged:
            own = pushed[int(entry.start_s) : int(entry.end_s) + 1]
            assert len(own) == entry.count
            mean = np.mean(np.array(own, dtype=np.float64), axis=0)
            assert entry.tokens == pytest.approx(mean, abs=5e-3)


def test_tokens_of_different_shapes_are_not_averaged() -> None:
    with open_memory(None, encoder=ENCODER, config=MERGE) as memory:
        begin(memory)
        for frame, features in stream(150):
            tokens = np.ones((1 + frame.index // 75, 3), dtype=np.float16)
            memory.push(frame, Features(features.key, features.visual, tokens))
        for entry in merged_of(memory):
            whole = entry.end_s < 75.0 or entry.start_s >= 75.0
            assert (entry.tokens is not None) == whole


def test_a_frame_without_tokens_leaves_its_entry_without() -> None:
    with open_memory(None, encoder=ENCODER, config=MERGE) as memory:
        begin(memory)
        for frame, features in stream(150):
            tokens = None if frame.index == 10 else np.ones((2, 3), dtype=np.float16)
            memory.push(frame, Features(features.key, features.visual, tokens))
        for entry in merged_of(memory):
            assert (entry.tokens is None) == (entry.start_s <= 10.0 <= entry.end_s)


def test_tokens_are_counted_in_ram_and_file() -> None:
    sizes = []
    for shape in ((0, 0), (10, 32)):
        with open_memory(None, encoder=ENCODER, config=MemoryConfig(budget_mb=4.0)) as memory:
            push(memory, 20, shape=shape)
            pictures = memory._tiers.sensory.held_bytes
            sizes.append(sum(memory.stats().tier_bytes.values()) - pictures)
    assert sizes[1] - sizes[0] == 20 * 2 * (10 * 32 * 2)


def test_the_budget_holds_with_tokens_in_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    rng = np.random.default_rng(3)
    with open_memory(path, encoder=ENCODER, config=MERGE, mode="write") as memory:
        begin(memory)
        for frame, features in stream(200):
            tokens = rng.normal(size=(rng.integers(0, 40), 16)).astype(np.float16)
            memory.push(frame, Features(features.key, features.visual, tokens))
            assert memory.stats().bytes <= memory.stats().budget_bytes
    assert path.stat().st_size <= 0.3e6


def test_tokens_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=MERGE, mode="write") as memory:
        push(memory, 100)
        written, held = held_tokens(memory), memory.stats().tier_bytes["long_term"]
    with open_memory(path) as memory:
        assert held_tokens(memory) == written
        assert memory.stats().tier_bytes["long_term"] == held


def test_damaged_tokens_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=MERGE, mode="write") as memory:
        push(memory, 60)
        entry = memory.entries()[5]
        assert entry.tokens is not None
        needle = entry.tokens.tobytes()
    content = bytearray(path.read_bytes())
    content[content.find(needle)] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        StoreDamaged, match=f"the tokens of entry {entry.entry_id} are not as written"
    ):
        open_memory(path)


def test_tokens_of_which_only_few_would_fit_are_refused_whole() -> None:
    frame, features = next(stream(1))
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        large = np.zeros((64, 64), dtype=np.float16)
        with pytest.raises(
            UsageError, match=r"a frame with 8192 bytes of tokens takes \d+ bytes, and the budget"
        ) as refused:
            memory.push(frame, Features(features.key, features.visual, large))
        assert re.search("pool the tokens to fewer, or raise the budget", str(refused.value))
        assert (memory.stats().frames_seen, memory.entries()) == (0, [])


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, 1e5])
def test_tokens_that_are_no_numbers_in_float16_are_refused_whole(spoilt: float) -> None:
    frame, features = next(stream(1))
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        begin(memory)
        tokens = np.full((2, 2), spoilt, dtype=np.float32)
        with (
            np.errstate(over="ignore"),
            pytest.raises(ValueError, match=r"tokens must be finite in float16.*is 65,504"),
        ):
            memory.push(frame, Features(features.key, features.visual, tokens))
        assert (memory.stats().frames_seen, memory.entries()) == (0, [])

"""Copies of a memory: equal in all they answer, and never over another file by chance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memory_banks.consolidation.choose import STRATEGIES
from memory_banks.settings import Strategy
from memory_banks.tiered import Memory, open_memory
from streammem.errors import StoreError, UsageError
from tests.memory_banks.scripted import Log, everything, happenings
from tests.memory_banks.streams import DIM, ENCODER, TIGHT, VISUAL_DIM, begin, fill, stream, unit


def answers(memory: Memory) -> list[list[tuple[int, float, float, float]]]:
    """Return what a memory answers to many questions."""
    rng = np.random.default_rng(11)
    found = []
    for by, size in (("key", DIM), ("visual", VISUAL_DIM)):
        for at_s in (None, 30.0, 90.0):
            query = unit(rng, size)
            recalled = memory.recall(query, k=5, by=by, at_s=at_s)
            found.append([(one.entry_id, one.start_s, one.end_s, score) for one, score in recalled])
    return found


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_copy_answers_and_goes_on_like_the_memory_itself(name: Strategy, tmp_path: Path) -> None:
    first, copy = tmp_path / "m.smem", tmp_path / "copy of m.smem"
    log = Log()
    with open_memory(
        first, encoder=ENCODER, config=replace(TIGHT, consolidation=name), mode="write"
    ) as memory:
        for source in "ab":
            begin(memory, source)
        for what in happenings(90, seed=2):
            log.let_happen(memory, what)
        memory.set_states({"state": np.arange(5)})
        memory.save(copy)
        held = everything(memory)
        with open_memory(copy) as other:
            assert everything(other) == held
            assert other.metadata() == memory.metadata()
            assert other.states()["state"].tolist() == [0, 1, 2, 3, 4]
            assert answers(other) == answers(memory)
    with open_memory(first, mode="write") as memory, open_memory(copy, mode="write") as other:
        answers(other)
        for frame, features in stream(60, seed=3, start_s=500.0):
            assert other.push(frame, features) == memory.push(frame, features)
        assert everything(other)[1:] == everything(memory)[1:]
        assert answers(other) == answers(memory)


def test_a_memory_in_ram_is_saved_to_a_file(tmp_path: Path) -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 60)
        memory.save(tmp_path / "m.smem")
        held = everything(memory)
    with open_memory(tmp_path / "m.smem") as memory:
        assert everything(memory) == held
    assert [one.name for one in tmp_path.iterdir()] == ["m.smem"]


def test_a_reader_saves_what_it_sees(tmp_path: Path) -> None:
    first, copy = tmp_path / "m.smem", tmp_path / "copy.smem"
    with open_memory(first, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 30)
        held = everything(memory)
    before = first.read_bytes()
    with open_memory(first) as memory:
        memory.save(copy)
    assert first.read_bytes() == before
    with open_memory(copy) as memory:
        assert everything(memory) == held


def test_nothing_is_overwritten_unless_allowed(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a film script")
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 10)
        with pytest.raises(UsageError, match="taken exists; choose another name, or allow overw"):
            memory.save(taken)
        assert taken.read_text() == "a film script"
        memory.save(taken, force=True)
        held = everything(memory)
        with pytest.raises(StoreError, match="is a folder; name a file in it"):
            memory.save(tmp_path, force=True)
        with pytest.raises(StoreError, match="its folder does not exist; make it first"):
            memory.save(tmp_path / "none" / "m.smem")
    with open_memory(taken) as memory:
        assert everything(memory) == held


def test_what_was_forgotten_is_in_no_copy(tmp_path: Path) -> None:
    copy = tmp_path / "copy.smem"
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 40)
        entry = memory.entries()[-6]
        memory.forget(entry_ids=[entry.entry_id])
        memory.save(copy)
    assert entry.key.astype(np.float16).tobytes() not in copy.read_bytes()

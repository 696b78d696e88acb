"""States of recurrent models: kept with the checkpoint, counted, and limited."""

from pathlib import Path

import numpy as np
import pytest

from memory_banks.tiered import open_memory
from streammem.errors import StoreDamaged, UsageError
from tests.memory_banks.streams import ENCODER, TIGHT, begin, fill, stream

STATES = {
    "layer 0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "steps": np.array(7, dtype=np.int64),
    "mask/1": np.array([True, False]),
    "empty": np.zeros((0, 5), dtype=np.float16),
}


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == one.dtype and np.array_equal(found[name], one)
        for name, one in expected.items()
    )


def test_states_are_kept_in_place_of_those_before() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        assert memory.states() == {}
        memory.set_states({"other": np.ones(3)})
        assert memory.set_states(STATES) == []
        assert same(memory.states(), STATES)
        memory.set_states({})
        assert memory.states() == {}


def test_a_state_that_is_changed_outside_stays_as_it_was_given() -> None:
    given = np.zeros(4)
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        memory.set_states({"one": given})
        given += 1.0
        assert memory.states()["one"].tolist() == [0.0] * 4


def test_states_are_as_of_the_same_checkpoint_as_the_entries(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        fill(memory, 10)
        memory.set_states(STATES)
        memory.checkpoint()
        for frame, features in stream(5, seed=1, start_s=10.0):
            memory.push(frame, features)
        memory.set_states({"later": np.ones(2)})
        with open_memory(path) as reader:
            assert reader.stats().frames_seen == 10
            assert same(reader.states(), STATES)
    for _ in range(2):
        with open_memory(path, mode="write") as memory:
            assert memory.stats().frames_seen == 15
            assert same(memory.states(), {"later": np.ones(2)})


def test_entries_make_room_for_states_within_the_budget() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        fill(memory, 100)
        held = len(memory.entries())
        gone = memory.set_states({"one": np.zeros(12_000, dtype=np.uint8)})
        assert gone and len(memory.entries()) < held
        stats = memory.stats()
        assert stats.bytes <= stats.budget_bytes
        assert memory.evictions()[-len(gone) :] == gone


def test_states_beyond_an_eighth_of_the_budget_are_refused() -> None:
    with open_memory(None, encoder=ENCODER, config=TIGHT) as memory:
        memory.set_states(STATES)
        memory.set_states({"just": np.zeros(12_500, dtype=np.uint8)})
        with pytest.raises(
            UsageError,
            match=r"take 25004 bytes in RAM and file, and 25000 are the most.*raise the budget",
        ):
            memory.set_states({"one": np.zeros(12_500, np.uint8), "two": np.zeros(2, np.uint8)})
        assert memory.states().keys() == {"just"}


@pytest.mark.parametrize("state", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_states_that_are_no_plain_numbers_are_refused(state: np.ndarray) -> None:
    with (
        open_memory(None, encoder=ENCODER, config=TIGHT) as memory,
        pytest.raises(UsageError, match="state 'one' must hold plain numbers, got"),
    ):
        memory.set_states({"one": state})


def test_a_reader_may_not_set_states(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        begin(memory)
    with open_memory(path) as memory, pytest.raises(UsageError, match="open for reading"):
        memory.set_states(STATES)


def test_a_damaged_state_is_found(tmp_path: Path) -> None:
    path = tmp_path / "m.smem"
    state = np.random.default_rng(0).normal(size=64)
    with open_memory(path, encoder=ENCODER, config=TIGHT, mode="write") as memory:
        memory.set_states({"one": state})
    content = bytearray(path.read_bytes())
    content[content.find(state.tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match="the numbers of state/one are not as written"):
        open_memory(path)

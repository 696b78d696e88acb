"""The token memory against XMem in plain float64, and what it promises beside."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_banks.tokens.memory import TokenMemory, TokenMemoryConfig
from memory_banks.tokens.potentiation import prototypes
from streammem.errors import UsageError
from tests.memory_banks.plain_xmem import PlainMemory, Side, Token, plain_softmax

C, V = 4, 3
SMALL = TokenMemoryConfig(
    key_dim=C,
    value_dim=V,
    top_k=5,
    max_frames=5,
    min_frames=3,
    prototypes=4,
    long_term_tokens=10,
    frame_tokens=7,
    objects=3,
)
Frame = tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]


def frame(count: int = 7, *, seed: int, objects: tuple[str, ...] = ("a",)) -> Frame:
    rng = np.random.default_rng([seed, 1])
    return (
        rng.normal(size=(count, C)).astype(np.float32),
        (1 + rng.random(count)).astype(np.float32),
        rng.random((count, C)).astype(np.float32),
        {name: rng.normal(size=(count, V)).astype(np.float32) for name in objects},
    )


def queries(count: int = 6, *, seed: int) -> Side:
    rng = np.random.default_rng([seed, 2])
    return rng.normal(size=(count, C)).astype(np.float32), rng.random((count, C)).astype(np.float32)


def plain(config: TokenMemoryConfig) -> PlainMemory:
    return PlainMemory(
        config.top_k,
        config.max_frames,
        config.min_frames,
        config.prototypes,
        config.long_term_tokens,
    )


def tokens_of(one: Frame, *, since: int) -> list[Token]:
    key, shrinkage, selection, values = one
    return [
        Token(
            key[i],
            float(shrinkage[i]),
            selection[i],
            {name: value[i].astype(np.float64) for name, value in values.items()},
            since,
        )
        for i in range(len(key))
    ]


def assert_same(memory: TokenMemory, twin: PlainMemory) -> None:
    held, state = twin.tokens(), memory.state()
    assert len(memory) == len(held) and memory.long_term == len(twin.long_term)
    np.testing.assert_array_equal(state["key"], np.reshape([one.key for one in held], (-1, C)))
    np.testing.assert_allclose(state["shrinkage"], [one.shrinkage for one in held], rtol=1e-5)
    np.testing.assert_allclose(memory.usage, [twin.usage(one) for one in held], atol=1e-5)
    for name in memory.objects:
        present = [name in one.values for one in held]
        assert state[f"present.{name}"].tolist() == present
        wanted = [one.values[name] for one in held if name in one.values]
        np.testing.assert_allclose(state[f"value.{name}"][present], wanted, atol=1e-5)


def read_both(memory: TokenMemory, twin: PlainMemory, query: Side) -> None:
    found = memory.read(*query)
    assert set(found) == set(memory.objects)
    for name, read in found.items():
        wanted = twin.read(query, name, share=1 / len(found))
        np.testing.assert_allclose(read, wanted, atol=1e-5)
    twin.reads += 1


def same_state(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return set(left) == set(right) and all(np.array_equal(left[name], right[name]) for name in left)


def test_a_stream_is_remembered_as_the_paper_says() -> None:
    memory, twin = TokenMemory(SMALL), plain(SMALL)
    for index in range(30):
        one = frame(seed=index)
        assert memory.add(*one) == ()
        twin.add(tokens_of(one, since=twin.reads))
        for turn in range(index % 3):
            read_both(memory, twin, queries(seed=100 * index + turn))
        assert_same(memory, twin)
    assert memory.long_term == SMALL.long_term_tokens


@pytest.mark.parametrize("count", [1, 63, 500])
def test_frames_of_many_sizes(count: int) -> None:
    config = replace(SMALL, frame_tokens=count, prototypes=30, long_term_tokens=50, top_k=30)
    memory, twin = TokenMemory(config), plain(config)
    for index in range(7):
        one = frame(max(1, count - index), seed=index)
        memory.add(*one)
        twin.add(tokens_of(one, since=twin.reads))
        read_both(memory, twin, queries(3, seed=index))
    assert_same(memory, twin)


def test_fewer_candidates_than_prototypes_all_become_prototypes() -> None:
    config = replace(SMALL, prototypes=9, long_term_tokens=9)
    memory = TokenMemory(config)
    for index in range(config.max_frames):
        memory.add(*frame(2, seed=index))
    assert memory.long_term == 4


def test_unread_tokens_tie_and_the_earliest_become_prototypes() -> None:
    memory = TokenMemory(SMALL)
    frames = [frame(seed=index) for index in range(SMALL.max_frames)]
    for one in frames:
        memory.add(*one)
    np.testing.assert_array_equal(memory.state()["key"][7:11], frames[1][0][:4])


def test_exactly_as_many_are_let_go_as_needed_where_all_tie() -> None:
    memory = TokenMemory(SMALL)
    for index in range(SMALL.max_frames + 2 * 2):
        memory.add(*frame(seed=index))
    assert memory.long_term == SMALL.long_term_tokens == 10
    first_prototypes = frame(seed=1)[0][:4]
    long_term = memory.state()["key"][7:17]
    np.testing.assert_array_equal(long_term[:2], first_prototypes[2:])


def test_a_prototype_goes_on_with_its_usage() -> None:
    memory = TokenMemory(SMALL)
    frames = [frame(seed=index) for index in range(SMALL.max_frames)]
    for one in frames[:-1]:
        memory.add(*one)
    memory.read(frames[1][0][5:6], np.ones((1, C), np.float32))
    before = memory.usage[7 + 5]
    memory.add(*frames[-1])
    place = np.flatnonzero((memory.state()["key"] == frames[1][0][5]).all(axis=1))
    assert 7 <= place[0] < 11 and memory.usage[place[0]] == before > 0.2


def test_the_first_frame_stays() -> None:
    memory = TokenMemory(SMALL)
    first = frame(seed=0)
    memory.add(*first)
    for index in range(1, 40):
        memory.add(*frame(seed=index))
    state = memory.state()
    for name, kept in zip(("key", "shrinkage"), first[:2], strict=True):
        np.testing.assert_array_equal(state[name][:7], kept)
    np.testing.assert_array_equal(state["value.a"][:7], first[3]["a"])


def test_usage_is_attention_over_the_reads_since_a_token_came() -> None:
    memory = TokenMemory(SMALL)
    memory.add(*frame(1, seed=0))
    for turn in range(3):
        memory.read(*queries(4, seed=turn))
    assert memory.usage.tolist() == [4.0]
    memory.add(*frame(1, seed=1))
    assert memory.usage.tolist() == [4.0, 0.0]
    memory.read(*queries(4, seed=9))
    assert memory.usage[0] == pytest.approx((12 + 4 - memory.usage[1]) / 4)


def test_objects_that_come_late_are_read_from_their_own_tokens() -> None:
    memory, twin = TokenMemory(SMALL), plain(SMALL)
    came = {0: ("a",), 3: ("a", "b"), 11: ("a", "b", "c"), 17: ("c",)}
    objects: tuple[str, ...] = ()
    for index in range(24):
        objects = came.get(index, objects)
        one = frame(seed=index, objects=objects)
        memory.add(*one)
        twin.add(tokens_of(one, since=twin.reads))
        read_both(memory, twin, queries(seed=index))
        assert_same(memory, twin)


def test_a_removed_object_leaves_no_trace() -> None:
    memory, twin = TokenMemory(SMALL), plain(SMALL)
    for index in range(12):
        one = frame(seed=index, objects=("a",) if index % 2 else ("a", "b"))
        memory.add(*one)
        twin.add(tokens_of(one, since=twin.reads))
        read_both(memory, twin, queries(seed=index))
    taken = memory.bytes
    memory.remove_object("a")
    twin.remove_object("a")
    assert memory.objects == ("b",) and memory.bytes < taken
    assert_same(memory, twin)
    for index in range(12, 24):
        one = frame(seed=index, objects=("b", "c"))
        memory.add(*one)
        twin.add(tokens_of(one, since=twin.reads))
        read_both(memory, twin, queries(seed=index))
    assert_same(memory, twin)


def test_without_its_last_object_a_memory_begins_anew() -> None:
    memory = TokenMemory(SMALL)
    for index in range(12):
        memory.add(*frame(seed=index))
    memory.remove_object("a")
    assert len(memory) == memory.long_term == 0 and memory.objects == ()
    for index in range(20, 32):
        memory.add(*frame(seed=index, objects=("b",)))
    np.testing.assert_array_equal(memory.state()["key"][:7], frame(seed=20)[0])


def test_an_object_of_which_consolidation_leaves_nothing_is_named() -> None:
    memory = TokenMemory(SMALL)
    memory.add(*frame(seed=0))
    memory.add(*frame(seed=1))
    memory.add(*frame(seed=2, objects=("brief",)))
    memory.add(*frame(seed=3))
    assert memory.add(*frame(seed=4)) == ("brief",)
    assert memory.objects == ("a",)


def test_prototypes_of_huge_keys_are_finite() -> None:
    rng = np.random.default_rng(0)
    candidates = {
        "key": (1e25 * rng.normal(size=(9, C))).astype(np.float32),
        "shrinkage": np.full(9, 2, np.float32),
        "mass": np.zeros(9),
        "since": np.zeros(9, np.int64),
        "value.a": rng.normal(size=(9, V)).astype(np.float32),
        "present.a": np.ones(9, np.bool_),
    }
    made = prototypes(candidates, np.ones((9, C), np.float32), np.zeros(9), count=3)
    np.testing.assert_array_equal(made["value.a"], candidates["value.a"][:3])
    np.testing.assert_array_equal(made["shrinkage"], 2)
    assert plain_softmax(np.array([-1e60, 0.0])).tolist() == [0, 1]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=25),
    events=st.randoms(use_true_random=False),
    max_frames=st.integers(2, 6),
    prototypes=st.integers(1, 12),
    room=st.integers(0, 9),
)
def test_no_limit_is_ever_passed(
    sizes: list[int], events: Any, max_frames: int, prototypes: int, room: int
) -> None:
    config = replace(
        SMALL,
        max_frames=max_frames,
        min_frames=events.randint(1, max_frames - 1),
        prototypes=prototypes,
        long_term_tokens=prototypes + room,
    )
    memory = TokenMemory(config)
    for index, count in enumerate(sizes):
        seen = tuple(name for name in "abc" if events.random() < 0.6) or ("a",)
        memory.add(*frame(count, seed=index, objects=seen))
        assert memory.long_term <= config.long_term_tokens
        assert memory.bytes <= config.limit_bytes
        assert len(memory) <= config.capacity
        before = memory.usage * np.maximum(memory._reads - memory.state()["since"], 1)
        found = memory.read(*queries(5, seed=index))
        after = memory.usage * (memory._reads - memory.state()["since"])
        assert after.sum() - before.sum() == pytest.approx(5, abs=1e-4)
        assert all(np.isfinite(read).all() for read in found.values())
        if len(memory.objects) > 1 and events.random() < 0.2:
            memory.remove_object(memory.objects[0])
        state = memory.state()
        assert np.any([state[f"present.{name}"] for name in memory.objects], axis=0).all()
        assert same_state(TokenMemory.restore(config, state).state(), state)


def test_the_paper_s_memory_has_the_bytes_that_its_settings_imply() -> None:
    config = TokenMemoryConfig()
    assert config.capacity == 26_200
    assert config.limit_bytes == 26_200 * (4 * 64 + 20 + 4 * 512 + 1) + 16_200 * 4 * 64


def test_a_restored_memory_goes_on_as_before() -> None:
    memory = TokenMemory(SMALL)
    for index in range(11):
        memory.add(*frame(seed=index, objects=("a",) if index < 4 else ("a", "b")))
        memory.read(*queries(seed=index))
    other = TokenMemory.restore(SMALL, memory.state())
    for index in range(11, 20):
        for one in (memory, other):
            one.add(*frame(seed=index, objects=("a", "b")))
        left, right = memory.read(*queries(seed=index)), other.read(*queries(seed=index))
        assert same_state(left, right)
    assert same_state(memory.state(), other.state())


def test_an_empty_memory_can_be_restored() -> None:
    memory = TokenMemory.restore(SMALL, TokenMemory(SMALL).state())
    memory.add(*frame(seed=0))
    assert len(memory) == 7


def test_a_state_shares_nothing_with_its_memory() -> None:
    memory = TokenMemory(SMALL)
    memory.add(*frame(seed=0))
    memory.add(*frame(seed=1))
    state = memory.state()
    other = TokenMemory.restore(SMALL, state)
    for column in state.values():
        column[:] = 0
    assert same_state(memory.state(), other.state())


def test_a_memory_keeps_copies_of_what_it_is_given() -> None:
    memory, other = TokenMemory(SMALL), TokenMemory(SMALL)
    for index in range(3):
        given = frame(seed=index)
        memory.add(*given)
        for array in (*given[:3], *given[3].values()):
            array[:] = 0
        other.add(*frame(seed=index))
    assert same_state(memory.state(), other.state())


def test_a_state_that_lacks_something_is_refused() -> None:
    memory = TokenMemory(SMALL)
    memory.add(*frame(seed=0))
    state = memory.state()
    del state["mass"], state["present.a"]
    with pytest.raises(UsageError, match=r"token memory lacks mass, present\.a"):
        TokenMemory.restore(SMALL, state)


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [
        ("key_dim", 5, 4),
        ("value_dim", 9, 3),
        ("long_term_tokens", 4, 8),
        ("max_frames", 4, 5),
        ("frame_tokens", 6, 7),
        ("objects", 1, 2),
    ],
)
def test_a_state_that_does_not_fit_the_settings_is_refused(
    name: str, value: int, needed: int
) -> None:
    memory = TokenMemory(SMALL)
    for index in range(SMALL.max_frames + 3):
        memory.add(*frame(seed=index, objects=("a", "b")))
    with pytest.raises(
        UsageError, match=f"{name}={value} cannot go on from this state, which needs {needed}"
    ):
        TokenMemory.restore(replace(SMALL, **{name: value}), memory.state())


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="top_k must be at least 1, got 0"):
        TokenMemoryConfig(top_k=0)
    with pytest.raises(UsageError, match="min_frames must be below max_frames, got 5 and 5"):
        TokenMemoryConfig(max_frames=5)
    with pytest.raises(UsageError, match="room for the 128 prototypes that come at once, got 100"):
        TokenMemoryConfig(long_term_tokens=100)


@pytest.mark.parametrize(
    ("part", "bad", "message"),
    [
        (0, np.zeros((7, 5)), r"key must be \[any number, 4\], got \[7, 5\]"),
        (0, np.zeros((8, 4)), "a frame must have 1 to 7 tokens, got 8; pool them"),
        (0, np.zeros((0, 4)), "a frame must have 1 to 7 tokens, got 0"),
        (0, np.full((7, 4), np.nan), "key must be finite"),
        (1, np.ones(6), r"shrinkage must be \[7\], got \[6\]"),
        (1, np.full(7, 0.5), r"at least 1, got 0\.5"),
        (1, np.full(7, np.inf), "shrinkage must be finite and at least 1, got inf"),
        (2, np.zeros((6, 4)), r"selection must be \[7, 4\], got \[6, 4\]"),
        (2, np.full((7, 4), 1.5), r"selection must lie in \[0, 1\], got 1\.5 to 1\.5"),
        (3, {}, "values of at least one object, got none"),
        (3, {"a": np.zeros((7, 2))}, r"the value of 'a' must be \[7, 3\], got \[7, 2\]"),
        (3, {"a": np.full((7, 3), np.inf)}, "the value of 'a' must be finite"),
        (3, dict.fromkeys("abcd", np.zeros((7, 3))), "room for 3 objects, got a, b, c, d; remove"),
    ],
)
def test_a_frame_that_cannot_be_is_refused_whole(part: int, bad: Any, message: str) -> None:
    memory = TokenMemory(SMALL)
    memory.add(*frame(seed=0))
    before = memory.state()
    parts: list[Any] = list(frame(seed=1))
    parts[part] = bad
    with pytest.raises(UsageError, match=message):
        memory.add(*parts)
    assert same_state(memory.state(), before)


def test_reads_that_cannot_be_are_refused() -> None:
    memory = TokenMemory(SMALL)
    with pytest.raises(UsageError, match="empty memory; call add first"):
        memory.read(*queries(seed=0))
    memory.add(*frame(seed=0))
    query, selection = queries(seed=0)
    with pytest.raises(UsageError, match=r"query must be \[any number, 4\]"):
        memory.read(query[:, :3], selection)
    with pytest.raises(UsageError, match=r"selection must be \[6, 4\]"):
        memory.read(query, selection[:5])
    with pytest.raises(UsageError, match="object 'b' is not known; choose one of a"):
        memory.remove_object("b")

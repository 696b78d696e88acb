"""The index finds what an exhaustive comparison finds, through changes and filters."""

import numpy as np
import pytest

from memory_banks.index import VectorIndex
from streammem.errors import UsageError
from tests.memory_banks.streams import unit


def filled(
    keys: np.ndarray, visuals: np.ndarray, *, order: np.ndarray | None = None
) -> VectorIndex:
    """Return an index of entries 0..N-1, of two sources in turn, one a second."""
    index = VectorIndex(dim=keys.shape[1], visual_dim=visuals.shape[1])
    for i in range(len(keys)) if order is None else order:
        index.add(int(i), key=keys[i], visual=visuals[i], source=int(i) % 2, end_s=float(i))
    return index


def units(count: int, size: int, *, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


def test_twenty_thousand_entries_are_ranked_as_by_exhaustive_search() -> None:
    keys, visuals = units(20_000, 64, seed=1), units(20_000, 16, seed=2)
    index = filled(keys, visuals)
    for by, vectors in (("key", keys), ("visual", visuals)):
        for query in units(5, vectors.shape[1], seed=3):
            scores = vectors.astype(np.float64) @ query.astype(np.float64)
            expected = np.argsort(-scores)[:25]
            found = index.search(query, k=25, by=by)
            assert [one for one, _ in found] == expected.tolist()
            assert [score for _, score in found] == pytest.approx(scores[expected], abs=1e-6)


def test_filters_by_time_and_source_are_exact() -> None:
    keys, visuals = units(400, 8, seed=4), units(400, 4, seed=5)
    index = filled(keys, visuals)
    query = units(1, 8, seed=6)[0]
    allowed = [i for i in range(400) if i % 2 == 1 and i <= 250.5]
    expected = sorted(allowed, key=lambda i: -float(keys[i] @ query))[:30]
    assert [i for i, _ in index.search(query, k=30, source=1, at_s=250.5)] == expected
    assert index.search(query, k=5, source=9) == []
    assert len(index.search(query, k=30, at_s=3.0)) == 4


def test_removed_entries_are_gone_and_their_rows_used_again() -> None:
    keys, visuals = units(300, 8, seed=7), units(300, 4, seed=8)
    index = filled(keys[:200], visuals[:200])
    for i in range(0, 200, 3):
        index.remove(i)
    for i in range(200, 300):
        index.add(i, key=keys[i], visual=visuals[i], source=0, end_s=float(i))
    live = [i for i in range(300) if i >= 200 or i % 3]
    query = units(1, 8, seed=9)[0]
    expected = sorted(live, key=lambda i: -float(keys[i] @ query))
    assert [i for i, _ in index.search(query, k=1000)] == expected
    assert len(index) == len(live)
    for i in live:
        key, visual = index.vectors(i)
        assert np.array_equal(key, keys[i]) and np.array_equal(visual, visuals[i])


def test_an_index_filled_in_another_order_answers_the_same_even_for_equals() -> None:
    rng = np.random.default_rng(10)
    keys, visuals = np.repeat(units(20, 8, seed=11), 15, axis=0), units(300, 4, seed=12)
    index = filled(keys, visuals)
    rebuilt = filled(keys, visuals, order=rng.permutation(300))
    for query in keys[::15]:
        for k in (1, 7, 20, 299):
            found = index.search(query, k=k)
            assert found == rebuilt.search(query, k=k)
            assert len(found) == k
    first_of_each = [i for i, _ in index.search(keys[0], k=15)]
    assert first_of_each == sorted(first_of_each)


def test_an_empty_index_finds_nothing() -> None:
    assert VectorIndex(dim=4, visual_dim=4).search(unit(np.random.default_rng(0), 4), k=3) == []


def test_a_query_of_another_size_is_refused() -> None:
    index = VectorIndex(dim=4, visual_dim=6)
    with pytest.raises(UsageError, match=r"search by visual needs a query of 6 numbers, got \[4\]"):
        index.search(np.ones(4, dtype=np.float32), k=1, by="visual")
    with pytest.raises(UsageError, match="by 'smell' is not known; choose one of key, visual"):
        index.search(np.ones(4, dtype=np.float32), k=1, by="smell")

"""The index finds what an exhaustive comparison finds, through changes and filters."""

from typing import Any

import numpy as np
import pytest

from memory_banks.vectors.index import VectorIndex
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


def wide(vectors: np.ndarray, *, order: np.ndarray | None = None) -> VectorIndex:
    """Return an index that compares at most 1,200 of its vectors, of ten sources, one a second."""
    count, size = vectors.shape
    index = VectorIndex(dim=size, visual_dim=2, exact_numbers=1200 * size)
    ids = np.arange(count) if order is None else order
    index.add_many(
        ids,
        keys=vectors[ids],
        visuals=np.ones((count, 2), dtype=np.float16),
        sources=ids % 10,
        start_s=ids - 0.5,
        end_s=ids.astype(float),
    )
    return index


def scenes(count: int, size: int, *, seed: int) -> np.ndarray:
    """Return frames of scenes of 50 frames each."""
    middles = np.repeat(units(count // 50, size, seed=seed), 50, axis=0)
    frames = middles + 0.3 * units(count, size, seed=seed + 1)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    return frames.astype(np.float16).astype(np.float32)


def best(vectors: np.ndarray, query: np.ndarray, live: list[int], *, k: int) -> list[int]:
    """Return the `k` of the ids in `live` with the largest dot products, compared one by one."""
    scores = {i: float(vectors[i].astype(float) @ query.astype(float)) for i in live}
    return sorted(live, key=lambda i: (-scores[i], i))[:k]


def recall(
    index: VectorIndex, vectors: np.ndarray, queries: np.ndarray, live: list[int], **only: Any
) -> float:
    shares = [
        len({i for i, _ in index.search(query, k=10, **only)} & {*best(vectors, query, live, k=10)})
        for query in queries
    ]
    return float(np.mean(shares)) / 10


@pytest.mark.parametrize("kind", ["scenes", "no structure", "queries from elsewhere"])
def test_a_wide_search_finds_nearly_all_that_an_exhaustive_one_does(kind: str) -> None:
    queries = units(40, 128, seed=20)
    vectors = units(6000, 128, seed=21)
    if kind != "no structure":
        vectors = scenes(6000, 128, seed=21)
    if kind == "scenes":
        queries = scenes(2000, 128, seed=21)[::50]
    index = wide(vectors)
    assert recall(index, vectors, queries, list(range(6000))) >= (
        0.99 if kind == "scenes" else 0.75
    )
    for i, score in index.search(queries[0], k=10):
        assert score == pytest.approx(float(vectors[i].astype(float) @ queries[0]), abs=1e-6)


def test_narrow_filters_of_a_wide_index_are_exact() -> None:
    vectors = units(5000, 32, seed=22)
    index = wide(vectors)
    for query in units(10, 32, seed=23):
        for only, live in (
            ({"source": 3}, [i for i in range(5000) if i % 10 == 3]),
            ({"between": (700.0, 900.25)}, list(range(700, 901))),
            ({"between": (700.5, 700.75)}, [701]),
            ({"at_s": 44.0}, list(range(45))),
            ({"at_s": 44.0, "source": 2, "between": (10, 50)}, [12, 22, 32, 42]),
            ({"between": (6000, 7000)}, []),
        ):
            found = [i for i, _ in index.search(query, k=25, **only)]
            assert found == best(vectors, query, live, k=25)


def test_wide_filters_leave_out_what_they_must_and_find_the_rest() -> None:
    vectors = scenes(6000, 64, seed=24)
    index = wide(vectors)
    live = list(range(1000, 4501))
    queries = vectors[1500:4000:100]
    assert recall(index, vectors, queries, live, between=(1000.0, 4499.5)) >= 0.95
    elsewhere = vectors[5000:5500:50]
    for query in (*queries, *elsewhere):
        found = [i for i, _ in index.search(query, k=20, between=(1000.0, 4499.5))]
        assert len(found) == 20 and all(i in live for i in found)


def test_removed_entries_of_a_wide_index_are_gone_and_new_ones_found() -> None:
    vectors = scenes(5000, 64, seed=25)
    index = wide(vectors[:4000])
    assert index.search(vectors[0], k=1)[0][0] == 0
    for i in range(0, 4000, 3):
        index.remove(i)
    for i in range(4000, 5000):
        index.add(i, key=vectors[i], visual=np.ones(2, np.float32), source=0, end_s=float(i))
    live = [i for i in range(5000) if i >= 4000 or i % 3]
    assert recall(index, vectors, vectors[::100], live) >= 0.99
    found = {i for i, _ in index.search(vectors[30], k=5000)}
    assert found == set(live)


def test_a_wide_index_filled_in_another_order_answers_the_same() -> None:
    vectors = scenes(4000, 32, seed=26)
    vectors[2000:2400] = vectors[100]
    queries = [*vectors[::200], *units(10, 32, seed=27)]
    rng = np.random.default_rng(28)
    index = wide(vectors[:2500])
    index.search(queries[0], k=1)
    for i in rng.permutation(4000 - 2500) + 2500:
        source = int(i) % 10
        index.add(i, key=vectors[i], visual=np.ones(2, np.float32), source=source, end_s=float(i))
        if i % 50 == 0:
            index.search(queries[0], k=1)
    rebuilt = wide(vectors, order=rng.permutation(4000))
    rebuilt.set_centroids(index.centroids())
    for query in queries:
        for k in (1, 10, 60, 700):
            for only in ({}, {"at_s": 3500.0}, {"source": 4}):
                assert index.search(query, k=k, **only) == rebuilt.search(query, k=k, **only)
    assert rebuilt.trained_generation == 0


def test_cells_are_a_matter_of_content_not_of_rows() -> None:
    vectors = scenes(2000, 16, seed=29)
    index = wide(vectors)
    other = wide(vectors, order=np.random.default_rng(30).permutation(2000))
    for one in (index, other):
        one.search(vectors[0], k=1)
    assert index.centroids()["key"].shape == (45, 16)
    assert index.centroids()["visual"].shape == (0, 2)
    for by, centroids in index.centroids().items():
        assert np.array_equal(centroids, other.centroids()[by])


def test_equals_of_a_wide_index_are_ranked_by_id() -> None:
    distinct = units(25, 16, seed=31)
    of_id = np.random.default_rng(32).integers(0, 25, 4000)
    index = wide(distinct[of_id])
    for one in range(25):
        equals = np.flatnonzero(of_id == one).tolist()
        for k in (1, 10, len(equals)):
            assert [i for i, _ in index.search(distinct[one], k=k)] == equals[:k]


def test_the_index_says_how_it_searches_and_what_that_takes() -> None:
    vectors = scenes(6000, 64, seed=33)
    index = wide(vectors[:1200])
    index.search(vectors[0], k=1)
    assert index.how() == "exact over 1,200 entries"
    assert (wide(vectors[:100]).overhead_bytes, index.trained_generation) == (0, 0)
    generations = []
    for i in range(1200, 6000):
        index.add(i, key=vectors[i], visual=np.ones(2, np.float32), source=0, end_s=float(i))
        index.search(vectors[0], k=1)
        if index.trained_generation > len(generations):
            generations.append(i + 1)
    assert generations == [1201, 2451, 5001]
    assert index.how("key").startswith("the 150 of 6,000 entries in the nearest cells")
    assert index.how("visual") == "exact over 6,000 entries"
    assert 6000 * (64 / 8 + 8 + 2) < index.overhead_bytes < 6000 * 64
    for i in range(4800):
        index.remove(i)
    assert index.how("key") == "exact over 1,200 entries"
    assert [i for i, _ in index.search(vectors[5500], k=30)] == best(
        vectors, vectors[5500], list(range(4800, 6000)), k=30
    )


def test_many_entries_at_once_are_as_one_after_the_other() -> None:
    keys, visuals = units(300, 8, seed=34), units(300, 4, seed=35)
    one = filled(keys[:100], visuals[:100])
    many = filled(keys[:100], visuals[:100])
    for index in (one, many):
        for i in range(0, 100, 4):
            index.remove(i)
    for i in range(100, 300):
        one.add(i, key=keys[i], visual=visuals[i], source=i % 2, start_s=i - 3.0, end_s=float(i))
    ids = np.arange(100, 300)
    many.add_many(
        ids,
        keys=keys[ids],
        visuals=visuals[ids],
        sources=(ids % 2).tolist(),
        start_s=ids - 3.0,
        end_s=ids.astype(float),
    )
    assert len(one) == len(many) == 275
    for by, queries in (("key", units(5, 8, seed=36)), ("visual", units(5, 4, seed=37))):
        for query in queries:
            for only in ({}, {"source": 1}, {"between": (150.0, 160.0)}):
                found = many.search(query, k=20, by=by, **only)
                assert found == one.search(query, k=20, by=by, **only)
    many.add_many([], keys=keys[:0], visuals=visuals[:0], sources=[], start_s=[], end_s=[])
    assert len(many) == 275


def test_centroids_of_another_size_are_refused() -> None:
    index = VectorIndex(dim=4, visual_dim=6)
    other = VectorIndex(dim=4, visual_dim=5)
    with pytest.raises(UsageError, match=r"centroids by visual must be \[C, 6\], got \[0, 5\]"):
        index.set_centroids(other.centroids())


def test_a_query_of_another_size_is_refused() -> None:
    index = VectorIndex(dim=4, visual_dim=6)
    with pytest.raises(UsageError, match=r"search by visual needs a query of 6 numbers, got \[4\]"):
        index.search(np.ones(4, dtype=np.float32), k=1, by="visual")
    with pytest.raises(UsageError, match="by 'smell' is not known; choose one of key, visual"):
        index.search(np.ones(4, dtype=np.float32), k=1, by="smell")

"""The sparse read against XMem's formula in plain float64 loops."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_banks.tokens import affinity
from memory_banks.tokens.affinity import SPARE, attend, read, similarity
from tests.memory_banks.plain_xmem import Side, plain_read, plain_similarity


def memory_side(count: int, dim: int, *, seed: int, scale: float = 1.0) -> Side:
    rng = np.random.default_rng([seed, 1])
    key = scale * rng.normal(size=(count, dim))
    return key.astype(np.float32), (1 + rng.normal(size=count) ** 2).astype(np.float32)


def query_side(count: int, dim: int, *, seed: int, scale: float = 1.0) -> Side:
    rng = np.random.default_rng([seed, 2])
    query = scale * rng.normal(size=(count, dim))
    return query.astype(np.float32), rng.random(size=(count, dim)).astype(np.float32)


def values_of(count: int, width: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 3]).normal(size=(count, width)).astype(np.float32)


def check(memory: Side, query: Side, *, k: int, width: int = 5) -> None:
    values = values_of(len(memory[0]), width)
    out, mass = read(*memory, values, *query, k=k)
    wanted, wanted_mass, rows = plain_read(memory, values, query, k)
    assert out.dtype == np.float32 and out.shape == wanted.shape
    assert attend(*memory, *query, k=k).rows.tolist() == rows
    np.testing.assert_allclose(out, wanted, atol=1e-5)
    np.testing.assert_allclose(mass, wanted_mass, atol=1e-5)


@pytest.mark.parametrize("queries", [1, 63, 100])
@pytest.mark.parametrize("tokens", [1, 29, 63, 500])
def test_it_reads_what_the_formula_says(tokens: int, queries: int) -> None:
    check(memory_side(tokens, 7, seed=tokens), query_side(queries, 7, seed=queries), k=30)


def test_the_paper_s_sizes() -> None:
    check(memory_side(700, 64, seed=1), query_side(20, 64, seed=1), k=30, width=512)


def test_k_may_be_one_and_more_than_there_are() -> None:
    for k in (1, 499, 500, 501):
        check(memory_side(500, 3, seed=4), query_side(8, 3, seed=4), k=k)


def test_no_query_reads_nothing() -> None:
    out, mass = read(
        *memory_side(500, 3, seed=1), values_of(500, 4), *query_side(0, 3, seed=1), k=30
    )
    assert out.shape == (0, 4) and not mass.any()


def test_similarity_of_all_pairs() -> None:
    memory, query = memory_side(63, 5, seed=2), query_side(17, 5, seed=2)
    np.testing.assert_allclose(
        similarity(*memory, *query), plain_similarity(memory, query), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("copies", [2, 10, SPARE + 30, 200])
def test_of_equal_tokens_the_first_are_read(copies: int) -> None:
    key, shrinkage = memory_side(40, 6, seed=5)
    memory = np.tile(key, (copies, 1)), np.tile(shrinkage, copies)
    check(memory, query_side(9, 6, seed=5), k=30)


def test_a_black_frame_is_all_ties() -> None:
    memory = np.full((500, 4), 0.3, np.float32), np.ones(500, np.float32)
    rows = attend(*memory, *query_side(5, 4, seed=6), k=30).rows
    assert rows.tolist() == [list(range(30))] * 5


def test_a_query_that_selects_nothing_reads_the_first_tokens_evenly() -> None:
    query = query_side(3, 4, seed=7)[0], np.zeros((3, 4), np.float32)
    found = attend(*memory_side(500, 4, seed=7), *query, k=10)
    assert found.rows.tolist() == [list(range(10))] * 3
    np.testing.assert_allclose(found.weights, 0.1, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e3, 1e8, 1e18, 1e25, 1e37])
def test_any_magnitude(scale: float) -> None:
    """Products of float32 overflow from about 1e19, and similarities far before underflow exp."""
    check(memory_side(300, 5, seed=8, scale=scale), query_side(20, 5, seed=8, scale=scale), k=30)


@pytest.mark.parametrize("offset", [10.0, 1e3, 1e5])
def test_keys_far_from_the_origin_are_told_apart(offset: float) -> None:
    (key, shrinkage), (query, selection) = (
        memory_side(400, 8, seed=9),
        query_side(30, 8, seed=9),
    )
    shift = np.float32(offset)
    check((key + shift, shrinkage), (query + shift, selection), k=30)


@pytest.mark.parametrize("gap", [1e2, 1e3, 1e4])
def test_tokens_of_far_clusters_are_told_apart(gap: float) -> None:
    """Similarities within a cluster differ by less than float32 rounds their products."""
    (key, shrinkage), (query, selection) = (
        memory_side(600, 8, seed=14, scale=0.01),
        query_side(20, 8, seed=14, scale=0.01),
    )
    key[::2] += np.float32(gap)
    query[::2] += np.float32(gap)
    check((key, shrinkage), (query, selection), k=30)


@pytest.mark.parametrize("gap", [1e2, 1e3, 1e4])
def test_tokens_are_told_apart_from_afar(gap: float) -> None:
    key, _ = memory_side(600, 8, seed=15, scale=1e-3)
    query, selection = query_side(20, 8, seed=15)
    check((key, np.ones(600, np.float32)), (query + np.float32(gap), selection), k=30)


@pytest.mark.parametrize("far", [1e6, 1e25])
def test_one_far_token_does_not_blur_the_others(
    far: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes the float32 products too coarse, and all near queries are searched again."""
    again: list[int] = []
    search = affinity._search_float64
    monkeypatch.setattr(
        affinity,
        "_search_float64",
        lambda *sides, k: again.append(len(sides[2])) or search(*sides, k=k),
    )
    key, shrinkage = memory_side(400, 8, seed=10)
    key[7] = far
    query, selection = query_side(30, 8, seed=10)
    query[3] = far
    check((key, shrinkage), (query, selection), k=30)
    assert all(count >= 29 for count in again)


def test_like_keys_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "_search_float64", None)
    check(memory_side(500, 16, seed=11), query_side(63, 16, seed=11), k=30)


def test_blocks_of_any_size_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity, "BLOCK_NUMBERS", 1)
    check(memory_side(200, 4, seed=12), query_side(33, 4, seed=12), k=30)


def test_faiss_is_left_as_it_was() -> None:
    before = faiss.cvar.distance_compute_blas_database_bs
    attend(*memory_side(500, 4, seed=13), *query_side(5, 4, seed=13), k=30)
    assert faiss.cvar.distance_compute_blas_database_bs == before


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.integers(1, 150),
    queries=st.integers(1, 6),
    dim=st.integers(1, 9),
    k=st.integers(1, 40),
    levels=st.integers(1, 4),
    exponent=st.integers(-12, 12),
    seed=st.integers(0, 2**32),
)
def test_every_size_magnitude_and_tie(
    tokens: int, queries: int, dim: int, k: int, levels: int, exponent: int, seed: int
) -> None:
    """Numbers of few levels make ties, and powers of two keep them exact."""
    rng = np.random.default_rng(seed)
    scale = 2.0**exponent
    memory = (
        (scale * rng.integers(0, levels, (tokens, dim))).astype(np.float32),
        rng.integers(1, levels + 1, tokens).astype(np.float32),
    )
    query = (
        (scale * rng.integers(0, levels, (queries, dim))).astype(np.float32),
        (rng.integers(0, levels, (queries, dim)) / 4).astype(np.float32),
    )
    check(memory, query, k=k)
    weights = attend(*memory, *query, k=k).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(weights, axis=1) <= 0).all()

"""Reading a memory of tokens as XMem does (arXiv:2207.07115, "Memory Reading"), sparsely.

Memory token i with key k_i and shrinkage s_i >= 1 resembles query token j with key q_j and
selection e_j in [0, 1]^C by

    S(i, j) = -s_i / sqrt(C) * sum_c e_cj (k_ci - q_cj)^2,

and a query reads the mean of the values of its k most similar tokens, weighted by the softmax of S
over these. Nothing of size N x Q is made: S is the inner product of

    m_i = s_i [-k_i^2, 2 k_i, -1]    and    [e_j, e_j q_j, sum_c e_cj q_cj^2] / sqrt(C)

so that FAISS's search finds some more candidates than k, which are compared by the differences
above in float64, and only the values of k tokens are gathered. Products cancel where differences
do not: the search is for what S is at most, rounding included, and a query that some token beyond
the candidates might still suit better is searched again in float64. Keys are taken relative to
their mean, which changes no difference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from streammem.records import Vector

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SPARE = 34
"""Candidates beyond k: a still picture repeats each token once a frame, and such ties fit in."""

COMPARED = 4096
"""Tokens that FAISS compares at once: 27 MB with 1,620 queries, and on two busy cores half the time
that its own 1,024 take, as threads wait for one another at every block.
"""

LARGEST = 1e30
"""Products of float32 up to here are far from overflow, whatever they are summed with."""

EQUAL = 1e-6
"""Similarities nearer than this have weights that float32 hardly tells apart."""

BLOCK_NUMBERS = 1 << 20
"""About how many numbers a block of queries may take."""


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Tokens that queries attend to: `rows [Q, k]`, most similar first, and `weights [Q, k]`.

    The weights of a query add up to 1. Objects with the same tokens share one attention.
    """

    rows: Rows
    weights: Vector

    def read(self, values: Vector) -> Vector:
        """Return `[Q, V]`, the mean of `values [N, V]` under each query's weights."""
        (queries, k), width = self.rows.shape, values.shape[1]
        read = np.empty((queries, width), dtype=np.float32)
        for block in _blocks(queries, k * width):
            gathered = values[self.rows[block]]  # [B, k, V]
            np.matmul(self.weights[block, None], gathered, out=read[block, None])
        return read

    def mass(self, tokens: int) -> Floats:
        """Return `[tokens]`, the attention that each token received; it adds up to Q."""
        mass = np.bincount(self.rows.ravel(), self.weights.ravel(), minlength=tokens)
        return mass.astype(np.float64, copy=False)


def read(
    key: Vector, shrinkage: Vector, values: Vector, query: Vector, selection: Vector, *, k: int
) -> tuple[Vector, Floats]:
    """Return what queries read, `[Q, V]`, and the attention that each token received, `[N]`.

    The memory is `key [N, C]`, `shrinkage [N]` and `values [N, V]`, the query `query [Q, C]` and
    `selection [Q, C]`.
    """
    attention = attend(key, shrinkage, query, selection, k=k)
    return attention.read(values), attention.mass(len(key))


def attend(
    key: Vector, shrinkage: Vector, query: Vector, selection: Vector, *, k: int
) -> Attention:
    """Return the attention of queries to their `k` most similar tokens, or to all of fewer.

    Of equally similar tokens the first come first.
    """
    rows, similar = _most_similar(key, shrinkage, query, selection, k=min(k, len(key)))
    weights = np.exp(similar - similar[:, :1])
    weights /= weights.sum(axis=1, keepdims=True)
    return Attention(rows, weights.astype(np.float32))


def similarity(key: Vector, shrinkage: Vector, query: Vector, selection: Vector) -> Floats:
    """Return S of every pair, `[Q, N]`, for memories small enough for that."""
    memory, queries = _as_products(key, shrinkage, query, selection, np.float64)
    return queries[:, :-2] @ memory[:, :-2].T


def _most_similar(
    key: Vector, shrinkage: Vector, query: Vector, selection: Vector, *, k: int
) -> tuple[Rows, Floats]:
    """Return rows and similarities `[Q, k]` of the `k` most similar tokens, most similar first."""
    tokens = len(key)
    sides = key, shrinkage, query, selection
    if tokens <= k + SPARE:
        return _best(*sides, np.tile(np.arange(tokens), (len(query), 1)), k=k)
    with np.errstate(over="ignore", invalid="ignore"):
        memory, queries = _as_products(*sides, np.float32)
        with _compared_at_once(COMPARED):
            at_most, candidates = faiss.knn(
                queries, memory, k + SPARE, metric=faiss.METRIC_INNER_PRODUCT
            )
        fit = memory[:, -2:].max() * np.abs(queries).max(axis=1) < LARGEST
    rows, similar = _best(*sides, candidates, k=k)
    doubtful = np.flatnonzero(~(fit & (similar[:, -1] > at_most[:, -1])))
    if len(doubtful):
        sides = key, shrinkage, query[doubtful], selection[doubtful]
        rows[doubtful], similar[doubtful] = _best(*sides, _search_float64(*sides, k=k), k=k)
    return rows, similar


def _best(
    key: Vector,
    shrinkage: Vector,
    query: Vector,
    selection: Vector,
    candidates: Rows,
    *,
    k: int,
) -> tuple[Rows, Floats]:
    """Return the `k` best of each query's `candidates [Q, c]`, compared by differences."""
    queries, count = candidates.shape
    rows = np.empty((queries, k), dtype=np.int64)
    similar = np.empty((queries, k))
    for block in _blocks(queries, 4 * count * key.shape[1]):
        near = np.sort(candidates[block], axis=1)  # [B, c]
        squared = key[near] - query[block, None].astype(np.float64)  # [B, c, C]
        squared *= squared
        found = np.einsum("bcd,bd->bc", squared, selection[block].astype(np.float64))
        found *= -shrinkage[near] / np.sqrt(key.shape[1])
        order = np.argsort(-found, axis=1, kind="stable")[:, :k]
        rows[block] = np.take_along_axis(near, order, axis=1)
        similar[block] = np.take_along_axis(found, order, axis=1)
    return rows, similar


def _search_float64(
    key: Vector, shrinkage: Vector, query: Vector, selection: Vector, *, k: int
) -> Rows:
    """Return `[Q, k]`, the `k` most similar tokens; of those that are `EQUAL`, the first.

    Where even these products blur more than that, all tokens in question are compared.
    """
    tokens = len(key)
    memory, queries = _as_products(key, shrinkage, query, selection, np.float64)
    rows = np.empty((len(queries), k), dtype=np.int64)
    for block in _blocks(len(queries), 6 * tokens):
        at_most = queries[block] @ memory.T  # [B, N]
        at_least = queries[block, :-2] @ memory[:, :-2].T
        at_least -= queries[block, -2:] @ memory[:, -2:].T
        kth_most = np.partition(at_most, tokens - k, axis=1)[:, tokens - k, None]
        kth_least = np.partition(at_least, tokens - k, axis=1)[:, tokens - k, None]
        sure, possible = at_least > kth_most, at_most >= kth_least
        blurred = (kth_most - kth_least)[:, 0] > EQUAL
        for place, row in enumerate(rows[block]):
            if blurred[place]:
                one = slice(block.start + place, block.start + place + 1)
                in_question = np.flatnonzero(possible[place])[None]
                best, _ = _best(key, shrinkage, query[one], selection[one], in_question, k=k)
                row[:] = best[0]
                continue
            chosen = np.flatnonzero(sure[place])
            others = np.flatnonzero(possible[place] & ~sure[place])
            row[:] = np.concatenate([chosen, others[: k - len(chosen)]])
    return rows


def _as_products(
    key: Vector,
    shrinkage: Vector,
    query: Vector,
    selection: Vector,
    dtype: type[np.float32] | type[np.float64],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return `[N, 2 C + 3]` and `[Q, 2 C + 3]`, whose inner products no similarity exceeds.

    They are m_i and q_j with two more numbers, which add what the sum may be off by: n terms are
    summed to within n eps times the sum of their magnitudes, here at most

        2 s_i / sqrt(C) * (|k_i|^2 max_c e_cj + sum_c e_cj q_cj^2),

    and some eps more cover the roundings of the terms themselves.
    """
    tokens, channels = key.shape
    slack = 2 * (2 * channels + 16) * np.finfo(dtype).eps
    centre = key.mean(axis=0, dtype=dtype)
    memory = np.empty((tokens, 2 * channels + 3), dtype=dtype)
    squares, linear = memory[:, :channels], memory[:, channels:-3]
    np.subtract(key, centre, out=linear)
    np.multiply(linear, linear, out=squares)
    squares.sum(axis=1, out=memory[:, -2])
    memory[:, -2] *= slack
    memory[:, -1] = slack
    memory[:, -3] = -1
    squares *= -1
    linear *= 2
    memory *= shrinkage[:, None]
    query, selection = query.astype(dtype) - centre, selection.astype(dtype)
    chosen = selection * query
    constant = (chosen * query).sum(axis=1, keepdims=True)
    most = selection.max(axis=1, keepdims=True)
    queries = np.concatenate([selection, chosen, constant, most, constant], axis=1)
    queries /= np.sqrt(dtype(channels))
    return memory, queries


@contextmanager
def _compared_at_once(tokens: int) -> Iterator[None]:
    """Have FAISS compare that many; it has one number for all threads, which changes no result."""
    before = faiss.cvar.distance_compute_blas_database_bs
    faiss.cvar.distance_compute_blas_database_bs = tokens
    try:
        yield
    finally:
        faiss.cvar.distance_compute_blas_database_bs = before


def _blocks(count: int, numbers: int) -> Iterator[slice]:
    """Yield slices of `count` queries, each of which takes `numbers` numbers."""
    step = max(1, BLOCK_NUMBERS // numbers)
    for start in range(0, count, step):
        yield slice(start, start + step)

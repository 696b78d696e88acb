"""Codes of vectors in FAISS's own array, written in place and searched over any of its rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from streammem.records import Vector

TIE = 2e-6
"""Scores nearer than this are of one rank as far as float32 sums can tell."""

MORE = 32
"""Rows asked for beyond those wanted: among many, the last of them seldom has as many equals."""

BLOCK_BYTES = 8_000_000
"""Chosen rows are copied together and searched this many bytes at a time, in the cache.

Of 42,000 rows among 1,000,000 that took 4 ms, and FAISS's own walk over a bitmap 11 ms.
"""

Rows = NDArray[np.int64]
Scored = tuple[NDArray[np.float32], Rows]


class FlatCodes:
    """The codes `[N, code_size]` of a FAISS index that `make` returns empty.

    `make` gives an index of flat codes, trained, whose scores are larger for what is nearer.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._index = make()
        self.rows = _rows(self._index)

    def grow(self, more: int) -> None:
        """Append `more` rows of zeros; the views of the old ones end here."""
        self.rows = _resize(self._index, len(self.rows) + more)

    def encode(self, vectors: Vector) -> NDArray[np.uint8]:
        """Return the codes `[M, code_size]` of `vectors [M, dim]`."""
        codes: NDArray[np.uint8] = self._index.sa_encode(np.ascontiguousarray(vectors))
        return codes

    def best(self, query: Vector, *, count: int, seen: NDArray[np.bool_]) -> Rows:
        """Return the `count` rows nearest to `query [dim]` of those `seen [N]`, and their equals.

        What scores as the last of them does, up to `TIE`, is returned too, so that the order in
        which rows were filled decides nothing. All rows that are seen come where they are fewer.
        """
        total = int(np.count_nonzero(seen))
        if 2 * total < len(seen):
            return self.best_of(np.flatnonzero(seen), query, count=count)
        python: Any = faiss  # its stubs describe the C++ signatures, not those of its wrappers
        only = python.IDSelectorBitmap(np.packbits(seen, bitorder="little"))
        params = python.SearchParameters(sel=only)

        def search(k: int) -> Scored:
            scores, rows = self._index.search(query[None], k, params=params)
            return scores[0], rows[0]

        return _with_equals(search, count=count, total=total)

    def best_of(self, rows: Rows, query: Vector, *, count: int) -> Rows:
        """Return the `count` nearest of `rows [M]`, and their equals, as `best` does."""
        block = self._make()
        step = max(1, BLOCK_BYTES // block.code_size)
        codes = _resize(block, min(step, len(rows)))

        def search(k: int) -> Scored:
            scores, found = [], []
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                self.rows.take(part, axis=0, out=codes[: len(part)], mode="clip")
                block.ntotal = len(part)
                near, places = block.search(query[None], min(k, len(part)))
                scores.append(near[0])
                found.append(part[places[0]])
            joined = np.concatenate(scores)
            best = np.argsort(-joined, kind="stable")[:k]
            return joined[best], np.concatenate(found)[best]

        return _with_equals(search, count=count, total=len(rows))


def _with_equals(search: Callable[[int], Scored], *, count: int, total: int) -> Rows:
    """Return the best `count` of `total` rows, asking for more until the last has no equal left."""
    count = min(count, total)
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    asked = count + MORE
    with _one_thread():
        while True:
            asked = min(asked, total)
            scores, rows = search(asked)
            least = scores[count - 1] - TIE
            if asked == total or scores[-1] < least:
                equal_or_better: Rows = rows[scores >= least]
                return equal_or_better
            asked *= 4


def _resize(index: Any, count: int) -> NDArray[np.uint8]:
    index.codes.resize(count * index.code_size)
    index.ntotal = count
    return _rows(index)


def _rows(index: Any) -> NDArray[np.uint8]:
    """Return the codes as an array that can be written in place."""
    if index.ntotal == 0:
        return np.zeros((0, index.code_size), dtype=np.uint8)
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    rows: NDArray[np.uint8] = codes.reshape(index.ntotal, index.code_size)
    return rows


@contextmanager
def _one_thread() -> Iterator[None]:
    """Search on this thread alone: FAISS shares out queries, and others only wait for the one.

    On busy cores that waiting made one search 30 times slower.
    """
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)

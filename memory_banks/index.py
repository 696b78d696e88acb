"""The vectors of all entries, searchable by key or by visual key; exact.

The features lie in FAISS's own float16 arrays and nowhere else in RAM: an entry occupies one row
of each until it is removed, and the row is then used again, so that adding and removing cost the
same however many entries there are. This is the place where an approximate index will be chosen
above some size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import faiss
import numpy as np
from numpy.typing import NDArray

from streammem.errors import UsageError, one_of
from streammem.records import Vector

By = Literal["key", "visual"]
Floats = NDArray[np.float16] | NDArray[np.float32]
LEAST_GROWTH = 32
TIE = 2e-6
"""Scores nearer than this are of one rank as far as float32 sums can tell."""


class VectorIndex:
    """Two vectors an entry: `key [dim]` and `visual [visual_dim]`, of unit length, as float16."""

    def __init__(self, *, dim: int, visual_dim: int) -> None:
        self._faiss = {"key": _inner_product(dim), "visual": _inner_product(visual_dim)}
        self._rows = {name: _rows(made) for name, made in self._faiss.items()}
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._ids = np.full(0, -1, dtype=np.int64)
        self._source = np.zeros(0, dtype=np.int64)
        self._end_s = np.zeros(0, dtype=np.float64)

    def __len__(self) -> int:
        return len(self._row_of)

    def add(
        self,
        entry_id: int,
        *,
        key: Floats,
        visual: Floats,
        source: int,
        end_s: float,
        start_s: float | None = None,
    ) -> None:
        """Put in the vectors of an entry, with the number of its source and its last time."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._rows["key"][row] = key
        self._rows["visual"][row] = visual
        self._ids[row], self._source[row], self._end_s[row] = entry_id, source, end_s
        self._row_of[entry_id] = row

    def remove(self, entry_id: int) -> None:
        """Take an entry out and wipe its vectors."""
        row = self._row_of.pop(entry_id)
        for rows in self._rows.values():
            rows[row] = 0
        self._ids[row] = -1
        self._free.append(row)

    def vectors(self, entry_id: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Return views of `key [dim]` and `visual [visual_dim]`, good until the next change."""
        row = self._row_of[entry_id]
        return self._rows["key"][row], self._rows["visual"][row]

    def search(
        self,
        query: Vector,
        *,
        k: int,
        by: By = "key",
        source: int | None = None,
        at_s: float | None = None,
        between: tuple[float, float] | None = None,
    ) -> list[tuple[int, float]]:
        """Return the `k` ids with the largest dot products with `query [D]`, best first.

        Only entries of `source` that end by `at_s` are seen, where those are given. Equal scores
        are ranked by id, so that an index filled in another order answers the same.
        """
        if by not in self._faiss:
            raise one_of("by", by, get_args(By))
        index = self._faiss[by]
        if query.shape != (index.d,):
            raise UsageError(
                f"a search by {by} needs a query of {index.d} numbers, got {list(query.shape)}; "
                "use the encoder that the memory was made with"
            )
        seen = self._ids >= 0
        if source is not None:
            seen &= self._source == source
        if at_s is not None:
            seen &= self._end_s <= at_s
        count = min(k, int(seen.sum()))
        if count <= 0:
            return []
        asked = np.ascontiguousarray(query, dtype=np.float32)[None]
        allowed = _only(seen)
        with _one_thread():
            scores, found = index.search(asked, count + 1, params=allowed)
            candidates = found[0][:count]
            if found[0][count] >= 0 and scores[0][count - 1] - scores[0][count] < TIE:
                least = float(scores[0][count - 1]) - TIE
                _, _, candidates = index.range_search(asked, least, params=allowed)
        rows = self._rows[by][candidates].astype(np.float64)
        exact = np.einsum("nd,d->n", rows, asked[0].astype(np.float64))
        ids = self._ids[candidates]
        order = np.lexsort((ids, -exact))[:count]
        return [(int(ids[i]), float(exact[i])) for i in order]

    overhead_bytes = 0

    def how(self, by: By) -> str:
        return "exact"

    def _grow(self) -> None:
        """Add free rows to every array; the views of the old ones end here."""
        old = len(self._ids)
        more = max(LEAST_GROWTH, old // 8)
        for index in self._faiss.values():
            index.add(np.zeros((more, index.d), dtype=np.float32))
        self._rows = {name: _rows(index) for name, index in self._faiss.items()}
        self._ids = np.append(self._ids, np.full(more, -1, dtype=np.int64))
        self._source = np.append(self._source, np.zeros(more, dtype=np.int64))
        self._end_s = np.append(self._end_s, np.zeros(more))
        self._free = list(range(old + more - 1, old - 1, -1))


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


def _only(seen: NDArray[np.bool_]) -> Any:
    """Return FAISS's parameters of a search that sees these rows alone."""
    python: Any = faiss  # its stubs describe the C++ signatures, not those of its Python wrappers
    return python.SearchParameters(
        sel=python.IDSelectorBitmap(np.packbits(seen, bitorder="little"))
    )


def _inner_product(dim: int) -> faiss.IndexScalarQuantizer:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def _rows(index: faiss.IndexScalarQuantizer) -> NDArray[np.float16]:
    """Return FAISS's float16 codes `[ntotal, d]` as an array that can be written in place."""
    if index.ntotal == 0:
        return np.zeros((0, index.d), dtype=np.float16)
    codes = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    rows: NDArray[np.float16] = codes.view(np.float16).reshape(index.ntotal, index.d)
    return rows

"""The vectors of all entries, searchable by key or by visual key, by time and by source.

An entry occupies one row of each array until it is removed, and the row is then used again, so
that adding and removing cost the same however many entries there are.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from memory_banks.vectors.nearest import EXACT_NUMBERS, Floats, Vectors
from streammem.errors import UsageError, one_of
from streammem.records import Vector

__all__ = ["By", "Floats", "VectorIndex"]

By = Literal["key", "visual"]
LEAST_GROWTH = 32


class VectorIndex:
    """Two vectors an entry: `key [dim]` and `visual [visual_dim]`, of unit length, as float16.

    A search over more than `exact_numbers` numbers is approximate. What it answers depends on the
    entries and on the `centroids`, not on the order in which entries came and went.
    """

    def __init__(self, *, dim: int, visual_dim: int, exact_numbers: int = EXACT_NUMBERS) -> None:
        self._vectors: dict[By, Vectors] = {
            "key": Vectors(dim, exact_numbers=exact_numbers),
            "visual": Vectors(visual_dim, exact_numbers=exact_numbers),
        }
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._ids = np.full(0, -1, dtype=np.int64)
        self._source = np.zeros(0, dtype=np.int64)
        self._start_s = np.zeros(0, dtype=np.float64)
        self._end_s = np.zeros(0, dtype=np.float64)

    def __len__(self) -> int:
        return len(self._row_of)

    @property
    def overhead_bytes(self) -> int:
        """Bytes of RAM that quick searching takes beside the entries' own, 0 while it is exact."""
        return sum(vectors.overhead_bytes for vectors in self._vectors.values())

    @property
    def trained_generation(self) -> int:
        """How often centroids were made here; they are others whenever this is."""
        return sum(vectors.trained for vectors in self._vectors.values())

    def centroids(self) -> dict[By, NDArray[np.float32]]:
        """Return the middles of the cells `[C, D]` by kind, with C = 0 where there are none yet."""
        return {by: vectors.centroids for by, vectors in self._vectors.items()}

    def set_centroids(self, centroids: Mapping[By, NDArray[np.float32]]) -> None:
        """Search as the index did whose `centroids` these are."""
        for by, vectors in self._vectors.items():
            given = np.array(centroids[by], dtype=np.float32)
            if given.ndim != 2 or given.shape[1] != vectors.dim:
                raise UsageError(
                    f"centroids by {by} must be [C, {vectors.dim}], got {list(given.shape)}; "
                    "use those of a memory made with the same encoder"
                )
            vectors.set_centroids(given, self._rows_by_id())

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
        """Put in the vectors of an entry, with the number of its source and its times.

        It starts when it ends where `start_s` is not given.
        """
        if not self._free:
            self._grow(max(LEAST_GROWTH, len(self._ids) // 8))
        row = self._free.pop()
        self._vectors["key"].put(row, key)
        self._vectors["visual"].put(row, visual)
        self._ids[row], self._source[row] = entry_id, source
        self._start_s[row], self._end_s[row] = end_s if start_s is None else start_s, end_s
        self._row_of[entry_id] = row

    def add_many(
        self,
        entry_ids: Sequence[int] | NDArray[np.int64],
        *,
        keys: Floats,
        visuals: Floats,
        sources: Sequence[int] | NDArray[np.int64],
        start_s: Sequence[float] | NDArray[np.float64],
        end_s: Sequence[float] | NDArray[np.float64],
    ) -> None:
        """Put in `keys [N, dim]` and `visuals [N, visual_dim]` of N entries at once."""
        ids = np.asarray(entry_ids, dtype=np.int64)
        if len(ids) > len(self._free):
            self._grow(len(ids) - len(self._free))
        taken = self._free[len(self._free) - len(ids) :][::-1]
        del self._free[len(self._free) - len(ids) :]
        rows = np.array(taken, dtype=np.int64)
        self._vectors["key"].put(rows, keys)
        self._vectors["visual"].put(rows, visuals)
        self._ids[rows], self._source[rows] = ids, sources
        self._start_s[rows], self._end_s[rows] = start_s, end_s
        self._row_of.update(zip(ids.tolist(), taken, strict=True))

    def remove(self, entry_id: int) -> None:
        """Take an entry out and wipe its vectors."""
        row = self._row_of.pop(entry_id)
        for vectors in self._vectors.values():
            vectors.wipe(row)
        self._ids[row] = -1
        self._free.append(row)

    def vectors(self, entry_id: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Return views of `key [dim]` and `visual [visual_dim]`, good until the next change."""
        row = self._row_of[entry_id]
        return self._vectors["key"].rows[row], self._vectors["visual"].rows[row]

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

        Only entries of `source` that end by `at_s` and overlap the span `between` (its ends
        included) are seen, where those are given. Equal scores are ranked by id.
        """
        if by not in self._vectors:
            raise one_of("by", by, get_args(By))
        vectors = self._vectors[by]
        if query.shape != (vectors.dim,):
            raise UsageError(
                f"a search by {by} needs a query of {vectors.dim} numbers, got "
                f"{list(query.shape)}; use the encoder that the memory was made with"
            )
        vectors.prepare(len(self), self._rows_by_id)
        seen = self._seen(source=source, at_s=at_s, between=between)
        asked = np.ascontiguousarray(query, dtype=np.float32)
        rows, scores = vectors.nearest(asked, k=k, seen=seen)
        ids = self._ids[rows]
        order = np.lexsort((ids, -scores))[: max(k, 0)]
        return [(int(ids[i]), float(scores[i])) for i in order]

    def how(self, by: By = "key") -> str:
        """Say in words what a search does now."""
        return self._vectors[by].how(len(self))

    def _seen(
        self, *, source: int | None, at_s: float | None, between: tuple[float, float] | None
    ) -> NDArray[np.bool_]:
        """Return which rows hold an entry that a search may return, `[N]`."""
        seen = self._ids >= 0
        if source is not None:
            seen &= self._source == source
        if at_s is not None:
            seen &= self._end_s <= at_s
        if between is not None:
            seen &= self._start_s <= between[1]
            seen &= self._end_s >= between[0]
        return seen

    def _rows_by_id(self) -> NDArray[np.int64]:
        live = np.flatnonzero(self._ids >= 0)
        by_id: NDArray[np.int64] = live[np.argsort(self._ids[live])]
        return by_id

    def _grow(self, more: int) -> None:
        """Add free rows to every array; the views of the old ones end here."""
        old = len(self._ids)
        for vectors in self._vectors.values():
            vectors.grow(more)
        self._ids = np.append(self._ids, np.full(more, -1, dtype=np.int64))
        self._source = np.append(self._source, np.zeros(more, dtype=np.int64))
        self._start_s = np.append(self._start_s, np.zeros(more))
        self._end_s = np.append(self._end_s, np.zeros(more))
        self._free = [*range(old + more - 1, old - 1, -1), *self._free]

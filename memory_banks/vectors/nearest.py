"""Vectors of one kind, and the nearest of them: exactly below a size, from likely ones above it.

Above it a search reads the cells nearest to the query, and those around them. Another frame of a
scene is found there. But words, among pictures, have their neighbours in cells all over: reading
8 % of 1,000,000 vectors by cells found 0.89 of the ten nearest, and 0.25 where vectors had no
structure at all. It shows in the cells around: where their best come close, better ones lie
beyond. Then one-bit codes of all vectors tell which to compare, which finds 0.97 of either.
"""

import math
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from memory_banks.vectors.cells import Cells
from memory_banks.vectors.flat_codes import FlatCodes, Rows
from memory_banks.vectors.one_bit import OneBitCodes
from streammem.records import Vector

Floats = NDArray[np.float16] | NDArray[np.float32]

EXACT_NUMBERS = 32_000_000
"""Vectors x numbers up to which all are compared: 83,000 of 384 numbers.

That reads 64 MB, in 2 ms where they lie together and 8 ms where they are picked from among more;
beyond it, looking into cells is quicker.
"""

NEAR, AROUND = 1 / 8, 1 / 32
"""Shares of that which are read near a query and around it: 10,000 and 2,600 of 384 numbers.

Of 200 frames among 1,000,000 in scenes this settled 0.975, with nothing missed, and of 200 queries
from elsewhere 0.09. As many around as near settled 0.96 and 0.035; half as many near settled 0.92.
"""

BEYOND = 1 / 2
"""How much higher than the best of those around the best of all beyond may still be.

In distances of that best from the mean over all cells. Where scores are normal the best of
1,000,000 is 0.46 higher than that of 2,600.
"""

LIKELY = 1 / 10
"""Share of that which is compared after one-bit codes: 8,300 vectors of 384 numbers, in 1 ms."""

BLOCK = 4096
"""Rows that are assigned and encoded at once."""

ROW_BYTES = 20
"""What a row takes beside its bits: factors of its code, its cell, and its centroid's share."""


class Vectors:
    """Rows of unit length `[N, dim]` in float16, which lie in FAISS's array and nowhere else.

    A search that may see `exact_numbers / dim` rows or fewer compares them all, whatever the others
    are. `trained` counts how often `centroids` were made anew.
    """

    def __init__(self, dim: int, *, exact_numbers: int) -> None:
        self.dim = dim
        self.trained = 0
        self._most_exact = max(1, exact_numbers // dim)
        self._flat = FlatCodes(lambda: _float16(dim))
        self._cells = Cells(dim)
        self._codes: OneBitCodes | None = None
        self._changed = np.zeros(0, dtype=np.bool_)
        self.rows = self._view()

    @property
    def centroids(self) -> Vector:
        """The middles of the cells `[C, dim]`, none before there are any."""
        return self._cells.centroids

    @property
    def overhead_bytes(self) -> int:
        """Bytes at most that cells and codes take beside the vectors, from when they are needed.

        Centroids count twice, in RAM and in a file. What a search will make counts before it does,
        so that no search can make a memory outgrow its budget.
        """
        count = len(self.rows)
        if count <= self._most_exact:
            return 0
        codes = count * (self.dim // 8 + ROW_BYTES) + 8 * self.dim**2
        return codes + 2 * 4 * self.dim * math.isqrt(count)

    def set_centroids(self, centroids: Vector, live: Rows) -> None:
        """Go on with the cells of another index for the rows that are `live`."""
        self._cells.replace(centroids, len(self.rows))
        self._changed[live] = True

    def grow(self, more: int) -> None:
        """Append `more` rows of zeros; the views of the old ones end here."""
        self._flat.grow(more)
        self._cells.grow(more)
        self._changed = np.append(self._changed, np.zeros(more, dtype=np.bool_))
        if self._codes is not None:
            self._codes.grow(more)
        self.rows = self._view()

    def put(self, rows: Rows | int, vectors: Floats) -> None:
        """Write vectors into rows."""
        self.rows[rows] = vectors
        self._changed[rows] = True

    def wipe(self, row: int) -> None:
        """Leave nothing of a row."""
        self.rows[row] = 0
        self._changed[row] = False
        self._cells.wipe(row)
        if self._codes is not None:
            self._codes.wipe(row)

    def prepare(self, held: int, live: Callable[[], Rows]) -> None:
        """Bring cells and codes up to date where `held` rows are too many for an exact search.

        That is the work of what changed since, 15 us a row; all rows change when there are more
        than twice as many as the cells were made for. `live` returns the rows that hold vectors,
        in an order that does not depend on where they lie.
        """
        if held <= self._most_exact:
            return
        if self._codes is None:
            self._codes = OneBitCodes(self.dim)
            self._codes.grow(len(self.rows))
            self._changed[live()] = True
        if self._cells.outgrown(held):
            rows = live()
            self._cells.train(self.rows, rows)
            self._changed[rows] = True
            self.trained += 1
        changed = np.flatnonzero(self._changed)
        for start in range(0, len(changed), BLOCK):
            part = changed[start : start + BLOCK]
            vectors = self.rows[part].astype(np.float32)
            self._cells.assign(part, vectors)
            self._codes.encode(part, vectors)
        self._changed[changed] = False

    def nearest(
        self, query: Vector, *, k: int, seen: NDArray[np.bool_]
    ) -> tuple[Rows, NDArray[np.float64]]:
        """Return at least `k` rows of those `seen [N]`, with their dot products with `query [dim]`.

        They are in no order, and whatever equals the last of the best `k` is among them.
        """
        rows = self._nearest(query, k=k, seen=seen)
        return rows, self._scores(rows, query)

    def how(self, held: int) -> str:
        """Say in words what a search without filters does where `held` rows hold a vector."""
        if held <= self._most_exact:
            return f"exact over {held:,} entries"
        near, likely = (int(share * self._most_exact) for share in (NEAR, LIKELY))
        return (
            f"the {near:,} of {held:,} entries in the nearest cells, and where these do not "
            f"settle it, the {likely:,} most promising by one-bit codes"
        )

    def _nearest(self, query: Vector, *, k: int, seen: NDArray[np.bool_]) -> Rows:
        total = int(np.count_nonzero(seen))
        if self._codes is None or total <= self._most_exact:
            return self._flat.best(query, count=k, seen=seen)
        rows = self._settled(query, k=k, seen=seen, total=total)
        if rows is not None:
            return rows
        likely = max(int(LIKELY * self._most_exact), 8 * k)
        rows = self._codes.best(query, count=likely, seen=seen)
        return self._flat.best_of(np.sort(rows), query, count=k)

    def _settled(
        self, query: Vector, *, k: int, seen: NDArray[np.bool_], total: int
    ) -> Rows | None:
        """Return the best in the cells near the query where none beyond can be expected to be."""
        scale = self._most_exact * self._cells.held / total
        near, around, mean = self._cells.around(
            query, reach=NEAR * scale, further=AROUND * scale, seen=seen
        )
        read = len(near) + len(around)
        if not 0 < k <= len(near) < read <= 2 * (NEAR + AROUND) * self._most_exact:
            return None
        best = self._flat.best_of(near, query, count=k)
        last = self._scores(best, query).min()
        highest = self._scores(self._flat.best_of(around, query, count=1), query).max()
        return best if last - highest > BEYOND * (highest - mean) else None

    def _scores(self, rows: Rows, query: Vector) -> NDArray[np.float64]:
        vectors = self.rows[rows].astype(np.float64)
        scores: NDArray[np.float64] = np.einsum("nd,d->n", vectors, query.astype(np.float64))
        return scores

    def _view(self) -> NDArray[np.float16]:
        rows: NDArray[np.float16] = self._flat.rows.view(np.float16)
        return rows


def _float16(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )

"""Vectors of one kind, and the nearest of them: exactly below a size, above it by codes first."""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from memory_banks.flat_codes import FlatCodes, Rows
from memory_banks.one_bit import OneBitCodes
from streammem.records import Vector

Floats = NDArray[np.float16] | NDArray[np.float32]

EXACT_NUMBERS = 32_000_000
"""Entries x numbers up to which every vector is compared: 83,000 entries of 384 numbers.

That reads 64 MB, in 2 ms where they lie together and 8 ms where they are picked from among more;
beyond it codes are quicker in both cases.
"""

COMPARED = 8192
"""Entries that are compared exactly after their codes. Of 1,000,000 vectors without any structure
this holds 0.95 of the 10 nearest, and nearly all where there is some; it takes 2 ms.
"""


class Vectors:
    """Rows of unit length `[N, dim]` in float16, which lie in FAISS's array and nowhere else.

    A search that sees at most `exact_numbers / dim` rows compares them all, whatever the others
    are. A wider one finds the `compared` most promising by one-bit codes, and compares those.
    """

    def __init__(
        self, dim: int, *, exact_numbers: int = EXACT_NUMBERS, compared: int = COMPARED
    ) -> None:
        self.dim = dim
        self._most_exact = max(exact_numbers // dim, compared)
        self._compared = compared
        self._flat = FlatCodes(lambda: _float16(dim))
        self._one_bit: OneBitCodes | None = None
        self.rows = self._view()

    @property
    def overhead_bytes(self) -> int:
        """Bytes of RAM beside the vectors themselves."""
        return 0 if self._one_bit is None else self._one_bit.nbytes

    def grow(self, more: int) -> None:
        """Append `more` rows of zeros; the views of the old ones end here."""
        self._flat.grow(more)
        self.rows = self._view()
        if self._one_bit is not None:
            self._one_bit.grow(more)

    def put(self, rows: slice | Rows | int, vectors: Floats) -> None:
        """Write vectors into rows."""
        self.rows[rows] = vectors
        if self._one_bit is not None:
            self._one_bit.change(rows)

    def wipe(self, row: int) -> None:
        """Leave nothing of a row."""
        self.rows[row] = 0
        if self._one_bit is not None:
            self._one_bit.wipe(row)

    def nearest(
        self, query: Vector, *, k: int, seen: NDArray[np.bool_]
    ) -> tuple[Rows, NDArray[np.float64]]:
        """Return at least `k` rows of those `seen [N]`, with their dot products with `query [dim]`.

        They are in no order, and whatever equals the last of the best `k` is among them.
        """
        if np.count_nonzero(seen) <= self._most_exact:
            rows = self._flat.best(query, count=k, seen=seen)
        else:
            if self._one_bit is None:
                self._one_bit = self._encoded()
            likely = self._one_bit.best(
                query, count=max(self._compared, 8 * k), seen=seen, vectors=self.rows
            )
            rows = self._flat.best_of(np.sort(likely), query, count=k)
        exact = np.einsum("nd,d->n", self.rows[rows].astype(np.float64), query.astype(np.float64))
        return rows, exact

    def how(self, held: int) -> str:
        """Say what a search without filters does where `held` rows hold an entry."""
        if held <= self._most_exact:
            return f"exact over {held:,} entries"
        return (
            f"one-bit codes of all {held:,} entries, "
            f"then the {self._compared:,} most promising exactly"
        )

    def _encoded(self) -> OneBitCodes:
        codes = OneBitCodes(self.dim)
        codes.grow(len(self.rows))
        codes.change(slice(None))
        return codes

    def _view(self) -> NDArray[np.float16]:
        rows: NDArray[np.float16] = self._flat.rows.view(np.float16)
        return rows


def _float16(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )

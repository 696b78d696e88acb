"""One bit a number: codes that find in a million entries the thousands worth comparing exactly.

RaBitQ (Gao and Long 2024, arXiv:2405.12497) keeps the signs of a randomly rotated vector and two
numbers that make the estimate of a dot product unbiased, with an error of the order of
1 / sqrt(dim) for any data. So nothing is trained: a code depends on its vector alone.
"""

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from memory_banks.vectors.flat_codes import FlatCodes, Rows
from streammem.records import Vector

QUERY_BITS = 4
"""The query is rounded to this many bits a number: finer found no more."""


class OneBitCodes:
    """A code of `dim / 8 + 8` bytes for each row of vectors; `seed` draws the rotation."""

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        drawn = np.random.default_rng(seed).normal(size=(dim, dim))
        self._rotation: NDArray[np.float64] = np.linalg.qr(drawn)[0]  # [dim, dim]
        self._codes = FlatCodes(lambda: _rabitq(dim))

    @property
    def nbytes(self) -> int:
        """Bytes of RAM that the codes and the rotation take."""
        return self._codes.rows.nbytes + self._rotation.nbytes

    def grow(self, more: int) -> None:
        """Append `more` rows that hold nothing."""
        self._codes.grow(more)

    def wipe(self, row: int) -> None:
        """Forget what a row was."""
        self._codes.rows[row] = 0

    def encode(self, rows: Rows, vectors: Vector) -> None:
        """Write the codes of `vectors [M, dim]`, 8 us each on one core with 384 numbers.

        In float64, so that no sign depends on how many come at once.
        """
        rotated = vectors.astype(np.float64) @ self._rotation
        self._codes.rows[rows] = self._codes.encode(rotated.astype(np.float32))

    def best(self, query: Vector, *, count: int, seen: NDArray[np.bool_]) -> Rows:
        """Return the `count` rows of largest estimate of those `seen [N]`, and their equals."""
        rotated = np.einsum("d,de->e", query.astype(np.float64), self._rotation)
        return self._codes.best(rotated.astype(np.float32), count=count, seen=seen)


def _rabitq(dim: int) -> Any:
    """Return an empty index centred on zero."""
    python: Any = faiss  # its stubs describe the C++ signatures, not those of its Python wrappers
    index = python.IndexRaBitQ(dim, faiss.METRIC_INNER_PRODUCT)
    index.train(np.zeros((1, dim), dtype=np.float32))
    index.qb = QUERY_BITS
    return index

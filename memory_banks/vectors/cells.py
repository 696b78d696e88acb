"""Cells of neighbouring vectors, an inverted file: where to look first, and whether it is enough.

A coarse quantizer as of Sivic and Zisserman 2003 and of Jégou et al. 2011 ("Product quantization
for nearest neighbor search"), by spherical k-means.
"""

import faiss
import numpy as np
from numpy.typing import NDArray

from memory_banks.vectors.flat_codes import Rows
from streammem.records import Vector

POINTS = 48
"""Vectors for each centroid that training looks at."""

ITERATIONS = 6
NEAR_TIE = 1e-5
"""Float32 sums of unit vectors are nearer than this to the truth."""


class Cells:
    """The nearest of `C` centroids for each row of vectors `[N, dim]`; none before `train`.

    A row counts from `assign` on, until it is wiped. `seed` draws what training looks at.
    """

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        self.centroids: Vector = np.zeros((0, dim), dtype=np.float32)
        self._seed = seed
        self._first_equal = np.zeros(0, dtype=np.int64)  # [C]
        self._cell = np.zeros(0, dtype=np.uint16)  # [N], C where a row holds nothing
        self._sizes = np.zeros(1, dtype=np.int64)  # [C + 1], the last of rows that hold nothing

    @property
    def nbytes(self) -> int:
        """Bytes of RAM that centroids and cells take."""
        arrays = (self.centroids, self._first_equal, self._cell, self._sizes)
        return sum(array.nbytes for array in arrays)

    @property
    def held(self) -> int:
        """How many rows are in cells."""
        return int(self._sizes[:-1].sum())

    def outgrown(self, held: int) -> bool:
        """Return whether `held` vectors are more than twice as many as the cells were made for."""
        return held > 2 * len(self.centroids) ** 2

    def train(self, vectors: NDArray[np.float16], rows: Rows) -> None:
        """Make about sqrt(M) cells for `rows [M]` of vectors; every row has to be assigned anew.

        The outcome depends on the vectors in that order and on nothing else. Looks at `POINTS` for
        each cell: 4 s on two cores for 1,000,000 of 384 numbers, growing as M does; on a GPU where
        FAISS has one.
        """
        count = max(1, round(len(rows) ** 0.5))
        size = min(len(rows), POINTS * count)
        drawn = np.random.default_rng(self._seed).choice(len(rows), size=size, replace=False)
        means = faiss.Kmeans(
            vectors.shape[1],
            count,
            niter=ITERATIONS,
            seed=self._seed,
            spherical=True,
            gpu=getattr(faiss, "get_num_gpus", lambda: 0)() > 0,
            min_points_per_centroid=1,
            max_points_per_centroid=POINTS,
        )
        means.train(vectors[rows[np.sort(drawn)]].astype(np.float32))
        self.replace(np.asarray(means.centroids), len(vectors))

    def replace(self, centroids: Vector, rows: int) -> None:
        """Take these centroids `[C, dim]` for so many rows, which hold nothing until assigned."""
        self.centroids = centroids
        _, first, which = np.unique(centroids, axis=0, return_index=True, return_inverse=True)
        self._first_equal = first[which.reshape(-1)]
        self._cell = np.full(rows, len(centroids), dtype=np.uint16)
        self._sizes = np.zeros(len(centroids) + 1, dtype=np.int64)
        self._sizes[-1] = rows

    def grow(self, more: int) -> None:
        """Append `more` rows that hold nothing."""
        nothing = np.full(more, len(self.centroids), dtype=np.uint16)
        self._cell = np.append(self._cell, nothing)
        self._sizes[-1] += more

    def wipe(self, row: int) -> None:
        """Take a row out of its cell."""
        self._sizes[self._cell[row]] -= 1
        self._sizes[-1] += 1
        self._cell[row] = len(self.centroids)

    def assign(self, rows: Rows, vectors: Vector) -> None:
        """Put rows into the cells of their `vectors [M, dim]`, 7 us each with 1,000 cells.

        What is too close to tell in float32 is told in float64, so that the cell of a vector does
        not depend on the others that come with it.
        """
        count = len(self.centroids)
        scores = vectors @ self.centroids.T  # [M, C]
        each = np.arange(len(rows))
        nearest = scores.argmax(axis=1)
        best = scores[each, nearest]
        scores[each, nearest] = -np.inf
        second = scores.argmax(axis=1)
        close = np.flatnonzero(best - scores[each, second] < NEAR_TIE)
        nearest, second = self._first_equal[nearest], self._first_equal[second]
        pair = np.sort(np.stack([nearest[close], second[close]]), axis=0)  # [2, ties]
        exact = np.einsum(
            "md,pmd->pm", vectors[close].astype(np.float64), self.centroids[pair].astype(np.float64)
        )
        nearest[close] = np.where(exact[1] > exact[0], pair[1], pair[0])
        self._sizes -= np.bincount(self._cell[rows], minlength=count + 1)
        self._sizes += np.bincount(nearest, minlength=count + 1)
        self._cell[rows] = nearest

    def around(
        self, query: Vector, *, reach: float, further: float, seen: NDArray[np.bool_]
    ) -> tuple[Rows, Rows, float]:
        """Return the rows `seen [N]` in the cells nearest to `query [dim]`, and in those around.

        The nearest are the fewest that hold `reach` rows, seen or not, and those around the next
        that hold `further` rows with them, one at least. The number is the mean dot product of the
        query with all centroids.
        """
        closeness = np.einsum("cd,d->c", self.centroids, query)
        order = np.argsort(-closeness, kind="stable")
        held = np.cumsum(self._sizes[order])
        inner, both = np.searchsorted(held, [reach, reach + further]) + 1
        ring = np.zeros(len(self._sizes), dtype=np.uint8)
        ring[order[: max(both, inner + 1)]] = 2
        ring[order[:inner]] = 1
        of_row = ring.take(self._cell)  # [N]
        rows = np.flatnonzero((of_row > 0) & seen)
        within = of_row[rows] == 1
        return rows[within], rows[~within], float(closeness.mean())

"""Short bit strings that tell how far apart two entries are, for thousands of pairs at once."""

import math

import numpy as np
from numpy.typing import NDArray

BITS = 512
WORDS = BITS // 64
ALONE = 8.0
"""The squared distance to the nearest entry where there is none: the largest of two unit pairs."""


class Sketches:
    """The signs of random projections of each entry's features, and the nearest of them.

    Two directions at an angle theta differ in a share theta / pi of the signs (Charikar 2002,
    "Similarity estimation techniques from rounding algorithms"). The projections are a randomised
    Hadamard transform (Ailon and Chazelle 2006), which needs no matrix. Bits are counted exactly,
    so that what is nearest does not depend on where an entry lies. `seed` draws the projections of
    features of `numbers` numbers.
    """

    def __init__(self, numbers: int, *, seed: int) -> None:
        exponent = max(BITS.bit_length() - 1, (numbers - 1).bit_length())
        rows, columns = 1 << exponent // 2, 1 << exponent - exponent // 2
        rng = np.random.default_rng(seed)
        signs = np.array([-1.0, 1.0], dtype=np.float32)
        self._flips = rng.choice(signs, size=(2, rows, columns))
        self._left, self._right = _hadamard(rows), _hadamard(columns)
        self._chosen = np.sort(rng.choice(rows * columns, size=BITS, replace=False))
        self._words = np.zeros((WORDS, 0), dtype=np.uint64)
        self._ids = np.full(0, -1, dtype=np.int64)
        self._noted = np.zeros(0, dtype=np.uint16)
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        cosines = np.cos(math.pi * np.arange(BITS + 1) / BITS)
        self._squares = 4.0 * (1.0 - cosines)

    def of(self, key: NDArray[np.float16], visual: NDArray[np.float16]) -> bytes:
        """Return the sketch of an entry, `BITS / 8` bytes."""
        features = np.zeros(self._flips[0].size, dtype=np.float32)
        features[: len(key)] = key
        features[len(key) : len(key) + len(visual)] = visual
        mixed = features.reshape(self._flips[0].shape)
        for flips in self._flips:
            mixed = self._left @ (mixed * flips) @ self._right
        return np.packbits(mixed.reshape(-1)[self._chosen] > 0).tobytes()

    def add(self, entry_id: int, sketch: bytes, *, rarity: float) -> None:
        """Put in the sketch of an entry with the squared distance to what is nearest to it."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._words[:, row] = np.frombuffer(sketch, dtype=np.uint64)
        self._ids[row] = entry_id
        self._row_of[entry_id] = row
        self.note(entry_id, rarity=rarity)

    def fill(self, entry_ids: list[int], sketches: list[bytes], rarities: list[float]) -> None:
        """Put in many entries at once, where there are none yet."""
        count = len(entry_ids)
        self._words = (
            np.frombuffer(b"".join(sketches), dtype=np.uint64).reshape(count, WORDS).T.copy()
        )
        self._ids = np.array(entry_ids, dtype=np.int64)
        self._noted = np.searchsorted(self._squares, rarities).astype(np.uint16)
        self._row_of = dict(zip(entry_ids, range(count), strict=True))

    def remove(self, entry_id: int) -> None:
        """Take an entry out."""
        row = self._row_of.pop(entry_id)
        self._ids[row] = -1
        self._free.append(row)

    def note(self, entry_id: int, *, rarity: float) -> None:
        """Set the squared distance to what is nearest to an entry."""
        self._noted[self._row_of[entry_id]] = np.searchsorted(self._squares, rarity)

    def look(self, sketch: bytes, *, without: tuple[int, ...]) -> tuple[float, dict[int, float]]:
        """Return how far the nearest entry is, and to which entries this is nearer than was noted.

        Both as |k - k'|^2 + |v - v'|^2, the latter by their ids. The entries `without` are passed
        over; `ALONE` stands for none.
        """
        words = np.frombuffer(sketch, dtype=np.uint64)[:, None]
        apart = np.bitwise_count(self._words ^ words).sum(axis=0, dtype=np.uint16)  # [N]
        apart[self._ids < 0] = BITS
        for entry_id in without:
            if entry_id in self._row_of:
                apart[self._row_of[entry_id]] = BITS
        nearer = np.flatnonzero(apart < self._noted)
        nearest = float(self._squares[apart.min(initial=BITS)])
        distances = self._squares[apart[nearer]]
        return nearest, dict(zip(self._ids[nearer].tolist(), distances.tolist(), strict=True))

    def _grow(self) -> None:
        old = len(self._ids)
        more = max(64, old // 4)
        fresh = np.zeros((WORDS, more), dtype=np.uint64)
        self._words = np.concatenate([self._words, fresh], axis=1)
        self._ids = np.append(self._ids, np.full(more, -1, dtype=np.int64))
        self._noted = np.append(self._noted, np.zeros(more, dtype=np.uint16))
        self._free = list(range(old + more - 1, old - 1, -1))


def _hadamard(size: int) -> NDArray[np.float32]:
    """Return Sylvester's matrix `[size, size]` of signs; `size` is a power of two.

    That of a product of sizes is the Kronecker product of both, so that a long vector, laid out as
    a matrix, is transformed by one small matrix on each side.
    """
    matrix = np.ones((1, 1), dtype=np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix

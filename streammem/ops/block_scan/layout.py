"""How a grid of tokens is cut into tiles that are scanned apart."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of `height` x `width` tokens.

    A tile's sequence is its own tokens of frame 0, row by row, then those of frame 1, and so on.
    Tiles are numbered row by row. One tile as large as the grid makes a plain Mamba-2 scan.
    """

    height: int
    width: int

    def counts(self, rows: int, columns: int) -> tuple[int, int]:
        """Return how many tiles stand under and beside one another in a grid.

        Raises ValueError where the tiles do not divide it.
        """
        if _divides(self.height, rows) and _divides(self.width, columns):
            return rows // self.height, columns // self.width
        raise ValueError(
            f"tiles of {self.height} x {self.width} do not divide a grid of {rows} x {columns}; "
            f"choose a height of {_divisors(rows)} and a width of {_divisors(columns)}"
        )

    def sequences(self, tokens: Tensor) -> Tensor:
        """Return tokens `[batch, frames, rows, columns, ...]` as `[batch * tiles, length, ...]`."""
        batch, frames, rows, columns, *rest = tokens.shape
        down, across = self.counts(rows, columns)
        cut = tokens.reshape(batch, frames, down, self.height, across, self.width, *rest)
        cut = cut.movedim((2, 4), (1, 2))
        return cut.reshape(batch * down * across, frames * self.height * self.width, *rest)

    def grid(self, sequences: Tensor, shape: torch.Size) -> Tensor:
        """Undo `sequences`: `shape` begins with `[batch, frames, rows, columns]`."""
        batch, frames, rows, columns = shape[:4]
        down, across = self.counts(rows, columns)
        rest = sequences.shape[2:]
        cut = sequences.reshape(batch, down, across, frames, self.height, self.width, *rest)
        return cut.movedim((1, 2), (2, 4)).reshape(batch, frames, rows, columns, *rest)


def _divides(part: int, whole: int) -> bool:
    return part > 0 and whole % part == 0


def _divisors(whole: int) -> str:
    return ", ".join(str(part) for part in range(1, whole + 1) if whole % part == 0)

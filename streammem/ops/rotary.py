"""Rotary positions on a grid of tokens in time, exact however long a stream runs."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """Cosine and sine of each pair's angle, `[..., tokens, 1, pairs]` float32."""

    cos: Tensor
    sin: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Return queries or keys `x [..., tokens, heads, headdim]`, turned, in their dtype.

        Channel j is turned together with channel j + pairs; those from 2 * pairs on stay as they
        are. Raises ValueError where the head has too few.
        """
        pairs = self.cos.shape[-1]
        if x.shape[-1] < 2 * pairs:
            raise ValueError(
                f"the rotary turns {2 * pairs} channels, but the head has {x.shape[-1]}; "
                "give its axes fewer"
            )
        first, second, rest = x.split([pairs, pairs, x.shape[-1] - 2 * pairs], dim=-1)
        turned = (first * self.cos - second * self.sin, second * self.cos + first * self.sin)
        return torch.cat([part.to(x.dtype) for part in turned] + [rest], dim=-1)


@dataclass(frozen=True, slots=True)
class AxialRotary:
    """How many channels of a head tell the time, the row and the column of a token.

    Rows and columns turn by `grid_base ** (-j / pairs)` radians a step. Time turns by whole turns
    in `period_frames`, from about a radian a frame down to one turn a period. So a frame's number
    is taken modulo the period in integers: nothing grows or is rounded away with the length of a
    stream, and attention depends on the offset of two frames alone. Keys are turned once, when they
    are made, and cached so. Offsets that differ by a whole period look alike: choose a period of a
    few windows.

    RoPE, arXiv 2104.09864; split by axes as in arXiv 2403.13298, section 3.2.
    Raises ValueError for a number of channels that is not even, and a period below 8 frames.
    """

    time: int = 0
    rows: int = 0
    columns: int = 0
    period_frames: int = 256
    grid_base: float = 100.0

    def __post_init__(self) -> None:
        for axis in ("time", "rows", "columns"):
            channels = getattr(self, axis)
            if channels < 0 or channels % 2:
                raise ValueError(f"{axis} must be an even number of channels, got {channels}")
        if self.period_frames < 8:
            raise ValueError(f"period_frames must be 8 or more, got {self.period_frames}")

    @property
    def channels(self) -> int:
        """How many channels of a head are turned: its first."""
        return self.time + self.rows + self.columns

    def turns(self, frames: Tensor, *, rows: int, columns: int) -> Turns:
        """Return the turns of a grid of `rows` x `columns` tokens at the times `frames`.

        `frames [...]` int64 counts the frames of a stream from any origin; the result
        `[..., rows * columns, 1, channels / 2]` is on its device.
        """
        device = frames.device
        row, column = torch.meshgrid(
            torch.arange(rows, dtype=torch.float32, device=device),
            torch.arange(columns, dtype=torch.float32, device=device),
            indexing="ij",
        )
        whole = torch.tensor(self._turns_a_period(), dtype=torch.int64, device=device)
        # Both factors are below the period, so the product is exact and its remainder too.
        steps = (frames % self.period_frames)[..., None] * whole % self.period_frames
        in_time = steps.to(torch.float32) * (2 * math.pi / self.period_frames)
        on_grid = torch.cat(
            [
                place.flatten()[:, None] * self._radians_a_step(channels, device)
                for place, channels in ((row, self.rows), (column, self.columns))
            ],
            dim=-1,
        )  # [tokens, pairs of rows and columns]
        shape = (*frames.shape, rows * columns)
        angles = torch.cat(
            [
                in_time[..., None, :].expand(*shape, -1),
                on_grid.expand(*shape, -1),
            ],
            dim=-1,
        )[..., None, :]
        return Turns(angles.cos(), angles.sin())

    def _turns_a_period(self) -> list[int]:
        """Return for each pair of time how often it turns in a period: a geometric series."""
        pairs = self.time // 2
        fastest = self.period_frames / (2 * math.pi)
        return [round(fastest ** (1 - j / max(1, pairs - 1))) for j in range(pairs)]

    def _radians_a_step(self, channels: int, device: torch.device) -> Tensor:
        pairs = channels // 2
        step = torch.arange(pairs, dtype=torch.float32, device=device) / max(1, pairs)
        return torch.pow(self.grid_base, -step)

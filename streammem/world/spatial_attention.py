"""Attention within a frame."""

import torch
from torch import Tensor
from torch.nn import functional

from streammem.world.heads import Heads
from streammem.world.local_mixer import quarters
from streammem.world.module import WorldModule, configured


class SpatialAttention(WorldModule):
    """Mixes each token with those of its own frame; it remembers nothing, so its state is None.

    A quarter of each head's channels tells the row and a quarter the column.
    `grid` is `(height, width)` in tokens.
    """

    @configured
    def __init__(self, channels: int, *, grid: tuple[int, int], heads: int) -> None:
        super().__init__()
        self.rows, self.columns = grid
        self.projection = Heads(channels, heads)
        self.rotary = quarters(self.projection.headdim, in_time=False)

    def init_state(self, batch: int) -> None:
        """Return the state of `batch` streams."""

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Return y like `x [batch, frames, height, width, channels]`, and None."""
        tokens = x.flatten(2, 3).flatten(0, 1)  # [batch * frames, tokens, channels]
        turns = self.rotary.turns(
            torch.zeros((), dtype=torch.int64, device=x.device),
            rows=self.rows,
            columns=self.columns,
        )
        y = functional.scaled_dot_product_attention(
            turns.apply(self.projection.queries(tokens)).transpose(1, 2),
            turns.apply(self.projection.keys(tokens)).transpose(1, 2),
            self.projection.values(tokens).transpose(1, 2),
        )
        return self.projection(y.transpose(1, 2)).view_as(x), state

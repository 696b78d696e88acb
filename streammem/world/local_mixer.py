"""The short memory of a layer: attention from a frame to the last frames before it."""

import torch
from torch import Tensor

from streammem.ops.local_attention import LocalCache, local_attention
from streammem.ops.rotary import AxialRotary
from streammem.world.heads import Heads
from streammem.world.module import WorldModule, configured, working_dtype


class LocalAttentionMixer(WorldModule):
    """Mixes each token with those of its own frame and of the `window_frames` before it.

    Half of each head's channels tell the time, a quarter the row and a quarter the column.
    `grid` is `(height, width)` in tokens.
    """

    @configured
    def __init__(
        self, channels: int, *, grid: tuple[int, int], heads: int, window_frames: int
    ) -> None:
        super().__init__()
        self.rows, self.columns = grid
        self.window_frames = window_frames
        self.projection = Heads(channels, heads)
        self.rotary = quarters(self.projection.headdim, in_time=True)

    def init_state(self, batch: int) -> LocalCache:
        """Return the state of `batch` streams that have seen nothing."""
        weight = self.projection.key.weight
        tokens = self.rows * self.columns
        shape = (batch, 1, tokens, self.projection.heads, self.projection.headdim)
        frame = weight.new_zeros(shape, dtype=working_dtype(weight))
        return LocalCache.empty(frame, self.window_frames)

    def forward(
        self, x: Tensor, state: LocalCache, *, reset: Tensor | None = None, keep: bool = True
    ) -> tuple[Tensor, LocalCache]:
        """Return y like `x [batch, frames, height, width, channels]`, and the state after it.

        With `keep=False` the frames are seen by one another but the state stays as it was.
        `reset [batch, frames]` bool marks where another clip begins.
        """
        tokens = x.flatten(2, 3)
        numbers = state.frames + torch.arange(x.shape[1], device=x.device)
        turns = self.rotary.turns(numbers, rows=self.rows, columns=self.columns)
        y, state = local_attention(
            turns.apply(self.projection.queries(tokens)),
            turns.apply(self.projection.keys(tokens)),
            self.projection.values(tokens),
            window_frames=self.window_frames,
            cache=state,
            append=keep,
            reset=reset,
        )
        return self.projection(y).view_as(x), state


def quarters(headdim: int, *, in_time: bool) -> AxialRotary:
    """Return rotary positions on a quarter of the channels for rows and for columns each."""
    quarter = headdim // 8 * 2
    return AxialRotary(time=2 * quarter if in_time else 0, rows=quarter, columns=quarter)

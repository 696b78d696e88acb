"""The memory of places of a layer: attention from a frame to views that were retrieved for it."""

import torch
from torch import Tensor, nn

from streammem.ops.memory_attention import Memory, memory_attention
from streammem.ops.rotary import Turns
from streammem.world.heads import Heads
from streammem.world.local_mixer import quarters
from streammem.world.module import WorldModule, configured


class MemoryMixer(WorldModule):
    """Mixes each token with those of remembered views, by the relative poses of the cameras.

    The first half of each head's channels tells the row and the column of a token, the second half
    is carried from a view's frame to the camera's (`Views.seen_from`). How long ago a view was seen
    counts by a slope that each head learns. Without views the output is 0.

    A layer's state is the memory it reads: it is given for each frame and handed back unchanged.
    `grid` is `(height, width)` in tokens.
    """

    @configured
    def __init__(self, channels: int, *, grid: tuple[int, int], heads: int) -> None:
        super().__init__()
        self.rows, self.columns = grid
        self.projection = Heads(channels, heads)
        headdim = self.projection.headdim
        if headdim % 8:
            raise ValueError(f"channels for each head must be a multiple of 8, got {headdim}")
        self.rotary = quarters(headdim, in_time=False)
        self.pose_channels = headdim // 2
        self.age_slope = nn.Parameter(torch.zeros(heads))

    def init_state(self, batch: int) -> None:
        """Return the memory of `batch` streams that have no views."""

    def project(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `[..., tokens, heads, headdim]` of `[..., tokens, channels]`.

        They depend on nothing but the view: project it once and keep them, in a `ViewCache`.
        """
        keys = self._turns(views.device).apply(self.projection.keys(views))
        return keys, self.projection.values(views)

    def forward(
        self, x: Tensor, state: Memory | None = None, *, ages_s: Tensor | None = None
    ) -> tuple[Tensor, Memory | None]:
        """Return y like `x [batch, frames, height, width, channels]`, and `state`.

        `state` holds the views of each frame as its camera sees them, with keys and values
        `[batch, frames, views, tokens, heads, headdim]`. `ages_s [batch, frames, views]` says how
        many seconds ago each was seen; None counts all alike.
        """
        if state is None or state.keys.shape[-4] == 0:
            return torch.zeros_like(x), state
        queries = self._turns(x.device).apply(self.projection.queries(x.flatten(2, 3)))
        bias = None
        if ages_s is not None:
            bias = self.age_slope[:, None] * torch.log1p(ages_s)[..., None, :].to(x.dtype)
        found = memory_attention(queries, state, bias=bias)
        return self.projection(found).view_as(x), state

    def _turns(self, device: torch.device) -> Turns:
        still = torch.zeros((), dtype=torch.int64, device=device)
        return self.rotary.turns(still, rows=self.rows, columns=self.columns)

"""The long memory of a layer: Mamba-2 whose scan runs over time in each tile of the frame."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammem.ops.block_scan import Tiles, block_scan
from streammem.world.module import WorldModule, configured, working_dtype

_A_RANGE = (1.0, 16.0)


@dataclass(frozen=True, slots=True, eq=False)
class ScanState:
    """What a stream leaves behind, of constant size.

    `scan [batch, tiles, heads, state, headdim]` is float32; `tail [batch, conv_frames - 1, height,
    width, channels]` holds the last inputs of the convolution.
    """

    scan: Tensor
    tail: Tensor


class BlockScanMixer(WorldModule):
    """Mixes each token with all that its tile has seen (arXiv 2505.20171, section 4.1).

    The layer is Mamba-2's (arXiv 2405.21060): projection, causal convolution, scan, gated RMS
    norm, projection. The convolution runs over the last `conv_frames` frames of the token's own
    place, for in a grid the neighbour in time is not the neighbour in the sequence. On a grid of
    one token the layer is Mamba-2 itself.

    `grid` and `tile` are `(height, width)` in tokens; `step_range` bounds the first step sizes dt.
    """

    @configured
    def __init__(
        self,
        channels: int,
        *,
        grid: tuple[int, int],
        tile: tuple[int, int],
        expand: int = 2,
        headdim: int = 64,
        state_size: int = 64,
        groups: int = 1,
        conv_frames: int = 4,
        step_range: tuple[float, float] = (1e-3, 1e-1),
    ) -> None:
        super().__init__()
        self.grid, self.headdim, self.state_size, self.groups = grid, headdim, state_size, groups
        self.layout = Tiles(*tile)
        self.tiles = math.prod(self.layout.counts(*grid))
        self.inner = expand * channels
        if self.inner % headdim:
            raise ValueError(f"headdim must divide {self.inner} channels, got {headdim}")
        self.heads = self.inner // headdim
        self.convolved = self.inner + 2 * groups * state_size
        self.project_in = nn.Linear(channels, self.inner + self.convolved + self.heads, bias=False)
        bound = conv_frames**-0.5
        self.conv_weight = nn.Parameter(torch.empty(conv_frames, self.convolved))
        self.conv_bias = nn.Parameter(torch.empty(self.convolved))
        nn.init.uniform_(self.conv_weight, -bound, bound)
        nn.init.uniform_(self.conv_bias, -bound, bound)
        self.log_decay = nn.Parameter(torch.empty(self.heads).uniform_(*_A_RANGE).log_())
        low, high = map(math.log, step_range)
        step = torch.empty(self.heads).uniform_(low, high).exp_().clamp_min_(1e-4)
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm_weight = nn.Parameter(torch.ones(self.inner))
        self.project_out = nn.Linear(self.inner, channels, bias=False)

    def init_state(self, batch: int) -> ScanState:
        """Return the state of `batch` streams that have seen nothing."""
        weight = self.conv_weight
        scan = torch.zeros(
            batch, self.tiles, self.heads, self.state_size, self.headdim, device=weight.device
        )
        shape = (batch, len(weight) - 1, *self.grid, self.convolved)
        tail = weight.new_zeros(shape, dtype=working_dtype(weight))
        return ScanState(scan, tail)

    def forward(
        self, x: Tensor, state: ScanState, *, reset: Tensor | None = None
    ) -> tuple[Tensor, ScanState]:
        """Return y like `x [batch, frames, height, width, channels]`, and the state after it.

        `state` is left as it was. `reset [batch, frames]` bool marks where another clip begins.
        """
        gate, inputs, step = self.project_in(x).split(
            [self.inner, self.convolved, self.heads], dim=-1
        )
        padded = torch.cat([state.tail, inputs], dim=1)
        mixed = functional.silu(self._convolve(padded, reset))
        sizes = [self.inner, *[self.groups * self.state_size] * 2]
        values, B, C = mixed.split(sizes, dim=-1)
        y, scan = block_scan(
            values.unflatten(-1, (self.heads, -1)),
            functional.softplus(step.float() + self.step_bias.float()),
            -self.log_decay.float().exp(),
            B.unflatten(-1, (self.groups, -1)),
            C.unflatten(-1, (self.groups, -1)),
            self.skip.float(),
            layout=self.layout,
            initial_state=state.scan,
            reset=reset,
        )
        tail = padded[:, padded.shape[1] - state.tail.shape[1] :].clone()
        return self.project_out(self._norm(y.flatten(-2), gate)), ScanState(scan, tail)

    def _convolve(self, padded: Tensor, reset: Tensor | None) -> Tensor:
        """Return the causal convolution over frames of `padded`, which begins with the tail."""
        taps = len(self.conv_weight)
        frames = padded.shape[1] - taps + 1
        clips = None
        if reset is not None:
            clips = functional.pad(reset.cumsum(1), (taps - 1, 0))[..., None, None, None]
        y = self.conv_bias.expand_as(padded[:, :frames])
        for tap, weight in enumerate(self.conv_weight):
            seen = padded[:, tap : tap + frames]
            if clips is not None:
                seen = seen * (clips[:, tap : tap + frames] == clips[:, taps - 1 :])
            y = torch.addcmul(y, seen, weight)
        return y

    def _norm(self, y: Tensor, gate: Tensor) -> Tensor:
        """Return the RMS norm of the gated `y`, over the channels of each group."""
        gated = (y * functional.silu(gate)).unflatten(-1, (self.groups, -1))
        normed = functional.rms_norm(gated, gated.shape[-1:], eps=1e-5).flatten(-2)
        return normed * self.norm_weight

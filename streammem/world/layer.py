"""One layer of the world model: short memory, long memory, memory of places, and a perceptron."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammem.ops.local_attention import LocalCache
from streammem.ops.memory_attention import Memory
from streammem.world.local_mixer import LocalAttentionMixer
from streammem.world.memory_mixer import MemoryMixer
from streammem.world.scan_mixer import BlockScanMixer, ScanState

PARTS = 4
"""Local attention, scan, memory attention, perceptron: each has a shift, a scale and a gate."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerState:
    """What a layer carries from frame to frame."""

    local: LocalCache | None
    scan: ScanState | None


class WorldLayer(nn.Module):
    """Mixes the tokens of frames with the last frames, with all of the past, and with places.

    Local attention sees the frame itself too, so that no attention within the frame is needed
    beside it. Each part is added to the tokens through a gate that the noise level and the action
    set (adaptive layer norm, arXiv 2212.09748, with one projection for all layers as in arXiv
    2310.00426). A part that is None is left out: that is how the baselines are made.
    """

    def __init__(
        self,
        channels: int,
        *,
        local: LocalAttentionMixer | None,
        scan: BlockScanMixer | None,
        memory: MemoryMixer | None,
    ) -> None:
        super().__init__()
        self.local, self.scan, self.memory = local, scan, memory
        self.perceptron = nn.Sequential(
            nn.Linear(channels, 4 * channels),
            nn.GELU(approximate="tanh"),
            nn.Linear(4 * channels, channels),
        )
        self.modulation = nn.Parameter(torch.zeros(3 * PARTS, channels))

    def init_state(self, batch: int) -> LayerState:
        """Return the state of `batch` streams that have seen nothing."""
        return LayerState(
            None if self.local is None else self.local.init_state(batch),
            None if self.scan is None else self.scan.init_state(batch),
        )

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        state: LayerState,
        *,
        memory: Memory | None,
        ages_s: Tensor | None,
        reset: Tensor | None,
        keep: bool,
    ) -> tuple[Tensor, LayerState]:
        """Return tokens like `x [batch, frames, height, width, channels]`, and the state after.

        `condition [batch, frames, 3 * PARTS, channels]`. With `keep=False` the state stays as it
        was.
        """
        parts = (condition + self.modulation)[:, :, None, None].unbind(dim=4)
        local, scan = state.local, state.scan
        if self.local is not None and local is not None:
            y, local = self.local(_modulated(x, *parts[0:2]), local, reset=reset, keep=keep)
            x = torch.addcmul(x, y, parts[2])
        if self.scan is not None and scan is not None:
            y, after = self.scan(_modulated(x, *parts[3:5]), scan, reset=reset)
            x = torch.addcmul(x, y, parts[5])
            scan = after if keep else scan
        if self.memory is not None and memory is not None:
            y, _ = self.memory(_modulated(x, *parts[6:8]), memory, ages_s=ages_s)
            x = torch.addcmul(x, y, parts[8])
        y = self.perceptron(_modulated(x, *parts[9:11]))
        return torch.addcmul(x, y, parts[11]), LayerState(local, scan)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return the layer norm of `x`, shifted and scaled by its frame's condition."""
    normed = functional.layer_norm(x, x.shape[-1:])
    return torch.addcmul(shift, normed, 1 + scale)

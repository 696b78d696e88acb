"""Queries, keys and values of the attention layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Heads(nn.Module):
    """Projects tokens to queries, keys and values of several heads, and their outputs back.

    Queries and keys are RMS-normalised, which keeps the logits in bounds (arXiv 2302.05442).
    Raises ValueError where the heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"heads must divide {channels} channels, got {heads}")
        self.heads = heads
        self.headdim = channels // heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.query_scale = nn.Parameter(torch.ones(self.headdim))
        self.key_scale = nn.Parameter(torch.ones(self.headdim))
        self.out = nn.Linear(channels, channels, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        """Return `x [..., channels]` as `[..., heads, headdim]`."""
        return self._normed(self.query(x), self.query_scale)

    def keys(self, x: Tensor) -> Tensor:
        """Return `x [..., channels]` as `[..., heads, headdim]`."""
        return self._normed(self.key(x), self.key_scale)

    def values(self, x: Tensor) -> Tensor:
        """Return `x [..., channels]` as `[..., heads, headdim]`."""
        values: Tensor = self.value(x).unflatten(-1, (self.heads, self.headdim))
        return values

    def forward(self, y: Tensor) -> Tensor:
        """Return what the heads found `[..., heads, headdim]` as `[..., channels]`."""
        found: Tensor = self.out(y.flatten(-2))
        return found

    def _normed(self, x: Tensor, scale: Tensor) -> Tensor:
        heads = x.unflatten(-1, (self.heads, self.headdim))
        return functional.rms_norm(heads, (self.headdim,), scale.to(x.dtype), eps=1e-6)

"""What a frame is drawn by besides the past: noise level, action, and where the camera is."""

import math

import torch
from torch import Tensor, nn


class FrameCondition(nn.Module):
    """Turns each frame's noise level and action into one vector `[batch, frames, channels]`."""

    def __init__(self, channels: int, actions: int) -> None:
        super().__init__()
        self.level = nn.Sequential(
            nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.action = nn.Embedding(actions, channels)
        self.channels = channels

    def forward(self, level: Tensor, action: Tensor) -> Tensor:
        """Return the vectors for `level [batch, frames]` in 0..1 and `action [batch, frames]`."""
        half = self.channels // 2
        powers = torch.arange(half, device=level.device, dtype=torch.float32) / half
        angles = level.float()[..., None] * 1000 * torch.exp(-math.log(10_000) * powers)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        vectors: Tensor = self.level(waves.to(self.action.weight.dtype)) + self.action(action)
        return vectors


class RayEmbedding(nn.Module):
    """Turns the Plücker rays of a frame's tokens into channels (arXiv 2504.12369, section 3.3)."""

    def __init__(self, channels: int, unit_m: float) -> None:
        super().__init__()
        self.unit_m = unit_m
        self.mix = nn.Sequential(nn.Linear(6, channels), nn.SiLU(), nn.Linear(channels, channels))

    def forward(self, rays: Tensor) -> Tensor:
        """Return channels for `rays [..., 6]`: unit direction, and moment in metres."""
        direction, moment = rays.split(3, dim=-1)
        scaled = torch.cat([direction, moment / self.unit_m], dim=-1)
        embedded: Tensor = self.mix(scaled.to(next(self.mix.parameters()).dtype))
        return embedded

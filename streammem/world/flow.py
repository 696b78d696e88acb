"""Diffusion along straight lines: how noise comes in, what training asks, how a frame is drawn.

A frame at noise level l is (1 - l) x + l n. The model estimates x; the loss is that of the
velocity n - x (rectified flow, arXiv 2209.03003; a network that predicts the picture, arXiv
2511.13720). Each frame of a clip has a level of its own (diffusion forcing, arXiv 2407.01392).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SURE_LEVEL = 0.02
"""The level that a finished frame is said to have: nothing is added, small errors may be there."""

_LEAST_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """How noise levels are drawn for clips.

    With `prefix_share` a clip begins with finished frames, at least half of it (arXiv 2505.20171,
    section 4.3). Levels are the logistic of a normal number around `middle`.
    """

    prefix_share: float = 0.5
    middle: float = 0.4
    spread: float = 1.2

    def draw(self, clips: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return levels `[clips, frames]`, and which frames are finished."""
        levels = torch.randn(clips, frames, generator=generator) * self.spread + self.middle
        levels = levels.sigmoid()
        begins = torch.rand(clips, 1, generator=generator) < self.prefix_share
        length = torch.randint(frames // 2, frames, (clips, 1), generator=generator)
        finished = begins & (torch.arange(frames) < length)
        return levels.masked_fill(finished, SURE_LEVEL), finished


def mix(planes: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Return `planes [clips, frames, H, W, PLANES]` at noise levels `[clips, frames]`."""
    share = level[:, :, None, None, None]
    return torch.lerp(planes, noise, share)


def velocity_loss(drawn: Tensor, planes: Tensor, level: Tensor, finished: Tensor) -> Tensor:
    """Return the mean squared error of the velocity, over the frames that are not finished."""
    error = (drawn - planes).square().mean((2, 3, 4)) / level.clamp_min(_LEAST_LEVEL).square()
    asked = (~finished).to(error.dtype)
    return (error * asked).sum() / asked.sum().clamp_min(1)


def levels_down(steps: int, *, shift: float = 1.0) -> list[float]:
    """Return the levels at which a frame is estimated, from 1 down to the last above 0, then 0.

    A `shift` above 1 spends more steps on high levels (arXiv 2403.03206, section 5.3.2).
    """
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, got {steps}")
    even = [1 - step / steps for step in range(steps)]
    return [*(shift * level / (1 + (shift - 1) * level) for level in even), 0.0]


def euler(noisy: Tensor, estimate: Tensor, level: float, after: float) -> Tensor:
    """Return the frame at level `after`, along the straight line through the estimate."""
    return torch.lerp(estimate, noisy, after / level)

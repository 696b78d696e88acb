"""How the next frame is drawn: from noise in a few steps, then taken into the model's state."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from streammem.ops.memory_attention import Memory
from streammem.world.flow import SURE_LEVEL, euler
from streammem.world.transformer import WorldState, WorldTransformer


@torch.inference_mode()
def draw_frame(
    model: WorldTransformer,
    state: WorldState,
    *,
    action: Tensor,
    rays: Tensor,
    noise: Tensor,
    levels: Sequence[float],
    memory: list[Memory] | None = None,
    ages_s: Tensor | None = None,
) -> tuple[Tensor, Tensor, WorldState]:
    """Return the frame's planes like `noise [batch, 1, H, W, PLANES]`, its summary, and the state.

    `levels` falls from 1 to 0 (`levels_down`); each but the last costs one evaluation, and taking
    the finished frame into the state one more. The rest is as `WorldTransformer.forward` has it.
    Equal noise gives equal frames.
    """
    planes = noise
    for level, after in itertools.pairwise(levels):
        draft = model(
            planes,
            torch.full_like(noise[:, :, 0, 0, 0], level),
            action,
            rays,
            state,
            memory=memory,
            ages_s=ages_s,
            keep=False,
        )
        planes = euler(planes, draft.planes.to(noise.dtype).clamp(-1, 1), level, after)
    return (planes, *take_in(model, state, planes, action, rays, memory=memory, ages_s=ages_s))


@torch.inference_mode()
def take_in(
    model: WorldTransformer,
    state: WorldState,
    planes: Tensor,
    action: Tensor,
    rays: Tensor,
    *,
    memory: list[Memory] | None = None,
    ages_s: Tensor | None = None,
) -> tuple[Tensor, WorldState]:
    """Return the summaries `[batch, frames, channels]` of finished frames, and the state after."""
    level = torch.full_like(planes[:, :, 0, 0, 0], SURE_LEVEL)
    seen = model(planes, level, action, rays, state, memory=memory, ages_s=ages_s)
    return seen.hidden, seen.state

"""The world model: a diffusion transformer that draws frames from what it remembers of the past."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammem.ops.memory_attention import Memory
from streammem.world.conditioning import FrameCondition, RayEmbedding
from streammem.world.layer import PARTS, LayerState, WorldLayer
from streammem.world.local_mixer import LocalAttentionMixer
from streammem.world.memory_mixer import MemoryMixer
from streammem.world.module import WorldModule, configured
from streammem.world.planes import PLANES
from streammem.world.scan_mixer import BlockScanMixer


@dataclass(frozen=True, slots=True, eq=False)
class WorldState:
    """All that the model carries from frame to frame, of constant size."""

    layers: tuple[LayerState, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What the model says of frames: `planes [batch, frames, height, width, PLANES]` without noise.

    `hidden [batch, frames, channels]` sums up each frame, for `WorldTransformer.motion`.
    """

    planes: Tensor
    hidden: Tensor
    state: WorldState


class WorldTransformer(WorldModule):
    """Estimates frames without noise from noisy ones, the past, and views that were retrieved.

    A frame of `size` pixels squared is cut into patches of `patch`; each is one token. The layers
    take the tiles of `tiles` in turn for their scans: small tiles remember longer, large ones mix
    more (arXiv 2505.20171, section 4.1). With 0 for `window_frames`, no `tiles`, or
    `use_memory=False` that part is left out of every layer.
    """

    @configured
    def __init__(
        self,
        *,
        size: int = 64,
        patch: int = 8,
        channels: int = 256,
        layers: int = 6,
        heads: int = 4,
        window_frames: int = 8,
        tiles: tuple[int, ...] = (1, 2, 4),
        headdim: int = 64,
        state_size: int = 64,
        use_memory: bool = True,
        actions: int = 6,
        unit_m: float = 4.0,
    ) -> None:
        super().__init__()
        if size % patch:
            raise ValueError(f"patch must divide a frame of {size} pixels, got {patch}")
        side = size // patch
        self.patch, self.unit_m = patch, unit_m
        values = PLANES * patch * patch
        self.embed = nn.Linear(values, channels)
        self.embed_view = nn.Linear(values, channels)
        self.rays = RayEmbedding(channels, unit_m)
        self.condition = FrameCondition(channels, actions)
        self.modulate = nn.Linear(channels, 3 * PARTS * channels)
        self.stack = nn.ModuleList(
            WorldLayer(
                channels,
                local=LocalAttentionMixer(
                    channels, grid=(side, side), heads=heads, window_frames=window_frames
                )
                if window_frames
                else None,
                scan=BlockScanMixer(
                    channels,
                    grid=(side, side),
                    tile=(tiles[index % len(tiles)],) * 2,
                    expand=1,
                    headdim=headdim,
                    state_size=state_size,
                )
                if tiles
                else None,
                memory=MemoryMixer(channels, grid=(side, side), heads=heads)
                if use_memory
                else None,
            )
            for index in range(layers)
        )
        self.modulate_out = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, values)
        self.motion_head = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, 6)
        )
        for start_at_nothing in (self.modulate, self.modulate_out, self.out):
            nn.init.zeros_(start_at_nothing.weight)
            nn.init.zeros_(start_at_nothing.bias)

    def init_state(self, batch: int) -> WorldState:
        """Return the state of `batch` streams that have seen nothing."""
        return WorldState(tuple(layer.init_state(batch) for layer in self._layers()))

    @property
    def pose_channels(self) -> int:
        """How many channels of a head's keys are carried by poses: see `Views.seen_from`."""
        memory = self._layers()[0].memory
        return 0 if memory is None else memory.pose_channels

    def project_views(self, planes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each layer's keys and values of views `[..., height, width, PLANES]`.

        They are `[..., tokens, heads, headdim]` and depend on nothing else: see `ViewCache`.
        """
        tokens = functional.layer_norm(
            self.embed_view(self._patches(planes)), (self.embed_view.out_features,)
        ).flatten(-3, -2)
        return [
            layer.memory.project(tokens) for layer in self._layers() if layer.memory is not None
        ]

    def forward(
        self,
        noisy: Tensor,
        level: Tensor,
        action: Tensor,
        rays: Tensor,
        state: WorldState,
        *,
        memory: list[Memory] | None = None,
        ages_s: Tensor | None = None,
        reset: Tensor | None = None,
        keep: bool = True,
    ) -> Drawn:
        """Return what `noisy [batch, frames, height, width, PLANES]` shows, without the noise.

        `level [batch, frames]` is how much of each frame is noise, 0 to 1; `action [batch, frames]`
        the number of the action that led to it; `rays [batch, frames, rows, columns, 6]` the
        Plücker rays of its tokens. `memory` holds each layer's views of the frames, `ages_s
        [batch, frames, views]` how long ago they were seen, `reset [batch, frames]` marks where
        another clip begins. With `keep=False` the state stays as it was: the frames are a draft.
        """
        x = self.embed(self._patches(noisy)) + self.rays(rays)
        condition = self.condition(level, action)
        shared = self.modulate(functional.silu(condition)).unflatten(-1, (3 * PARTS, -1))
        states = []
        for index, layer in enumerate(self._layers()):
            x, after = layer(
                x,
                shared,
                state.layers[index],
                memory=None if memory is None else memory[index],
                ages_s=ages_s,
                reset=reset,
                keep=keep,
            )
            states.append(after)
        shift, scale = self.modulate_out(functional.silu(condition))[:, :, None, None].chunk(2, -1)
        x = functional.layer_norm(x, x.shape[-1:])
        planes = self._picture(self.out(torch.addcmul(shift, x, 1 + scale)))
        return Drawn(planes, x.mean((2, 3)), WorldState(tuple(states)))

    def motion(self, hidden: Tensor, action: Tensor) -> Tensor:
        """Return how the camera moves by `action [...]` after frames with `hidden [..., channels]`.

        `[..., 6]`: metres right, down and forward, then the rotation vector in radians, both in the
        frame of the camera before the move.
        """
        moved: Tensor = self.motion_head(torch.cat([hidden, self.condition.action(action)], dim=-1))
        return moved

    def _layers(self) -> list[WorldLayer]:
        return cast(list[WorldLayer], list(self.stack))

    def _patches(self, planes: Tensor) -> Tensor:
        """Return `[..., height, width, PLANES]` as `[..., rows, columns, values]`."""
        cut = planes.unflatten(-3, (-1, self.patch)).unflatten(-2, (-1, self.patch))
        patches: Tensor = cut.transpose(-4, -3).flatten(-3)
        return patches.to(self.embed.weight.dtype)

    def _picture(self, patches: Tensor) -> Tensor:
        """Undo `_patches`."""
        cut = patches.unflatten(-1, (self.patch, self.patch, PLANES)).transpose(-4, -3)
        picture: Tensor = cut.flatten(-3, -2).flatten(-4, -3)
        return picture

"""Remembered views: as they were stored, and as one camera sees them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from streammem.ops.memory_attention.poses import carry, relative_pose


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Keys and values of views in the frame of the camera that asks.

    `keys` and `values [..., views, tokens, heads, headdim]`; `valid [..., views]` bool says which
    slots hold a view, None: all. What an invalid slot holds is never seen.
    """

    keys: Tensor
    values: Tensor
    valid: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Keys and values of views, each in the frame of the camera that took it.

    Nothing in them depends on who asks, so a view is projected once and kept. As in `Memory`, with
    `camera_to_world [..., views, 4, 4]` float64 beside them: OpenCV axes, metres.
    """

    keys: Tensor
    values: Tensor
    camera_to_world: Tensor
    valid: Tensor | None = None

    def seen_from(
        self, camera_to_world: Tensor, *, pose_channels: int, unit_m: float = 1.0
    ) -> Memory:
        """Return the views as a camera at `camera_to_world [..., 4, 4]` float64 sees them.

        The last `pose_channels` of each head's keys and values are read as vectors (x, y, z, w) and
        carried from the view's frame to the camera's: attention then depends on relative poses
        alone, wherever the world's origin is. This is rho(g_i g_j^-1) of GTA, arXiv 2310.10375,
        section 3.2, which queries and outputs need no part of. One call serves every step at which
        a frame is evaluated. `unit_m` is the distance that counts as 1.

        Raises ValueError where shapes do not fit or poses are not float64.
        """
        _check(self, camera_to_world, pose_channels=pose_channels, unit_m=unit_m)
        relative = relative_pose(camera_to_world, self.camera_to_world, unit_m=unit_m)
        if self.valid is not None:
            relative = torch.where(
                self.valid.to(relative.device)[..., None, None], relative, torch.eye(4).to(relative)
            )
        wide = torch.float64 if self.keys.dtype == torch.float64 else torch.float32
        relative = relative.to(self.keys.device, wide)
        keys, values = (
            carry(tokens, relative, channels=pose_channels) for tokens in (self.keys, self.values)
        )
        return Memory(keys, values, self.valid)


def _check(views: Views, viewer: Tensor, *, pose_channels: int, unit_m: float) -> None:
    *slots, _, _, headdim = views.keys.shape
    if not 0 <= pose_channels <= headdim or pose_channels % 4:
        raise ValueError(
            f"pose_channels must be a multiple of 4 up to the head's {headdim}, got {pose_channels}"
        )
    if unit_m <= 0:
        raise ValueError(f"unit_m must be above 0, got {unit_m}")
    expected = (
        ("the views' poses", views.camera_to_world, [*slots, 4, 4]),
        ("the camera's pose", viewer, [*slots[:-1], 4, 4]),
    )
    for name, pose, shape in expected:
        if list(pose.shape) != shape or pose.dtype != torch.float64:
            raise ValueError(
                f"{name} must be float64 {shape}: float32 cannot tell millimetres ten kilometres "
                f"from the origin; got {pose.dtype} {list(pose.shape)}"
            )

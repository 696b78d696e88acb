"""Frames as the model draws them: colours and nearness, all in -1..1."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streammem.records import Image

PLANES: Final = 4
"""Red, green, blue, nearness."""

_FADE_M: Final = 4.0
"""The distance at which a place is 1/e as near as one at the lens: near walls count most."""

_SKY_M: Final = 40.0


def to_planes(rgb: Image, depth_m: NDArray[np.floating]) -> Tensor:
    """Return `rgb [..., H, W, 3]` and z-depth `[..., H, W]` as float32 `[..., H, W, PLANES]`.

    Where the depth is NaN, as in the sky, there is nothing near.
    """
    colours = torch.from_numpy(rgb).to(torch.float32).div_(127.5).sub_(1)
    depth = torch.from_numpy(depth_m.astype(np.float32, copy=False))
    near = depth.nan_to_num(torch.inf).div(-_FADE_M).exp_().mul_(2).sub_(1)
    return torch.cat([colours, near[..., None]], dim=-1)


def from_planes(planes: Tensor) -> tuple[Image, NDArray[np.float32]]:
    """Undo `to_planes`; depth beyond 40 m is NaN."""
    planes = planes.detach().to("cpu", torch.float32).clamp(-1, 1)
    rgb = planes[..., :3].add(1).mul_(127.5).round_().to(torch.uint8)
    depth = planes[..., 3].add(1).div_(2).log_().mul_(-_FADE_M)
    depth = depth.masked_fill(depth > _SKY_M, torch.nan)
    return rgb.numpy(), depth.numpy()

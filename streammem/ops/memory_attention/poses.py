"""Relative poses of cameras, and vectors carried from one camera's frame to another's."""

import torch
from torch import Tensor


def relative_pose(viewer: Tensor, views: Tensor, *, unit_m: float) -> Tensor:
    """Return what takes a point of each view's camera to the viewer's: `[..., views, 4, 4]`.

    `viewer [..., 4, 4]` and `views [..., views, 4, 4]` are camera-to-world in metres, float64; the
    result's translation is in units of `unit_m` metres. Places are subtracted before anything is
    turned, so that two cameras ten kilometres from the origin keep a nanometre between them.
    """
    to_viewer = viewer[..., None, :3, :3].mT
    turn = to_viewer @ views[..., :3, :3]
    move = to_viewer @ (views[..., :3, 3:] - viewer[..., None, :3, 3:]) / unit_m
    last = views.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*turn.shape[:-2], 1, 4)
    return torch.cat([torch.cat([turn, move], dim=-1), last], dim=-2)


def carry(tokens: Tensor, poses: Tensor, *, channels: int) -> Tensor:
    """Return `tokens [..., tokens, heads, headdim]` with the last `channels` carried by `poses`.

    Each four of those channels are one homogeneous vector, multiplied by `poses [..., 4, 4]`: all
    at once, by the block diagonal matrix of a pose, since products of four columns are slow.
    """
    kept = tokens.shape[-1] - channels
    vectors = tokens[..., kept:].to(poses.dtype)
    blocks = torch.eye(channels // 4).to(poses)[:, None, :, None] * poses[..., None, :, None, :]
    matrix = blocks.flatten(-4, -3).flatten(-2, -1)  # [..., channels, channels]
    carried = (vectors.flatten(-3, -2) @ matrix.mT).view(vectors.shape)
    return torch.cat([tokens[..., :kept], carried.to(tokens.dtype)], dim=-1)

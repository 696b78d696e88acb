"""Clips of recorded walks to train on, with views of the same places from earlier in the walk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streammem import camera
from streammem.world.episodes import Episode
from streammem.world.motion import motion_between
from streammem.world.planes import to_planes

_DRAWS = 16
"""A target is sampled by this many points to a side."""


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """What clips are like.

    `views` earlier pictures serve `segment` frames together; they end `gap` frames before those,
    where the local window does not reach. Of the segments a share has no views, and one has views
    of a wrong place.
    """

    frames: int = 32
    views: int = 4
    segment: int = 8
    gap: int = 8
    none_share: float = 0.15
    wrong_share: float = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """A batch: see `WorldTransformer.forward` for what is not said here.

    `planes [clips, frames, H, W, PLANES]`, `action [clips, frames]`, `rays [clips, frames, rows,
    columns, 6]` from the first frame of each clip, `motion [clips, frames, 6]` from each frame to
    the next, `pose [clips, frames, 4, 4]` float64. Of each segment: `view_planes [clips, segments,
    views, H, W, PLANES]`, `view_pose`, `view_age_s [clips, segments, views]`, and whether a view is
    there, `view_valid`.
    """

    planes: Tensor
    action: Tensor
    rays: Tensor
    motion: Tensor
    pose: Tensor
    view_planes: Tensor
    view_pose: Tensor
    view_age_s: Tensor
    view_valid: Tensor


def draw_clips(
    walks: Sequence[Episode], plan: ClipPlan, *, clips: int, cell_px: int, rng: np.random.Generator
) -> Clips:
    """Return `clips` clips from anywhere in `walks`, all of one size; tokens are `cell_px` wide."""
    drawn = [_clip(walks[int(rng.integers(len(walks)))], plan, cell_px, rng) for _ in range(clips)]
    return Clips(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))


def _clip(
    walk: Episode, plan: ClipPlan, cell_px: int, rng: np.random.Generator
) -> tuple[Tensor, ...]:
    count, rows, columns = walk.depth_m.shape
    if count <= plan.frames:
        raise ValueError(f"a walk must have more than {plan.frames} frames, got {count}")
    start = int(rng.integers(count - plan.frames))
    span = slice(start, start + plan.frames)
    pose = walk.pose[start : start + plan.frames + 1].astype(np.float64)
    rays = camera.rays(
        intrinsics=camera.resized(
            walk.intrinsics, width_ratio=1 / cell_px, height_ratio=1 / cell_px
        ),
        camera_to_world=camera.relative(pose[0], pose[:-1]),
        height_px=rows // cell_px,
        width_px=columns // cell_px,
    )
    chosen = np.stack(
        [_views(walk, plan, start + first, rng) for first in range(0, plan.frames, plan.segment)]
    )  # [segments, views], -1 where none is
    seen = np.maximum(chosen, 0)
    middle = start + np.arange(0, plan.frames, plan.segment)[:, None] + plan.segment // 2
    return (
        to_planes(walk.rgb[span], walk.depth_m[span]),
        torch.from_numpy(walk.action[span].astype(np.int64)),
        torch.from_numpy(rays.astype(np.float32)),
        torch.from_numpy(motion_between(pose[:-1], pose[1:]).astype(np.float32)),
        torch.from_numpy(pose[:-1]),
        to_planes(walk.rgb[seen], walk.depth_m[seen]),
        torch.from_numpy(walk.pose[seen].astype(np.float64)),
        torch.from_numpy(((middle - seen) / float(walk.fps)).astype(np.float32)),
        torch.from_numpy(chosen >= 0),
    )


def _views(
    walk: Episode, plan: ClipPlan, first: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the numbers of the views for the segment that begins at `first`, -1 for none."""
    nothing = np.full(plan.views, -1)
    known = first - plan.gap
    luck = rng.random()
    if known <= 0 or luck < plan.none_share:
        return nothing
    if luck < plan.none_share + plan.wrong_share:
        return rng.integers(known, size=plan.views)
    stride = int(rng.integers(2, 6))
    candidates = np.arange(int(rng.integers(stride)) % known, known, stride)
    target = min(first + plan.segment // 2, len(walk.pose) - 1)
    covers = covered(walk, target=target, candidates=candidates)
    nothing[:] = -1
    left = np.ones(covers.shape[1], dtype=bool)
    for slot in range(plan.views):
        gains = (covers & left).sum(1)
        best = int(gains.argmax())
        if gains[best] == 0:
            left[:] = True
            gains = covers.sum(1)
            best = int(gains.argmax())
            if gains[best] == 0:
                break
        nothing[slot] = candidates[best]
        left &= ~covers[best]
        covers[best] = False
    return nothing


def covered(walk: Episode, *, target: int, candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which surface points of frame `target` each candidate saw, `[candidates, points]`."""
    _, rows, columns = walk.depth_m.shape
    y = np.linspace(0, rows - 1, _DRAWS).astype(int)
    x = np.linspace(0, columns - 1, _DRAWS).astype(int)
    points = camera.unproject(
        walk.depth_m[target].astype(np.float64),
        intrinsics=walk.intrinsics,
        camera_to_world=walk.pose[target].astype(np.float64),
    )[y[:, None], x].reshape(-1, 3)
    points = points[~np.isnan(points[:, 2])]
    seen = walk.pose[candidates].astype(np.float32)
    pixels, reached = camera.project(
        points.astype(np.float32),
        intrinsics=walk.intrinsics.astype(np.float32),
        camera_to_world=seen,
    )
    column, row = np.nan_to_num(pixels, nan=-1).astype(np.int64).transpose(2, 0, 1)
    inside = (reached > 0.1) & (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    number = np.broadcast_to(candidates[:, None], inside.shape)
    there = walk.depth_m[number, row.clip(0, rows - 1), column.clip(0, columns - 1)]
    return np.asarray(inside & (np.abs(there - reached) < 0.1 + 0.05 * reached))

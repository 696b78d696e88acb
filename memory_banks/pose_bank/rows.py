"""A row of the columns, made of a view as it comes."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Row
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.records import Floats
from memory_banks.pose_bank.settings import SAMPLES, PoseBankConfig
from memory_banks.pose_bank.sight import transform
from streammem.errors import UsageError
from streammem.records import Pose


def quasi_random(count: int, dims: int) -> NDArray[np.float64]:
    """Return `[count, dims]` in 0..1 that fill the unit cube evenly, each prefix of them too.

    Point n is frac(1/2 + n a), a = (1/g, 1/g^2, ...), with g the positive root of
    g^(dims + 1) = g + 1 (M. Roberts, The Unreasonable Effectiveness of Quasirandom Sequences).
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dims + 1))
    steps = root ** -np.arange(1.0, dims + 1)
    return (0.5 + np.arange(1, count + 1)[:, None] * steps) % 1.0


ONE_SURFACE = 1.5
"""Depths at neighbouring pixels in a larger ratio than this are of different things."""

_TRIES = quasi_random(16 * SAMPLES, 3)


def nearness_of(depth_m: NDArray[np.floating] | None, *, side: int) -> NDArray[np.float16]:
    """Return 1 / depth `[side, side]` as it is at the middles of the cells, 0 where unknown.

    It is interpolated between the four pixels around a middle where they belong to one surface,
    and else that of the nearest pixel. Depth that is not a number above 0 is unknown.
    """
    if depth_m is None:
        return np.zeros((side, side), np.float16)
    if depth_m.ndim != 2 or depth_m.size == 0:
        raise UsageError(f"depth is [h, w] in metres, got {list(depth_m.shape)}")
    known = np.isfinite(depth_m) & (depth_m > 0)
    nearness = np.divide(1, depth_m, out=np.zeros(depth_m.shape), where=known)
    (top, down), (left, right) = (_around(length, side) for length in depth_m.shape)
    four = np.stack([nearness[np.ix_(row, column)] for row in top for column in left])
    shares = np.stack([row[:, None] * column for row in down for column in right])
    nearest = np.take_along_axis(four, shares.argmax(axis=0)[None], axis=0)[0]
    alike = four.max(axis=0) <= ONE_SURFACE * four.min(axis=0)
    return np.asarray(np.where(alike, (four * shares).sum(axis=0), nearest), np.float16)


def _around(length: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the pixels before and after the middles of `side` cells, and their shares."""
    at = np.clip((np.arange(side) + 0.5) / side * length - 0.5, 0, length - 1)
    first = np.minimum(at.astype(np.intp), max(0, length - 2))
    share = at - first
    return np.stack([first, np.minimum(first + 1, length - 1)]), np.stack([1 - share, share])


def row_of(
    pose: Pose,
    frustum: Frustum,
    nearness: NDArray[np.float16],
    *,
    view_id: int,
    payload_id: int,
    size_px: tuple[int, int],
    time_s: float,
    pinned: bool,
    config: PoseBankConfig,
) -> Row:
    """Return the row of a view, not yet counted against others."""
    samples = _samples(nearness, frustum, config)
    known = nearness[nearness > 0]
    far_m = config.range_m if known.size == 0 else 1 / float(known.min())
    far_m = far_m * (1 + config.relative_tolerance) + config.absolute_tolerance_m
    middle = (samples.min(axis=0) + samples.max(axis=0)) / 2
    away = samples - middle
    return {
        "view_id": view_id,
        "payload_id": payload_id,
        "time_s": time_s,
        "pinned": pinned,
        "has_depth": known.size > 0,
        "size_px": size_px,
        "place": frustum.place,
        "rotation": np.asarray(pose.camera_to_world, np.float64)[:3, :3],
        "intrinsics": np.asarray(pose.intrinsics, np.float64),
        "matrix": frustum.matrix,
        "reach_m": far_m * frustum.corner,
        "far_m": far_m,
        "nearness": nearness,
        "samples": samples,
        "middle": middle,
        "sample_m": np.sqrt((away * away).sum(axis=1).max()),
        "others": 0,
    }


def _samples(nearness: NDArray[np.float16], frustum: Frustum, config: PoseBankConfig) -> Floats:
    """Return `[SAMPLES, 3]`: points of the surface, or of where it may be if nothing is known."""
    side = config.depth_px
    u, v, part = _TRIES.T
    if not nearness.any():
        depth = config.range_m * (1 + 3 * part) / 4
    else:
        column, row = (u * side).astype(int), (v * side).astype(int)
        known = nearness[row, column] > 0
        column, row = column[known], row[known]
        if not known.any():
            row, column = np.nonzero(nearness)
        u, v = (column + 0.5) / side, (row + 0.5) / side
        depth = 1 / nearness[row, column].astype(np.float64)
    seen = np.stack([u * depth, v * depth, depth])[:, :SAMPLES].astype(np.float32)
    return np.resize(transform(frustum.inverse, seen).T, (SAMPLES, 3))

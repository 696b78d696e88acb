"""Which points each view sees: in its picture, and not behind the depth it remembers there."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.settings import PoseBankConfig

NEAR_M = 1e-3


def transform(matrix: Floats, offsets: Floats) -> Floats:
    """Return `matrix [..., 3, 3]` times `offsets [3, ...]` as `[3, ...]`, broadcast over the rest.

    Written in products and sums of elements, whose rounding depends on no shape, thread or
    machine, as that of a matrix product does: what was counted once is counted off the same.
    """
    x, y, z = offsets
    shape = np.broadcast_shapes(matrix.shape[:-2], x.shape)
    seen = np.empty((3, *shape), np.float32)
    part = np.empty(shape, np.float32)
    for row, out in enumerate(seen):
        np.multiply(matrix[..., row, 0], x, out=out)
        out += np.multiply(matrix[..., row, 1], y, out=part)
        out += np.multiply(matrix[..., row, 2], z, out=part)
    return seen


def sees_points(
    columns: Columns,
    viewers: Slots,
    points: Floats,
    *,
    origin: NDArray[np.float64],
    config: PoseBankConfig,
) -> Mask:
    """Return `[V, P]`: which of `points [P, 3]`, offsets from `origin`, `viewers [V]` see."""
    seen = _as_seen(columns, viewers, points, origin)
    return sees(columns, viewers, seen, config)


def look(
    columns: Columns, viewers: Slots, points: Floats, *, origin: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Return 1 / depth that `viewers [V]` remember towards `points [P, 3]`, and their z: `[V, P]`.

    Points that are not in the picture have NaN.
    """
    x, y, z = _as_seen(columns, viewers, points, origin)
    found = (z > NEAR_M) & (x >= 0) & (x < z) & (y >= 0) & (y < z)
    viewer, point = np.nonzero(found)
    at = z[viewer, point]
    nearness = np.full(z.shape, np.nan, np.float32)
    u, v = x[viewer, point] / at, y[viewer, point] / at
    nearness[viewer, point] = _nearness(columns, viewers[viewer], u, v)
    return nearness, z


def _as_seen(
    columns: Columns, viewers: Slots, points: Floats, origin: NDArray[np.float64]
) -> Floats:
    """Return u z, v z and z `[3, V, P]` of points as `viewers` see them."""
    matrix = columns.matrix[viewers]
    shift = (origin - columns.place[viewers]).astype(np.float32)  # [V, 3]
    seen = transform(matrix[:, None], points.T[:, None])
    seen += transform(matrix, shift.T)[:, :, None]
    return seen


def sees(columns: Columns, viewers: Slots, seen: Floats, config: PoseBankConfig) -> Mask:
    """Return `[V, P]`: whether each of `viewers [V]` sees what lies at `seen [3, V, P]`.

    `seen` is (u z, v z, z) as a view's `matrix` gives it. A point at z-depth z is seen where it
    falls in the picture, lies no further than anything the view knows, and
    z <= d (1 + relative) + absolute, with d the depth remembered there. That is interpolated in
    1 / d, which is linear in the picture on any plane.
    """
    along_x, along_y, depth = seen
    inside = depth <= columns.far_m[viewers][:, None]
    inside &= depth > NEAR_M
    inside &= along_x >= 0
    inside &= along_x < depth
    inside &= along_y >= 0
    inside &= along_y < depth
    found = np.flatnonzero(inside)
    z, u, v = (one.ravel()[found] for one in (depth, along_x, along_y))
    u /= z
    v /= z
    nearness = _nearness(columns, viewers[found // inside.shape[1]], u, v)
    z -= np.float32(config.absolute_tolerance_m)
    inside.ravel()[found] = nearness * z <= np.float32(1 + config.relative_tolerance)
    return np.asarray(inside)


def _nearness(columns: Columns, slots: Slots, u: Floats, v: Floats) -> Floats:
    """Return 1 / depth at `u, v [M]` of the views in `slots [M]`, interpolated between the grid."""
    side = columns.depth_px
    x = np.clip(u * np.float32(side) - np.float32(0.5), 0, side - 1)
    y = np.clip(v * np.float32(side) - np.float32(0.5), 0, side - 1)
    left = np.minimum(x.astype(np.intp), side - 2)
    top = np.minimum(y.astype(np.intp), side - 2)
    x -= left.astype(np.float32)
    y -= top.astype(np.float32)
    first = (slots * side + top) * side + left
    flat = columns.nearness.reshape(-1)
    upper = _between(flat[first], flat[first + 1], x)
    lower = _between(flat[first + side], flat[first + side + 1], x)
    return np.asarray(upper + (lower - upper) * y)


def _between(first: NDArray[np.float16], second: NDArray[np.float16], part: Floats) -> Floats:
    start = first.astype(np.float32)
    return np.asarray(start + (second.astype(np.float32) - start) * part)

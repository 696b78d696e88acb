"""Where the surface is that a target will show: as given, as remembered, or on any of its rays."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.rows import quasi_random
from memory_banks.pose_bank.sight import NEAR_M, transform

SIZES = (16, 8, 4, 2, 1)
"""How many cells to a side a remembered point is drawn over, the larger ones first."""

IN_FRONT = np.float32(0.85)
"""Of two depths of one cell in at least this ratio, neither hides the other."""

DRAWN_SIDE = 16
"""Points to a side that are drawn of each view's depth."""


def on_surface(depth_m: NDArray[np.floating], frustum: Frustum, *, points: int) -> Floats:
    """Return offsets `[P, 3]` of the surface at known depth, spread evenly over the picture."""
    height, width = depth_m.shape
    u, v = quasi_random(points, 2).T
    z = depth_m[(v * height).astype(int), (u * width).astype(int)]
    known = np.isfinite(z) & (z > 0)
    return _offsets(u[known], v[known], z[known], frustum)


def on_rays(frustum: Frustum, *, points: int, far_m: float) -> Floats:
    """Return offsets `[points, 3]` spread over the picture, and over depth by its logarithm."""
    u, v, part = quasi_random(points, 3).T
    return _offsets(u, v, far_m * 0.1 ** (1 - part), frustum)


def sampled(columns: Columns, viewers: Slots, frustum: Frustum, *, side: int) -> Mask:
    """Return `[V, side * side]`: in which cells of the picture each view has foremost samples."""
    away = (columns.place[viewers] - frustum.place).astype(np.float32)
    offsets = columns.samples[viewers] + away[:, None]  # [V, SAMPLES, 3]
    u, v, z, found = _inside(frustum, np.moveaxis(offsets, 2, 0).reshape(3, -1))
    cell = _cell(u, v, side)
    nearest = np.full(side * side, np.inf, np.float32)
    np.minimum.at(nearest, cell, z)
    foremost = z * IN_FRONT <= nearest[cell]
    seen = np.zeros((len(viewers), side * side), np.bool_)
    seen[found[foremost] // offsets.shape[1], cell[foremost]] = True
    return seen


def remembered(columns: Columns, viewers: Slots, frustum: Frustum, *, side: int) -> Floats:
    """Return offsets `[P, 3]` of the surface that `viewers` remember, one for each cell.

    Their depth is drawn with a z-buffer into a picture of `side` by `side` cells. A point is drawn
    as large as its part of the view it comes from looks from here, so that far things do not show
    through a wall that is remembered from further away. Cells that nothing is drawn in are left
    out.
    """
    u, v, z, sizes = _points(columns, viewers, frustum, side)
    picture = np.full((3, side, side), np.inf, np.float32)  # u, v, z
    for size in SIZES:
        cells = -(-side // size)
        large = np.flatnonzero(sizes >= 0.75 * size) if size > 1 else np.arange(len(z))
        first = _foremost(z[large], _cell(u[large], v[large], cells), cells * cells)
        drawn = np.full((3, cells * cells), np.inf, np.float32)
        drawn[:, first >= 0] = np.stack([u, v, z])[:, large[first[first >= 0]]]
        wide = np.arange(side) * cells // side
        drawn = drawn[:, wide[:, None] * cells + wide]
        over = np.isfinite(drawn[2]) & (drawn[2] * IN_FRONT <= picture[2])
        picture[:, over] = drawn[:, over]
    u, v, z = picture[:, np.isfinite(picture[2])]
    return _offsets(u, v, z, frustum)


def _points(
    columns: Columns, viewers: Slots, frustum: Frustum, side: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return u, v, z and the size in cells, each `[M]`, of the remembered points in the picture."""
    stride = max(1, columns.depth_px // DRAWN_SIDE)
    cells = np.arange(stride // 2, columns.depth_px, stride)
    nearness = columns.nearness[np.ix_(viewers, cells, cells)].astype(np.float32)
    owner, row, column = np.nonzero(nearness)
    depth = 1 / nearness[owner, row, column]
    middles = ((cells + 0.5) / columns.depth_px).astype(np.float32)
    inverses = np.linalg.inv(columns.matrix[viewers]).astype(np.float32)[owner]
    seen = np.stack([middles[column] * depth, middles[row] * depth, depth], dtype=np.float32)
    away = (columns.place[viewers] - frustum.place).astype(np.float32)[owner]
    u, v, z, found = _inside(frustum, transform(inverses, seen) + away.T)
    # The determinant of a camera's matrix is the product of its focal lengths.
    focal = np.sqrt(np.abs(np.linalg.det(columns.matrix[viewers])))[owner[found]] * len(cells)
    own_focal = np.sqrt(np.abs(np.linalg.det(frustum.matrix))) * side
    return u, v, z, depth[found] / focal * own_focal / z


def _inside(frustum: Frustum, offsets: Floats) -> tuple[Floats, Floats, Floats, Slots]:
    """Return u, v and z of those of `offsets [3, M]` that fall in the picture, and which."""
    x, y, z = transform(frustum.matrix, offsets)
    found = np.flatnonzero((z > NEAR_M) & (x >= 0) & (x < z) & (y >= 0) & (y < z))
    x, y, z = x[found], y[found], z[found]
    return x / z, y / z, z, found


def _cell(u: Floats, v: Floats, side: int) -> Slots:
    """Return the cell of places in the picture; what rounds to its far edge is in the last one."""
    row, column = (np.minimum((one * side).astype(np.intp), side - 1) for one in (v, u))
    return row * side + column


def _foremost(z: Floats, cell: Slots, cells: int) -> Slots:
    """Return for each of `cells` the index of the point with least z in it, -1 for none."""
    # The bits of floats above 0 are in the order of the floats.
    keys = (z.view(np.uint32).astype(np.uint64) << 32) | np.arange(len(z), dtype=np.uint64)
    nothing = np.iinfo(np.uint64).max
    least = np.full(cells, nothing, np.uint64)
    np.minimum.at(least, cell, keys)
    return np.where(least == nothing, -1, (least & 0xFFFFFFFF).astype(np.intp))


def _offsets(
    u: NDArray[np.floating], v: NDArray[np.floating], z: NDArray[np.floating], frustum: Frustum
) -> Floats:
    """Return `[P, 3]`: the offsets from the camera of what lies at z-depth z at `u, v` of it."""
    seen = np.stack([u * z, v * z, z]).astype(np.float32)
    return np.ascontiguousarray(transform(frustum.inverse, seen).T)

"""Where the surface is that a target will show: as given, as remembered, or on any of its rays."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import Frustum
from memory_banks.pose_bank.records import Floats, Mask, Slots
from memory_banks.pose_bank.rows import quasi_random
from memory_banks.pose_bank.sight import NEAR_M, look, transform

SIZES = (4, 2, 1)
"""How many cells to a side a remembered point is drawn over, the larger ones first."""

IN_FRONT = np.float32(0.85)
"""Of two depths of one cell in at least this ratio, neither hides the other."""

DRAWN_SIDE, VOTES_SIDE = 32, 8
"""Points to a side of each view's depth that are drawn, and that vote for what is drawn."""

CLOSE_M = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
CLOSE_SIDE = 5
"""Depths and rays of the picture at which close walls are looked for."""

ALIKE = 1.25
"""Depths that a view remembers of one close wall are in no larger ratio."""


def on_surface(depth_m: NDArray[np.floating], frustum: Frustum, *, points: int) -> Floats:
    """Return offsets `[P, 3]` of the surface at known depth, spread evenly over the picture."""
    height, width = depth_m.shape
    u, v = quasi_random(points, 2).T
    row, column = (v * height).astype(int), (u * width).astype(int)
    z = depth_m[row, column]
    known = np.isfinite(z) & (z > 0)
    return _offsets(
        ((column + 0.5) / width)[known], ((row + 0.5) / height)[known], z[known], frustum
    )


def on_rays(frustum: Frustum, *, points: int, far_m: float) -> Floats:
    """Return offsets `[points, 3]` spread over the picture, and over depth by its logarithm."""
    u, v, part = quasi_random(points, 3).T
    return _offsets(u, v, far_m * 0.1 ** (1 - part), frustum)


def votes(columns: Columns, viewers: Slots, frustum: Frustum, *, side: int) -> Mask:
    """Return `[V, side * side]`: in which cells of the picture each view remembers the foremost."""
    (u, v, z), _, owner = _points(columns, viewers, frustum, side, across=VOTES_SIDE)
    cell = _cell(u, v, side)
    nearest = np.full(side * side, np.inf, np.float32)
    np.minimum.at(nearest, cell, z)
    foremost = z * IN_FRONT <= nearest[cell]
    seen = np.zeros((len(viewers), side * side), np.bool_)
    seen[owner[foremost], cell[foremost]] = True
    return seen


def remembered(
    columns: Columns, viewers: Slots, frustum: Frustum, *, near: Slots, side: int
) -> Floats:
    """Return offsets `[P, 3]` of the surface that `viewers` remember, one for each cell.

    Their depth is drawn with a z-buffer into a picture of `side` by `side` cells. A point is drawn
    as large as its part of the view it comes from looks from here, so that far things do not show
    through a wall that is remembered from further away. Walls so close that no point remembered of
    them is in the picture are found by what views `near` say of its rays. Cells that nothing is
    drawn in are left out.
    """
    points, sizes, _ = _points(columns, viewers, frustum, side, across=DRAWN_SIDE)
    close = _close(columns, near, frustum)
    points = np.concatenate([points, close], axis=1)
    sizes = np.concatenate([sizes, np.full(close.shape[1], side / CLOSE_SIDE, np.float32)])
    u, v, z = points
    picture = np.full((3, side, side), np.inf, np.float32)  # u, v, z
    for size in SIZES:
        cells = -(-side // size)
        large = np.flatnonzero(sizes >= 0.75 * size) if size > 1 else np.arange(len(z))
        first = _foremost(z[large], _cell(u[large], v[large], cells), cells * cells)
        drawn = np.full((3, cells * cells), np.inf, np.float32)
        drawn[:, first >= 0] = points[:, large[first[first >= 0]]]
        wide = np.arange(side) * cells // side
        drawn = drawn[:, wide[:, None] * cells + wide]
        over = np.isfinite(drawn[2]) & (drawn[2] * IN_FRONT <= picture[2])
        picture[:, over] = drawn[:, over]
    u, v, z = picture[:, np.isfinite(picture[2])]
    return _offsets(u, v, z, frustum)


def _close(columns: Columns, viewers: Slots, frustum: Frustum) -> Floats:
    """Return u, v, z `[3, M]` of where rays of the picture run into a surface close by.

    That is between two depths of a ray of which a view sees the first before and the second behind
    one surface that it remembers, where more views do so than see through there.
    """
    middles = (np.arange(CLOSE_SIDE) + 0.5) / CLOSE_SIDE
    v, u = (one.ravel() for one in np.meshgrid(middles, middles, indexing="ij"))
    depths = np.array(CLOSE_M)
    rays = [np.outer(one, depths).ravel() for one in (u, v, np.ones_like(u))]
    points = transform(frustum.inverse, np.stack(rays).astype(np.float32)).T
    nearness, z = look(columns, viewers, points, origin=frustum.place)
    shape = len(viewers), len(u), len(depths)
    behind, nearness = (nearness * z - 1).reshape(shape), nearness.reshape(shape)
    before, after = behind[..., :-1], behind[..., 1:]
    lower, upper = (
        pick(nearness[..., :-1], nearness[..., 1:]) for pick in (np.minimum, np.maximum)
    )
    meets = (before <= 0) & (after > 0) & (upper <= ALIKE * lower)
    meets &= meets.sum(axis=0) > (after <= 0).sum(axis=0)
    _, ray, step = np.nonzero(meets)
    part = before[meets] / (before[meets] - after[meets])
    depth = depths[step] + part * (depths[step + 1] - depths[step])
    return np.stack([u[ray], v[ray], depth]).astype(np.float32)


def _points(
    columns: Columns, viewers: Slots, frustum: Frustum, side: int, *, across: int
) -> tuple[Floats, Floats, Slots]:
    """Return remembered points in the picture: u, v, z `[3, M]`, sizes in cells, and whose.

    At most `across` points to a side are taken of a view.
    """
    stride = max(1, columns.depth_px // across)
    cells = np.arange(stride // 2, columns.depth_px, stride)
    middles = ((cells + 0.5) / columns.depth_px).astype(np.float32)
    v, u = (one.ravel() for one in np.meshgrid(middles, middles, indexing="ij"))
    nearness = columns.nearness[np.ix_(viewers, cells, cells)].astype(np.float32)
    nearness = nearness.reshape(len(viewers), len(u))  # [V, C]
    matrices = frustum.matrix @ np.linalg.inv(columns.matrix[viewers]).astype(np.float32)
    away = (columns.place[viewers] - frustum.place).astype(np.float32)
    # All over the depth at the viewer, which leaves signs and ratios as they are.
    x, y, z = transform(matrices[:, None], np.stack([u, v, np.ones_like(u)])[:, None])
    for part, shift in zip((x, y, z), transform(frustum.matrix, away.T), strict=True):
        part += shift[:, None] * nearness
    inside = (nearness > 0) & (z > NEAR_M * nearness) & (x >= 0) & (x < z) & (y >= 0) & (y < z)
    found = np.flatnonzero(inside)
    x, y, z, nearness = (one.ravel()[found] for one in (x, y, z, nearness))
    # The determinant of a camera's matrix is the product of its focal lengths.
    focal = np.sqrt(np.abs(np.linalg.det(columns.matrix[viewers]))) * len(cells)
    own_focal = np.sqrt(np.abs(np.linalg.det(frustum.matrix))) * side
    owner = found // len(u)
    return np.stack([x / z, y / z, z / nearness]), own_focal / (focal[owner] * z), owner


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

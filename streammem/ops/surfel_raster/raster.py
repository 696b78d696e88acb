"""A z-buffer of discs, every pair of disc and pixel at once.

The picture of a disc is an ellipse. Its bounding box is exact: the planes through the camera that
touch the disc, as for the splats of 2D Gaussian Splatting (arXiv 2403.17888). Each pixel in it is
paired with the disc, the ray is met with the disc's plane, and what lies within the radius goes
into the buffer. A key packs what is compared, most important first, into one integer, so that
scattering the least key settles each pixel, and ties, in any order.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A numpy array or a torch tensor."""

NEAREST_M = 1e-3
"""What is nearer to the camera's plane is not seen."""

PAIRS_AT_ONCE = 1 << 20
_BITS = 31
_LOW = (1 << _BITS) - 1
_NOTHING = (1 << 63) - 1
_GRAZING = 1e-6
_MARGIN_PX = 1e-3


def draw(
    centres: Array,
    normals: Array,
    radii: Array,
    ranks: Array,
    *,
    intrinsics: NDArray[np.float64],
    height_px: int,
    width_px: int,
    band_m: float,
    kit: Any,
) -> tuple[Array, Array]:
    """Draw as `surfel_raster` says, with the `kit` of the kind of arrays that these are."""
    (fx, _, cx), (_, fy, cy), _ = intrinsics.tolist()
    x, y, z = (kit.column(centres, axis) for axis in range(3))
    nx, ny, nz = (kit.column(normals, axis) for axis in range(3))
    left, right = _bounds((x, y, z), (nx, ny, nz), radii, (fx, cx, width_px), kit)
    top, bottom = _bounds((y, x, z), (ny, nx, nz), radii, (fy, cy, height_px), kit)
    ahead = z + radii * (1 - nz * nz).clip(0) ** 0.5 > NEAREST_M
    discs = kit.where(ahead & (left < right) & (top < bottom))
    left, top = kit.whole(left[discs]), kit.whole(top[discs])
    wide, high = kit.whole(right[discs]) - left, kit.whole(bottom[discs]) - top

    nearest = kit.full(height_px * width_px, _NOTHING, radii)
    found = []
    for part in _chunks(wide * high, kit):
        of, row, column = _pairs(part, left, top, wide, high, kit)
        disc, ray_x, ray_y = discs[of], kit.rays(column, cx, fx), kit.rays(row, cy, fy)
        px, py, pz, ax, ay, az = (of_disc[disc] for of_disc in (x, y, z, nx, ny, nz))
        slope = ax * ray_x + ay * ray_y + az
        slope = kit.pick(abs(slope) < _GRAZING, _GRAZING, slope)
        depth = (ax * px + ay * py + az * pz) / slope
        away = (depth * ray_x - px) ** 2 + (depth * ray_y - py) ** 2 + (depth - pz) ** 2
        hit = kit.where((away <= (radii * radii)[disc]) & (depth > NEAREST_M))
        pixel, disc, depth = (row * width_px + column)[hit], disc[hit], depth[hit]
        rank = kit.whole(ranks[disc])
        kit.lower(nearest, pixel, (rank << _BITS) | kit.bits(depth))
        choice = (kit.whole(slope[hit] > 0) << 2 * _BITS) | (kit.bits(away[hit]) << _BITS) | disc
        found.append(_in_band((pixel, rank, depth, choice), nearest, band_m, kit))

    surfel = kit.full(height_px * width_px, -1, radii)
    depth_m = kit.single(surfel) * np.nan
    if found:
        every = tuple(kit.join(list(parts)) for parts in zip(*found, strict=True))
        pixel, _, depth, choice = _in_band(every, nearest, band_m, kit)
        best = kit.full(height_px * width_px, _NOTHING, radii)
        kit.lower(best, pixel, choice)
        won = kit.where(choice == best[pixel])
        surfel[pixel[won]] = choice[won] & _LOW
        depth_m[pixel[won]] = depth[won]
    return surfel.reshape(height_px, width_px), depth_m.reshape(height_px, width_px)


def _bounds(
    centre: tuple[Array, Array, Array],
    normal: tuple[Array, Array, Array],
    radius: Array,
    lens: tuple[float, float, int],
    kit: Any,
) -> tuple[Array, Array]:
    """Return the first pixel that each disc reaches on one axis, and the first that it does not.

    With s in pixels from the middle, the plane through the camera at s has the normal
    m = (f, 0, -s) and touches the disc where (m c)^2 = r^2 (|m|^2 - (m n)^2), a quadratic
    A s^2 - 2 B s + C = 0 with B^2 - A C = f^2 D, in which no large terms cancel. A disc that
    crosses the camera's plane, A < 0, has no bound on the side where it does. `centre` and
    `normal` name this axis, the other and depth; `lens` is (f, middle, size) in pixels.
    """
    (x, _, z), (nx, ny, nz), (focal, middle, size) = centre, normal, lens
    square = radius * radius
    a = z * z - square * (1 - nz * nz)
    b = x * z + square * nx * nz
    inner = (1 - nx * nx) * z * z + (1 - nz * nz) * x * x + 2 * x * z * nx * nz
    half = radius * (inner - square * ny * ny).clip(0) ** 0.5
    sideways = radius * (1 - nx * nx).clip(0) ** 0.5
    touching = abs(a) <= 1e-6 * square
    crossing = (a < 0) | touching
    a = kit.pick(touching, 1.0, a)
    first = kit.ceil(focal * (b - half) / a + (middle - 0.5 - _MARGIN_PX)).clip(0, size)
    stop = kit.ceil(focal * (b + half) / a + (middle - 0.5 + _MARGIN_PX)).clip(0, size)
    first = kit.pick(touching | (crossing & (x <= sideways)), 0.0, first)
    stop = kit.pick(touching | (crossing & (x >= -sideways)), float(size), stop)
    return first, stop


def _chunks(pairs: Array, kit: Any) -> Iterator[Array]:
    """Yield the discs in parts that make about `PAIRS_AT_ONCE` pairs each."""
    if not len(pairs):
        return
    chunk = (pairs.cumsum(0) - pairs) // PAIRS_AT_ONCE
    last = int(chunk[-1])
    for number in range(last + 1):
        yield kit.where(chunk == number)


def _pairs(
    part: Array, left: Array, top: Array, wide: Array, high: Array, kit: Any
) -> tuple[Array, Array, Array]:
    """Return disc, row and column of each pixel in the boxes of `part` of the discs."""
    many = (wide * high)[part]
    of = kit.repeat(part, many)
    nth = kit.count_up(len(of), many) - kit.repeat(many.cumsum(0) - many, many)
    width = wide[of]
    down = nth // width
    return of, top[of] + down, left[of] + nth - down * width


def _in_band(
    found: tuple[Array, ...], nearest: Array, band_m: float, kit: Any
) -> tuple[Array, ...]:
    """Return those of (pixel, rank, depth, ...) that are of the first surface, as far as known."""
    pixel, rank, depth = found[:3]
    first = nearest[pixel]
    kept = kit.where((rank == first >> _BITS) & (depth <= kit.floats(first & _LOW) + band_m))
    return tuple(part[kept] for part in found)

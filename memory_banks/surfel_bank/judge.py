"""Which surfels a frame confirms, and which it sees through."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Floats, Mask, Rows, Table
from memory_banks.surfel_bank.look import Look
from memory_banks.surfel_bank.settings import SurfelBankConfig
from streammem.records import Pose

NEAREST_M = 1e-2


COARSEST = 4.0
"""Radii of a surfel that a pixel may see across and still speak against it."""


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Rows of surfels: `seen [S]` at `pixels [S]`, seen `through`, and `missed`."""

    seen: Rows
    pixels: Rows
    through: Rows
    missed: Rows


def in_camera(points: Floats, pose: Pose) -> Floats:
    """Return `points [N, 3]` of the world in the frame of a camera."""
    placed = np.asarray(pose.camera_to_world)
    return np.asarray((points - placed[:3, 3]) @ placed[:3, :3], dtype=np.float32)


def turned(normals: Floats, pose: Pose) -> Floats:
    """Return directions `[N, 3]` of the world in the frame of a camera."""
    return normals @ np.asarray(pose.camera_to_world)[:3, :3].astype(np.float32)


def judge(surfels: Table, look: Look, config: SurfelBankConfig) -> Verdict:
    """Return what `look` says of each surfel in its picture.

    A surfel is seen where it lies on the plane of the surface that its pixel shows, faces the
    camera and agrees with the surface's normal. It is seen through where every pixel around shows
    something clearly behind it, or nothing at all: so the edge of a thing is not taken for its
    absence. It is missed where it faces the camera, but none of the pixels around shows it or
    anything that could hide it. What lies behind the surface is hidden, and nothing is said of it;
    and a look from so far that the surfel could fall between pixels says nothing against it.
    """
    seen_at = in_camera(surfels["position"], look.pose)
    x, y, z = seen_at.T
    ahead = np.flatnonzero(z > NEAREST_M)
    (fx, _, cx), (_, fy, cy), _ = np.asarray(look.pose.intrinsics).tolist()
    column = np.floor(x[ahead] / z[ahead] * np.float32(fx) + np.float32(cx))
    row = np.floor(y[ahead] / z[ahead] * np.float32(fy) + np.float32(cy))
    inside = (column >= 0) & (column < look.width_px) & (row >= 0) & (row < look.height_px)
    rows = ahead[inside]
    pixels = (row[inside] * look.width_px + column[inside]).astype(np.int64)

    offset = seen_at[rows]
    depth, shown = offset[:, 2], look.depth_m[pixels]
    tolerance = config.voxel_m + config.depth_noise * depth
    near = depth <= COARSEST * min(fx, fy) * surfels["radius"][rows]
    clear = (look.nearest_m[pixels] > depth + tolerance) & ~np.isnan(shown)

    own = turned(surfels["normal"][rows], look.pose)
    facing = look.solid[pixels] & ~clear & (_dots(own, offset) < 0)
    seen = facing & _is_on(look, pixels, offset, own, tolerance, config)
    missed = np.flatnonzero(facing & ~seen & near)
    for down, right in np.ndindex(3, 3):
        beside = _neighbour(pixels[missed], look, down - 1, right - 1)
        hidden = depth[missed] > look.depth_m[beside] + tolerance[missed]
        found = _is_on(look, beside, offset[missed], own[missed], tolerance[missed], config)
        missed = missed[~(hidden | found)]
    return Verdict(rows[seen], pixels[seen], rows[clear & near], rows[missed])


def _is_on(
    look: Look,
    pixels: Rows,
    offset: Floats,
    normals: Floats,
    tolerance: Floats,
    config: SurfelBankConfig,
) -> Mask:
    """Return which surfels lie on the planes that `pixels [N]` show, and face as they do.

    Places and normals are in the camera's frame; a pixel that shows no surface has no plane.
    """
    surface = look.camera_normals[pixels]
    off_plane = np.abs(_dots(surface, offset - look.camera_points[pixels]))
    return (off_plane <= tolerance) & (_dots(surface, normals) >= config.same_normal)


def _neighbour(pixels: Rows, look: Look, down: int, right: int) -> Rows:
    """Return the pixels so far beside others; those at the edge stay in the picture."""
    row = np.clip(pixels // look.width_px + down, 0, look.height_px - 1)
    column = np.clip(pixels % look.width_px + right, 0, look.width_px - 1)
    return np.asarray(row * look.width_px + column)


def _dots(first: Floats, second: Floats) -> NDArray[np.float32]:
    """Return the products of rows `[N, 3]`."""
    return np.asarray(np.einsum("nd,nd->n", first, second))

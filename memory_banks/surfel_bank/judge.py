"""Which surfels a frame confirms, and which it sees through."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Floats, Rows, Table
from memory_banks.surfel_bank.look import Look
from memory_banks.surfel_bank.settings import SurfelBankConfig
from streammem.records import Pose

NEAREST_M = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """Rows of surfels that were `seen [S]`, at which `pixels [S]`, and those seen `through`."""

    seen: Rows
    pixels: Rows
    through: Rows


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
    absence. What lies behind the surface is hidden, and nothing is said of it.
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
    tolerance = config.voxel_m + config.depth_noise * offset[:, 2]
    clear = look.nearest_m[pixels] > offset[:, 2] + tolerance
    through = clear & ~np.isnan(look.depth_m[pixels])

    solid = look.solid[pixels] & ~through
    rows_on, pixels_on, offset = rows[solid], pixels[solid], offset[solid]
    surface = look.camera_normals[pixels_on]
    own = turned(surfels["normal"][rows_on], look.pose)
    off_plane = np.abs(_dots(surface, offset - look.camera_points[pixels_on]))
    agrees = (_dots(surface, own) >= config.same_normal) & (_dots(own, offset) < 0)
    seen = agrees & (off_plane <= tolerance[solid])
    return Verdict(rows_on[seen], pixels_on[seen], rows[through])


def _dots(first: Floats, second: Floats) -> NDArray[np.float32]:
    """Return the products of rows `[N, 3]`."""
    return np.asarray(np.einsum("nd,nd->n", first, second))

"""What a surfel bank shows at a pose."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Floats, Mask, Table
from memory_banks.surfel_bank.judge import in_camera, turned
from streammem.camera import check_pose
from streammem.ops.surfel_raster import surfel_raster
from streammem.records import Image, Pose


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What is remembered of the place that a camera at `pose` would see.

    `known [H, W]` marks pixels at which the side of a surface is seen that was seen before. Only
    there `rgb` is not black, `depth_m` (z-depth) not NaN, `surfel` (its row) not -1, and `cosine`,
    of the angle between ray and normal, not 0. `settled` marks those that were seen at two times.
    A surface met from behind hides what is beyond it, and what it looks like is not known.
    """

    pose: Pose
    rgb: Image
    depth_m: Floats
    known: Mask
    settled: Mask
    surfel: NDArray[np.int64]
    cosine: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Discs:
    """Surfels in a camera's frame, as `surfel_raster` takes them: float32, and `ranks` 0 or 1."""

    centres: Floats
    normals: Floats
    radii: Floats
    ranks: NDArray[np.int64]


def settled(surfels: Table, *, settle_s: float) -> Mask:
    """Return which surfels `[N]` were seen over so long a time that they are taken to stay."""
    return np.asarray(surfels["last_s"] - surfels["first_s"] >= settle_s)


def discs_of(surfels: Table, pose: Pose, *, settle_s: float) -> Discs:
    """Return the surfels as a camera at `pose` has them before it; what is not settled has rank 1.

    So a thing that passes in front of what is settled is not drawn, but a place seen once is.
    """
    check_pose(pose)
    return Discs(
        in_camera(surfels["position"], pose),
        turned(surfels["normal"], pose),
        surfels["radius"],
        (~settled(surfels, settle_s=settle_s)).astype(np.int64),
    )


def draw(
    surfels: Table, pose: Pose, *, height_px: int, width_px: int, settle_s: float, band_m: float
) -> Drawing:
    """Draw surfels as a camera at `pose` would see them."""
    discs = discs_of(surfels, pose, settle_s=settle_s)
    intrinsics = np.asarray(pose.intrinsics, np.float64)
    surfel, depth_m = surfel_raster(
        discs.centres,
        discs.normals,
        discs.radii,
        discs.ranks,
        intrinsics=intrinsics,
        height_px=height_px,
        width_px=width_px,
        band_m=band_m,
    )
    rows, columns = np.nonzero(surfel >= 0)
    found = surfel[rows, columns]
    rays = np.ones((len(found), 3), dtype=np.float32)
    rays[:, 0] = (columns + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    rays[:, 1] = (rows + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    facing = -np.einsum("nd,nd->n", discs.normals[found], rays)
    cosine = np.zeros(surfel.shape, dtype=np.float32)
    cosine[rows, columns] = facing / np.sqrt(np.einsum("nd,nd->n", rays, rays))
    known = cosine > 0
    rgb = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    rgb[known] = np.rint(surfels["colour"][surfel[known]])
    stays = np.zeros(known.shape, dtype=np.bool_)
    stays[known] = discs.ranks[surfel[known]] == 0
    return Drawing(
        pose=pose,
        rgb=rgb,
        depth_m=np.where(known, depth_m, np.float32(np.nan)),
        known=known,
        settled=stays,
        surfel=np.where(known, surfel, -1),
        cosine=np.where(known, cosine, np.float32(0)),
    )

"""What a camera sees, as the bank computes with it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from memory_banks.pose_bank.records import Floats
from streammem.camera import check_pose
from streammem.errors import UsageError
from streammem.records import Pose


@dataclass(frozen=True, slots=True, eq=False)
class Frustum:
    """A camera at `place [3]`, float64, with the `matrix [3, 3]` of `Columns` and its inverse.

    `corner` is how much longer the way to the furthest corner of the picture is than its z-depth.
    """

    place: NDArray[np.float64]
    matrix: Floats
    inverse: Floats
    corner: float


def frustum_of(pose: Pose, *, width_px: int, height_px: int) -> Frustum:
    """Return the frustum of a camera with a picture of this size, or refuse what is none.

    Written in elements, like `transform`: a reopened bank has to compute the same to the last bit.
    """
    check_pose(pose)
    if min(width_px, height_px) < 1:
        raise UsageError(f"a picture has at least 1 x 1 pixels, got {width_px} x {height_px}")
    placed = np.asarray(pose.camera_to_world, np.float64)
    right, down, forward = placed[:3, :3].T
    (focal_x, _, middle_x), (_, focal_y, middle_y), _ = np.asarray(pose.intrinsics, np.float64)
    focal_x, middle_x = focal_x / width_px, middle_x / width_px
    focal_y, middle_y = focal_y / height_px, middle_y / height_px
    matrix = np.stack(
        [focal_x * right + middle_x * forward, focal_y * down + middle_y * forward, forward]
    )
    inverse = np.stack(
        [
            right / focal_x,
            down / focal_y,
            forward - middle_x / focal_x * right - middle_y / focal_y * down,
        ],
        axis=1,
    )
    across = max(middle_x, 1 - middle_x) / focal_x
    along = max(middle_y, 1 - middle_y) / focal_y
    return Frustum(
        place=placed[:3, 3].copy(),
        matrix=matrix.astype(np.float32),
        inverse=inverse.astype(np.float32),
        corner=float(np.sqrt(1 + across * across + along * along)),
    )

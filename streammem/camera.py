"""Cameras: where they stand, what they see where, and the rays between.

Poses are camera-to-world `[..., 4, 4]` with OpenCV axes: x right, y down, z forward; metres.
Intrinsics `[..., 3, 3]` are in pixels, without skew; the middle of the first pixel is at 0.5, so
that a picture of another size has them multiplied by the ratio of the sizes. Depth is z-depth, the
distance along the camera's z axis.

What works on arrays works on torch tensors of one dtype and device as well: it is written in
operators and methods that both have.
"""

import math
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from streammem.errors import UsageError
from streammem.records import Pose

Array = TypeVar("Array", bound=Any)
"""A numpy array or a torch tensor."""

_RIGID_TOLERANCE = 1e-4
_LEVI_CIVITA = np.array(
    [
        [[0, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[0, 0, -1], [0, 0, 0], [1, 0, 0]],
        [[0, 1, 0], [-1, 0, 0], [0, 0, 0]],
    ]
)


def intrinsics_of(
    *, width_px: int, height_px: int, horizontal_deg: float = 0.0, vertical_deg: float = 0.0
) -> NDArray[np.float64]:
    """Return `[3, 3]` of square pixels with the centre in the middle, from one field of view.

    Raises `UsageError` unless exactly one of the two is given, between 0 and 180 degrees.
    """
    if (horizontal_deg > 0) == (vertical_deg > 0) or max(horizontal_deg, vertical_deg) >= 180:
        raise UsageError(
            "give one field of view between 0 and 180 degrees, got "
            f"horizontal_deg={horizontal_deg:g} and vertical_deg={vertical_deg:g}"
        )
    side_px = width_px if horizontal_deg else height_px
    focal = side_px / 2 / math.tan(math.radians(horizontal_deg or vertical_deg) / 2)
    return np.array([[focal, 0, width_px / 2], [0, focal, height_px / 2], [0, 0, 1]], np.float64)


def resized(intrinsics: Array, *, width_ratio: float, height_ratio: float) -> Array:
    """Return the intrinsics of the picture made wider and higher by these ratios."""
    return cast(Array, intrinsics * _like([[width_ratio], [height_ratio], [1.0]], intrinsics))


def check_pose(pose: Pose) -> None:
    """Raise `UsageError` where a pose is not a rigid one with a pinhole camera."""
    placed, seen = np.asarray(pose.camera_to_world), np.asarray(pose.intrinsics)
    if placed.shape != (4, 4) or seen.shape != (3, 3):
        raise UsageError(
            "a pose is camera_to_world [4, 4] with intrinsics [3, 3], "
            f"got {list(placed.shape)} and {list(seen.shape)}"
        )
    rotation = placed[:3, :3]
    off = np.abs(rotation @ rotation.T - np.eye(3)).max() if np.isfinite(placed).all() else np.inf
    if (
        not off < _RIGID_TOLERANCE
        or np.linalg.det(rotation) < 0
        or placed[3].tolist() != [0, 0, 0, 1]
    ):
        raise UsageError(
            f"camera_to_world {placed.tolist()} is no rotation and place; its columns must be the "
            "camera's right, down and forward as unit vectors, and its place"
        )
    if not np.isfinite(seen).all() or min(seen[0, 0], seen[1, 1]) <= 0:
        raise UsageError(f"intrinsics {seen.tolist()} need focal lengths above 0, in pixels")
    if seen[0, 1] or seen[1, 0] or seen[2].tolist() != [0, 0, 1]:
        raise UsageError(
            f"intrinsics {seen.tolist()} are not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]"
        )


def inverse(camera_to_world: Array) -> Array:
    """Return the inverse of rigid transforms `[..., 4, 4]`: world-to-camera."""
    rotation = camera_to_world[..., :3, :3].mT
    inverted = camera_to_world * 1.0
    inverted[..., :3, :3] = rotation
    inverted[..., :3, 3:] = -(rotation @ camera_to_world[..., :3, 3:])
    return cast(Array, inverted)


def relative(viewer: Array, views: Array) -> Array:
    """Return `views [..., 4, 4]` in the frame of `viewer [..., 4, 4]`."""
    return cast(Array, inverse(viewer) @ views)


def distance(first: Array, second: Array, *, radians_per_m: float) -> Array:
    """Return how far apart poses `[..., 4, 4]` are: their angle in radians, plus the weighed way.

    VMem, arXiv 2506.18903, orders views by this with 0.1 radians a metre. The angle between
    rotations R and S is atan2(|v|, tr - 1), with v the axial vector of R^T S and tr its trace:
    unlike the arc cosine it is exact for equal poses.
    """
    way = first[..., :3, 3] - second[..., :3, 3]
    turn = first[..., :3, :3].mT @ second[..., :3, :3]
    axial = ((turn[..., None, :, :] * _like(_LEVI_CIVITA, turn)).sum((-2, -1)) ** 2).sum(-1) ** 0.5
    trace = turn[..., 0, 0] + turn[..., 1, 1] + turn[..., 2, 2]
    angle = _arctan2(axial, trace - 1.0)
    return cast(Array, angle + radians_per_m * (way * way).sum(-1) ** 0.5)


def unproject(depth_m: Array, *, intrinsics: Array, camera_to_world: Array) -> Array:
    """Return where the middles of pixels lie in the world, `[..., H, W, 3]`, by z-depth.

    `depth_m [..., H, W]` belongs to the size of picture that `intrinsics` do. NaN stays NaN.
    """
    *_, height, width = depth_m.shape
    seen = _towards(intrinsics, height, width) * depth_m[..., None]
    turned = seen @ camera_to_world[..., None, :3, :3].mT
    return cast(Array, turned + camera_to_world[..., None, None, :3, 3])


def project(points: Array, *, intrinsics: Array, camera_to_world: Array) -> tuple[Array, Array]:
    """Return the pixels `[..., N, 2]`, as (x, y), and z-depth `[..., N]` of `points [..., N, 3]`.

    Pixels of points that are not in front of the camera are NaN.
    """
    seen = (points - camera_to_world[..., None, :3, 3]) @ camera_to_world[..., :3, :3]
    depth_m = seen[..., 2]
    ahead = depth_m > 0
    divisor = depth_m * 1.0
    divisor[~ahead] = math.nan
    pixels = (seen @ intrinsics.mT)[..., :2] / divisor[..., None]
    return pixels, cast(Array, depth_m)


def rays(*, intrinsics: Array, camera_to_world: Array, height_px: int, width_px: int) -> Array:
    """Return the Plücker rays `[..., H, W, 6]` through the middles of pixels.

    The first three channels are the unit direction d in the world, the last three the moment
    o x d in metres, with o the place of the camera: the same for every point o on the ray.
    """
    towards = _towards(intrinsics, height_px, width_px)
    unit = towards / (towards * towards).sum(-1)[..., None] ** 0.5
    direction = unit @ camera_to_world[..., None, :3, :3].mT
    place = camera_to_world[..., :3, 3]
    # Row k, column i holds the sum over j of e_ijk o_j, so that d @ cross = o x d.
    cross = (place[..., None, None, :] * _like(_LEVI_CIVITA.transpose(2, 0, 1), place)).sum(-1)
    both = direction @ _like(np.hstack([np.eye(3), np.zeros((3, 3))]), direction)
    both[..., 3:] = direction @ cross[..., None, :, :]
    return cast(Array, both)


def pose_from_heading(
    x_m: float, y_m: float, z_m: float, *, heading_rad: float, up_rad: float = 0.0
) -> NDArray[np.float64]:
    """Return camera-to-world `[4, 4]` in a world with z up, as Memory Maze has it.

    The heading turns counterclockwise from the x axis, seen from above; `up_rad` looks up.
    """
    turn, rise = (math.cos(heading_rad), math.sin(heading_rad)), math.cos(up_rad)
    forward = np.array([turn[0] * rise, turn[1] * rise, math.sin(up_rad)])
    return _pose(forward, right=np.array([turn[1], -turn[0], 0.0]), place=(x_m, y_m, z_m))


def heading_of(camera_to_world: NDArray[np.float64]) -> tuple[float, float]:
    """Return `(heading_rad, up_rad)`, the inverse of `pose_from_heading`, also straight up."""
    right, forward = camera_to_world[:3, 0], camera_to_world[:3, 2]
    return math.atan2(right[0], -right[1]), math.asin(min(max(forward[2], -1.0), 1.0))


def pose_from_yaw_pitch(
    x_m: float, y_m: float, z_m: float, *, yaw_deg: float, pitch_deg: float
) -> NDArray[np.float64]:
    """Return camera-to-world `[4, 4]` of Minecraft's angles, in its world with y up.

    Yaw 0 looks along z (south), 90 against x (west); a pitch above 0 looks down.
    """
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    along = math.cos(pitch)
    forward = np.array([-math.sin(yaw) * along, -math.sin(pitch), math.cos(yaw) * along])
    right = np.array([-math.cos(yaw), 0.0, -math.sin(yaw)])
    return _pose(forward, right=right, place=(x_m, y_m, z_m))


def yaw_pitch_of(camera_to_world: NDArray[np.float64]) -> tuple[float, float]:
    """Return `(yaw_deg, pitch_deg)`, the inverse of `pose_from_yaw_pitch`, also straight down."""
    right, forward = camera_to_world[:3, 0], camera_to_world[:3, 2]
    yaw, pitch = math.atan2(-right[2], -right[0]), math.asin(min(max(-forward[1], -1.0), 1.0))
    return math.degrees(yaw), math.degrees(pitch)


def _pose(
    forward: NDArray[np.float64], *, right: NDArray[np.float64], place: tuple[float, float, float]
) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = place
    return pose


def _towards(intrinsics: Array, height_px: int, width_px: int) -> Array:
    """Return `[..., H, W, 3]`: what lies at z-depth 1 on the ray of each pixel, as cameras see."""
    y, x = np.meshgrid(np.arange(height_px) + 0.5, np.arange(width_px) + 0.5, indexing="ij")
    pixels = _like(np.stack([x, y, np.ones_like(x)], axis=-1), intrinsics)
    focal = (intrinsics * _like(np.eye(3), intrinsics)).sum(-1)
    centre = intrinsics[..., :, 2] - _like([0.0, 0.0, 1.0], intrinsics)
    return cast(Array, (pixels - centre[..., None, None, :]) / focal[..., None, None, :])


def _like(values: Any, array: Array) -> Array:
    """Return `values` as the kind, dtype and device of `array`."""
    if isinstance(array, np.ndarray):
        return cast(Array, np.asarray(values, array.dtype))
    return cast(Array, array.new_tensor(np.asarray(values).tolist()))


def _arctan2(y: Array, x: Array) -> Array:
    return cast(Array, np.arctan2(y, x) if isinstance(y, np.ndarray | np.generic) else y.arctan2(x))

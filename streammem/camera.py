"""Cameras in space: poses, intrinsics, rays, and the way between pixels and points.

A pose is camera-to-world `[..., 4, 4]` with OpenCV axes: x right, y down, z forward. Lengths are
metres, angles radians unless a name says `_deg`. The centre of the first pixel lies at (0.5, 0.5).
Depth is z-depth, NaN where unknown.
Every function takes leading axes of any number; float64 is kept.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def intrinsics_of(
    *,
    width: int,
    height: int,
    horizontal_deg: float | None = None,
    vertical_deg: float | None = None,
) -> NDArray[np.float64]:
    """Return `[3, 3]` of a camera with square pixels and one of the fields of view.

    Raises ValueError unless exactly one is given, between 0 and 180 degrees.
    """
    given = [angle for angle in (horizontal_deg, vertical_deg) if angle is not None]
    if len(given) != 1 or not 0 < given[0] < 180:
        raise ValueError(
            "give one field of view, horizontal_deg or vertical_deg, between 0 and 180; "
            f"got {horizontal_deg} and {vertical_deg}"
        )
    across = width if horizontal_deg is not None else height
    focal = across / 2 / math.tan(math.radians(given[0]) / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])


def inverse(pose: Array) -> Array:
    """Return the inverse `[..., 4, 4]` of a rigid motion, exactly orthogonal as it was."""
    turned = np.swapaxes(pose[..., :3, :3], -1, -2)
    back = np.zeros_like(pose)
    back[..., :3, :3] = turned
    back[..., :3, 3:] = -turned @ pose[..., :3, 3:]
    back[..., 3, 3] = 1
    return back


def relative(viewer: Array, other: Array) -> Array:
    """Return the pose of `other` in the frame of `viewer`, both `[..., 4, 4]`.

    Places are subtracted before anything is turned, so that it is exact far from the origin too.
    """
    to_viewer = np.swapaxes(viewer[..., :3, :3], -1, -2)
    shape = np.broadcast_shapes(viewer.shape, other.shape)
    pose = np.zeros(shape, dtype=np.result_type(viewer, other))
    pose[..., :3, :3] = to_viewer @ other[..., :3, :3]
    pose[..., :3, 3:] = to_viewer @ (other[..., :3, 3:] - viewer[..., :3, 3:])
    pose[..., 3, 3] = 1
    return pose


def angle_between(one: Array, other: Array) -> Array:
    """Return by how much two cameras are turned against one another `[...]`, 0 to pi."""
    turn = np.swapaxes(one[..., :3, :3], -1, -2) @ other[..., :3, :3]
    # By half the chord: the arc cosine of the trace loses small angles to rounding.
    chord = np.linalg.norm(turn - np.eye(3), axis=(-2, -1)) / math.sqrt(8)
    return np.asarray(2 * np.arcsin(np.clip(chord, 0, 1)))


def distance(one: Array, other: Array, *, unit_m: float) -> Array:
    """Return how far apart two poses are `[...]`: the turn, and the way in units of `unit_m`."""
    way = np.linalg.norm(one[..., :3, 3] - other[..., :3, 3], axis=-1)
    return np.asarray(angle_between(one, other) + way / unit_m)


def rotation(vector: Array) -> Array:
    """Return the rotation `[..., 3, 3]` about `vector [..., 3]` by its length (Rodrigues)."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack(
        [np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2
    )
    half = np.sinc(angle / (2 * math.pi))
    return np.asarray(np.eye(3) + np.sinc(angle / math.pi) * cross + half**2 / 2 * cross @ cross)


def rotation_vector(turn: Array) -> Array:
    """Return the vector `[..., 3]` of `rotation`, at most pi long, of `turn [..., 3, 3]`."""
    skew = np.stack(
        [
            turn[..., 2, 1] - turn[..., 1, 2],
            turn[..., 0, 2] - turn[..., 2, 0],
            turn[..., 1, 0] - turn[..., 0, 1],
        ],
        axis=-1,
    )  # 2 sin(angle) times the axis
    trace = np.trace(turn, axis1=-2, axis2=-1)
    sine = np.linalg.norm(skew, axis=-1)
    angle = np.arctan2(sine, trace - 1)
    scale = np.where(sine > 1e-9, angle / np.where(sine > 1e-9, sine, 1), 0.5)
    # Half a turn has no sine: its axis is the largest column of (turn + 1) / 2, by its diagonal.
    column = np.argmax(np.diagonal(turn, axis1=-2, axis2=-1), axis=-1)
    axis = np.take_along_axis(turn + np.eye(3), column[..., None, None], axis=-1)[..., 0]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-300)
    axis = np.where((axis * skew).sum(-1, keepdims=True) < 0, -axis, axis)
    half_turn = (angle > math.pi - 1e-4)[..., None]
    return np.asarray(np.where(half_turn, axis * angle[..., None], skew * scale[..., None]))


def looking(position: Array, *, yaw: Array, pitch: Array) -> Array:
    """Return the pose `[..., 4, 4]` of a level camera at `position [..., 3]`, world y down.

    At `yaw` 0 it looks along z; a positive yaw turns right, a positive pitch turns up.
    """
    zero = np.zeros_like(np.asarray(yaw, dtype=np.float64))
    across = np.stack([zero, zero + yaw, zero], -1)
    up = np.stack([zero + pitch, zero, zero], -1)
    return _pose(rotation(across) @ rotation(up), position)


def from_minecraft(position: Array, *, yaw_deg: Array, pitch_deg: Array) -> Array:
    """Return the pose in Minecraft's world: y up, yaw 0 to +z and 90 to -x, pitch positive down.

    The world keeps its axes: `position [..., 3]` is used as it is.
    """
    yaw, pitch = np.radians(np.asarray(yaw_deg, np.float64)), np.radians(np.asarray(pitch_deg))
    forward = np.stack(
        [-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)], -1
    )
    right = np.stack([-np.cos(yaw), np.zeros_like(yaw), -np.sin(yaw)], -1)
    return _pose(np.stack([right, np.cross(forward, right), forward], -1), position)


def from_heading(position: Array, *, heading: Array) -> Array:
    """Return the pose of a level camera in a world with z up, as in MuJoCo.

    `heading` is counted from +x towards +y; `position [..., 3]` is used as it is.
    """
    heading = np.asarray(heading, np.float64)
    zero = np.zeros_like(heading)
    forward = np.stack([np.cos(heading), np.sin(heading), zero], -1)
    right = np.stack([np.sin(heading), -np.cos(heading), zero], -1)
    down = np.stack([zero, zero, zero - 1], -1)
    return _pose(np.stack([right, down, forward], -1), position)


def pixel_rays(intrinsics: Array, *, rows: int, columns: int, cell_px: float = 1.0) -> Array:
    """Return directions `[..., rows, columns, 3]` with z = 1, in the camera's frame.

    They go through the middles of cells of `cell_px` pixels: 1 for each pixel, 8 for tokens of 8.
    """
    x = (np.arange(columns) + 0.5) * cell_px
    y = (np.arange(rows) + 0.5) * cell_px
    inverted = np.linalg.inv(intrinsics)
    pixels = np.stack([*np.broadcast_arrays(x, y[:, None]), np.ones((rows, columns))], axis=-1)
    return np.asarray(pixels @ np.swapaxes(inverted, -1, -2)[..., None, :, :])


def plucker(
    pose: Array, intrinsics: Array, *, rows: int, columns: int, cell_px: float = 1.0
) -> Array:
    """Return the rays of a camera as Plücker coordinates `[..., rows, columns, 6]`.

    The unit direction d in the world, then the moment o x d in metres, o being the camera's place.
    """
    rays = pixel_rays(intrinsics, rows=rows, columns=columns, cell_px=cell_px)
    rays = rays @ np.swapaxes(pose[..., :3, :3], -1, -2)[..., None, :, :]
    rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    moment = np.cross(pose[..., None, None, :3, 3], rays)
    return np.concatenate([rays, moment], axis=-1)


def unproject(depth_m: Array, pose: Array, intrinsics: Array) -> Array:
    """Return the points of the world that `depth_m [..., rows, columns]` shows, `[..., 3]`.

    NaN where the depth is.
    """
    rows, columns = depth_m.shape[-2:]
    points = pixel_rays(intrinsics, rows=rows, columns=columns) * depth_m[..., None]
    turned = points @ np.swapaxes(pose[..., :3, :3], -1, -2)[..., None, :, :]
    return np.asarray(turned + pose[..., None, None, :3, 3])


def project(points: Array, pose: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Return pixels `[..., N, 2]` (x, y) and depths `[..., N]` of the world's `points [..., N, 3]`.

    Pixels mean something where the depth is above 0; behind the camera they are NaN.
    """
    seen = (points - pose[..., None, :3, 3]) @ pose[..., :3, :3]
    depth = seen[..., 2]
    in_front = np.where(depth > 0, depth, np.nan)
    pixels = (seen / in_front[..., None]) @ np.swapaxes(intrinsics, -1, -2)
    return pixels[..., :2], depth


def _pose(turn: Array, position: Array) -> Array:
    """Return `[..., 4, 4]` of `turn [..., 3, 3]` at `position [..., 3]`."""
    position = np.asarray(position, np.float64)
    shape = np.broadcast_shapes(turn.shape[:-2], position.shape[:-1])
    pose = np.zeros((*shape, 4, 4))
    pose[..., :3, :3], pose[..., :3, 3], pose[..., 3, 3] = turn, position, 1
    return pose

"""How a camera moves from one frame to the next, as six numbers that a model can learn.

Metres right, down and forward, then the rotation vector in radians: its direction is the axis, its
length the angle. Both are in the frame of the camera before the move.
"""

import math

import numpy as np
from numpy.typing import NDArray

from streammem import camera

Array = NDArray[np.float64]


def motion_between(before: Array, after: Array) -> Array:
    """Return the motion `[..., 6]` from one pose to another, both `[..., 4, 4]`."""
    step = camera.relative(before, after)
    return np.concatenate([step[..., :3, 3], rotation_vector(step[..., :3, :3])], axis=-1)


def moved(pose: Array, motion: Array) -> Array:
    """Return the pose `[..., 4, 4]` after `motion [..., 6]`."""
    step = np.zeros((*motion.shape[:-1], 4, 4))
    step[..., :3, :3], step[..., :3, 3], step[..., 3, 3] = (
        rotation(motion[..., 3:]),
        motion[..., :3],
        1,
    )
    return np.asarray(pose @ step)


def rotation(vector: Array) -> Array:
    """Return the rotation `[..., 3, 3]` about `vector [..., 3]` (Rodrigues' formula)."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack(
        [np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2
    )
    half = np.sinc(angle / (2 * math.pi))
    return np.asarray(np.eye(3) + np.sinc(angle / math.pi) * cross + half**2 / 2 * cross @ cross)


def rotation_vector(turn: Array) -> Array:
    """Return the vector `[..., 3]`, at most pi long, of rotations `[..., 3, 3]`."""
    skew = np.stack(
        [
            turn[..., 2, 1] - turn[..., 1, 2],
            turn[..., 0, 2] - turn[..., 2, 0],
            turn[..., 1, 0] - turn[..., 0, 1],
        ],
        axis=-1,
    )  # 2 sin(angle) times the axis
    sine = np.linalg.norm(skew, axis=-1)
    angle = np.arctan2(sine, np.trace(turn, axis1=-2, axis2=-1) - 1)
    scale = np.where(sine > 1e-9, angle / np.where(sine > 1e-9, sine, 1), 0.5)
    # Half a turn has no sine: its axis is a column of turn + 1, the one of the largest diagonal.
    column = np.argmax(np.diagonal(turn, axis1=-2, axis2=-1), axis=-1)
    axis = np.take_along_axis(turn + np.eye(3), column[..., None, None], axis=-1)[..., 0]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-300)
    axis = np.where((axis * skew).sum(-1, keepdims=True) < 0, -axis, axis)
    half_turn = (angle > math.pi - 1e-4)[..., None]
    return np.asarray(np.where(half_turn, axis * angle[..., None], skew * scale[..., None]))

"""A small world of boxes with exact pictures and depth, for the tests of the surfel bank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streammem.camera import intrinsics_of, pose_from_heading
from streammem.records import Frame, Pose

SIDE_PX = 48
ROOM_M = (6.0, 5.0, 2.5)

WALLS = np.array(
    [[200, 40, 40], [40, 180, 40], [40, 60, 200], [210, 190, 40], [120, 120, 120], [230, 230, 230]],
    dtype=np.uint8,
)
"""Colours of the sides at least and greatest x, y and z."""


@dataclass(frozen=True)
class Box:
    """A box from corner `low` to corner `high`, in metres, with a colour for each side `[6, 3]`."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    colours: NDArray[np.uint8]


def painted(*colour: int) -> NDArray[np.uint8]:
    """Return one colour for all sides."""
    return np.tile(np.array(colour, dtype=np.uint8), (6, 1))


ROOM = Box((0.0, 0.0, 0.0), ROOM_M, WALLS)


def camera(
    x_m: float,
    y_m: float,
    *,
    heading_deg: float,
    up_deg: float = 0.0,
    z_m: float = 1.2,
    side_px: int = SIDE_PX,
    field_deg: float = 80.0,
) -> Pose:
    """Return a pose in a world with z up."""
    placed = pose_from_heading(
        x_m, y_m, z_m, heading_rad=np.radians(heading_deg), up_rad=np.radians(up_deg)
    )
    return Pose(
        placed, intrinsics_of(width_px=side_px, height_px=side_px, horizontal_deg=field_deg)
    )


def see(
    pose: Pose,
    boxes: Sequence[Box] = (),
    *,
    time_s: float = 0.0,
    room: Box | None = ROOM,
    side_px: int = SIDE_PX,
    nothing: float = np.nan,
) -> Frame:
    """Return what is seen of `boxes` from outside and of `room` from within; depth is z-depth.

    Where no surface is, the picture is sky blue and the depth is `nothing`.
    """
    y, x = np.mgrid[:side_px, :side_px] + 0.5
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
    towards = pixels @ np.linalg.inv(pose.intrinsics).T @ pose.camera_to_world[:3, :3].T
    start = pose.camera_to_world[:3, 3]
    depth = np.full((side_px, side_px), np.inf)
    rgb = np.full((side_px, side_px, 3), (120, 180, 255), dtype=np.uint8)
    for box, inside in [*((box, False) for box in boxes), *([(room, True)] if room else [])]:
        with np.errstate(divide="ignore", invalid="ignore"):
            to_low = (np.array(box.low) - start) / towards
            to_high = (np.array(box.high) - start) / towards
        enter, leave = np.minimum(to_low, to_high), np.maximum(to_low, to_high)
        near, far = enter.max(-1), leave.min(-1)
        axis = leave.argmin(-1) if inside else enter.argmax(-1)
        at = far if inside else near
        met = (far > np.maximum(near, 0)) & (at > 1e-6) & (at < depth)
        forwards = np.take_along_axis(towards, axis[..., None], -1)[..., 0] > 0
        side = 2 * axis + (forwards if inside else ~forwards)
        depth = np.where(met, at, depth)
        rgb[met] = box.colours[side[met]]
    depth = np.where(np.isinf(depth), nothing, depth)
    return Frame("scene", round(time_s * 8), time_s, rgb, pose, depth.astype(np.float32))


def turn(
    x_m: float, y_m: float, *, steps: int = 12, z_m: float = 1.2, side_px: int = SIDE_PX
) -> list[Pose]:
    """Return poses that look around in one place, in a full circle."""
    return [
        camera(x_m, y_m, heading_deg=360 * step / steps, z_m=z_m, side_px=side_px)
        for step in range(steps)
    ]

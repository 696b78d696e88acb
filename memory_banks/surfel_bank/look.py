"""What one frame shows, pixel by pixel, as surfels are compared with it and made of it."""

from dataclasses import dataclass

import cv2
import numpy as np

from memory_banks.surfel_bank.columns import Floats, Mask
from memory_banks.surfel_bank.geometry import camera_normals, pixel_radii
from streammem.camera import check_pose, unproject
from streammem.errors import UsageError
from streammem.records import Frame, Pose

AROUND = np.ones((3, 3), dtype=np.uint8)
"""The pixels around one, and itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A frame by its P pixels, row after row.

    `depth_m [P]` is z-depth, NaN where unknown and infinite where nothing is. `nearest_m [P]` is
    the least known depth of the pixels around each. `solid [P]` marks pixels that show a surface
    worth remembering, for which `camera_points`, `camera_normals`, `points` (in the world),
    `normals` `[P, 3]` and `radius_m [P]` hold. `colour [P, 3]` is in 0..255, `darkest` and
    `brightest` are its bounds in each channel among the pixels around. `confidence [P]` is in 0..1.
    """

    pose: Pose
    time_s: float
    height_px: int
    width_px: int
    depth_m: Floats
    nearest_m: Floats
    solid: Mask
    camera_points: Floats
    camera_normals: Floats
    points: Floats
    normals: Floats
    radius_m: Floats
    colour: Floats
    darkest: Floats
    brightest: Floats
    confidence: Floats


def look_at(frame: Frame, *, confidence: Floats | None, far_m: float) -> Look:
    """Return what `frame` shows, or refuse one that has no pose, no depth, or parts of other sizes.

    Depth of 0 and below is unknown.
    """
    if frame.pose is None or frame.depth_m is None:
        lacking = "pose" if frame.pose is None else "depth"
        raise UsageError(f"frame {frame.index} has no {lacking}; a surfel is made of both")
    check_pose(frame.pose)
    height, width, _ = frame.rgb.shape
    sure = np.ones((height, width), np.float32) if confidence is None else confidence
    if frame.depth_m.shape != (height, width) or sure.shape != (height, width):
        raise UsageError(
            f"frame {frame.index} is {height} x {width} pixels, its depth {frame.depth_m.shape} "
            f"and its confidence {sure.shape}; resize them to the picture"
        )
    if not ((sure >= 0) & (sure <= 1)).all():
        raise UsageError(f"the confidence of frame {frame.index} must lie in 0 to 1")
    depth = np.where(frame.depth_m > 0, frame.depth_m, np.nan).astype(np.float32)
    intrinsics = np.asarray(frame.pose.intrinsics, np.float64)
    placed = np.asarray(frame.pose.camera_to_world, np.float64)
    finite = np.where(np.isfinite(depth), depth, np.nan).astype(np.float64)
    seen = unproject(finite, intrinsics=intrinsics, camera_to_world=np.eye(4))
    normals = camera_normals(depth, intrinsics)
    solid = (depth <= far_m) & (sure > 0)
    with np.errstate(invalid="ignore"):
        distance = np.sqrt((seen * seen).sum(-1))
        cosines = -(normals * seen).sum(-1) / distance
    world = seen @ placed[:3, :3].T + placed[:3, 3]
    nearest = cv2.erode(np.where(np.isnan(depth), np.inf, depth), AROUND)
    rows = height * width
    return Look(
        pose=frame.pose,
        time_s=frame.time_s,
        height_px=height,
        width_px=width,
        depth_m=depth.reshape(rows),
        nearest_m=nearest.reshape(rows),
        solid=solid.reshape(rows),
        camera_points=seen.astype(np.float32).reshape(rows, 3),
        camera_normals=normals.reshape(rows, 3),
        points=world.astype(np.float32).reshape(rows, 3),
        normals=(normals @ placed[:3, :3].T.astype(np.float32)).reshape(rows, 3),
        radius_m=pixel_radii(depth, cosines, intrinsics).reshape(rows),
        colour=frame.rgb.reshape(rows, 3).astype(np.float32),
        darkest=cv2.erode(frame.rgb, AROUND).reshape(rows, 3).astype(np.float32),
        brightest=cv2.dilate(frame.rgb, AROUND).reshape(rows, 3).astype(np.float32),
        confidence=sure.astype(np.float32).reshape(rows),
    )

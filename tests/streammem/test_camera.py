"""Cameras against cases computed by hand, plain loops, and there-and-back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streammem import camera
from streammem.errors import UsageError
from streammem.records import Pose

angles = st.floats(-3.1, 3.1)
places = st.tuples(*[st.floats(-1e4, 1e4)] * 3)
INTRINSICS = camera.intrinsics_of(width_px=7, height_px=5, horizontal_deg=80)


@st.composite
def poses(draw: st.DrawFn) -> np.ndarray:
    heading, up = draw(angles), draw(st.floats(-math.pi / 2, math.pi / 2))
    return camera.pose_from_heading(*draw(places), heading_rad=heading, up_rad=up)


def test_a_field_of_view_of_90_degrees_has_half_the_side_as_focal_length() -> None:
    wide = camera.intrinsics_of(width_px=64, height_px=48, horizontal_deg=90)
    assert np.allclose(wide, [[32, 0, 32], [0, 32, 24], [0, 0, 1]])
    high = camera.intrinsics_of(width_px=64, height_px=48, vertical_deg=90)
    assert np.allclose(high, [[24, 0, 32], [0, 24, 24], [0, 0, 1]])
    half = camera.resized(wide, width_ratio=0.5, height_ratio=0.5)
    assert np.allclose(half, camera.intrinsics_of(width_px=32, height_px=24, horizontal_deg=90))


@pytest.mark.parametrize(
    "given", [{}, {"horizontal_deg": 180}, dict.fromkeys(["horizontal_deg", "vertical_deg"], 90)]
)
def test_no_field_of_view_or_two_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"give one field of view between 0 and 180"):
        camera.intrinsics_of(width_px=4, height_px=4, **given)


def test_a_heading_of_zero_looks_along_x_and_sees_y_on_its_left() -> None:
    pose = camera.pose_from_heading(1, 2, 3, heading_rad=0)
    assert np.allclose(pose, [[0, 0, 1, 1], [-1, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]])
    left = camera.pose_from_heading(0, 0, 0, heading_rad=math.pi / 2)
    assert np.allclose(left[:3, 2], [0, 1, 0])
    up = camera.pose_from_heading(0, 0, 0, heading_rad=0, up_rad=math.pi / 2)
    assert np.allclose(up[:3, 2], [0, 0, 1])
    assert np.allclose(up[:3, 1], [1, 0, 0])


def test_minecraft_yaw_0_looks_south_90_west_and_pitch_90_down() -> None:
    south = camera.pose_from_yaw_pitch(1, 2, 3, yaw_deg=0, pitch_deg=0)
    assert np.allclose(south, [[-1, 0, 0, 1], [0, -1, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    west = camera.pose_from_yaw_pitch(0, 0, 0, yaw_deg=90, pitch_deg=0)
    assert np.allclose(west[:3, 2], [-1, 0, 0])
    down = camera.pose_from_yaw_pitch(0, 0, 0, yaw_deg=0, pitch_deg=90)
    assert np.allclose(down[:3, 2], [0, -1, 0])
    assert np.allclose(down[:3, 1], [0, 0, -1])


@given(places, angles, st.floats(-math.pi / 2, math.pi / 2))
def test_angles_come_back(place: tuple[float, float, float], turn: float, rise: float) -> None:
    pose = camera.pose_from_heading(*place, heading_rad=turn, up_rad=rise)
    camera.check_pose(Pose(pose, INTRINSICS))
    assert np.allclose(camera.heading_of(pose), (turn, rise), atol=1e-6)
    yaw, pitch = math.degrees(turn), math.degrees(rise)
    pose = camera.pose_from_yaw_pitch(*place, yaw_deg=yaw, pitch_deg=pitch)
    camera.check_pose(Pose(pose, INTRINSICS))
    assert np.allclose(camera.yaw_pitch_of(pose), (yaw, pitch), atol=1e-4)


@given(poses(), poses())
def test_relative_poses_undo_and_compose(first: np.ndarray, second: np.ndarray) -> None:
    assert np.allclose(camera.inverse(first) @ first, np.eye(4), atol=1e-9)
    assert np.allclose(first @ camera.relative(first, second), second, atol=1e-6)


def test_a_pixel_unprojects_where_geometry_says() -> None:
    intrinsics = np.array([[2.0, 0, 1], [0, 2, 1], [0, 0, 1]])
    points = camera.unproject(
        np.full((2, 2), 4.0), intrinsics=intrinsics, camera_to_world=np.eye(4)
    )
    assert np.allclose(points, [[[-1, -1, 4], [1, -1, 4]], [[-1, 1, 4], [1, 1, 4]]])
    west = camera.pose_from_yaw_pitch(10, 0, 0, yaw_deg=90, pitch_deg=0)
    points = camera.unproject(np.full((2, 2), 4.0), intrinsics=intrinsics, camera_to_world=west)
    assert np.allclose(points[0, 0], [6, 1, 1])


@given(poses(), st.integers(0, 99))
def test_points_come_back_to_their_pixels(pose: np.ndarray, seed: int) -> None:
    depth_m = np.random.default_rng(seed).uniform(0.1, 50, (5, 7))
    points = camera.unproject(depth_m, intrinsics=INTRINSICS, camera_to_world=pose)
    pixels, z = camera.project(points.reshape(-1, 3), intrinsics=INTRINSICS, camera_to_world=pose)
    y, x = np.mgrid[:5, :7] + 0.5
    assert np.allclose(z, depth_m.ravel(), atol=1e-7)
    assert np.allclose(pixels, np.stack([x.ravel(), y.ravel()], 1), atol=1e-6)


def test_what_is_behind_has_no_pixel_and_unknown_depth_no_place() -> None:
    behind = np.array([[0.0, 0, -1], [1, 1, 0], [0, 0, 1]])
    pixels, z = camera.project(behind, intrinsics=INTRINSICS, camera_to_world=np.eye(4))
    assert np.isnan(pixels[:2]).all()
    assert np.allclose(pixels[2], [3.5, 2.5])
    assert z.tolist() == [-1, 0, 1]
    depth_m = np.full((5, 7), np.nan)
    points = camera.unproject(depth_m, intrinsics=INTRINSICS, camera_to_world=np.eye(4))
    assert np.isnan(points).all()


@given(poses(), st.floats(0.1, 20))
def test_rays_have_the_moment_of_every_point_on_them(pose: np.ndarray, far_m: float) -> None:
    rays = camera.rays(intrinsics=INTRINSICS, camera_to_world=pose, height_px=5, width_px=7)
    points = camera.unproject(np.full((5, 7), far_m), intrinsics=INTRINSICS, camera_to_world=pose)
    direction, moment = rays[..., :3], rays[..., 3:]
    assert np.allclose(np.linalg.norm(direction, axis=-1), 1)
    assert np.allclose(np.cross(pose[:3, 3], direction), moment, rtol=1e-9, atol=1e-7)
    assert np.allclose(np.cross(points, direction), moment, rtol=1e-9, atol=1e-7)
    assert ((points - pose[:3, 3]) * direction).sum(-1).min() > 0


def test_distance_is_angle_and_way() -> None:
    here = camera.pose_from_heading(0, 0, 0, heading_rad=0.2)
    there = camera.pose_from_heading(3, 4, 0, heading_rad=-0.3)
    behind = camera.pose_from_heading(0, 0, 0, heading_rad=0.2 + math.pi)
    assert camera.distance(here, here, radians_per_m=0.1) == 0
    assert camera.distance(here, there, radians_per_m=0.1) == pytest.approx(0.5 + 0.5)
    assert camera.distance(here, behind, radians_per_m=0.1) == pytest.approx(math.pi)
    both = camera.distance(here, np.stack([here, there]), radians_per_m=0.0)
    assert np.allclose(both, [0, 0.5])


def test_tensors_give_what_arrays_give() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    poses = np.stack(
        [
            camera.pose_from_heading(*rng.normal(size=3), heading_rad=turn, up_rad=0.1)
            for turn in (0, 1, 2)
        ]
    )
    intrinsics = np.stack([INTRINSICS] * 3)
    depth_m = rng.uniform(1, 5, (3, 5, 7))
    points = rng.normal(size=(3, 11, 3)) * 4

    def everything(*arrays: object) -> list[object]:
        poses, intrinsics, depth_m, points = arrays
        seen = {"intrinsics": intrinsics, "camera_to_world": poses}
        pixels, z = camera.project(points, **seen)
        return [
            pixels,
            z,
            camera.unproject(depth_m, **seen),
            camera.rays(**seen, height_px=5, width_px=7),
            camera.inverse(poses),
            camera.relative(poses[0], poses),
            camera.distance(poses[0], poses, radians_per_m=0.1),
            camera.resized(intrinsics, width_ratio=2.0, height_ratio=3.0),
        ]

    arrays = everything(poses, intrinsics, depth_m, points)
    tensors = everything(*map(torch.tensor, (poses, intrinsics, depth_m, points)))
    for array, tensor in zip(arrays, tensors, strict=True):
        assert tensor.dtype == torch.float64
        assert np.allclose(array, tensor.numpy(), rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize(
    ("camera_to_world", "intrinsics", "match"),
    [
        (np.eye(3), INTRINSICS, r"got \[3, 3\] and \[3, 3\]"),
        (2 * np.eye(4), INTRINSICS, "no rotation and place"),
        (np.diag([-1.0, 1, 1, 1]), INTRINSICS, "no rotation and place"),
        (np.full((4, 4), np.nan), INTRINSICS, "no rotation and place"),
        (np.eye(4), np.diag([1.0, -1, 1]), "focal lengths above 0"),
        (np.eye(4), np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]]), r"are not \[\[fx, 0, cx\]"),
    ],
)
def test_what_is_no_pose_is_refused(
    camera_to_world: np.ndarray, intrinsics: np.ndarray, match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        camera.check_pose(Pose(camera_to_world, intrinsics))

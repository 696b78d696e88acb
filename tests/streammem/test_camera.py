"""Cameras by hand-computed cases, and there and back."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streammem import camera

LENS = camera.intrinsics_of(width=64, height=48, horizontal_deg=90)


def some_poses(count: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = camera.rotation(rng.normal(size=(count, 3)))
    poses[:, :3, 3] = rng.normal(size=(count, 3)) * 10
    return poses


def test_field_of_view() -> None:
    assert np.allclose(LENS, [[32, 0, 32], [0, 32, 24], [0, 0, 1]])
    upright = camera.intrinsics_of(width=64, height=64, vertical_deg=80)
    assert upright[0, 0] == pytest.approx(38.136, abs=1e-3)
    for wrong in (
        dict(),
        dict(horizontal_deg=90, vertical_deg=90),
        dict(vertical_deg=180),
        dict(vertical_deg=0),
    ):
        with pytest.raises(ValueError, match="give one field of view"):
            camera.intrinsics_of(width=64, height=64, **wrong)


def test_the_middle_of_the_picture_is_straight_ahead() -> None:
    rays = camera.pixel_rays(LENS, rows=48, columns=64)
    assert rays.shape == (48, 64, 3)
    assert np.allclose(rays[23:25, 31:33].mean((0, 1)), [0, 0, 1])
    assert np.allclose(rays[0, 0], [-31.5 / 32, -23.5 / 32, 1])
    tokens = camera.pixel_rays(LENS, rows=6, columns=8, cell_px=8)
    assert np.allclose(tokens[1, 2], rays[8:16, 16:24].mean((0, 1)))


def test_project_by_hand() -> None:
    pose = camera.looking(np.array([1.0, 2, 3]), yaw=math.pi / 2, pitch=0)
    pixels, depth = camera.project(np.array([[5.0, 2, 3], [5, 3, 3], [5, 2, 2]]), pose, LENS)
    assert np.allclose(depth, 4)
    assert np.allclose(pixels, [[32, 24], [32, 32], [40, 24]])
    behind, depth = camera.project(np.array([[-5.0, 2, 3]]), pose, LENS)
    assert depth[0] == pytest.approx(-6)
    assert np.isnan(behind).all()


def test_unproject_and_back() -> None:
    rng = np.random.default_rng(1)
    depth = rng.uniform(0.5, 20, size=(5, 48, 64))
    depth[:, 3, 4] = np.nan
    poses = some_poses(5)
    points = camera.unproject(depth, poses, LENS)
    assert np.isnan(points[:, 3, 4]).all()
    pixels, back = camera.project(points.reshape(5, -1, 3), poses, LENS)
    known = ~np.isnan(depth).reshape(5, -1)
    assert np.allclose(back[known], depth.reshape(5, -1)[known])
    y, x = np.mgrid[:48, :64] + 0.5
    truth = np.broadcast_to(np.stack([x.ravel(), y.ravel()], -1), pixels.shape)
    assert np.allclose(pixels[known], truth[known])


@pytest.mark.parametrize(
    ("yaw", "pitch", "forward"),
    [
        (0, 0, [0, 0, 1]),
        (math.pi / 2, 0, [1, 0, 0]),
        (0, math.pi / 4, [0, -math.sqrt(0.5), math.sqrt(0.5)]),
        (math.pi / 2, math.pi / 2, [0, -1, 0]),
    ],
)
def test_looking(yaw: float, pitch: float, forward: list[float]) -> None:
    pose = camera.looking(np.zeros(3), yaw=yaw, pitch=pitch)
    assert np.allclose(pose[:3, 2], forward, atol=1e-12)
    assert pose[1, 0] == pytest.approx(0)


@pytest.mark.parametrize(
    ("yaw_deg", "pitch_deg", "forward", "right"),
    [
        (0, 0, [0, 0, 1], [-1, 0, 0]),
        (90, 0, [-1, 0, 0], [0, 0, -1]),
        (180, 0, [0, 0, -1], [1, 0, 0]),
        (0, 90, [0, -1, 0], [-1, 0, 0]),
    ],
)
def test_minecraft(
    yaw_deg: float, pitch_deg: float, forward: list[float], right: list[float]
) -> None:
    pose = camera.from_minecraft(np.array([1.0, 64, 2]), yaw_deg=yaw_deg, pitch_deg=pitch_deg)
    assert np.allclose(pose[:3, 2], forward, atol=1e-12)
    assert np.allclose(pose[:3, 0], right, atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert pose[:3, 3].tolist() == [1, 64, 2]


@pytest.mark.parametrize(
    ("heading", "forward", "right"),
    [(0, [1, 0, 0], [0, -1, 0]), (math.pi / 2, [0, 1, 0], [1, 0, 0])],
)
def test_heading(heading: float, forward: list[float], right: list[float]) -> None:
    pose = camera.from_heading(np.zeros(3), heading=heading)
    assert np.allclose(pose[:3, 2], forward, atol=1e-12)
    assert np.allclose(pose[:3, 0], right, atol=1e-12)
    assert np.allclose(pose[:3, 1], [0, 0, -1])


def test_inverse_and_relative() -> None:
    one, other = some_poses(20), some_poses(20, seed=1)
    assert np.allclose(camera.inverse(one) @ one, np.eye(4))
    assert np.allclose(one @ camera.relative(one, other), other)
    far = np.eye(4)
    far[:3, 3] = 1e7
    moved = camera.relative(far @ one, far @ other)
    assert np.allclose(moved, camera.relative(one, other), atol=1e-7)


@settings(deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3),
    angle=st.one_of(
        st.floats(0, math.pi), st.sampled_from([0.0, 1e-12, 1e-6, math.pi - 1e-7, math.pi])
    ),
)
def test_rotation_and_back(axis: tuple[float, ...], angle: float) -> None:
    vector = np.array(axis) / np.linalg.norm(axis) * angle
    turn = camera.rotation(vector)
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    again = camera.rotation(camera.rotation_vector(turn))
    assert np.allclose(again, turn, atol=1e-6)
    assert np.linalg.norm(camera.rotation_vector(turn)) == pytest.approx(angle, abs=1e-6)
    assert camera.angle_between(np.eye(4)[:3, :3], turn) == pytest.approx(angle, abs=1e-7)


def test_small_angles_are_told_apart() -> None:
    turned = np.eye(4)
    turned[:3, :3] = camera.rotation(np.array([0, 1e-9, 0]))
    assert camera.angle_between(np.eye(4), turned) == pytest.approx(1e-9, rel=1e-3)


def test_distance_counts_turn_and_way() -> None:
    pose = camera.looking(np.array([3.0, 0, 4]), yaw=0.5, pitch=0)
    assert camera.distance(np.eye(4), pose, unit_m=10) == pytest.approx(0.5 + 0.5)
    assert camera.distance(pose, pose, unit_m=10) < 1e-15


def test_plucker_coordinates() -> None:
    poses = some_poses(3)
    rays = camera.plucker(poses, LENS, rows=6, columns=8, cell_px=8)
    assert rays.shape == (3, 6, 8, 6)
    direction, moment = rays[..., :3], rays[..., 3:]
    assert np.allclose(np.linalg.norm(direction, axis=-1), 1)
    assert np.allclose((direction * moment).sum(-1), 0)
    on_ray = poses[:, None, None, :3, 3] + 7 * direction
    assert np.allclose(np.cross(on_ray, direction), moment)

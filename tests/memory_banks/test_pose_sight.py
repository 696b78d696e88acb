"""What views see, and how they are chosen, against plain float64 loops."""

import itertools

import numpy as np
import pytest

from memory_banks.pose_bank import PoseBankConfig, open_pose_bank
from memory_banks.pose_bank.columns import Columns
from memory_banks.pose_bank.frustum import frustum_of
from memory_banks.pose_bank.greedy import choose
from memory_banks.pose_bank.rows import nearness_of, quasi_random, row_of
from memory_banks.pose_bank.sight import sees_points
from memory_banks.pose_bank.surface import on_rays, on_surface, remembered
from streammem.camera import intrinsics_of, pose_from_heading, project
from streammem.records import Pose
from tests.memory_banks.flat_maze import SIZE, camera_at, random_maze, target_at, walk, watch

CONFIG = PoseBankConfig(depth_px=12)
UNSURE = 1e-4
"""Closer than this to a limit, float32 may fall on the other side."""


def random_poses(count: int, seed: int, *, far_m: float = 0.0) -> list[Pose]:
    draws = np.random.default_rng(seed)
    return [
        Pose(
            pose_from_heading(
                *draws.normal(scale=3, size=3) + far_m,
                heading_rad=draws.uniform(-3, 3),
                up_rad=draws.uniform(-1.5, 1.5),
            ),
            intrinsics_of(width_px=20, height_px=10, horizontal_deg=draws.uniform(40, 120)),
        )
        for _ in range(count)
    ]


def columns_of(poses: list[Pose], depths: list[np.ndarray | None]) -> Columns:
    columns = Columns(len(poses) + 1, depth_px=CONFIG.depth_px)
    for view_id, (pose, depth_m) in enumerate(zip(poses, depths, strict=True), 1):
        columns.append(
            row_of(
                pose,
                frustum_of(pose, width_px=20, height_px=10),
                nearness_of(depth_m, side=CONFIG.depth_px),
                view_id=view_id,
                payload_id=0,
                size_px=(20, 10),
                time_s=0.0,
                pinned=False,
                config=CONFIG,
            )
        )
    return columns


def plain_sees(pose: Pose, nearness: np.ndarray, point: np.ndarray) -> tuple[bool, float]:
    """Return whether a view sees a point, and by how much the closest decision is made."""
    offset = pose.camera_to_world[:3, :3].T @ (point - pose.camera_to_world[:3, 3])
    x, y, z = pose.intrinsics @ offset
    u, v = x / z / 20, y / z / 10
    known = nearness[nearness > 0]
    far_m = 1 / known.min() if known.size else CONFIG.range_m
    far_m = far_m * (1 + CONFIG.relative_tolerance) + CONFIG.absolute_tolerance_m
    margins = [z - 1e-3, u, 1 - u, v, 1 - v, (far_m - z) / far_m]
    if min(margins) >= 0:
        side = len(nearness)
        row, column = (min(max(one * side - 0.5, 0), side - 1) for one in (v, u))
        top, left = (min(int(one), side - 2) for one in (row, column))
        between = 0.0
        for down, right in itertools.product((0, 1), (0, 1)):
            share = (1 - abs(row - top - down)) * (1 - abs(column - left - right))
            between += share * nearness[top + down, left + right]
        limit = 1 + CONFIG.relative_tolerance
        margins.append(limit - between * (z - CONFIG.absolute_tolerance_m))
    return min(margins) >= 0, min(map(abs, margins))


@pytest.mark.parametrize(("views", "points"), [(1, 1), (3, 63), (7, 500)])
@pytest.mark.parametrize("far_m", [0.0, 1e6])
def test_sight_is_that_of_a_plain_loop(views: int, points: int, far_m: float) -> None:
    draws = np.random.default_rng(views)
    poses = random_poses(views, views, far_m=far_m)
    depths = [np.where(draws.random((9, 17)) < 0.2, np.nan, draws.uniform(1, 9, (9, 17)))] * views
    columns = columns_of(poses, [None, *depths[1:]])
    origin = np.full(3, far_m)
    offsets = draws.normal(scale=3, size=(points, 3)).astype(np.float32)
    seen = sees_points(columns, np.arange(views), offsets, origin=origin, config=CONFIG)
    assert seen.shape == (views, points)
    sure = 0
    for view, point in itertools.product(range(views), range(points)):
        nearness = columns.nearness[view].astype(np.float64)
        truth, margin = plain_sees(poses[view], nearness, origin + offsets[point])
        if margin > UNSURE:
            sure += 1
            assert seen[view, point] == truth
    assert sure >= 0.99 * views * points
    assert points < 500 or 0.02 < seen.mean() < 0.5


def test_depth_between_the_cells_of_a_plane_is_exact() -> None:
    pose = camera_at(0, 0, 0)
    maze = random_maze(9, seed=0)
    assert maze.walls[0].all()
    draws = np.random.default_rng(0)
    towards = np.stack([draws.uniform(-0.7, 0.7, 400), draws.uniform(0.1, 0.7, 400), np.ones(400)])
    for lift, truth in ((0.97, True), (1.10, False)):
        offsets = np.stack([towards[2], -towards[0], -towards[1]], 1)
        offsets *= (lift * 0.8 / towards[1])[:, None]  # on the floor, or under it
        v, _ = np.mgrid[:64, :64]
        with np.errstate(divide="ignore"):
            down = ((v + 0.5) / 32 - 1) * np.tan(np.radians(40))
            floor_m = np.where(down > 0, 0.8 / down, np.nan)
        columns = Columns(2, depth_px=12)
        columns.append(
            row_of(
                pose,
                frustum_of(pose, **SIZE),
                nearness_of(floor_m, side=12),
                view_id=1,
                payload_id=0,
                size_px=(24, 24),
                time_s=0.0,
                pinned=False,
                config=PoseBankConfig(depth_px=12),
            )
        )
        seen = sees_points(
            columns,
            np.array([0]),
            offsets.astype(np.float32),
            origin=pose.camera_to_world[:3, 3],
            config=PoseBankConfig(depth_px=12, absolute_tolerance_m=0.0),
        )
        assert seen.mean() > 0.95 if truth else seen.mean() < 0.05


def plain_choose(seen: np.ndarray, k: int, penalty: np.ndarray) -> list[tuple[int, float]]:
    wanted, left, chosen = set(range(seen.shape[1])), set(np.flatnonzero(seen.any(1))), []
    while left and len(chosen) < k:
        if not any(wanted & set(np.flatnonzero(seen[row])) for row in left):
            wanted = set(range(seen.shape[1]))
        gains = {row: len(wanted & set(np.flatnonzero(seen[row]))) / seen.shape[1] for row in left}
        best = max(
            (row for row in left if gains[row] > 0),
            key=lambda row: (np.float32(gains[row]) - penalty[row], -row),
        )
        chosen.append((int(best), gains[best]))
        left.remove(best)
        wanted -= set(np.flatnonzero(seen[best]))
    return chosen


@pytest.mark.parametrize(("views", "points"), [(1, 1), (63, 63), (40, 500)])
@pytest.mark.parametrize("share", [0.02, 0.3, 1.0])
def test_choice_is_that_of_plain_sets(views: int, points: int, share: float) -> None:
    draws = np.random.default_rng(0)
    seen = draws.random((views, points)) < share
    penalty = (0.05 * draws.random(views)).astype(np.float32)
    chosen = list(choose(seen, k=20, penalty=penalty))
    plain = plain_choose(seen, 20, penalty)
    assert [row for row, _ in chosen] == [row for row, _ in plain]
    assert np.allclose([gain for _, gain in chosen], [gain for _, gain in plain], atol=1e-6)


def test_quasi_random_points_fill_the_square_better_than_drawn_ones() -> None:
    def emptiest(points: np.ndarray) -> int:
        cells = np.histogram2d(*points.T, bins=8, range=[[0, 1]] * 2)[0]
        return int((cells == 0).sum())

    drawn = np.random.default_rng(0).random((200, 2))
    points = quasi_random(200, 2)
    assert emptiest(points) == 0 < emptiest(drawn)
    assert np.array_equal(quasi_random(30, 2), points[:30])
    assert abs(quasi_random(1000, 3).mean(0) - 0.5).max() < 0.01


def test_the_surface_is_found_from_what_others_remember() -> None:
    maze = random_maze(9, seed=1)
    way = walk(maze, 60, seed=1)
    poses = [camera_at(*place) for place in way]
    columns = Columns(61, depth_px=24)
    config = PoseBankConfig(depth_px=24)
    for number, pose in enumerate(poses):
        columns.append(
            row_of(
                pose,
                frustum_of(pose, **SIZE),
                nearness_of(maze.depth(pose), side=24),
                view_id=number,
                payload_id=0,
                size_px=(24, 24),
                time_s=0.0,
                pinned=False,
                config=config,
            )
        )
    x, y, heading = way[30]
    pose = camera_at(x + 0.1, y - 0.1, heading + 0.1)
    frustum = frustum_of(pose, **SIZE)
    points = remembered(columns, np.arange(60), frustum, near=np.arange(60), side=16)
    pixels, z = project(
        points + frustum.place, intrinsics=pose.intrinsics, camera_to_world=pose.camera_to_world
    )
    truth = maze.depth(pose)
    at = truth[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    right = np.abs(z / at - 1) < 0.15
    assert right.mean() > 0.9
    assert len(points) > 0.9 * 256 * np.isfinite(truth).mean()


def test_a_wall_too_close_to_hold_a_remembered_point_is_found() -> None:
    maze, bank = random_maze(9, seed=1), open_pose_bank()
    maze.walls[1:8, 1:8] = False
    watch(bank, maze, [(10.0, 9.0 + 0.2 * n, 0.0) for n in range(5)])
    pressed = camera_at(15.95, 9.4, 0.0)  # 5 cm from the wall at x = 16
    how = bank.explain(target_at(pressed), k=2, now_s=9)
    assert np.abs(how.points[:, 0] - 16).max() < 0.05
    assert len(how.points) > 300
    assert maze.visible(how.chosen[0].pose, maze.surface(pressed)).all()


def test_points_on_given_depth_and_on_rays_lie_where_they_should() -> None:
    pose = camera_at(3, 4, 0.5, up=0.2)
    frustum = frustum_of(pose, **SIZE)
    depth_m = np.full((5, 6), 2.0)
    depth_m[:, 3:] = np.nan
    seen = {"intrinsics": pose.intrinsics, "camera_to_world": pose.camera_to_world}
    points = on_surface(depth_m, frustum, points=200)
    pixels, z = project(points + frustum.place, **seen)
    assert np.allclose(z, 2, atol=1e-5)
    assert len(points) == pytest.approx(100, abs=5)
    assert pixels[:, 0].max() < 12
    pixels, z = project(on_rays(frustum, points=300, far_m=8.0) + frustum.place, **seen)
    assert pixels.min() > -1e-3
    assert pixels.max() < 24 + 1e-3
    assert (z.min(), z.max()) == (pytest.approx(0.8, rel=0.05), pytest.approx(8, rel=0.05))

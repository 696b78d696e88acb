"""A maze of flat walls with exact depth from anywhere, by casting rays through its cells."""

import math
from dataclasses import dataclass

import numpy as np

from memory_banks.pose_bank import PoseBank, Target
from streammem.camera import intrinsics_of, pose_from_heading, rays, unproject
from streammem.records import Pose

CELL_M, WALL_M, EYE_M = 2.0, 1.8, 0.8
SIZE = {"width_px": 24, "height_px": 24}
Place = tuple[float, float, float]
"""x and y in metres, heading in radians."""


@dataclass(frozen=True, eq=False)
class FlatMaze:
    """`walls [N, N]` of bool cells of 2 m, by row (y) and column (x), closed all around.

    The floor is at z = 0, walls are 1.8 m high, and above them is sky.
    """

    walls: np.ndarray

    def hits(self, place: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return how far each of `directions [M, 3]` goes from `place [3]`; inf into the sky."""
        shape = directions.shape[:1]
        place = np.broadcast_to(place, directions.shape)
        with np.errstate(divide="ignore"):
            steps = 1 / directions
        cell = np.floor(place[:, :2] / CELL_M).astype(int)  # column, row
        way = np.where(directions[:, :2] > 0, 1, -1)
        following = ((cell + (way > 0)) * CELL_M - place[:, :2]) * steps[:, :2]
        following = np.where(directions[:, :2] == 0, np.inf, following)
        floor = np.where(directions[:, 2] < 0, -place[:, 2] * steps[:, 2], np.inf)
        far = np.full(shape, np.inf)
        going = np.ones(shape, bool)
        for _ in range(2 * len(self.walls)):
            axis = (following[:, 1] < following[:, 0]).astype(int)
            at = np.take_along_axis(following, axis[:, None], 1)[:, 0]
            ended = going & (floor <= at)
            far[ended] = floor[ended]
            going &= ~ended
            if not going.any():
                break
            rows = np.arange(len(axis))
            cell[rows, axis] += way[rows, axis]
            following[rows, axis] += CELL_M * np.abs(steps[rows, axis])
            inside = ((cell >= 0) & (cell < len(self.walls))).all(1)
            going &= inside
            safe = np.clip(cell, 0, len(self.walls) - 1)
            with np.errstate(invalid="ignore"):
                height = place[:, 2] + at * directions[:, 2]
            stopped = going & self.walls[safe[:, 1], safe[:, 0]] & (height <= WALL_M)
            far[stopped] = at[stopped]
            going &= ~stopped
        return far

    def depth(self, pose: Pose) -> np.ndarray:
        """Return z-depth float32 `[H, W]`, NaN in the sky."""
        height_px, width_px = SIZE["height_px"], SIZE["width_px"]
        seen = {"intrinsics": pose.intrinsics, "camera_to_world": pose.camera_to_world}
        towards = rays(**seen, height_px=height_px, width_px=width_px)[..., :3].reshape(-1, 3)
        far = self.hits(pose.camera_to_world[:3, 3], towards)
        z = far * (towards @ pose.camera_to_world[:3, 2])
        return np.where(np.isfinite(z), z, np.nan).astype(np.float32).reshape(height_px, width_px)

    def surface(self, pose: Pose) -> np.ndarray:
        """Return `[P, 3]`: where the pixels of a camera lie, without those in the sky."""
        seen = {"intrinsics": pose.intrinsics, "camera_to_world": pose.camera_to_world}
        points = unproject(self.depth(pose).astype(np.float64), **seen).reshape(-1, 3)
        return points[np.isfinite(points[:, 0])]

    def visible(self, pose: Pose, points: np.ndarray) -> np.ndarray:
        """Return `[P]`: whether a camera truly sees the surface at `points [P, 3]`."""
        offsets = points - pose.camera_to_world[:3, 3]
        x, y, z = (offsets @ pose.camera_to_world[:3, :3] @ pose.intrinsics.T).T
        inside = (
            (z > 1e-6)
            & (x >= 0)
            & (x < z * SIZE["width_px"])
            & (y >= 0)
            & (y < z * SIZE["height_px"])
        )
        length = np.linalg.norm(offsets[inside], axis=1)
        far = self.hits(pose.camera_to_world[:3, 3], offsets[inside] / length[:, None])
        inside[inside] = far >= length * (1 - 1e-6) - 1e-6
        return inside


def random_maze(side: int, *, seed: int) -> FlatMaze:
    """Return a maze of `side` (odd) cells, a quarter of its inner walls opened."""
    rng = np.random.default_rng(seed)
    walls = np.ones((side, side), bool)
    stack = [(1, 1)]
    walls[1, 1] = False
    while stack:
        row, column = stack[-1]
        ways = [
            (row + dy, column + dx, row + 2 * dy, column + 2 * dx)
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))
            if 0 < row + 2 * dy < side
            and 0 < column + 2 * dx < side
            and walls[row + 2 * dy, column + 2 * dx]
        ]
        if not ways:
            stack.pop()
            continue
        between_row, between_column, *cell = ways[rng.integers(len(ways))]
        walls[between_row, between_column] = walls[tuple(cell)] = False
        stack.append((cell[0], cell[1]))
    inner = walls[1:-1, 1:-1]
    inner[rng.random(inner.shape) < 0.25] = False
    return FlatMaze(walls)


def camera_at(x: float, y: float, heading: float, *, up: float = 0.0) -> Pose:
    """Return a camera at eye height with 80 degrees of view."""
    return Pose(
        pose_from_heading(x, y, EYE_M, heading_rad=heading, up_rad=up),
        intrinsics_of(**SIZE, vertical_deg=80),
    )


def target_at(pose: Pose, depth_m: np.ndarray | None = None) -> Target:
    """Return the target of a camera."""
    return Target(pose, **SIZE, depth_m=depth_m)


def watch(bank: PoseBank, maze: FlatMaze, way: list[Place], *, fps: float = 8.0) -> list[Pose]:
    """Add what is seen along a way, view n as payload n at n / fps seconds; return the poses."""
    poses = []
    for number, place in enumerate(way):
        poses.append(camera_at(*place))
        depth_m = maze.depth(poses[-1])
        bank.add(poses[-1], **SIZE, time_s=number / fps, payload_id=number, depth_m=depth_m)
    return poses


def walk(maze: FlatMaze, steps: int, *, seed: int) -> list[Place]:
    """Return `(x, y, heading)` of a walk that goes on through free cells, turning by 9 degrees."""
    rng = np.random.default_rng(seed)
    free = np.argwhere(~maze.walls)
    row, column = free[rng.integers(len(free))]
    x, y, heading = (column + 0.5) * CELL_M, (row + 0.5) * CELL_M, rng.uniform(-3, 3)
    goal, before = (row, column), None
    way = []
    while len(way) < steps:
        aim = ((goal[1] + 0.5) * CELL_M, (goal[0] + 0.5) * CELL_M)
        if math.hypot(aim[0] - x, aim[1] - y) < 0.3:
            near = [(goal[0] + dy, goal[1] + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
            near = [cell for cell in near if not maze.walls[cell]]
            onward = [cell for cell in near if cell != before] or near
            before, goal = goal, onward[rng.integers(len(onward))]
            continue
        turn = (math.atan2(aim[1] - y, aim[0] - x) - heading + math.pi) % (2 * math.pi) - math.pi
        if abs(turn) > 0.2:
            heading += math.copysign(min(abs(turn), 0.16), turn)
        else:
            heading += turn
            x, y = x + 0.25 * math.cos(heading), y + 0.25 * math.sin(heading)
        way.append((float(x), float(y), float(heading)))
    return way

"""The map of a maze: cells, the way between them, and the action that follows it."""

import zlib
from collections import deque
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammem.records import Pose

CELL_M = 2.0
_EYE_AHEAD_M = 0.15
_ARRIVED_M = 0.35
_STEP_RAD = np.radians(9.2)

Cell: TypeAlias = tuple[int, int]
"""Row and column; row 0 is in the south, column 0 in the west."""

Map: TypeAlias = NDArray[np.bool_]
"""`[N, N]`, true where one can walk; its middle is the origin of the world."""

Place: TypeAlias = tuple[float, float, float]
"""Where one stands: x and y in metres, heading in radians to the left of x."""


def free_cells(free: Map) -> list[Cell]:
    """Return the cells one can walk on, row by row."""
    return [(int(row), int(column)) for row, column in np.argwhere(free)]


def cell_of(free: Map, x_m: float, y_m: float) -> Cell:
    """Return the cell at a place."""
    side = free.shape[0]
    return int(np.floor(y_m / CELL_M + side / 2)), int(np.floor(x_m / CELL_M + side / 2))


def middle_of(free: Map, cell: Cell) -> tuple[float, float]:
    """Return the middle `(x, y)` of a cell in metres."""
    row, column = cell
    middle = (free.shape[0] - 1) / 2
    return (column - middle) * CELL_M, (row - middle) * CELL_M


def place_of(pose: Pose) -> Place:
    """Return where the walker behind a camera stands."""
    ahead = pose.camera_to_world[:2, 2]
    ahead = ahead / np.linalg.norm(ahead)
    x_m, y_m = pose.camera_to_world[:2, 3] - _EYE_AHEAD_M * ahead
    return float(x_m), float(y_m), float(np.arctan2(ahead[1], ahead[0]))


def is_held_out(free: Map) -> bool:
    """Return whether a map is kept for measuring and never trained on: one in ten.

    The map itself decides, since different seeds can lead to the same one.
    """
    return zlib.crc32(np.packbits(free).tobytes()) % 10 == 0


def route(free: Map, start: Cell, goal: Cell) -> list[Cell]:
    """Return the cells of a shortest way from `start` to `goal`, both included; [] if none."""
    before: dict[Cell, Cell] = {start: start}
    waiting = deque([start])
    while waiting:
        cell = waiting.popleft()
        if cell == goal:
            way = [cell]
            while way[-1] != start:
                way.append(before[way[-1]])
            return way[::-1]
        row, column = cell
        for step in ((row, column - 1), (row, column + 1), (row - 1, column), (row + 1, column)):
            if free[step] and step not in before:
                before[step] = cell
                waiting.append(step)
    return []


def turn_to(heading_rad: float, wanted_rad: float) -> float:
    """Return the angle in [-pi, pi) to turn left by."""
    return float((wanted_rad - heading_rad + np.pi) % (2 * np.pi) - np.pi)


def arrived(pose: Pose, goal_m: tuple[float, float]) -> bool:
    """Return whether the walker stands at `goal_m`, to a third of a metre."""
    x_m, y_m, _ = place_of(pose)
    return float(np.hypot(goal_m[0] - x_m, goal_m[1] - y_m)) < _ARRIVED_M


def steer(pose: Pose, goal_m: tuple[float, float]) -> str:
    """Return the action that brings the walker nearer to `goal_m`, with nothing in between."""
    x_m, y_m, heading_rad = place_of(pose)
    left_rad = turn_to(heading_rad, float(np.arctan2(goal_m[1] - y_m, goal_m[0] - x_m)))
    side = "left" if left_rad > 0 else "right"
    if abs(left_rad) < _STEP_RAD:
        return "forward"
    return f"forward {side}" if abs(left_rad) < 3 * _STEP_RAD else side

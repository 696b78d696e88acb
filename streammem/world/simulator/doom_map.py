"""A building for the Doom engine, made from a seed: its plan, its walls, and its map file.

The map is written as UDMF text (the Universal Doom Map Format, version 1.1), which the engine
builds its tree from; the container is Doom's: a header, the lumps, and a directory.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streammem.world.simulator.maze_map import CELL_M, Map, free_cells, middle_of

UNITS_A_METRE = 32
FLOOR_M, CEILING_M = 0.0, 3.0
WALLS = (
    "BIGBRIK1",
    "BRICK7",
    "BROWN1",
    "GRAY1",
    "MARBLE1",
    "METAL1",
    "STARG3",
    "TEKGREN2",
    "WOOD5",
    "ZIMMER2",
    "SP_HOT1",
    "STONE2",
)
_BLOCKS_A_SIDE = 3


@dataclass(frozen=True, slots=True, eq=False)
class DoomPlan:
    """Where one can walk and what the walls are like.

    `free [N, N]` is a map as in mazes, row 0 in the south. `walls [W, 2, 2]` are the ends `(x, y)`
    of each wall in metres, with the open side to the right of the way from first to second;
    `textures [W]` what is on them. One starts at `start` `(x, y)`, looking to `heading_deg`.
    """

    free: Map
    walls: NDArray[np.float64]
    textures: tuple[str, ...]
    start: tuple[float, float]
    heading_deg: int


def plan_building(seed: int, *, cells: int = 9) -> DoomPlan:
    """Return the building of `seed`: `cells` to a side, an odd number, in walls that differ."""
    random = np.random.default_rng(seed)
    free = _carved(cells + 2, random)
    names = random.choice(WALLS, _BLOCKS_A_SIDE**2, replace=False)
    walls, textures = [], []
    for row, column in free_cells(free):
        x_m, y_m = middle_of(free, (row, column))
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            beyond = row + down, column + right
            if free[beyond]:
                continue
            middle = np.array([x_m + right * CELL_M / 2, y_m + down * CELL_M / 2])
            along = np.array([down, -right]) * CELL_M / 2
            walls.append((middle - along, middle + along))
            block = [part * _BLOCKS_A_SIDE // free.shape[0] for part in beyond]
            textures.append(str(names[block[0] * _BLOCKS_A_SIDE + block[1]]))
    cells_there = free_cells(free)
    start = middle_of(free, cells_there[int(random.integers(len(cells_there)))])
    return DoomPlan(free, np.array(walls), tuple(textures), start, int(random.integers(0, 360)))


def _carved(side: int, random: np.random.Generator) -> Map:
    """Return rooms and a maze of corridors, some of whose walls are opened to make loops."""
    free = np.zeros((side, side), bool)
    stack = [(1, 1)]
    free[1, 1] = True
    while stack:
        row, column = stack[-1]
        ways = [
            (row + down, column + right)
            for down, right in ((0, 2), (2, 0), (0, -2), (-2, 0))
            if 0 < row + down < side - 1
            and 0 < column + right < side - 1
            and not free[row + down, column + right]
        ]
        if not ways:
            stack.pop()
            continue
        onward = ways[int(random.integers(len(ways)))]
        free[(row + onward[0]) // 2, (column + onward[1]) // 2] = True
        free[onward] = True
        stack.append(onward)
    for _ in range(side // 4):
        row, column = (2 * random.integers(0, (side - 3) // 2, 2) + 1).tolist()
        free[row : row + 3, column : column + 3] = True
    inner = np.argwhere(~free[1:-1, 1:-1]) + 1
    for row, column in inner[random.permutation(len(inner))[: side // 3]]:
        if (row + column) % 2:
            free[row, column] = True
    return free


def map_file(plan: DoomPlan) -> bytes:
    """Return the map as the file that the engine loads."""
    lumps = {"MAP01": b"", "TEXTMAP": _map_text(plan).encode("ascii"), "ENDMAP": b""}
    content, directory, place = b"", b"", 12
    for name, lump in lumps.items():
        directory += struct.pack("<ii8s", place + len(content), len(lump), name.encode("ascii"))
        content += lump
    return struct.pack("<4sii", b"PWAD", len(lumps), place + len(content)) + content + directory


def _map_text(plan: DoomPlan) -> str:
    places = [tuple(place) for wall in plan.walls for place in np.rint(wall * UNITS_A_METRE)]
    vertices = list(dict.fromkeys(places))
    number = {place: index for index, place in enumerate(vertices)}
    parts = ['namespace = "ZDoom";']
    parts += [f"vertex {{ x = {x:.1f}; y = {y:.1f}; }}" for x, y in vertices]
    for wall, texture in enumerate(plan.textures):
        ends = number[places[2 * wall]], number[places[2 * wall + 1]]
        parts.append(
            f"linedef {{ v1 = {ends[0]}; v2 = {ends[1]}; sidefront = {wall}; blocking = true; }}"
        )
        parts.append(f'sidedef {{ sector = 0; texturemiddle = "{texture}"; }}')
    parts.append(
        f"sector {{ heightfloor = {FLOOR_M * UNITS_A_METRE:.0f};"
        f" heightceiling = {CEILING_M * UNITS_A_METRE:.0f};"
        ' texturefloor = "FLOOR4_8"; textureceiling = "CEIL3_5"; lightlevel = 200; }'
    )
    x, y = (round(part * UNITS_A_METRE) for part in plan.start)
    parts.append(
        f"thing {{ x = {x:.1f}; y = {y:.1f}; angle = {plan.heading_deg}; type = 1; skill1 = true;"
        " skill2 = true; skill3 = true; skill4 = true; skill5 = true; single = true; }"
    )
    return "\n".join(parts) + "\n"

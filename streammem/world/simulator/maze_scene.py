"""One maze as MuJoCo needs it: Memory Maze's layout, walls and objects, made from a seed.

Memory Maze (arXiv 2210.13383) is a benchmark of memory: rooms and corridors on a grid, the walls
of each ninth of the map in a colour of their own, half-spheres as landmarks. Its parts are used as
they are published; what is left out serves rewards (contact checks, the coloured border).
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streammem.errors import MissingExtra, SourceError
from streammem.world.simulator.gl import GL_ADVICE, choose_gl
from streammem.world.simulator.maze_map import CELL_M, Map

WALL_HEIGHT_M = 1.5
COLOUR_ROLE = 1
CAMERA = "walker/egocentric"
PHYSICS_S = 0.005
CONTROL_S = 0.125
_STYLE = "style_01"
_BLOCKS = "012345678"
_OBJECT_RADIUS_M = 0.6
_EYE_HEIGHT_M = 0.3


Places: TypeAlias = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class MazeScene:
    """A compiled maze.

    `model` is MuJoCo's, `start [S]` its whole physical state at the spawn. `free [N, N]` is true
    where one can walk, outer walls included, row 0 in the south and column 0 in the west; the cell
    `[row, column]` has its middle at `((column - (N-1)/2), (row - (N-1)/2)) * CELL_M` metres.
    `blocks [N, N]` numbers the wall block of each cell, -1 where it is free. `wall_materials` are
    the materials of each block, `colours` their colours, "" where a block has no wall, and
    `textures` all there are. `object_bodies` are the landmarks, at `objects` metres.
    """

    seed: int
    model: Any
    start: NDArray[np.float64]
    free: NDArray[np.bool_]
    blocks: NDArray[np.int8]
    wall_materials: tuple[tuple[int, ...], ...]
    textures: dict[str, int]
    colours: tuple[str, ...]
    object_bodies: tuple[int, ...]
    objects: Places


@cache
def maze_parts() -> ModuleType:
    """Return memory_maze's module of parts without its package, which wants the abandoned gym.

    Raises `MissingExtra` where the simulator is not installed, `SourceError` where it cannot draw.
    """
    for name in ("mujoco", "dm_control", "labmaze", "memory_maze"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(name, "world")
    choose_gl()
    package = importlib.util.find_spec("memory_maze")
    assert package is not None and package.origin is not None
    spec = importlib.util.spec_from_file_location(
        "memory_maze_parts", Path(package.origin).with_name("maze.py")
    )
    assert spec is not None and spec.loader is not None
    parts = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(parts)
    except (ImportError, RuntimeError, OSError) as error:
        raise SourceError(
            f"the simulator cannot be loaded: {error or type(error).__name__}; {GL_ADVICE}"
        ) from error
    return parts


def build_scene(seed: int, *, cells: int, objects: int) -> MazeScene:
    """Return the maze of `seed`: `cells` to a side without the outer walls, an odd number.

    Layout, colours, landmarks and spawn depend on `seed` alone.
    """
    task, random = _assembled(seed, cells=cells, objects=objects)
    import mujoco

    arena = task.root_entity
    root = arena.mjcf_model.root
    # Multisampling would draw depth from one sample beside the middle of the pixel.
    root.visual.quality.offsamples = 0
    # The walker is not to be seen when a camera stands elsewhere.
    for geom in task._walker.mjcf_model.find_all("geom"):
        geom.group = 4
    # Landmarks are seen, not felt.
    for target in task._targets:
        target.geom.set_attributes(contype=0, conaffinity=0)
    model = mujoco.MjModel.from_xml_string(root.to_xml_string(), root.get_assets())
    blocks = _blocks(arena)
    names = _Names(model)
    walls = tuple(names.starting("material", f"wall{char}_") for char in _BLOCKS)
    textures = {
        name.partition("/")[2]: texture
        for name, texture in names.of("texture")
        if name.startswith(f"labmaze_{_STYLE}/")
    }
    bodies = names.starting("body", "target")
    x_m, y_m, _ = arena.spawn_positions[random.randint(len(arena.spawn_positions))]
    return MazeScene(
        seed=seed,
        model=model,
        start=_standing(model, x_m, y_m, turn_rad=random.uniform(-np.pi, np.pi)),
        free=blocks < 0,
        blocks=blocks,
        wall_materials=walls,
        textures=textures,
        colours=tuple(_colour(model, textures, materials) for materials in walls),
        object_bodies=bodies,
        objects=tuple((float(x), float(y)) for x, y, _ in model.body_pos[list(bodies)]),
    )


def map_of(seed: int, *, cells: int = 9, objects: int = 3) -> Map:
    """Return where one can walk in the maze of `seed`, without making the rest of it."""
    task, _ = _assembled(seed, cells=cells, objects=objects)
    return _blocks(task.root_entity) < 0


def _assembled(seed: int, *, cells: int, objects: int) -> tuple[Any, np.random.RandomState]:
    """Return Memory Maze's task with its maze laid out, and the randomness that is left."""
    parts = maze_parts()
    from dm_control.locomotion.arenas.labmaze_textures import WallTextures

    random = np.random.RandomState(seed)
    wall = WallTextures(_STYLE)
    arena = parts.MazeWithTargetsArena(
        x_cells=cells + 2,
        y_cells=cells + 2,
        xy_scale=CELL_M,
        z_height=WALL_HEIGHT_M,
        max_rooms=6,
        room_min_size=3,
        room_max_size=5,
        spawns_per_room=1,
        targets_per_room=1,
        floor_textures=parts.FixedFloorTexture(_STYLE, ["blue", "blue_bright"]),
        wall_textures={char: wall for char in _BLOCKS},
        random_seed=random.randint(1, 2**31),
    )
    task = parts.MemoryMazeTask(
        walker=parts.RollingBallWithFriction(camera_height=_EYE_HEIGHT_M),
        maze_arena=arena,
        n_targets=objects,
        target_radius=_OBJECT_RADIUS_M,
        target_height_above_ground=-_OBJECT_RADIUS_M,
        physics_timestep=PHYSICS_S,
        control_timestep=CONTROL_S,
    )
    task.initialize_episode_mjcf(random)
    return task, random


def _blocks(arena: Any) -> NDArray[np.int8]:
    chars = arena.maze.entity_layer[::-1]
    blocks = np.full(chars.shape, -1, np.int8)
    for block, char in enumerate(_BLOCKS):
        blocks[chars == char] = block
    return blocks


def _colour(model: Any, textures: dict[str, int], materials: tuple[int, ...]) -> str:
    """Return the colour of a block's walls, "" where it has none."""
    used = {model.mat_texid[material, COLOUR_ROLE] for material in materials}
    return next((name for name, texture in textures.items() if texture in used), "")


def _standing(model: Any, x_m: float, y_m: float, *, turn_rad: float) -> NDArray[np.float64]:
    """Return the physical state of a walker that stands still at a place."""
    import mujoco

    data = mujoco.MjData(model)
    for joint, value in (("root_x/", x_m), ("root_y/", y_m), ("steer", turn_rad)):
        data.joint(f"walker/{joint}").qpos = value
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    return state


class _Names:
    """Names and numbers of the parts of a compiled model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def of(self, kind: Literal["material", "texture", "body", "geom"]) -> list[tuple[str, int]]:
        """Return name and number of every part of a `kind`."""
        import mujoco

        counts = {
            "material": self._model.nmat,
            "texture": self._model.ntex,
            "body": self._model.nbody,
            "geom": self._model.ngeom,
        }
        code = getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}")
        return [
            (mujoco.mj_id2name(self._model, code, number) or "", number)
            for number in range(counts[kind])
        ]

    def starting(self, kind: Literal["material", "body", "geom"], start: str) -> tuple[int, ...]:
        """Return the numbers of the parts whose name begins with `start`."""
        return tuple(number for name, number in self.of(kind) if name.startswith(start))

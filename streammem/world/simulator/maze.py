"""Memory Maze as a world: actions in, exact pictures, depth and poses out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammem.errors import UsageError, one_of
from streammem.records import Frame, Pose
from streammem.world.simulator.drawing import Drawing
from streammem.world.simulator.maze_map import cell_of, free_cells
from streammem.world.simulator.maze_scene import (
    CAMERA,
    COLOUR_ROLE,
    CONTROL_S,
    PHYSICS_S,
    MazeScene,
    Places,
    build_scene,
)

ACTIONS = {
    "stay": (0.0, 0.0),
    "forward": (-1.0, 0.0),
    "left": (0.0, -1.0),
    "right": (0.0, 1.0),
    "forward left": (-1.0, -1.0),
    "forward right": (-1.0, 1.0),
    "backward": (1.0, 0.0),
    "backward left": (1.0, -1.0),
    "backward right": (1.0, 1.0),
}
"""Roll and steer of the walker. The first six are Memory Maze's; backward lets a path reverse."""

FPS = 1.0 / CONTROL_S
"""Twice the rate of Memory Maze: 9 degrees or 0.25 m a step, where 18 degrees tear pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class MazeState:
    """A moment in the maze of `seed`: `index` steps after the start.

    `physics [S]` is all that MuJoCo needs to go on. `colours` names the colour of each wall block,
    `objects` the place `(x, y)` of each landmark in metres.
    """

    seed: int
    index: int
    physics: NDArray[np.float64]
    colours: tuple[str, ...]
    objects: Places
    action: str | None = None


class MazeWorld:
    """Memory Maze (arXiv 2210.13383) at 8 frames/s, a `WorldModel` whose pictures are the truth.

    A state holds all that the next one depends on, so that equal states and actions give equal
    frames; one world serves any number of walks, fastest while they stay in one maze. `cells` to a
    side, `objects` landmarks, pictures of `side_px`. Raises `MissingExtra` without the simulator
    and `SourceError` without OpenGL.
    """

    name = "maze"
    actions = tuple(ACTIONS)
    fps = FPS

    def __init__(self, *, cells: int = 9, objects: int = 3, side_px: int = 64) -> None:
        if cells < 7 or cells % 2 == 0:
            raise UsageError(f"cells must be odd and at least 7, got {cells}")
        if not 1 <= objects <= 6:
            raise UsageError(f"objects must be 1 to 6, got {objects}")
        if not 8 <= side_px <= 480:
            raise UsageError(f"side_px must be 8 to 480, got {side_px}")
        self._cells, self._objects, self._side_px = cells, objects, side_px
        self._scene: MazeScene | None = None
        self._data: Any = None
        self._drawing: Drawing | None = None

    def start(self, seed: int) -> tuple[Frame, MazeState]:
        """Return the first frame and the state at the spawn of the maze of `seed`."""
        state = self.spawn(seed)
        return self.look(state), state

    def step(self, state: MazeState, action: str) -> tuple[Frame, MazeState]:
        """Return the frame after one `action`, and the state that goes with it."""
        state = self.move(state, action)
        return self.look(state), state

    def spawn(self, seed: int) -> MazeState:
        """Return the state at the spawn of the maze of `seed`, as it was built."""
        scene = self.scene(seed)
        return MazeState(seed, 0, scene.start, scene.colours, scene.objects)

    def move(self, state: MazeState, action: str) -> MazeState:
        """Return the state after one `action`, without drawing; a sixth of the time of `step`."""
        if action not in ACTIONS:
            raise one_of("action", action, ACTIONS)
        import mujoco

        scene = self._enter(state)
        self._data.ctrl[:] = ACTIONS[action]
        mujoco.mj_step(scene.model, self._data, nstep=round(CONTROL_S / PHYSICS_S))
        physics = np.empty_like(state.physics)
        mujoco.mj_getState(scene.model, self._data, physics, mujoco.mjtState.mjSTATE_INTEGRATION)
        return replace(state, index=state.index + 1, physics=physics, action=action)

    def look(self, state: MazeState) -> Frame:
        """Return what the walker sees in `state`."""
        return self.render(state, self.camera(state))

    def camera(self, state: MazeState) -> Pose:
        """Return the pose of the walker's camera in `state`."""
        scene = self._enter(state)
        self._place_bodies()
        camera = self._data.camera(CAMERA)
        pose = np.eye(4)
        pose[:3, :3] = camera.xmat.reshape(3, 3) * [1.0, -1.0, -1.0]
        pose[:3, 3] = camera.xpos
        return Pose(pose, self._intrinsics(scene))

    def render(self, state: MazeState, pose: Pose) -> Frame:
        """Return what a camera at `pose` would see in `state`.

        `depth_m` is z-depth, NaN in the sky. The intrinsics are those of the world's own camera,
        others are refused.
        """
        scene = self._enter(state)
        own = self._intrinsics(scene)
        if not np.allclose(pose.intrinsics, own):
            raise UsageError(
                f"intrinsics {pose.intrinsics.tolist()} differ from the camera of this world,"
                f" {own.tolist()}; take a pose from one of its frames and move it"
            )
        self._furnish(state)
        self._place_bodies()
        if self._drawing is None:
            self._drawing = Drawing(scene.model, camera=CAMERA, side_px=self._side_px)
        rgb, depth_m = self._drawing.draw(self._data, pose.camera_to_world)
        return Frame(
            source_id=f"{self.name}:{state.seed}",
            index=state.index,
            time_s=state.index / self.fps,
            rgb=rgb,
            pose=pose,
            depth_m=depth_m,
            action=state.action,
        )

    def repaint(self, state: MazeState, block: int, colour: str) -> MazeState:
        """Return `state` with the walls of one `block`, 0 to 8, in another colour."""
        textures = self.scene(state.seed).textures
        if colour not in textures:
            raise one_of("colour", colour, textures)
        if not 0 <= block < len(state.colours):
            raise UsageError(f"block must be 0 to {len(state.colours) - 1}, got {block}")
        colours = list(state.colours)
        colours[block] = colour
        return replace(state, colours=tuple(colours))

    def move_object(self, state: MazeState, number: int, x_m: float, y_m: float) -> MazeState:
        """Return `state` with one landmark at another free place."""
        if not 0 <= number < len(state.objects):
            raise UsageError(f"object must be 0 to {len(state.objects) - 1}, got {number}")
        free = self.scene(state.seed).free
        if cell_of(free, x_m, y_m) not in free_cells(free):
            raise UsageError(f"({x_m:g}, {y_m:g}) m is in a wall or outside; choose a free cell")
        objects = list(state.objects)
        objects[number] = (x_m, y_m)
        return replace(state, objects=tuple(objects))

    def scene(self, seed: int) -> MazeScene:
        """Return the maze of `seed`: its map, colours and landmarks as it was built."""
        if not 0 <= seed < 2**32:
            raise UsageError(f"seed must be 0 to {2**32 - 1}, got {seed}")
        if self._scene is None or self._scene.seed != seed:
            scene = build_scene(seed, cells=self._cells, objects=self._objects)
            import mujoco

            self.close()
            self._scene, self._data = scene, mujoco.MjData(scene.model)
        return self._scene

    def save(self, state: MazeState) -> dict[str, NDArray[np.generic]]:
        """Return `state` as arrays."""
        return {
            "seed": np.array(state.seed),
            "index": np.array(state.index),
            "physics": state.physics,
            "colours": np.array(state.colours),
            "objects": np.array(state.objects),
            "action": np.array(state.action or ""),
        }

    def load(self, saved: Mapping[str, NDArray[np.generic]]) -> MazeState:
        """Return the state that `save` gave; raises `UsageError` where it is of another world."""
        missing = {"seed", "index", "physics", "colours", "objects", "action"} - set(saved)
        if missing:
            raise UsageError(
                f"the saved state is not one of a maze: it lacks {', '.join(sorted(missing))}"
            )
        return MazeState(
            seed=int(saved["seed"][()]),
            index=int(saved["index"][()]),
            physics=np.asarray(saved["physics"], np.float64),
            colours=tuple(str(colour) for colour in saved["colours"]),
            objects=tuple((float(x), float(y)) for x, y in saved["objects"]),
            action=str(saved["action"]) or None,
        )

    def close(self) -> None:
        """Free what drawing holds; the world can be used again."""
        if self._drawing is not None:
            self._drawing.close()
        self._drawing = self._scene = self._data = None

    def _enter(self, state: MazeState) -> MazeScene:
        """Put the maze of `state`, and the walker in it, before MuJoCo."""
        import mujoco

        scene = self.scene(state.seed)
        mujoco.mj_setState(
            scene.model, self._data, state.physics, mujoco.mjtState.mjSTATE_INTEGRATION
        )
        return scene

    def _place_bodies(self) -> None:
        """Compute the places of bodies and cameras, which lag a step behind the state."""
        import mujoco

        assert self._scene is not None
        mujoco.mj_kinematics(self._scene.model, self._data)
        mujoco.mj_camlight(self._scene.model, self._data)

    def _furnish(self, state: MazeState) -> None:
        """Give walls and landmarks the colours and places of `state`."""
        assert self._scene is not None
        scene = self._scene
        for materials, colour in zip(scene.wall_materials, state.colours, strict=True):
            scene.model.mat_texid[list(materials), COLOUR_ROLE] = scene.textures.get(colour, -1)
        for body, place in zip(scene.object_bodies, state.objects, strict=True):
            scene.model.body_pos[body, :2] = place

    def _intrinsics(self, scene: MazeScene) -> NDArray[np.float64]:
        """Return `[3, 3]` of the walker's camera, in pixels; the middle of pixel 0 is at 0.5."""
        half = self._side_px / 2
        focal = half / np.tan(np.radians(float(scene.model.camera(CAMERA).fovy[0])) / 2)
        return np.array([[focal, 0.0, half], [0.0, focal, half], [0.0, 0.0, 1.0]])

"""Buildings in the Doom engine as a world: no OpenGL, on any machine, fast.

ViZDoom (arXiv 1605.02097) draws them; depth is computed from the plan, since the engine's own has
256 levels of 0.2 m.
"""

import importlib.util
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammem.errors import MissingExtra, UsageError, one_of
from streammem.records import Frame, Pose
from streammem.world.simulator.doom_map import (
    CEILING_M,
    FLOOR_M,
    UNITS_A_METRE,
    DoomPlan,
    map_file,
    plan_building,
)

TURN_DEG, PUSH = 2.5, 10.0
ACTIONS = {
    "stay": (0.0, 0.0),
    "forward": (0.0, PUSH),
    "left": (-TURN_DEG, 0.0),
    "right": (TURN_DEG, 0.0),
    "forward left": (-TURN_DEG, PUSH),
    "forward right": (TURN_DEG, PUSH),
    "backward": (0.0, -PUSH),
    "backward left": (-TURN_DEG, -PUSH),
    "backward right": (TURN_DEG, -PUSH),
}
"""Degrees to the right and push forward, for each tic of the engine."""

TICS, TICS_A_SECOND = 4, 35
FPS = TICS_A_SECOND / TICS
SIDE_PX = 64
_WIDTH, _HEIGHT, _SHRINK = 256, 192, 3
_FOCAL_X_PX = _WIDTH / 2 / _SHRINK
_FOCAL_Y_PX = 1.2 * _FOCAL_X_PX
"""Doom's pixels are a fifth taller than wide, also on square ones."""


@dataclass(frozen=True, slots=True)
class DoomState:
    """A moment in the building of `seed`: the numbers of the actions that led to it, in order."""

    seed: int
    actions: bytes


class DoomWorld:
    """Seeded buildings in the Doom engine at 8.75 frames/s, a `WorldModel` of exact frames.

    The engine cannot be put into a state, so a step from any but the last state given repeats the
    walk that led there, without drawing it. Raises `MissingExtra` without the engine.
    """

    name = "doom"
    actions = tuple(ACTIONS)
    fps = FPS

    def __init__(self) -> None:
        self._game: Any = None
        self._plan: DoomPlan | None = None
        self._now: DoomState | None = None

    def start(self, seed: int) -> tuple[Frame, DoomState]:
        """Return the first frame and the state at the entrance of the building of `seed`."""
        state = DoomState(seed, b"")
        self._go(state)
        return self._look(), state

    def step(self, state: DoomState, action: str) -> tuple[Frame, DoomState]:
        """Return the frame after one `action`, and the state that goes with it."""
        if action not in ACTIONS:
            raise one_of("action", action, ACTIONS)
        state = DoomState(state.seed, state.actions + bytes([self.actions.index(action)]))
        self._go(state)
        return self._look(), state

    def plan(self, seed: int) -> DoomPlan:
        """Return the plan of the building of `seed`."""
        if self._plan is None or self._now is None or self._now.seed != seed:
            return plan_building(seed)
        return self._plan

    def save(self, state: DoomState) -> dict[str, NDArray[np.generic]]:
        """Return `state` as arrays."""
        return {
            "doom_seed": np.array(state.seed),
            "doom_actions": np.frombuffer(state.actions, np.uint8),
        }

    def load(self, saved: Mapping[str, NDArray[np.generic]]) -> DoomState:
        """Return the state that `save` gave; raises `UsageError` where it is of another world."""
        if missing := {"doom_seed", "doom_actions"} - set(saved):
            raise UsageError(
                f"the saved state is not one of doom: it lacks {', '.join(sorted(missing))}"
            )
        return DoomState(
            int(saved["doom_seed"][()]), np.asarray(saved["doom_actions"], np.uint8).tobytes()
        )

    def close(self) -> None:
        """End the engine; the world can be used again."""
        if self._game is not None:
            self._game.close()
        self._game = self._plan = self._now = None

    def _go(self, state: DoomState) -> None:
        """Bring the engine to `state`, by one action where it is the next."""
        now, self._now = self._now, None
        if now is None or now.seed != state.seed:
            self._enter(state.seed)
            now = DoomState(state.seed, b"")
        elif not state.actions.startswith(now.actions):
            self._game.new_episode()
            now = DoomState(state.seed, b"")
        for number in state.actions[len(now.actions) :]:
            self._game.make_action(list(ACTIONS[self.actions[number]]), TICS)
        self._now = state

    def _enter(self, seed: int) -> None:
        """Start the engine in the building of `seed`."""
        if importlib.util.find_spec("vizdoom") is None:
            raise MissingExtra("vizdoom", "world")
        import vizdoom

        self.close()
        self._plan = plan_building(seed)
        game = vizdoom.DoomGame()
        game.set_doom_map("map01")
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_256X192)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_render_hud(False)
        game.set_render_weapon(False)
        game.set_render_crosshair(False)
        game.set_available_buttons(
            [vizdoom.Button.TURN_LEFT_RIGHT_DELTA, vizdoom.Button.MOVE_FORWARD_BACKWARD_DELTA]
        )
        game.set_available_game_variables(
            [
                vizdoom.GameVariable.CAMERA_POSITION_X,
                vizdoom.GameVariable.CAMERA_POSITION_Y,
                vizdoom.GameVariable.CAMERA_POSITION_Z,
                vizdoom.GameVariable.CAMERA_ANGLE,
            ]
        )
        game.set_mode(vizdoom.Mode.PLAYER)
        # For its first tics the engine does not let one move.
        game.set_episode_start_time(10)
        game.set_episode_timeout(0)
        game.set_seed(seed % 2**32)
        # The camera would swing while walking.
        game.add_game_args("+movebob 0")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            building = Path(folder) / "building.wad"
            building.write_bytes(map_file(self._plan))
            game.set_doom_scenario_path(str(building))
            game.init()
        self._game = game

    def _look(self) -> Frame:
        assert self._now is not None and self._plan is not None
        shown = self._game.get_state()
        margin = (_WIDTH - _HEIGHT) // 2
        square = shown.screen_buffer[:, margin : margin + _HEIGHT].astype(np.uint16)
        cells = square.reshape(SIDE_PX, _SHRINK, SIDE_PX, _SHRINK, 3)
        rgb = np.rint(cells.mean(axis=(1, 3))).astype(np.uint8)
        x, y, z, angle_deg = shown.game_variables
        pose = _level_pose(np.array([x, y, z]) / UNITS_A_METRE, np.radians(angle_deg))
        actions = self._now.actions
        return Frame(
            source_id=f"{self.name}:{self._now.seed}",
            index=len(actions),
            time_s=len(actions) / self.fps,
            rgb=rgb,
            pose=pose,
            depth_m=depth_of(self._plan, pose),
            action=self.actions[actions[-1]] if actions else None,
        )


def depth_of(plan: DoomPlan, pose: Pose) -> NDArray[np.float32]:
    """Return the z-depth `[64, 64]` in metres that a level camera at `pose` sees of a building.

    A point at z-depth t in the column of slope u is at `eye + t (ahead + u right)`, so that t is
    the smallest positive solution over the walls; floor and ceiling cut it off.
    """
    eye = pose.camera_to_world[:3, 3]
    ahead, right = pose.camera_to_world[:2, 2], pose.camera_to_world[:2, 0]
    middles = np.arange(SIDE_PX) + 0.5 - SIDE_PX / 2
    rays = ahead + middles[:, None] / _FOCAL_X_PX * right  # [64, 2]
    drops = middles / _FOCAL_Y_PX
    first, along = plan.walls[:, 0] - eye[:2], plan.walls[:, 1] - plan.walls[:, 0]  # [W, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        across = _cross(rays[:, None], along)  # [64, W]
        walls = _cross(first, along) / across
        part = _cross(first, rays[:, None]) / across
        met = (walls > 0) & (part >= 0) & (part <= 1)
        nearest = np.where(met, walls, np.inf).min(axis=1)
    level = np.where(drops > 0, eye[2] - FLOOR_M, eye[2] - CEILING_M) / drops
    depth_m: NDArray[np.float32] = np.minimum(nearest[None, :], level[:, None]).astype(np.float32)
    return depth_m


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def _level_pose(eye_m: NDArray[np.float64], angle_rad: float) -> Pose:
    """Return the pose of a camera at `eye_m` that looks `angle_rad` to the left of x, level."""
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    pose = np.eye(4)
    pose[:3, :3] = [[sine, 0.0, cosine], [-cosine, 0.0, sine], [0.0, -1.0, 0.0]]
    pose[:3, 3] = eye_m
    half = SIDE_PX / 2
    intrinsics = np.array([[_FOCAL_X_PX, 0.0, half], [0.0, _FOCAL_Y_PX, half], [0.0, 0.0, 1.0]])
    return Pose(pose, intrinsics)

"""The maze against geometry worked out by hand, and against its own promises."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from streammem.errors import MissingExtra, SourceError, UsageError
from streammem.protocols import WorldModel
from streammem.records import Frame, Pose
from streammem.world.simulator import gl, maze_scene
from streammem.world.simulator.drawing import Drawing
from streammem.world.simulator.explorer import Explorer
from streammem.world.simulator.maze import MazeState, MazeWorld
from streammem.world.simulator.maze_map import (
    CELL_M,
    free_cells,
    middle_of,
    place_of,
    route,
    turn_to,
)

WALL_TOP_M, EYE_M = 1.5, 0.9


@pytest.fixture(scope="module")
def walk(maze: MazeWorld) -> list[Frame]:
    return walk_in(maze, seed=5, steps=60)


def walk_in(world: MazeWorld, *, seed: int, steps: int) -> list[Frame]:
    frame, state = world.start(seed)
    explorer, frames = Explorer(world.scene(seed).free, seed=seed), [frame]
    for _ in range(steps):
        frame, state = world.step(state, explorer.act(world.camera(state)))
        frames.append(frame)
    return frames


def points(frame: Frame) -> NDArray[np.float64]:
    """Return the place of each pixel in the world, `[H, W, 3]`, by the definition of z-depth."""
    assert frame.pose is not None and frame.depth_m is not None
    height, width = frame.depth_m.shape
    result = np.empty((height, width, 3))
    (fx, _, cx), (_, fy, cy), _ = frame.pose.intrinsics
    for row in range(height):
        for column in range(width):
            depth = float(frame.depth_m[row, column])
            camera = [(column + 0.5 - cx) / fx * depth, (row + 0.5 - cy) / fy * depth, depth, 1.0]
            result[row, column] = (frame.pose.camera_to_world @ camera)[:3]
    return result


def heading(world: MazeWorld, state: MazeState) -> float:
    return place_of(world.camera(state))[2]


def test_it_is_a_world_model(maze: MazeWorld) -> None:
    world: WorldModel[MazeState] = maze
    frame, state = world.start(3)
    assert frame.source_id == "maze:3" and frame.index == 0 and frame.action is None
    frame, _ = world.step(state, "left")
    assert (frame.index, frame.time_s, frame.action) == (1, 0.125, "left")
    assert frame.rgb.shape == (64, 64, 3)
    assert frame.depth_m is not None and frame.depth_m.dtype == np.float32


def test_equal_seeds_and_actions_give_equal_frames(maze: MazeWorld, walk: list[Frame]) -> None:
    other = MazeWorld()
    again = walk_in(other, seed=5, steps=60)
    other.close()
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(walk, again, strict=True))
    assert all(
        np.array_equal(a.depth_m, b.depth_m, equal_nan=True)  # type: ignore[arg-type]
        for a, b in zip(walk, again, strict=True)
    )
    unlike = maze.scene(6)
    assert not np.array_equal(unlike.blocks, maze.scene(5).blocks)


def test_floor_and_walls_are_where_the_map_has_them(walk: list[Frame]) -> None:
    floors, walls = [], []
    for frame in walk[::6]:
        places = points(frame).reshape(-1, 3)
        heights = places[:, 2]
        floors.append(heights[np.abs(heights) < 0.1])
        sides = places[(heights > 0.7) & (heights < WALL_TOP_M - 0.05), :2]
        # The sides of cells lie at odd metres, of a map whose middle cell is around zero.
        walls.append(np.abs((sides % CELL_M) - 1.0).min(axis=1))
    assert np.percentile(np.abs(np.concatenate(floors)), 90) < 1e-4
    assert np.concatenate(walls).size > 1000
    assert np.percentile(np.concatenate(walls), 90) < 1e-4


def test_what_is_behind_the_map_is_wall(maze: MazeWorld, walk: list[Frame]) -> None:
    free = maze.scene(5).free
    assert not free[0].any() and not free[-1].any() and not free[:, 0].any()
    for frame in walk:
        assert frame.pose is not None
        x_m, y_m, _ = place_of(frame.pose)
        near = [
            middle
            for middle in (middle_of(free, cell) for cell in free_cells(free))
            if max(abs(x_m - middle[0]), abs(y_m - middle[1])) <= CELL_M / 2
        ]
        assert near, f"({x_m}, {y_m}) is in a wall"


def test_pictures_agree_with_depth_and_pose_of_the_frame_before(walk: list[Frame]) -> None:
    agreeing, warped, unwarped = [], [], []
    for before, after in pairwise(walk[20:]):
        assert after.pose is not None and after.depth_m is not None
        world = points(before).reshape(-1, 3)
        inverse = np.linalg.inv(after.pose.camera_to_world)
        camera = world @ inverse[:3, :3].T + inverse[:3, 3]
        (fx, _, cx), (_, fy, cy), _ = after.pose.intrinsics
        with np.errstate(invalid="ignore"):
            column = np.floor(camera[:, 0] / camera[:, 2] * fx + cx)
            row = np.floor(camera[:, 1] / camera[:, 2] * fy + cy)
            seen = (camera[:, 2] > 0.05) & (column >= 0) & (column < 64) & (row >= 0) & (row < 64)
        rows, columns = row[seen].astype(int), column[seen].astype(int)
        depth = camera[seen, 2]
        same = np.abs(after.depth_m[rows, columns] - depth) < 0.02 + 0.05 * depth
        agreeing.append(same.mean())
        colours = before.rgb.reshape(-1, 3)[seen].astype(int)
        warped.append(np.abs(after.rgb[rows, columns] - colours)[same].mean())
        unwarped.append(np.abs(after.rgb.astype(int) - before.rgb).mean())
    assert np.mean(agreeing) > 0.95
    assert np.mean(warped) < np.mean(unwarped) / 2


def test_the_picture_has_no_border(walk: list[Frame]) -> None:
    edges = np.stack([frame.rgb[:2].reshape(-1, 3) for frame in walk])
    assert np.ptp(edges.astype(int), axis=1).max(axis=1).mean() > 20


def test_the_sky_has_no_depth_and_nothing_else_lacks_it(walk: list[Frame]) -> None:
    depths = np.stack([frame.depth_m for frame in walk])  # type: ignore[arg-type]
    sky = np.isnan(depths)
    assert 0.05 < sky.mean() < 0.6
    assert np.nanmax(depths) < np.hypot(22, 22)
    assert not sky[:, 40:].any()


def test_a_look_up_is_sky_and_a_look_down_is_floor(maze: MazeWorld) -> None:
    state = maze.spawn(4)
    own = maze.camera(state)
    x_m, y_m, _ = place_of(own)
    up, down = np.eye(4), np.eye(4)
    up[:3, 3] = down[:3, 3] = [x_m, y_m, EYE_M]
    up[:3, :3], down[:3, :3] = np.diag([1.0, 1.0, 1.0]), np.diag([1.0, -1.0, -1.0])
    above = maze.render(state, Pose(up, own.intrinsics)).depth_m
    below = maze.render(state, Pose(down, own.intrinsics)).depth_m
    assert above is not None and np.isnan(above[28:36, 28:36]).all()
    assert below is not None and np.allclose(below[28:36, 28:36], EYE_M, atol=1e-3)


def test_actions_move_as_they_say(maze: MazeWorld) -> None:
    start = maze.spawn(4)

    def after(*actions: str) -> MazeState:
        state = start
        for action in actions:
            state = maze.move(state, action)
        return state

    here = np.array(place_of(maze.camera(start))[:2])
    ahead = np.array([np.cos(heading(maze, start)), np.sin(heading(maze, start))])
    forward = np.array(place_of(maze.camera(after("forward", "forward")))[:2]) - here
    backward = np.array(place_of(maze.camera(after("backward", "backward")))[:2]) - here
    assert forward @ ahead > 0.15 and backward @ ahead < -0.15
    for side, sign in (("left", 1), ("right", -1)):
        for action in (side, f"forward {side}", f"backward {side}"):
            state = after(*[action] * 4)
            assert sign * turn_to(heading(maze, start), heading(maze, state)) > np.radians(20)
    turned = after("left", "left", "left", "left", "left")
    step = turn_to(heading(maze, after("left", "left", "left", "left")), heading(maze, turned))
    assert np.degrees(step) == pytest.approx(9.2, abs=0.1)
    assert maze.camera(after("stay")).camera_to_world == pytest.approx(
        maze.camera(start).camera_to_world, abs=1e-3
    )


def test_the_camera_of_a_step_drawn_again_gives_the_same_picture(
    maze: MazeWorld, walk: list[Frame]
) -> None:
    frame, state = maze.start(5)
    for action in ("left", "forward", "forward right"):
        frame, state = maze.step(state, action)
    assert frame.pose is not None
    apart = Pose(frame.pose.camera_to_world.copy(), frame.pose.intrinsics.copy())
    drawn = maze.render(maze.spawn(5), apart)
    assert np.array_equal(drawn.rgb, frame.rgb)
    assert np.array_equal(drawn.depth_m, frame.depth_m, equal_nan=True)  # type: ignore[arg-type]


def test_pictures_are_those_of_mujocos_own_renderer(maze: MazeWorld) -> None:
    mujoco = pytest.importorskip("mujoco")
    state = maze.spawn(5)
    model = maze.scene(5).model
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, state.physics, mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, 64, 64)
    renderer.update_scene(data, camera=maze_scene.CAMERA)
    rgb = renderer.render()
    renderer.close()
    assert np.array_equal(maze.look(state).rgb, rgb)


def test_a_state_goes_on_the_same_after_others_were_used(maze: MazeWorld) -> None:
    _, state = maze.start(7)
    for action in ("forward", "left", "forward left"):
        _, state = maze.step(state, action)
    frame, _ = maze.step(state, "forward")
    maze.step(state, "backward")
    maze.start(8)
    again, _ = maze.step(state, "forward")
    assert np.array_equal(frame.rgb, again.rgb)
    assert frame.pose is not None and again.pose is not None
    assert np.array_equal(frame.pose.camera_to_world, again.pose.camera_to_world)


def test_a_saved_state_goes_on_the_same(maze: MazeWorld) -> None:
    _, state = maze.start(7)
    for action in ("forward", "left", "forward left"):
        _, state = maze.step(state, action)
    state = maze.move_object(
        maze.repaint(state, 4, "red"), 0, *middle_of(maze.scene(7).free, _free(maze, 7))
    )
    saved = maze.save(state)
    assert not any(array.dtype.hasobject for array in saved.values())
    frame, _ = maze.step(state, "forward")
    other = MazeWorld()
    again, after = other.step(other.load(saved), "forward")
    other.close()
    assert np.array_equal(frame.rgb, again.rgb) and after.index == 4
    with pytest.raises(UsageError, match="not one of a maze: it lacks action, colours"):
        maze.load({"seed": np.array(1)})


def _free(world: MazeWorld, seed: int) -> tuple[int, int]:
    return free_cells(world.scene(seed).free)[0]


def test_walls_change_colour_and_objects_move(maze: MazeWorld) -> None:
    state = maze.spawn(4)
    scene = maze.scene(4)
    above = np.diag([1.0, -1.0, -1.0, 1.0])
    above[:3, 3] = [0.0, 0.0, 16.0]
    pose = Pose(above, maze.camera(state).intrinsics)

    def pixel(x_m: float, y_m: float, z_m: float) -> tuple[int, int]:
        scale = pose.intrinsics[0, 0] / (16.0 - z_m)
        return int(32 - y_m * scale), int(32 + x_m * scale)

    before = maze.render(state, pose).rgb
    painted = maze.render(maze.repaint(state, 8, "green_bright"), pose).rgb
    changed = np.abs(before.astype(int) - painted).max(axis=2) > 20
    for (row, column), block in np.ndenumerate(scene.blocks):
        if block >= 0:
            at = pixel(*middle_of(scene.free, (row, column)), WALL_TOP_M)
            assert changed[at] == (block == 8)
    (x_m, y_m), goal = state.objects[0], middle_of(scene.free, _free(maze, 4))
    moved = maze.render(maze.move_object(state, 0, *goal), pose).rgb
    for place in ((x_m, y_m), goal):
        row, column = pixel(*place, 0.6)
        near = np.s_[row - 1 : row + 2, column - 1 : column + 2]
        assert np.abs(before[near].astype(int) - moved[near]).max() > 20
    assert np.array_equal(maze.render(state, pose).rgb, before)


def test_a_way_through_the_map_is_a_shortest_one() -> None:
    free = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1]], bool)
    bordered = np.pad(free, 1)
    assert route(bordered, (3, 1), (3, 3)) == [
        (3, 1), (2, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, 3)
    ]  # fmt: skip
    assert route(np.pad(np.eye(2, dtype=bool), 1), (1, 1), (2, 2)) == []


def test_refusals_say_what_is_allowed(maze: MazeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    state = maze.spawn(4)
    with pytest.raises(UsageError, match="action 'jump' is not known; choose one of stay, forward"):
        maze.step(state, "jump")
    with pytest.raises(UsageError, match="seed must be 0 to 4294967295, got 4294967296"):
        maze.start(2**32)
    with pytest.raises(UsageError, match="colour 'pink' is not known; choose one of blue"):
        maze.repaint(state, 0, "pink")
    with pytest.raises(UsageError, match="block must be 0 to 8, got 9"):
        maze.repaint(state, 9, "red")
    with pytest.raises(UsageError, match="object must be 0 to 2, got 3"):
        maze.move_object(state, 3, 0.0, 0.0)
    with pytest.raises(UsageError, match="is in a wall or outside; choose a free cell"):
        maze.move_object(state, 0, 100.0, 0.0)
    with pytest.raises(UsageError, match="differ from the camera of this world"):
        maze.render(state, Pose(np.eye(4), np.eye(3)))
    for wrong, match in (
        ({"cells": 8}, "cells must be odd and at least 7, got 8"),
        ({"objects": 0}, "objects must be 1 to 6, got 0"),
        ({"side_px": 481}, "side_px must be 8 to 480, got 481"),
        ({"side_px": 4}, "side_px must be 8 to 480, got 4"),
    ):
        with pytest.raises(UsageError, match=match):
            MazeWorld(**wrong)


def test_without_the_simulator_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    maze_scene.maze_parts.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"streammem\[world\]"):
        MazeWorld().start(0)


def test_without_opengl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl.sys, "platform", "linux")
    monkeypatch.setattr(gl, "_egl_devices", lambda: 0)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(SourceError, match=r"EGL lists no device.*apt-get install"):
        gl.choose_gl()
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert gl.choose_gl() == "osmesa"


def test_opengl_that_cannot_draw_is_said(maze: MazeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    mujoco = pytest.importorskip("mujoco")

    def broken(width: int, height: int) -> None:
        raise RuntimeError("no device")

    monkeypatch.setattr(mujoco, "GLContext", broken)
    with pytest.raises(SourceError, match="the simulator cannot draw: no device; set MUJOCO_GL"):
        Drawing(maze.scene(4).model, camera=maze_scene.CAMERA, side_px=64)

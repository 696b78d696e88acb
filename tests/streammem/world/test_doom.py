"""Buildings in the Doom engine: plans, pictures, and depth against the engine's own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streammem.errors import MissingExtra, UsageError
from streammem.protocols import WorldModel
from streammem.records import Frame, Pose
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig
from streammem.world.simulator.doom import (
    ACTIONS,
    FPS,
    TICS,
    DoomState,
    DoomWorld,
)
from streammem.world.simulator.doom_map import (
    CEILING_M,
    UNITS_A_METRE,
    DoomPlan,
    map_file,
    plan_building,
)
from streammem.world.simulator.explorer import Explorer
from streammem.world.simulator.maze_map import (
    cell_of,
    free_cells,
    place_of,
    route,
    turn_to,
)

ENGINE_LEVEL_M = 7.18 / UNITS_A_METRE
"""One of the 256 levels of the engine's depth; the first stands for `ENGINE_NEAREST_M`."""
ENGINE_NEAREST_M = 9.8 / UNITS_A_METRE


@pytest.fixture(scope="module")
def doom() -> Iterator[DoomWorld]:
    world = DoomWorld()
    try:
        world.start(0)
    except MissingExtra as error:
        pytest.skip(str(error))
    yield world
    world.close()


def walk_in(world: DoomWorld, *, seed: int, steps: int) -> list[Frame]:
    frame, state = world.start(seed)
    explorer, frames = Explorer(world.plan(seed).free, seed=seed), [frame]
    for _ in range(steps):
        assert frame.pose is not None
        frame, state = world.step(state, explorer.act(frame.pose))
        frames.append(frame)
    return frames


def naive_depth(plan: DoomPlan, pose: Pose, row: int, column: int) -> float:
    """Return the z-depth of one pixel by meeting its ray with every wall, floor and ceiling."""
    (fx, _, cx), (_, fy, cy), _ = pose.intrinsics
    ray = pose.camera_to_world[:3, :3] @ [(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, 1.0]
    eye = pose.camera_to_world[:3, 3]
    met = [(CEILING_M - eye[2]) / ray[2] if ray[2] > 0 else -eye[2] / ray[2]]
    for first, second in plan.walls:
        try:
            depth, part = np.linalg.solve(
                np.stack([ray[:2], first - second], axis=1), first - eye[:2]
            )
        except np.linalg.LinAlgError:
            continue
        if depth > 0 and 0 <= part <= 1:
            met.append(depth)
    return float(min(met))


def test_every_place_of_a_plan_can_be_reached() -> None:
    for seed in range(20):
        plan = plan_building(seed)
        cells = free_cells(plan.free)
        start = cell_of(plan.free, *plan.start)
        assert start in cells
        assert all(route(plan.free, start, cell) for cell in cells)
        assert not plan.free[0].any() and not plan.free[:, -1].any()
        sides = sum(
            not plan.free[row + down, column + right]
            for row, column in cells
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
        assert len(plan.walls) == len(plan.textures) == sides


def test_a_map_file_is_a_doom_archive_with_all_walls() -> None:
    plan = plan_building(3)
    content = map_file(plan)
    assert content[:4] == b"PWAD"
    count, directory = np.frombuffer(content[4:12], "<i4")
    names = [content[directory + 16 * i + 8 :][:8].rstrip(b"\0") for i in range(count)]
    assert names == [b"MAP01", b"TEXTMAP", b"ENDMAP"]
    assert content.count(b"linedef {") == len(plan.walls)


def test_depth_is_that_of_every_ray_met_with_every_wall(doom: DoomWorld) -> None:
    frame = walk_in(doom, seed=4, steps=30)[-1]
    assert frame.pose is not None and frame.depth_m is not None
    plan = plan_building(4)
    for row, column in [(0, 0), (5, 40), (31, 31), (32, 3), (40, 20), (63, 63)]:
        assert frame.depth_m[row, column] == pytest.approx(
            naive_depth(plan, frame.pose, row, column), rel=1e-5
        )


def test_depth_agrees_with_the_engine_to_one_of_its_levels(doom: DoomWorld, tmp_path: Path) -> None:
    vizdoom = pytest.importorskip("vizdoom")
    building = tmp_path / "building.wad"
    building.write_bytes(map_file(plan_building(5)))
    engine = vizdoom.DoomGame()
    engine.set_doom_scenario_path(str(building))
    engine.set_doom_map("map01")
    engine.set_window_visible(False)
    engine.set_sound_enabled(False)
    engine.set_screen_resolution(vizdoom.ScreenResolution.RES_256X192)
    engine.set_depth_buffer_enabled(True)
    engine.set_render_hud(False)
    engine.set_render_weapon(False)
    engine.set_available_buttons(
        [vizdoom.Button.TURN_LEFT_RIGHT_DELTA, vizdoom.Button.MOVE_FORWARD_BACKWARD_DELTA]
    )
    engine.set_episode_start_time(10)
    engine.set_episode_timeout(0)
    engine.add_game_args("+movebob 0")
    engine.init()
    errors = []
    for frame in walk_in(doom, seed=5, steps=80)[1:]:
        assert frame.action is not None and frame.depth_m is not None
        engine.make_action(list(ACTIONS[frame.action]), TICS)
        levels = engine.get_state().depth_buffer[1::3, 33:225:3].astype(float)
        far = frame.depth_m > 1.0
        errors.append((levels * ENGINE_LEVEL_M + ENGINE_NEAREST_M - frame.depth_m)[far])
    engine.close()
    error = np.abs(np.concatenate(errors))
    assert np.percentile(error, 95) < 1.1 * ENGINE_LEVEL_M
    assert error.mean() < 0.6 * ENGINE_LEVEL_M


def test_equal_seeds_and_actions_give_equal_frames(doom: DoomWorld) -> None:
    first, again = (walk_in(doom, seed=6, steps=30) for _ in range(2))
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].rgb, doom.start(7)[0].rgb)


def test_it_is_a_world_model_of_frames_with_pose_and_depth(doom: DoomWorld) -> None:
    world: WorldModel[DoomState] = doom
    frame, state = world.start(8)
    assert (frame.source_id, frame.index, frame.action) == ("doom:8", 0, None)
    frame, _ = world.step(state, "left")
    assert (frame.index, frame.time_s, frame.action) == (1, 1 / FPS, "left")
    assert frame.rgb.shape == (64, 64, 3)
    assert frame.depth_m is not None and np.isfinite(frame.depth_m).all()


def test_actions_move_as_they_say(doom: DoomWorld) -> None:
    def places(action: str) -> tuple[Pose, Pose]:
        frame, state = doom.start(9)
        before = frame.pose
        for _ in range(4):
            frame, state = doom.step(state, action)
        assert before is not None and frame.pose is not None
        return before, frame.pose

    for side, sign in (("left", 1), ("right", -1)):
        for action in (side, f"forward {side}", f"backward {side}"):
            before, after = places(action)
            turned = turn_to(place_of(before)[2], place_of(after)[2])
            assert np.degrees(turned) == pytest.approx(sign * 40.0, abs=0.1)
    for action, sign in (("forward", 1), ("backward", -1)):
        before, after = places(action)
        way = after.camera_to_world[:3, 3] - before.camera_to_world[:3, 3]
        ahead = sign * way @ before.camera_to_world[:3, 2]
        assert ahead > 0.2 or ahead > 0.9 * np.linalg.norm(way)
    before, after = places("stay")
    assert np.array_equal(before.camera_to_world, after.camera_to_world)


def test_one_keeps_within_the_plan(doom: DoomWorld) -> None:
    free = doom.plan(3).free
    cells = set()
    for frame in walk_in(doom, seed=3, steps=300):
        assert frame.pose is not None
        x_m, y_m = frame.pose.camera_to_world[:2, 3]
        cell = cell_of(free, x_m, y_m)
        assert free[cell]
        cells.add(cell)
    assert len(cells) > 8


def test_a_state_goes_on_the_same_after_others_were_used(doom: DoomWorld) -> None:
    _, state = doom.start(4)
    for action in ("forward", "left", "forward left"):
        _, state = doom.step(state, action)
    frame, _ = doom.step(state, "forward")
    doom.step(state, "backward")
    doom.start(5)
    saved = doom.save(state)
    assert not any(array.dtype.hasobject for array in saved.values())
    again, after = doom.step(doom.load(saved), "forward")
    assert np.array_equal(frame.rgb, again.rgb) and len(after.actions) == 4
    with pytest.raises(UsageError, match="not one of doom: it lacks doom_actions, doom_seed"):
        doom.load({"seed": np.array(1)})


def test_a_building_is_opened_by_its_name(doom: DoomWorld) -> None:
    frames = list(open_source("doom:2", SamplingConfig(fps=1, end_s=3.0)))
    assert {frame.source_id for frame in frames} == {"doom:2"}
    assert len(frames) == 3
    assert np.array_equal(frames[0].rgb, doom.start(2)[0].rgb)


def test_refusals_say_what_is_allowed(doom: DoomWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _, state = doom.start(4)
    with pytest.raises(UsageError, match="action 'jump' is not known; choose one of stay, forward"):
        doom.step(state, "jump")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"vizdoom is not installed.*streammem\[world\]"):
        DoomWorld().start(0)

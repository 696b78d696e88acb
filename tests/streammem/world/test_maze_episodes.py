"""Recorded walks: what is written is read, and a broken collection goes on where it stopped."""

import importlib
import zipfile
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from streammem.errors import SourceError
from streammem.world.episodes import Episode, load_episode, save_episode
from streammem.world.simulator.maze import MazeWorld
from streammem.world.simulator.maze_map import is_held_out
from streammem.world.simulator.maze_scene import map_of

STEPS = 12


@pytest.fixture(scope="module")
def collector() -> Iterator[ModuleType]:
    """Return the script, imported so that the processes it starts can import it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "scripts"))
        yield importlib.import_module("collect_maze")


@pytest.fixture(scope="module")
def episode(collector: ModuleType, maze: MazeWorld) -> Episode:
    walked: Episode = collector.walked(maze, 9, STEPS)
    return walked


def test_what_is_written_is_read(episode: Episode, tmp_path: Path) -> None:
    save_episode(tmp_path / "walk.npz", episode)
    assert [path.name for path in tmp_path.iterdir()] == ["walk.npz"]
    read = load_episode(tmp_path / "walk.npz")
    for field in fields(Episode):
        written, back = getattr(episode, field.name), getattr(read, field.name)
        assert written.dtype == back.dtype and not back.dtype.hasobject
        assert np.array_equal(written, back, equal_nan=written.dtype.kind == "f")


def test_an_episode_is_the_walk_it_records(episode: Episode, maze: MazeWorld) -> None:
    assert episode.rgb.shape == (STEPS, 64, 64, 3)
    assert episode.depth_m.dtype == np.float16 and episode.depth_m.shape == (STEPS, 64, 64)
    assert episode.actions[episode.action[0]] == "stay"
    frame, state = maze.start(9)
    for step in range(1, STEPS):
        frame, state = maze.step(state, str(episode.actions[episode.action[step]]))
        assert np.array_equal(frame.rgb, episode.rgb[step])
    assert frame.pose is not None and frame.depth_m is not None
    assert np.allclose(episode.pose[-1], frame.pose.camera_to_world, atol=1e-6)
    assert np.allclose(episode.depth_m[-1], frame.depth_m, rtol=1e-3, equal_nan=True)
    assert np.array_equal(episode.blocks, maze.scene(9).blocks)
    assert "mujoco==3.17.0" in episode.versions.tolist()


def test_nothing_pickled_is_written_or_read(episode: Episode, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save_episode(tmp_path / "walk.npz", replace(episode, actions=np.array([None], object)))
    assert not (tmp_path / "walk.npz").exists()
    np.savez(tmp_path / "pickled.npz", rgb=np.array([None], object))
    with pytest.raises(SourceError, match="Object arrays cannot be loaded"):
        load_episode(tmp_path / "pickled.npz")


def test_a_damaged_file_says_what_to_do(episode: Episode, tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    save_episode(path, episode)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SourceError, match="record it again with"):
        load_episode(path)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(SourceError, match="is not a recorded walk"):
        load_episode(path)


def test_no_map_is_both_trained_on_and_held_out(collector: ModuleType, maze: MazeWorld) -> None:
    training = list(collector.planned(5_000, held_out=False))
    held_out = list(collector.planned(1, held_out=True))
    assert 5_000 <= sum(steps for _, steps in training) < 7_000
    assert len(held_out) == 1
    assert all(1000 <= steps <= 2000 for _, steps in training + held_out)
    assert {is_held_out(maze.scene(seed).free) for seed, _ in held_out} == {True}
    assert {is_held_out(map_of(seed)) for seed, _ in training} == {False}
    assert max(seed for seed, _ in training) < min(seed for seed, _ in held_out)


def test_a_tenth_of_the_maps_is_held_out_whatever_the_seed() -> None:
    maps = np.random.default_rng(0).random((2000, 11, 11)) < 0.5
    share = np.mean([is_held_out(free) for free in maps])
    assert 0.07 < share < 0.13
    assert is_held_out(maps[0]) == is_held_out(maps[0].copy())


def test_a_collection_goes_on_where_it_stopped(
    collector: ModuleType, maze: MazeWorld, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    collector.record(folder, (1, STEPS))
    (kept,) = folder.iterdir()
    stamp, content = kept.stat().st_mtime_ns, kept.read_bytes()
    (folder / f"{collector.path_of(folder, 2).name}.77.tmp").write_bytes(b"cut off")
    done = collector.collect(folder, [(1, STEPS), (2, STEPS)], processes=1)
    assert done["walks"] == 2 and done["recorded_frames"] == STEPS
    assert kept.stat().st_mtime_ns == stamp and kept.read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [
        "maze-0000001.npz",
        "maze-0000002.npz",
    ]
    assert load_episode(collector.path_of(folder, 2)).seed == 2

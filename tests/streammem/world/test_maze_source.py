"""Worlds as sources of frames, by names and by hand."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from streammem.errors import SourceError, UsageError
from streammem.protocols import FrameSource, WorldModel
from streammem.records import Frame, Pose
from streammem.sources.open import open_source
from streammem.sources.sampling import SamplingConfig
from streammem.world.simulator.maze import MazeWorld
from streammem.world.source import WorldSource


class CountingWorld:
    """A scripted world: the state is a number, which every pixel of its frame shows."""

    name = "counting"
    actions = ("up", "stay")
    fps = 4.0

    def __init__(self, *, posed: bool = True) -> None:
        self._posed = posed

    def start(self, seed: int) -> tuple[Frame, tuple[int, int]]:
        return self._frame(seed, 0), (seed, 0)

    def step(self, state: tuple[int, int], action: str) -> tuple[Frame, tuple[int, int]]:
        value, index = state[0] + (action == "up"), state[1] + 1
        return self._frame(value, index), (value, index)

    def save(self, state: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
        return {"state": np.array(state)}

    def load(self, saved: Mapping[str, NDArray[np.generic]]) -> tuple[int, int]:
        value, index = saved["state"]
        return int(value), int(index)

    def _frame(self, value: int, index: int) -> Frame:
        rgb = np.full((4, 6, 3), value, np.uint8)
        pose = Pose(np.eye(4) * index, np.eye(3)) if self._posed else None
        return Frame("counting", index, index / self.fps, rgb, pose=pose)


def up_every_other(pose: Pose) -> str:
    return "up" if pose.camera_to_world[0, 0] % 2 == 0 else "stay"


def source_of(sampling: SamplingConfig, **world: bool) -> WorldSource[tuple[int, int]]:
    walking: WorldModel[tuple[int, int]] = CountingWorld(**world)
    return WorldSource(walking, lambda: up_every_other, sampling, seed=10, walk_s=2.0)


def test_a_walk_takes_every_step_and_gives_the_frames_asked_for() -> None:
    source: FrameSource = source_of(SamplingConfig(fps=0))
    shown = [(frame.index, int(frame.rgb[0, 0, 0])) for frame in source]
    assert shown == [(0, 10), (1, 11), (2, 11), (3, 12), (4, 12), (5, 13), (6, 13), (7, 14)]
    assert [frame.index for frame in source_of(SamplingConfig(fps=1))] == [0, 4]
    assert [frame.index for frame in source_of(SamplingConfig(fps=0, start_s=1, end_s=1.5))] == [
        4,
        5,
    ]
    info = source.info
    assert (info.source_id, info.uri, info.width, info.height) == (
        "counting:10",
        "counting:10",
        6,
        4,
    )
    assert (info.fps, info.duration_s, info.frame_count, info.live) == (4.0, 2.0, 8, False)


def test_a_walk_can_be_taken_again_until_it_is_closed() -> None:
    source = source_of(SamplingConfig(fps=0))
    assert len(list(source)) == len(list(source)) == 8
    frames = iter(source)
    next(frames)
    source.close()
    assert list(frames) == []
    with pytest.raises(SourceError, match="counting:10 was closed; open it again"):
        next(iter(source))


def test_a_world_without_poses_cannot_be_walked_by_them() -> None:
    frames = iter(source_of(SamplingConfig(fps=0), posed=False))
    next(frames)
    with pytest.raises(SourceError, match="frame 0 of counting has no pose to walk by"):
        next(frames)


def test_a_maze_is_opened_by_its_name(maze: MazeWorld) -> None:
    sampling = SamplingConfig(fps=2, end_s=2.0)
    frames = list(open_source("maze:12", sampling, source_id="walk"))
    again = list(open_source("maze:12", sampling))
    assert [frame.time_s for frame in frames] == [0.0, 0.5, 1.0, 1.5]
    assert {frame.source_id for frame in frames} == {"walk"}
    assert {frame.source_id for frame in again} == {"maze:12"}
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(frames, again, strict=True))
    assert np.array_equal(frames[0].rgb, maze.start(12)[0].rgb)


@pytest.mark.parametrize("name", ["maze:", "maze:x", "maze:-1", "doom:1.5"])
def test_a_wrong_seed_is_answered_with_the_form(name: str) -> None:
    with pytest.raises(UsageError, match="is not understood; write it like maze:SEED, doom:SEED"):
        open_source(name, SamplingConfig())

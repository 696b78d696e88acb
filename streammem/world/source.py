"""A world with someone who walks in it, as a source of frames."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Generic, TypeVar

from streammem.errors import SourceError, UsageError
from streammem.protocols import WorldModel
from streammem.records import Frame, Gap, Pose, SourceInfo
from streammem.sources.sampling import Sampler, SamplingConfig

State = TypeVar("State")

WORLD_FORMS = "maze:SEED, doom:SEED"
WALK_S = 180.0
_NAME = re.compile(r"(maze|doom):(.*)")


class WorldSource(Generic[State]):
    """The frames of one walk in the world of `seed`, as long as `walk_s` seconds of its time.

    `walker` returns a fresh choice of actions by poses: each iteration walks anew and alike. The
    walk itself takes every step; `sampling` says which of its frames are given.
    """

    def __init__(
        self,
        world: WorldModel[State],
        walker: Callable[[], Callable[[Pose], str]],
        sampling: SamplingConfig,
        *,
        seed: int,
        source_id: str | None = None,
        walk_s: float = WALK_S,
    ) -> None:
        self._world, self._walker, self._sampling, self._seed = world, walker, sampling, seed
        self._closed = False
        first, _ = world.start(seed)
        height, width, _ = first.rgb.shape
        name = f"{world.name}:{seed}"
        duration_s = walk_s if sampling.end_s is None else sampling.end_s
        self.gaps: list[Gap] = []
        self.info = SourceInfo(
            source_id=source_id or name,
            uri=name,
            width=width,
            height=height,
            fps=world.fps,
            duration_s=duration_s,
            frame_count=round(duration_s * world.fps),
            codec=world.name,
        )

    def __iter__(self) -> Iterator[Frame]:
        if self._closed:
            raise SourceError(f"{self.info.uri} was closed; open it again to walk in it")
        sampler, act = Sampler(self._sampling), self._walker()
        frame, state = self._world.start(self._seed)
        for index in range(self.info.frame_count or 0):
            if self._closed:
                return
            if index:
                frame, state = self._world.step(state, act(_pose(frame)))
            if sampler.wants(frame.time_s):
                sampler.take(frame.time_s)
                yield replace(frame, source_id=self.info.source_id)

    def close(self) -> None:
        """End the walk before its next frame."""
        self._closed = True


def _pose(frame: Frame) -> Pose:
    if frame.pose is None:
        raise SourceError(f"frame {frame.index} of {frame.source_id} has no pose to walk by")
    return frame.pose


def names_world(text: str) -> bool:
    """Return whether `text` is meant to name a world."""
    return _NAME.fullmatch(text) is not None


def open_world(text: str, sampling: SamplingConfig, *, source_id: str | None) -> WorldSource[Any]:
    """Return a walk in the world that `text` names; `WORLD_FORMS` lists the forms.

    Raises `UsageError` for another form, and what the simulator raises where it is not installed.
    """
    found = _NAME.fullmatch(text)
    if found is None or not found[2].isdecimal():
        raise UsageError(f"world {text!r} is not understood; write it like {WORLD_FORMS}")
    seed = int(found[2])
    from streammem.world.simulator.explorer import Explorer

    if found[1] == "maze":
        from streammem.world.simulator.maze import MazeWorld

        maze = MazeWorld()
        return WorldSource(
            maze,
            lambda: Explorer(maze.scene(seed).free, seed=seed).act,
            sampling,
            seed=seed,
            source_id=source_id,
        )
    from streammem.world.simulator.doom import DoomWorld

    doom = DoomWorld()
    return WorldSource(
        doom,
        lambda: Explorer(doom.plan(seed).free, seed=seed).act,
        sampling,
        seed=seed,
        source_id=source_id,
    )

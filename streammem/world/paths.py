"""Walks that come back, to measure what a memory knows of the places it has seen.

A path is a maze and a list of actions: whoever replays it sees the same, in a simulator as truth
and in a model as a prediction. Its first `context` frames are given, the others asked for. The
protocols are those of long-context video world models (arXiv 2505.20171): back along the same way,
and a fresh way through seen places; and the closed loop, which ends where it began.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from streammem.errors import UsageError, one_of
from streammem.protocols import WorldModel
from streammem.records import Frame, Pose
from streammem.world.simulator.explorer import Explorer
from streammem.world.simulator.maze import MazeState, MazeWorld
from streammem.world.simulator.maze_map import (
    Cell,
    Map,
    Place,
    arrived,
    cell_of,
    middle_of,
    place_of,
    route,
    steer,
    turn_to,
)

State = TypeVar("State")

_STEPS_A_CELL, _STEPS_TO_PARK = 14, 60
_NEAR_M = 0.15


@dataclass(frozen=True, slots=True)
class Path:
    """`actions` from the start of the world of `seed`; frames from number `context` on are asked.

    There is one frame more than actions: the first comes before all of them.
    """

    kind: str
    seed: int
    actions: tuple[str, ...]
    context: int


def make_path(
    world: MazeWorld, kind: str, *, seed: int, walk: int = 0, context: int = 400, horizon: int = 400
) -> Path:
    """Return a path of `context` and `horizon` frames in the maze of `seed`.

    `kind` is one of `KINDS`; `walk` numbers different paths in one maze. Nothing is drawn.
    """
    if kind not in KINDS:
        raise one_of("kind of path", kind, KINDS)
    if context < 2 or horizon < 1:
        raise UsageError(
            f"a path needs a context of at least 2 frames and a horizon of at least 1,"
            f" got {context} and {horizon}"
        )
    explorer = Explorer(world.scene(seed).free, seed=(seed, walk))
    states = [world.spawn(seed)]
    KINDS[kind](world, states, explorer, context, horizon)
    actions = tuple(state.action or "" for state in states[1:])
    return Path(kind, seed, actions, context)


def replay(world: WorldModel[State], path: Path) -> Iterator[Frame]:
    """Yield every frame of `path` in `world`."""
    frame, state = world.start(path.seed)
    yield frame
    for action in path.actions:
        frame, state = world.step(state, action)
        yield frame


def _reversed(
    world: MazeWorld, states: list[MazeState], explorer: Explorer, context: int, horizon: int
) -> None:
    """Go back along the way, each step as near as can be to where one was a step before."""
    _walk(world, states, explorer.act, steps=context - 1)
    places = [place_of(world.camera(state)) for state in states]
    for step in range(horizon):
        states.append(_nearest(world, states[-1], places[max(0, len(places) - 2 - step)]))


def _fresh(
    world: MazeWorld, states: list[MazeState], explorer: Explorer, context: int, horizon: int
) -> None:
    """Go new ways between the cells that were walked through."""
    _walk(world, states, explorer.act, steps=context - 1)
    free = world.scene(states[0].seed).free
    seen = np.zeros_like(free)
    for state in states:
        seen[_cell(world, free, state)] = True
    again = Explorer(seen, seed=(states[0].seed, len(states)))
    _walk(world, states, again.act, steps=horizon)


def _loop(
    world: MazeWorld, states: list[MazeState], explorer: Explorer, context: int, horizon: int
) -> None:
    """Go about, and be back where it began, looking the same way, at the last frame."""
    free = world.scene(states[0].seed).free
    home = place_of(world.camera(states[0]))
    end = context + horizon
    way: list[Cell] = []
    while len(states) < end:
        pose = world.camera(states[-1])
        if not way:
            back = route(free, _cell(world, free, states[-1]), cell_of(free, *home[:2]))
            if end - len(states) > _STEPS_A_CELL * len(back) + _STEPS_TO_PARK:
                states.append(world.move(states[-1], explorer.act(pose)))
                continue
            way = back
        if len(way) > 1 and arrived(pose, middle_of(free, way[0])):
            way.pop(0)
        goal = home[:2] if len(way) == 1 else middle_of(free, way[0])
        x_m, y_m, _ = place_of(pose)
        near = len(way) == 1 and np.hypot(x_m - home[0], y_m - home[1]) < _NEAR_M
        states.append(
            _nearest(world, states[-1], home) if near else world.move(states[-1], steer(pose, goal))
        )


def _walk(
    world: MazeWorld, states: list[MazeState], act: Callable[[Pose], str], *, steps: int
) -> None:
    for _ in range(steps):
        states.append(world.move(states[-1], act(world.camera(states[-1]))))


def _nearest(world: MazeWorld, state: MazeState, goal: Place) -> MazeState:
    """Return the next state whose place is nearest to `goal`, a radian counting as a metre."""

    def distance(after: MazeState) -> float:
        x_m, y_m, heading_rad = place_of(world.camera(after))
        return float(np.hypot(x_m - goal[0], y_m - goal[1]) + abs(turn_to(heading_rad, goal[2])))

    return min((world.move(state, action) for action in world.actions), key=distance)


def _cell(world: MazeWorld, free: Map, state: MazeState) -> Cell:
    x_m, y_m, _ = place_of(world.camera(state))
    return cell_of(free, x_m, y_m)


KINDS = {"reversed": _reversed, "fresh": _fresh, "loop": _loop}
"""Back along the same way; a fresh way through seen places; a closed loop."""

"""Paths that come back, measured by where they lead."""

import numpy as np
import pytest

from streammem.errors import UsageError
from streammem.world.paths import KINDS, Path, make_path, replay
from streammem.world.simulator.explorer import Explorer
from streammem.world.simulator.maze import MazeWorld
from streammem.world.simulator.maze_map import Cell, Place, cell_of, place_of, turn_to

SEED, CONTEXT, HORIZON = 1_000_003, 120, 110


@pytest.fixture(scope="module")
def places(maze: MazeWorld) -> dict[str, list[Place]]:
    return {
        kind: walked(maze, make_path(maze, kind, seed=SEED, context=CONTEXT, horizon=HORIZON))
        for kind in KINDS
    }


def walked(maze: MazeWorld, path: Path) -> list[Place]:
    state = maze.spawn(path.seed)
    result = [place_of(maze.camera(state))]
    for action in path.actions:
        state = maze.move(state, action)
        result.append(place_of(maze.camera(state)))
    return result


def apart(one: Place, other: Place) -> tuple[float, float]:
    """Return metres and degrees between two places."""
    metres = float(np.hypot(one[0] - other[0], one[1] - other[1]))
    return metres, abs(np.degrees(turn_to(one[2], other[2])))


def test_every_path_has_its_context_and_its_horizon(places: dict[str, list[Place]]) -> None:
    assert {len(walk) for walk in places.values()} == {CONTEXT + HORIZON}


def test_the_reversed_path_is_back_where_each_frame_was(places: dict[str, list[Place]]) -> None:
    walk = places["reversed"]
    metres, degrees = zip(
        *(apart(walk[CONTEXT + step], walk[CONTEXT - 2 - step]) for step in range(HORIZON)),
        strict=True,
    )
    assert np.mean(metres) < 0.35 and max(metres) < 1.0
    assert np.mean(degrees) < 5.0 and max(degrees) < 15.0


def test_the_fresh_path_stays_in_seen_cells(
    maze: MazeWorld, places: dict[str, list[Place]]
) -> None:
    free = maze.scene(SEED).free
    walk = places["fresh"]

    def cells(places: list[Place]) -> list[Cell]:
        return [cell_of(free, *place[:2]) for place in places]

    seen = set(cells(walk[:CONTEXT]))
    assert np.mean([cell in seen for cell in cells(walk[CONTEXT:])]) > 0.9
    assert len(set(cells(walk[CONTEXT:]))) > 3
    assert walk[CONTEXT:] != places["reversed"][CONTEXT:]


def test_the_loop_ends_where_it_began(places: dict[str, list[Place]]) -> None:
    walk = places["loop"]
    metres, degrees = apart(walk[-1], walk[0])
    assert metres < 0.2 and degrees < 10.0
    assert max(apart(place, walk[0])[0] for place in walk) > 4.0


def test_a_path_is_the_same_every_time_and_another_for_another_walk(maze: MazeWorld) -> None:
    first, again, other = (
        make_path(maze, "loop", seed=SEED, walk=walk, context=40, horizon=100) for walk in (1, 1, 2)
    )
    assert first == again
    assert first.actions != other.actions


def test_a_replay_shows_the_frames_of_the_actions(maze: MazeWorld) -> None:
    path = make_path(maze, "reversed", seed=SEED, context=8, horizon=7)
    frames = list(replay(maze, path))
    assert [frame.action for frame in frames] == [None, *path.actions]
    assert [frame.index for frame in frames] == list(range(15))
    last = frames[-1].pose
    assert last is not None
    assert place_of(last) == pytest.approx(walked(maze, path)[-1])


def test_an_explorer_sees_most_of_a_maze_and_comes_back(maze: MazeWorld) -> None:
    free = maze.scene(SEED).free
    explorer, state = Explorer(free, seed=1), maze.spawn(SEED)
    cells, last_seen, returns = [], dict[Cell, int](), 0
    for step in range(1500):
        pose = maze.camera(state)
        cell = cell_of(free, *place_of(pose)[:2])
        if (not cells or cell != cells[-1]) and cell in last_seen:
            returns += step - last_seen[cell] > 50
        last_seen[cell] = step
        cells.append(cell)
        state = maze.move(state, explorer.act(pose))
    assert len(set(cells)) > 0.4 * free.sum()
    assert returns > 20


def test_refusals_say_what_is_allowed(maze: MazeWorld) -> None:
    with pytest.raises(UsageError, match="kind of path 'spiral' is not known; choose one of rev"):
        make_path(maze, "spiral", seed=0)
    with pytest.raises(UsageError, match="context of at least 2 frames and a horizon of at least"):
        make_path(maze, "loop", seed=0, context=1)

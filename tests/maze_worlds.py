"""The maze for tests, or the reason why there is none."""

from collections.abc import Iterator

import pytest

from streammem.errors import MissingExtra, SourceError
from streammem.world.simulator.maze import MazeWorld


def maze_or_skip() -> Iterator[MazeWorld]:
    """Yield a maze world; skip the tests that use it where it is not installed or cannot draw."""
    world = MazeWorld()
    try:
        world.start(0)
    except (MissingExtra, SourceError) as error:
        pytest.skip(str(error))
    yield world
    world.close()

"""The maze that the tests share, or the reason why there is none."""

from collections.abc import Iterator

import pytest

from streammem.errors import MissingExtra, SourceError
from streammem.world.simulator.maze import MazeWorld


@pytest.fixture(scope="session")
def maze() -> Iterator[MazeWorld]:
    """Yield a maze world; skip what uses it where it is not installed or cannot draw."""
    world = MazeWorld()
    try:
        world.start(0)
    except (MissingExtra, SourceError) as error:
        pytest.skip(str(error))
    yield world
    world.close()

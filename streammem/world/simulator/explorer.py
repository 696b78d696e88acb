"""A walk that explores a maze, comes back, looks around, and takes back its steps."""

import numpy as np

from streammem.records import Pose
from streammem.world.simulator.maze_map import (
    Cell,
    Map,
    Place,
    arrived,
    cell_of,
    free_cells,
    middle_of,
    place_of,
    route,
    steer,
)

INVERSE = {
    "stay": "stay",
    "forward": "backward",
    "backward": "forward",
    "left": "right",
    "right": "left",
    "forward left": "backward right",
    "forward right": "backward left",
    "backward left": "forward right",
    "backward right": "forward left",
}
"""The action that takes another one back."""

_LOOK_AROUND, _WANDER, _TAKE_BACK = 0.006, 0.02, 0.003
_TURNS_IN_A_CIRCLE = 39
_STUCK_STEPS = 25


class Explorer:
    """Chooses actions by the map `free [N, N]`, the poses of the camera, and a seed.

    Half of its goals are cells it has not been to, half are cells it has. On the way it may look
    around by a quarter, half or whole turn, wander, or take back its last 10 to 300 steps.
    """

    def __init__(self, free: Map, *, seed: int | tuple[int, ...]) -> None:
        self._free = free
        self._random = np.random.default_rng(seed)
        self._seen: dict[Cell, None] = {}
        self._way: list[Cell] = []
        self._planned: list[str] = []
        self._done: list[str] = []
        self._last: Place | None = None
        self._still = 0

    def act(self, pose: Pose) -> str:
        """Return the action to take where the camera is at `pose`."""
        place = place_of(pose)
        cell = cell_of(self._free, place[0], place[1])
        self._seen[cell] = None
        moved = self._last is None or np.abs(np.subtract(place, self._last)).max() > 1e-3
        self._last, self._still = place, 0 if moved else self._still + 1
        if self._still > _STUCK_STEPS:
            self._still, self._way = 0, []
            turns = int(self._random.integers(4, 12))
            self._planned = ["backward"] * 4 + [self._side()] * turns
        if not self._planned:
            self._digress()
        action = self._planned.pop(0) if self._planned else self._follow(pose, cell)
        self._done.append(action)
        return action

    def _digress(self) -> None:
        """Now and then, plan something other than the way."""
        chance = self._random.random()
        if chance < _LOOK_AROUND:
            part = self._random.choice([0.25, 0.5, 1.0])
            self._planned = [self._side()] * round(_TURNS_IN_A_CIRCLE * part)
        elif chance < _LOOK_AROUND + _WANDER:
            action = str(self._random.choice(list(INVERSE)))
            self._planned = [action] * int(self._random.integers(3, 9))
        elif chance < _LOOK_AROUND + _WANDER + _TAKE_BACK:
            steps = int(np.exp(self._random.uniform(np.log(10), np.log(300))))
            self._planned = [INVERSE[action] for action in self._done[: -steps - 1 : -1]]
            self._way = []

    def _follow(self, pose: Pose, cell: Cell) -> str:
        """Return the action along the way, after choosing one where there is none."""
        while self._way and arrived(pose, middle_of(self._free, self._way[0])):
            self._way.pop(0)
        if not self._way:
            self._way = route(self._free, cell, self._goal())[1:]
        if not self._way:
            return self._side()
        return steer(pose, middle_of(self._free, self._way[0]))

    def _goal(self) -> Cell:
        unseen = [cell for cell in free_cells(self._free) if cell not in self._seen]
        seen = list(self._seen)
        cells = unseen if unseen and (len(seen) < 6 or self._random.random() < 0.5) else seen
        return cells[int(self._random.integers(len(cells)))]

    def _side(self) -> str:
        return "left" if self._random.random() < 0.5 else "right"

"""How much of what a target shows the chosen views saw, in mazes, against the other rules."""

from itertools import pairwise

import numpy as np
import pytest

from memory_banks.pose_bank import PoseBankConfig, Rule, Truth, open_pose_bank
from tests.memory_banks.flat_maze import Place, camera_at, random_maze, target_at, walk, watch

VIEWS, TARGETS = 200, 6
RULES: list[Rule] = [
    "coverage",
    "worldmem",
    "context_as_memory",
    "recency",
    "random",
    "fixed_offset",
    "oracle",
]


def turned_back(way: list[Place], draws: np.random.Generator) -> list[Place]:
    """Return places of the way itself, as one comes by walking it backwards."""
    return [way[number] for number in draws.integers(20, VIEWS - 40, TARGETS)]


def fresh(way: list[Place], draws: np.random.Generator) -> list[Place]:
    """Return places beside the way that look another way."""
    near = [way[number] for number in draws.integers(0, VIEWS - 40, TARGETS)]
    return [
        (x + draws.uniform(-0.3, 0.3), y + draws.uniform(-0.3, 0.3), heading + draws.uniform(-2, 2))
        for x, y, heading in near
    ]


@pytest.mark.parametrize("kind", [turned_back, fresh])
def test_coverage_sees_most_of_what_the_oracle_does_and_more_than_others(kind) -> None:
    recall: dict[tuple[str, int], list[float]] = {}
    for seed in range(3):
        maze, draws = random_maze(9, seed=seed), np.random.default_rng(seed)
        way = walk(maze, VIEWS, seed=seed)
        bank = open_pose_bank(config=PoseBankConfig(offset_s=2.0))
        poses = watch(bank, maze, way)
        for place in kind(way, draws):
            target = camera_at(*place)
            points = maze.surface(target)[::3]
            seen = np.array([maze.visible(pose, points) for pose in poses])
            seen = seen[:, seen.any(axis=0)]
            if seen.shape[1] < 20:
                continue
            truth = Truth(np.arange(1, VIEWS + 1), seen)
            for rule in RULES:
                chosen = bank.retrieve(target_at(target), k=8, now_s=25, rule=rule, truth=truth)
                rows = [one.payload_id for one in chosen]
                for k in (1, 4, 8):
                    recall.setdefault((rule, k), []).append(seen[rows[:k]].any(axis=0).mean())
    mean = {key: float(np.mean(values)) for key, values in recall.items()}
    assert len(recall["oracle", 1]) >= 12
    for k in (1, 4, 8):
        assert mean["coverage", k] >= 0.95 * mean["oracle", k]
        for rule in RULES[1:-1]:
            assert mean["coverage", k] >= mean[rule, k]
            assert mean["coverage", k] > mean[rule, k] or kind is turned_back
    for fewer, more in pairwise((1, 4, 8)):
        assert mean["oracle", fewer] <= mean["oracle", more]

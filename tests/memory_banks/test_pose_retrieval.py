"""Which views come back: exact revisits, odd poses, unknown depth, walls, and every rule."""

import math

import numpy as np
import pytest

from memory_banks.pose_bank import (
    Chosen,
    PoseBank,
    PoseBankConfig,
    Rule,
    Target,
    Truth,
    open_pose_bank,
)
from streammem.errors import UsageError
from streammem.records import Pose
from tests.memory_banks.flat_maze import (
    SIZE,
    FlatMaze,
    camera_at,
    random_maze,
    target_at,
    walk,
    watch,
)

RULES: list[Rule] = [
    "coverage",
    "worldmem",
    "context_as_memory",
    "recency",
    "random",
    "fixed_offset",
]
NOW_S = 1000.0


def payloads(chosen: list[Chosen]) -> list[int]:
    return [one.payload_id for one in chosen]


def two_rooms() -> FlatMaze:
    """Return rooms of 3 by 3 cells side by side, with a wall between and no door."""
    walls = np.ones((5, 9), bool)
    walls[1:4, 1:4] = walls[1:4, 5:8] = False
    square = np.ones((9, 9), bool)
    square[:5] = walls
    return FlatMaze(square)


def in_west(x: float, y: float, heading: float, **rest: float) -> Pose:
    """Return a camera in the west room, at metres from its south-west corner."""
    return camera_at(2 + x, 2 + y, heading, **rest)


@pytest.fixture(scope="module")
def walked() -> tuple[FlatMaze, PoseBank, list[Pose]]:
    maze = random_maze(9, seed=5)
    bank = open_pose_bank()
    return maze, bank, watch(bank, maze, walk(maze, 160, seed=5))


@pytest.mark.parametrize("rule", RULES)
def test_an_empty_bank_returns_nothing(rule: Rule) -> None:
    assert open_pose_bank().retrieve(target_at(in_west(1, 1, 0)), k=8, now_s=0, rule=rule) == []


@pytest.mark.parametrize("rule", RULES)
def test_one_view_of_the_place_is_found(rule: Rule) -> None:
    bank = open_pose_bank()
    watch(bank, two_rooms(), [(3, 5, 0.0)])
    (only,) = bank.retrieve(target_at(in_west(1, 3, 0.1)), k=8, now_s=10, rule=rule)
    assert (only.payload_id, only.age_s, only.view_id) == (0, 10, 1)


@pytest.mark.parametrize("rule", RULES)
def test_the_future_is_not_looked_at(rule: Rule) -> None:
    bank = open_pose_bank()
    watch(bank, two_rooms(), [(3, 5, 0.0)] * 20, fps=1)
    chosen = bank.retrieve(target_at(in_west(1, 3, 0.1)), k=30, now_s=4.5, rule=rule)
    assert set(payloads(chosen)) <= set(range(5))
    assert chosen


def test_an_exact_revisit_gives_k_useful_views(walked: tuple) -> None:
    maze, bank, poses = walked
    for number in range(10, 160, 30):
        how = bank.explain(target_at(poses[number]), k=8, now_s=NOW_S)
        points = maze.surface(poses[number])
        useful = [maze.visible(poses[one], points).mean() for one in payloads(list(how.chosen))]
        assert len(how.chosen) == len({one.view_id for one in how.chosen}) == 8
        assert np.isfinite([(one.share, one.gain) for one in how.chosen]).all()
        assert useful[0] > 0.97
        assert min(useful) > 0
        assert np.mean(np.array(useful) > 0.1) >= 6 / 8
        assert how.covered > 0.97
        assert how.basis == "remembered depth"


def test_the_same_place_many_times_gives_the_newest_first() -> None:
    bank = open_pose_bank()
    watch(bank, two_rooms(), [(3, 5, 0.0)] * 12)
    how = bank.explain(target_at(in_west(1, 3, 0.0)), k=4, now_s=NOW_S)
    assert payloads(list(how.chosen)) == [11, 10, 9, 8]
    assert [one.gain for one in how.chosen] == [1] * 4


def test_views_behind_a_wall_are_not_chosen_though_worldmem_does() -> None:
    maze, bank = two_rooms(), open_pose_bank()
    west = [(2.3 + 0.4 * n, 5.0, 0.0) for n in range(6)]
    east = [(11.0 + 0.2 * n, 5.0, math.pi) for n in range(6)]  # faces the wall from behind
    watch(bank, maze, west + east)
    target = target_at(camera_at(4.5, 5.0, 0.0))
    assert set(payloads(bank.retrieve(target, k=8, now_s=NOW_S))) <= set(range(6))
    beyond = target_at(camera_at(7.5, 5.0, 0.0))  # as close to the wall as to see only that
    assert set(payloads(bank.retrieve(beyond, k=8, now_s=NOW_S))) <= set(range(6))
    behind = [(10.5, 3.0 + n, math.pi / 2 * (n % 2)) for n in range(4)]
    watch(bank, maze, [(10.2, 4.0, 0.0)] * 8 + behind)
    through = bank.retrieve(target, k=8, now_s=NOW_S, rule="worldmem")
    published = [one.view_id for one in through]
    ours = [one.view_id for one in bank.retrieve(target, k=8, now_s=NOW_S)]
    assert max(published) > 6 >= max(ours)


def test_given_depth_is_looked_at_instead_of_what_is_remembered(walked: tuple) -> None:
    maze, bank, poses = walked
    how = bank.explain(target_at(poses[40], maze.depth(poses[40])), k=4, now_s=NOW_S)
    assert how.basis == "given depth"
    truth = maze.surface(poses[40])
    apart = np.sqrt(((how.points[:, None] - truth[None]) ** 2).sum(-1)).min(1)
    assert np.median(apart) < 0.2
    sky = np.full((24, 24), np.nan, np.float32)
    how = bank.explain(target_at(poses[40], sky), k=4, now_s=NOW_S)
    assert (how.chosen, how.covered, len(how.points)) == ((), 0.0, 0)


def test_a_path_is_covered_together(walked: tuple) -> None:
    maze, bank, poses = walked
    path = [poses[20], poses[90]]
    chosen = bank.retrieve([target_at(pose) for pose in path], k=6, now_s=NOW_S)
    for pose in path:
        points = maze.surface(pose)
        seen = [maze.visible(poses[one], points) for one in payloads(chosen)]
        assert np.any(seen, axis=0).mean() > 0.95


@pytest.mark.parametrize("up", [math.pi / 2, -math.pi / 2, 0.6, -0.6])
def test_looking_up_or_down_finds_views_that_look_there(up: float) -> None:
    bank, maze = open_pose_bank(), two_rooms()
    poses = [in_west(3, 3, 0.4, up=one) for one in (up, 0.0, -up)]
    for number, pose in enumerate(poses):
        depth_m = maze.depth(pose)
        bank.add(pose, **SIZE, time_s=-number, payload_id=number, depth_m=depth_m)
    found = payloads(bank.retrieve(target_at(in_west(3, 3, 0.4, up=up)), k=1, now_s=NOW_S))
    assert found == [0]


def test_without_depth_views_are_found_by_the_space_they_share() -> None:
    bank = open_pose_bank()
    for number, heading in enumerate((0.0, 0.3, math.pi, -math.pi / 2)):
        bank.add(in_west(3, 3, heading), **SIZE, time_s=number, payload_id=number)
    how = bank.explain(target_at(in_west(3, 3, 0.05)), k=4, now_s=NOW_S)
    assert how.basis == "rays"
    assert payloads(list(how.chosen)) == [0, 1]


def test_unknown_and_absent_depth_hide_nothing() -> None:
    maze = two_rooms()
    pose = in_west(1, 3, 0.0)
    whole = maze.depth(pose)
    assert np.isnan(whole).any()
    holes = np.where(np.random.default_rng(0).random(whole.shape) < 0.5, np.nan, whole)
    for depth_m in (holes, np.full_like(whole, np.nan), np.full_like(whole, np.inf), -whole):
        bank = open_pose_bank()
        bank.add(pose, **SIZE, time_s=0, payload_id=7, depth_m=depth_m)
        (only,) = bank.retrieve(target_at(in_west(0.9, 3, 0.0)), k=3, now_s=1)
        assert (only.payload_id, only.share > 0.9) == (7, True)


@pytest.mark.parametrize("rule", RULES)
def test_asking_twice_gives_the_same_and_changes_nothing(walked: tuple, rule: Rule) -> None:
    _, bank, poses = walked
    target = target_at(poses[77])
    first, second = (bank.explain(target, k=8, now_s=NOW_S, rule=rule) for _ in range(2))
    assert payloads(list(first.chosen)) == payloads(list(second.chosen))
    assert len(first.chosen) == 8 or rule == "context_as_memory"
    assert first.held == 160


def test_the_controls_do_what_their_names_say(walked: tuple) -> None:
    _, bank, poses = walked
    target = target_at(poses[3])
    asked = {"k": 3, "now_s": 160 / 8}
    assert payloads(bank.retrieve(target, rule="recency", **asked)) == [159, 158, 157]
    assert payloads(bank.retrieve(target, rule="fixed_offset", **asked)) == [128, 96, 64]
    drawn = payloads(bank.retrieve(target, rule="random", **asked))
    other = open_pose_bank(config=PoseBankConfig(seed=1))
    for number, pose in enumerate(poses):
        other.add(pose, **SIZE, time_s=number / 8, payload_id=number)
    assert drawn != payloads(other.retrieve(target, rule="random", **asked))
    assert len(set(drawn)) == 3


def test_the_oracle_covers_what_it_is_told(walked: tuple) -> None:
    _, bank, poses = walked
    target = target_at(poses[3])
    seen = np.zeros((160, 10), bool)
    seen[17, :6] = seen[90, 4:] = seen[100, 3:8] = True
    truth = Truth(np.arange(1, 161), seen)
    chosen = bank.retrieve(target, k=3, now_s=NOW_S, rule="oracle", truth=truth)
    assert payloads(chosen) == [90, 17, 100]
    assert [(one.share, one.gain) for one in chosen] == [
        (0.6, pytest.approx(0.6)),
        (0.6, pytest.approx(0.4)),
        (0.5, pytest.approx(0.5)),
    ]
    with pytest.raises(UsageError, match="needs the truth"):
        bank.retrieve(target, k=3, now_s=NOW_S, rule="oracle")
    short = Truth(np.arange(1, 160), seen[:159])
    with pytest.raises(UsageError, match="lacks 1 views that are held, like 160"):
        bank.retrieve(target, k=3, now_s=NOW_S, rule="oracle", truth=short)


def plain_worldmem(
    poses: list[Pose], times: list[float], target: Pose, points: np.ndarray, k: int, now_s: float
) -> list[int]:
    """Choose as the paper says, by azimuth and elevation in each camera's axes."""

    def in_view(pose: Pose) -> np.ndarray:
        x, y, z = (points + target.camera_to_world[:3, 3] - pose.camera_to_world[:3, 3]).T
        offsets = np.stack([x, y, z], 1) @ pose.camera_to_world[:3, :3]
        across = np.degrees(np.arctan2(offsets[:, 0], offsets[:, 2]))
        down = np.degrees(np.arctan2(offsets[:, 1], offsets[:, 2]))
        return (np.abs(across) < 40) & (np.abs(down) < 40)

    sought, views = in_view(target), [in_view(pose) for pose in poses]
    wanted, chosen = sought.copy(), []
    for _ in range(k):
        if not wanted.any():
            wanted = sought.copy()
        scores = {
            row: (view & wanted).sum() / wanted.sum()
            - 0.2 * (now_s - times[row]) / (now_s - min(times))
            for row, view in enumerate(views)
            if row not in chosen
        }
        best = max(scores, key=lambda row: (scores[row], times[row]))
        chosen.append(best)
        wanted &= ~views[best]
    return chosen


def test_worldmem_chooses_as_published(walked: tuple) -> None:
    from memory_banks.pose_bank.worldmem import ball_points

    _, bank, poses = walked
    times = [number / 8 for number in range(160)]
    points = ball_points(30.0, seed=0).astype(np.float64)
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() <= 30
    assert np.mean(radius < 15) == pytest.approx(1 / 8, abs=0.02)
    for number in (3, 50, 120):
        x, y, _ = poses[number].camera_to_world[:3, 3]
        target = camera_at(x + 0.3, y, 0.7, up=0.3)
        chosen = bank.retrieve(target_at(target), k=8, now_s=25, rule="worldmem")
        assert payloads(chosen) == plain_worldmem(poses, times, target, points, 8, 25)


def test_context_as_memory_finds_views_of_which_both_borders_cross() -> None:
    bank = open_pose_bank()
    views = [
        (3.0, 5.0, 0.0),  # at the target
        (3.0, 3.0, 0.4),  # beside it, turned in
        (3.0, 3.0, math.pi),  # looks away
        (7.0, 5.0, math.pi),  # looks back at it
        (3.0, 7.0, -0.4),
        (3.0, 7.0, -0.4),
        (7.5, 7.5, 2.0),  # the newest always comes
    ]
    for number, place in enumerate(views):
        bank.add(camera_at(*place), **SIZE, time_s=number, payload_id=number)
    target = target_at(camera_at(3.0, 5.0, 0.0))
    chosen = payloads(bank.retrieve(target, k=8, now_s=9, rule="context_as_memory"))
    assert chosen[0] == 6
    assert sorted(chosen[1:])[0] in (0, 1)  # one of the run
    assert len(chosen) == 3
    assert set(chosen) <= {6, 0, 1, 3, 4, 5}
    assert 2 not in chosen
    assert len(bank.retrieve(target, k=2, now_s=9, rule="context_as_memory")) == 2


def test_what_cannot_be_asked_is_refused(walked: tuple) -> None:
    _, bank, poses = walked
    target = target_at(poses[0])
    with pytest.raises(UsageError, match=r"rule 'nearest' is not known; choose one of coverage"):
        bank.retrieve(target, k=1, now_s=0, rule="nearest")
    with pytest.raises(UsageError, match="k must be at least 0, got -1"):
        bank.retrieve(target, k=-1, now_s=0)
    with pytest.raises(UsageError, match="there is no target"):
        bank.retrieve([], k=1, now_s=0)
    with pytest.raises(UsageError, match="no rotation and place"):
        bank.retrieve(Target(Pose(2 * np.eye(4), np.eye(3)), 4, 4), k=1, now_s=0)
    with pytest.raises(UsageError, match="at least 1 x 1 pixels, got 0 x 4"):
        bank.retrieve(Target(poses[0], 0, 4), k=1, now_s=0)
    assert bank.retrieve(target, k=0, now_s=NOW_S) == []

"""What a pose bank lets go of: the view whose loss uncovers least, within a budget that holds."""

import math

import numpy as np
import pytest

from memory_banks.pose_bank import PoseBank, PoseBankConfig, open_pose_bank
from memory_banks.pose_bank.redundancy import seen_by
from memory_banks.pose_bank.settings import SAMPLES
from streammem.errors import UsageError
from streammem.records import Eviction, Pose
from tests.memory_banks.flat_maze import SIZE, FlatMaze, camera_at, random_maze, walk, watch


def room_for(views: int, **settings: float) -> PoseBankConfig:
    """Return settings with which `views` find room."""
    few = PoseBankConfig(depth_px=12, eviction_log=100, budget_mb=1)
    budget_mb = (few.fixed_bytes + (views + 1) * few.view_bytes) / 1e6
    config = PoseBankConfig(depth_px=12, eviction_log=100, budget_mb=budget_mb, **settings)
    assert config.capacity == views
    return config


def plain_counts(bank: PoseBank) -> np.ndarray:
    """Return `[N, SAMPLES]`: how many others see each sample, all pairs afresh."""
    columns = bank._columns
    counts = np.zeros((len(bank), SAMPLES), int)
    for slot in range(len(bank)):
        for viewer, seen in zip(*seen_by(columns, slot, bank.config), strict=True):
            assert viewer != slot
            counts[slot] += seen
    return counts


def covered(bank: PoseBank, maze: FlatMaze, points: np.ndarray) -> float:
    """Return which share of `points` the views of a bank see."""
    return float(np.any([maze.visible(view.pose, points) for view in bank.views()], axis=0).mean())


def test_counts_stay_those_of_all_pairs_as_views_come_and_go() -> None:
    bank, maze = open_pose_bank(config=room_for(25)), random_maze(9, seed=2)
    for number, pose in enumerate(watch(bank, maze, walk(maze, 60, seed=2))):
        depth_m = None if number % 3 == 0 else maze.depth(pose)
        bank.add(pose, **SIZE, time_s=100 + number, payload_id=number, depth_m=depth_m)
        if number % 7 == 0:
            bank.remove(bank.views()[number % len(bank)].view_id)
    counts = plain_counts(bank)
    assert np.array_equal(bank._columns.others[: len(bank)], counts)
    assert (counts == 0).any()
    assert counts.max() > 2


def test_the_budget_holds_at_every_frame_and_every_loss_is_told() -> None:
    config, maze = room_for(20), random_maze(9, seed=3)
    bank, told = open_pose_bank(config=config), []
    for number, place in enumerate(walk(maze, 90, seed=3)):
        pose = camera_at(*place)
        gone = bank.add(
            pose, **SIZE, time_s=number / 8, payload_id=number, depth_m=maze.depth(pose)
        )
        assert bank.bytes <= bank.budget_bytes
        assert len(gone) == (number >= 20)
        told += gone
    held = {view.view_id for view in bank.views()}
    assert held | {one.entry_id for one in told} == set(range(1, 91))
    assert held.isdisjoint(one.entry_id for one in told)
    assert {one.reason for one in told} == {"capacity"}
    assert told == bank.evictions()
    assert bank.evicted == 70
    assert all(one.into != one.entry_id for one in told)
    assert sum(one.into is not None for one in told) > 60


def test_a_view_goes_that_another_shows_and_says_which() -> None:
    bank, maze = open_pose_bank(config=room_for(8)), random_maze(9, seed=3)
    way = [(3.0, 3.0, math.pi / 4 * turn) for turn in range(8)]
    watch(bank, maze, way)
    again = camera_at(3.0, 3.0, math.pi / 2)
    (gone,) = bank.add(again, **SIZE, time_s=9, payload_id=99, depth_m=maze.depth(again))
    assert gone == Eviction(3, "capacity", 9)


def test_standing_still_keeps_the_rest_of_the_world() -> None:
    bank, maze = open_pose_bank(config=room_for(16)), random_maze(9, seed=4)
    way = walk(maze, 12, seed=4)[::3]
    poses = watch(bank, maze, way)
    pose, depth_m = poses[-1], maze.depth(poses[-1])
    for number in range(100):
        bank.add(pose, **SIZE, time_s=50 + number, payload_id=1000 + number, depth_m=depth_m)
    points = np.concatenate([maze.surface(one) for one in poses])
    assert covered(bank, maze, points) > 0.99
    assert max(view.payload_id for view in bank.views()) == 1099


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_kept_covers_more_than_the_newest_would(seed: int) -> None:
    maze = random_maze(9, seed=seed)
    bank, way = open_pose_bank(config=room_for(24)), walk(maze, 150, seed=seed)
    poses = watch(bank, maze, way)
    points = np.concatenate([maze.surface(pose)[::17] for pose in poses])
    newest = np.any([maze.visible(pose, points) for pose in poses[-24:]], axis=0).mean()
    spread = np.any([maze.visible(pose, points) for pose in poses[::6][:24]], axis=0).mean()
    assert covered(bank, maze, points) > max(newest, spread)
    assert covered(bank, maze, points) > 0.93


def test_pinned_views_stay_and_can_be_let_go() -> None:
    bank, maze = open_pose_bank(config=room_for(8)), random_maze(9, seed=3)
    pose = camera_at(3.0, 3.0, 0.3)
    depth_m = maze.depth(pose)

    def add(number: int, *, pinned: bool = False) -> list[Eviction]:
        return bank.add(
            pose, **SIZE, time_s=number, payload_id=number, depth_m=depth_m, pinned=pinned
        )

    for number in range(8):
        add(number, pinned=True)
    assert add(8) == [Eviction(9, "capacity", 8)]
    with pytest.raises(UsageError, match=r"all 8 views that find room in .* MB are pinned"):
        add(9, pinned=True)
    assert [view.view_id for view in bank.views()] == list(range(1, 9))
    bank.pin(4, pinned=False)
    assert add(10) == [Eviction(4, "capacity", 10)]


def test_a_view_is_removed_by_its_id() -> None:
    bank, maze = open_pose_bank(config=room_for(8)), random_maze(9, seed=3)
    watch(bank, maze, [(3.0, 3.0, 0.1 * turn) for turn in range(5)])
    gone = bank.remove(2)
    assert (gone.entry_id, gone.reason) == (2, "deleted")
    assert gone.into in (1, 3)
    assert [view.view_id for view in bank.views()] == [1, 3, 4, 5]
    assert np.array_equal(bank._columns.others[:4], plain_counts(bank))
    with pytest.raises(UsageError, match="view 2 is not held; 4 are"):
        bank.remove(2)


def test_a_view_comes_back_as_it_went_in() -> None:
    bank, maze = open_pose_bank(config=room_for(8)), random_maze(9, seed=3)
    pose = camera_at(3.0, 3.0, 0.7)
    depth_m = maze.depth(pose)[::2, ::2]
    bank.add(pose, **SIZE, time_s=4.5, payload_id=-7, depth_m=depth_m, pinned=True)
    view = bank.view(1)
    assert (view.view_id, view.payload_id, view.time_s, view.pinned) == (1, -7, 4.5, True)
    assert np.array_equal(view.pose.camera_to_world, pose.camera_to_world)
    assert np.array_equal(view.pose.intrinsics, pose.intrinsics)
    assert view.depth_m is not None
    assert np.allclose(view.depth_m, depth_m, rtol=1e-3, equal_nan=True)


def test_what_cannot_be_added_is_refused() -> None:
    bank = open_pose_bank(config=room_for(8))
    pose = camera_at(0, 0, 0)
    with pytest.raises(UsageError, match="time_s must be a finite number of seconds, got nan"):
        bank.add(pose, **SIZE, time_s=math.nan, payload_id=0)
    with pytest.raises(UsageError, match=r"depth is \[h, w\] in metres, got \[3\]"):
        bank.add(pose, **SIZE, time_s=0, payload_id=0, depth_m=np.ones(3))
    with pytest.raises(UsageError, match="no rotation and place"):
        bank.add(Pose(np.zeros((4, 4)), np.eye(3)), **SIZE, time_s=0, payload_id=0)
    assert len(bank) == 0


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"budget_mb": 0.1}, r"budget_mb must be a number of at least 0\.\d+, got 0\.1"),
        ({"depth_px": 1}, "depth_px must be a number of at least 2, got 1"),
        ({"range_m": math.inf}, "range_m must be a number of at least 0.001, got inf"),
        ({"time_weight": math.nan}, "time_weight must be a number of at least 0, got nan"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, float], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        PoseBankConfig(**settings)


def test_what_a_view_is_said_to_take_is_what_its_columns_take() -> None:
    bank = open_pose_bank(config=room_for(8))
    columns = vars(bank._columns).values()
    taken = sum(one[0].nbytes for one in columns if isinstance(one, np.ndarray))
    by_id = 2 * 32 + 36  # two numbers and their place in a dict
    assert taken + by_id <= bank.config.view_bytes - 2 * 12 * 12 - 768

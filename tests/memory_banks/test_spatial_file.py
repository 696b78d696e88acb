"""One file holds what was seen in time, from where, and the surfaces."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from memory_banks.pose_bank import PoseBankConfig, open_pose_bank
from memory_banks.store import Store
from memory_banks.surfel_bank import SurfelBank
from memory_banks.surfel_bank.durable import load_surfels, write_surfels
from streammem.errors import StoreBusy, StoreError
from tests.memory_banks.flat_maze import SIZE, camera_at, random_maze, walk
from tests.memory_banks.surfel_saver import SETTINGS, banks

MAZE = random_maze(9, seed=6)
WAY = walk(MAZE, 20, seed=6)
CONFIG = PoseBankConfig(depth_px=8, eviction_log=30, budget_mb=1)


def surfels() -> SurfelBank:
    return next(bank for made, bank in banks() if made == 5)


def fill(path: Path, bank: SurfelBank) -> None:
    with open_pose_bank(path, config=CONFIG) as poses:
        for number, place in enumerate(WAY):
            pose = camera_at(*place)
            poses.add(pose, **SIZE, time_s=number / 8, payload_id=number, depth_m=MAZE.depth(pose))
        poses.checkpoint(beside=lambda connection: write_surfels(connection, bank))


def test_both_banks_of_one_moment_lie_in_a_memory_file(tmp_path: Path) -> None:
    path, bank = tmp_path / "walk.smem", surfels()
    Store(path, mode="write").close()
    fill(path, bank)
    with open_pose_bank(path, mode="read") as poses:
        assert [view.payload_id for view in poses.views()] == list(range(len(WAY)))
    loaded = load_surfels(path)
    assert loaded.config == SETTINGS
    for name, array in bank.state().items():
        assert np.array_equal(loaded.state()[name], array, equal_nan=True), name


def test_a_checkpoint_that_fails_beside_leaves_both_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    fill(path, surfels())
    pose = camera_at(*WAY[0])

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM tensors")
        raise RuntimeError("no surfels today")

    poses = open_pose_bank(path)
    poses.add(pose, **SIZE, time_s=9, payload_id=99)
    with pytest.raises(RuntimeError, match="no surfels today"):
        poses.checkpoint(beside=fails)
    with open_pose_bank(path, mode="read") as reader:
        assert len(reader) == len(WAY)
    assert len(load_surfels(path)) > 0
    poses.close()
    with open_pose_bank(path, mode="read") as reader:
        assert len(reader) == len(WAY) + 1


def test_a_file_without_views_says_so(tmp_path: Path) -> None:
    path = tmp_path / "memory.smem"
    store = Store(path, mode="write")
    with pytest.raises(StoreBusy):
        open_pose_bank(path)
    store.close()
    with pytest.raises(StoreError, match="there is no pose bank in"):
        open_pose_bank(path, mode="read")

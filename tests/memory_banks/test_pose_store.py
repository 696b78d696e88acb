"""The file of a pose bank: what survives a close or a kill, and what is not taken for one."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from memory_banks.pose_bank import PoseBank, PoseBankConfig, open_pose_bank
from streammem.errors import StoreBusy, StoreDamaged, StoreError, StoreMismatch, UsageError
from tests.memory_banks.flat_maze import SIZE, Place, camera_at, random_maze, target_at, walk

ROOT = Path(__file__).resolve().parents[2]
CONFIG = PoseBankConfig(depth_px=8, eviction_log=30, budget_mb=0.11)
MAZE = random_maze(9, seed=6)
WAY = walk(MAZE, 90, seed=6)
EVERY = 7


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a bank, with a name that an address has to escape."""
    return tmp_path / "my bank #1?.spose"


def add(bank: PoseBank, number: int) -> None:
    """Add view `number` of the walk, each third without depth, and now and then touch others."""
    place: Place = WAY[number % len(WAY)]
    pose = camera_at(*place)
    depth_m = None if number % 3 == 1 else MAZE.depth(pose)
    bank.add(pose, **SIZE, time_s=number / 8, payload_id=10 * number, depth_m=depth_m)
    oldest = min(view.view_id for view in bank.views())
    if number % 11 == 5:
        bank.pin(oldest)
    if number % 13 == 7:
        bank.remove(oldest)


def state(bank: PoseBank) -> dict[str, object]:
    """Return all that a bank goes on from."""
    columns = {
        name: one[: len(bank)].tobytes()
        for name, one in vars(bank._columns).items()
        if isinstance(one, np.ndarray)
    }
    rest = bank._columns.slot_of, bank._next_id, bank.evicted, bank.evictions(), bank.config
    return {**columns, "rest": rest}


def filled(count: int, path: Path | None = None) -> PoseBank:
    bank = open_pose_bank(path, config=CONFIG)
    for number in range(count):
        add(bank, number)
        if number % EVERY == EVERY - 1:
            bank.checkpoint()
    return bank


def test_a_reopened_bank_is_equal_and_goes_on_equally(path: Path) -> None:
    never_closed = filled(70)
    assert never_closed.evicted > len(never_closed) > 20
    filled(70, path).close()
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]
    with open_pose_bank(path) as bank:
        assert state(bank) == state(never_closed)
        for number in range(70, 90):
            for one in (bank, never_closed):
                add(one, number)
        assert state(bank) == state(never_closed)
        target = target_at(camera_at(*WAY[12]))
        for rule in ("coverage", "worldmem", "random"):
            first, second = (
                one.explain(target, k=8, now_s=99, rule=rule) for one in (bank, never_closed)
            )
            assert [(one.view_id, one.gain) for one in first.chosen if one.gain == one.gain] == [
                (one.view_id, one.gain) for one in second.chosen if one.gain == one.gain
            ]
            assert [one.view_id for one in first.chosen] == [one.view_id for one in second.chosen]


def test_a_killed_bank_goes_on_from_its_last_checkpoint(path: Path) -> None:
    command = (
        "from pathlib import Path; import sys; from tests.memory_banks.test_pose_store import *\n"
        "bank = open_pose_bank(Path(sys.argv[1]), config=CONFIG)\n"
        "for number in range(int(sys.argv[2]), 10_000):\n"
        "    add(bank, number)\n"
        "    if number % EVERY == EVERY - 1:\n"
        "        bank.checkpoint()\n"
        "        print(number + 1, flush=True)\n"
    )
    draws, done = np.random.default_rng(0), 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", command, str(path), str(done)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(int(draws.integers(2, 5))):
            told = int(process.stdout.readline())
        time.sleep(draws.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        told = max([told, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()
        with open_pose_bank(path, mode="read") as bank:
            found = state(bank)
            done = bank._next_id - 1
        assert done in (told, told + EVERY)
        assert found == state(filled(done))


def test_readers_see_the_last_checkpoint_and_write_nothing(path: Path) -> None:
    with filled(20, path) as bank:
        bank.checkpoint()
        before = len(bank)
        add(bank, 20)
        with open_pose_bank(path, mode="read") as reader:
            assert len(reader) == before
            for write in (
                lambda: add(reader, 21),
                lambda: reader.pin(1),
                lambda: reader.remove(1),
                reader.checkpoint,
            ):
                with pytest.raises(UsageError, match="is open for reading only"):
                    write()
        with pytest.raises(StoreBusy, match=f"is being written by process {os.getpid()}"):
            open_pose_bank(path)
    with pytest.raises(UsageError, match="is closed; open it for writing"):
        add(bank, 21)
    bank.close()


def test_the_file_stays_within_its_part_of_the_budget(path: Path) -> None:
    config = PoseBankConfig(budget_mb=2, eviction_log=100)
    pose = camera_at(*WAY[0])
    depth_m = np.random.default_rng(0).uniform(1, 9, (32, 32))
    with open_pose_bank(path, config=config) as bank:
        for number in range(config.capacity):
            bank.add(pose, **SIZE, time_s=number, payload_id=number, depth_m=depth_m)
        assert len(bank) == config.capacity
    assert path.stat().st_size <= config.fixed_bytes + config.capacity * (2 * 32**2 + 768)


def test_other_settings_are_refused_and_none_are_those_it_has(path: Path) -> None:
    filled(3, path).close()
    with open_pose_bank(path) as bank:
        assert bank.config == CONFIG
    with pytest.raises(StoreMismatch, match=r"was made with .*depth_px=8.*leave the settings out"):
        open_pose_bank(path, config=PoseBankConfig())
    open_pose_bank(path, config=CONFIG).close()


def test_a_bank_that_is_not_there_cannot_be_read(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no memory at"):
        open_pose_bank(path, mode="read")
    assert not path.exists()
    with pytest.raises(StoreError, match="its folder does not exist"):
        open_pose_bank(path / "within")


def test_other_files_are_told_apart(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 20)
    with pytest.raises(StoreDamaged, match="is not a memory"):
        open_pose_bank(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE things (name TEXT)")
    with pytest.raises(StoreDamaged, match="of another program, not a memory"):
        open_pose_bank(path)
    path.unlink()
    filled(2, path).close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="has schema 99, this StreamMem knows up to"):
        open_pose_bank(path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("UPDATE views SET nearness = zeroblob(128) WHERE view_id = 3", "view 3 is not as written"),
        ("DELETE FROM views WHERE view_id = 3", "view 3 is not as written"),
        ("DELETE FROM view_slots WHERE slot = 1", "slot 2 is not where it was written"),
        ("DELETE FROM view_slots WHERE slot = 8", "it holds 8 of 9 views"),
        ("UPDATE view_slots SET others = X'00' WHERE slot = 1", "it holds what was never written"),
        (
            "UPDATE metadata SET value = '{}' WHERE name = 'pose_bank'",
            "it holds what was never written",
        ),
    ],
)
def test_damage_is_noticed(path: Path, change: str, match: str) -> None:
    bank = open_pose_bank(path, config=CONFIG)
    for number in range(9):
        pose = camera_at(*WAY[number])
        bank.add(pose, **SIZE, time_s=0, payload_id=0, depth_m=MAZE.depth(pose))
    bank.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
        connection.commit()
    with pytest.raises(StoreDamaged, match=match):
        open_pose_bank(path)

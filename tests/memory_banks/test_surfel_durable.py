"""A surfel bank in its file: whole or not at all, and going on from there as if never closed."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from memory_banks.lock import WriterLock
from memory_banks.store import Store, is_memory
from memory_banks.surfel_bank import SurfelBank, SurfelBankConfig
from memory_banks.surfel_bank.durable import load_surfels, save_surfels
from memory_banks.surfel_bank.sightings import rank_of, worth
from streammem.errors import StoreBusy, StoreDamaged, StoreError, UsageError
from tests.memory_banks.surfel_saver import SETTINGS, banks
from tests.memory_banks.surfel_scene import camera, see, turn

ROOT = Path(__file__).resolve().parents[2]


def same(first: SurfelBank, second: SurfelBank) -> bool:
    one, other = first.state(), second.state()
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


def after(frames: int) -> SurfelBank:
    return next(bank for made, bank in banks() if made == frames)


def test_a_bank_goes_on_from_its_file_as_if_it_had_never_been_closed(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    bank = after(30)
    save_surfels(bank, path)
    loaded = load_surfels(path)
    assert same(bank, loaded) and loaded.config == SETTINGS and len(bank) > 500
    for step, pose in enumerate(turn(2.0, 2.2, steps=24, side_px=40)):
        frame = see(pose, time_s=40 + step / 8, side_px=40)
        sure = np.random.default_rng(step).uniform(0.3, 1, (40, 40)).astype(np.float32)
        gone = [one.write(frame, view_id=900 + step, confidence=sure) for one in (bank, loaded)]
        assert gone[0] == gone[1]
    assert same(bank, loaded) and bank.evicted["capacity"] > 0 and bank.evicted == loaded.evicted
    pose = camera(2, 2.2, heading_deg=-15)
    views = [one.retrieve(pose, k=5, height_px=40, width_px=40) for one in (bank, loaded)]
    assert [str(one) for one in views[0]] == [str(one) for one in views[1]] != []


def test_an_empty_bank_is_saved_too(tmp_path: Path) -> None:
    save_surfels(SurfelBank(SETTINGS), tmp_path / "empty.smem")
    assert same(load_surfels(tmp_path / "empty.smem"), SurfelBank(SETTINGS))


def test_a_save_takes_the_place_of_the_last_and_of_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    Store(path, mode="write").close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO metadata VALUES ('mine', '1')")
    connection.close()
    for frames in (20, 3):
        save_surfels(after(frames), path)
    assert same(load_surfels(path), after(3))
    assert is_memory(path)
    store = Store(path, mode="read")
    with store.reading():
        assert store.metadata()["mine"] == 1
    store.close()


def test_a_full_bank_stays_within_its_budget_in_ram_and_file(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    bank = SurfelBank(SETTINGS)
    for step in range(150):
        x, y = 1.5 + step % 5 / 2, 1.2 + step % 7 / 3
        pose = camera(x, y, heading_deg=73 * step, side_px=32)
        before = bank.state()
        gone = bank.write(see(pose, time_s=step, side_px=32), view_id=step)
        if gone.views:
            value = worth(before["surfel.views"], count=SETTINGS.views)
            left = np.isin(before["view.view_id"], gone.views)
            assert value[left].max() <= value[~left].min()
        assert len(bank) <= SETTINGS.surfels and len(bank.views) <= SETTINGS.views
        assert all(one.count > 0 for one in gone.surfels)
        assert not set(gone.views) & set(bank.views)
    assert bank.bytes == SETTINGS.held_bytes <= SETTINGS.budget_mb * 1_000_000
    assert bank.evicted["capacity"] > 500 and bank.evicted["views"] > 20
    assert len(bank.views) + bank.evicted["views"] == 150
    save_surfels(bank, path)
    state = bank.state()
    in_ram = sum(one.nbytes for one in state.values()) + 16 * len(bank)
    assert in_ram + path.stat().st_size <= bank.bytes
    assert state["view.rank"].tolist() == [rank_of(view + 1) for view in bank.views]
    assert state["surfel.views"].max() < len(bank.views)


@pytest.mark.parametrize("wait", [2, 9])
def test_a_process_killed_while_saving_leaves_a_whole_bank(tmp_path: Path, wait: int) -> None:
    path = tmp_path / "walk.smem"
    command = [sys.executable, "-m", "tests.memory_banks.surfel_saver", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        last = 0
        for _ in range(wait):
            last = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split()
    last = int(rest[-1]) if rest else last
    loaded = load_surfels(path)
    assert len(loaded.views) in (last - 1, last)
    assert same(loaded, after(len(loaded.views)))
    save_surfels(loaded, path)


def test_trouble_with_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    with pytest.raises(StoreError, match="there is no memory at"):
        load_surfels(path)
    Store(path, mode="write").close()
    with pytest.raises(StoreError, match="holds no surfels; write them there with save_surfels"):
        load_surfels(path)
    lock = WriterLock(path)
    with pytest.raises(StoreBusy, match="is being written by process"):
        save_surfels(after(1), path)
    lock.release()
    with pytest.raises(StoreError, match="is a folder; name a file in it"):
        save_surfels(after(1), tmp_path)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE tensors SET data = zeroblob(length(data)) WHERE name = 'surfel_bank/surfel.normal'",
        "DELETE FROM tensors WHERE name = 'surfel_bank/surfel.normal'",
        "UPDATE tensors SET name = 'surfel_bank/other' WHERE name = 'surfel_bank/last_s'",
        "DELETE FROM tensors WHERE name = 'surfel_bank/surfel.first_s'; UPDATE tensors SET name = "
        "'surfel_bank/surfel.first_s' WHERE name = 'surfel_bank/surfel.last_s'; UPDATE metadata "
        "SET value = value - 1 WHERE name = 'tensors/surfel_bank'",
        "DELETE FROM tensors WHERE name = 'surfel_bank/surfel.first_s'; UPDATE tensors SET name = "
        "'surfel_bank/surfel.first_s' WHERE name = 'surfel_bank/view.time_s'; UPDATE metadata "
        "SET value = value - 1 WHERE name = 'tensors/surfel_bank'",
    ],
)
def test_damage_is_told(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "walk.smem"
    save_surfels(after(3), path)
    with sqlite3.connect(path) as connection:
        for one in harm.split(";"):
            connection.execute(one)
    connection.close()
    with pytest.raises(StoreDamaged, match=r"walk.smem is damaged: .*(as written|array)"):
        load_surfels(path)


def test_settings_with_which_a_bank_cannot_go_on_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "walk.smem"
    save_surfels(after(30), path)
    other = SurfelBankConfig(budget_mb=0.5, voxel_m=0.2)
    with pytest.raises(UsageError, match=r"voxel_m=0\.2 cannot go on from one with"):
        load_surfels(path, config=other)
    with pytest.raises(UsageError, match=r"budget_mb=0.14 has room for .* allow it more"):
        load_surfels(path, config=SurfelBankConfig(budget_mb=0.14))
    wider = SurfelBankConfig(budget_mb=2.0, settle_s=1.0)
    assert load_surfels(path, config=wider).config == wider

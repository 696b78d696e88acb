"""A process that saves a growing bank again and again, made to be killed: `surfel_saver.py FILE`.

Before each save it prints how many frames the bank was made of.
"""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from memory_banks.surfel_bank import SurfelBank, SurfelBankConfig
from memory_banks.surfel_bank.durable import save_surfels
from tests.memory_banks.surfel_scene import camera, see

SETTINGS = SurfelBankConfig(budget_mb=0.5)


def banks() -> Iterator[tuple[int, SurfelBank]]:
    """Yield the bank after each frame of a walk without end, always the same one."""
    bank = SurfelBank(SETTINGS)
    for step in count():
        pose = camera(3 + step % 7 / 5, 2, heading_deg=37 * step, side_px=24)
        bank.write(see(pose, time_s=step / 8, side_px=24), view_id=step)
        yield step + 1, bank


if __name__ == "__main__":
    for frames, bank in banks():
        print(frames, flush=True)
        save_surfels(bank, Path(sys.argv[1]))

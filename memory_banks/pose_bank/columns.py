"""The views of a pose bank as columns, one row a slot, without holes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from memory_banks.pose_bank.settings import SAMPLES
from streammem.records import Pose

Row = Mapping[str, Any]


class Columns:
    """Arrays with a row for each of the first `count` slots.

    Places are float64 and everything else is relative to them, so that float32 is exact enough at
    any distance from the origin. `matrix` takes an offset from a view's place to (u z, v z, z),
    with u and v in 0..1 across its picture and z its z-depth. `nearness` is 1 / z-depth on the
    view's grid, 0 where nothing is known or nothing is there. A view sees nothing beyond z-depth
    `far_m`, which ends `reach_m` from its place. `samples` are offsets of points of its surface,
    within `sample_m` of `middle`; `others` counts for each sample the other views that see it.
    `slot_of` finds the slot of a view by its id.
    """

    def __init__(self, rows: int, *, depth_px: int) -> None:
        self.depth_px = depth_px
        self.count = 0
        # Pages of zeros that were never written take no memory.
        self.view_id = np.zeros(rows, np.int64)
        self.payload_id = np.zeros(rows, np.int64)
        self.time_s = np.zeros(rows, np.float64)
        self.pinned = np.zeros(rows, np.bool_)
        self.has_depth = np.zeros(rows, np.bool_)
        self.size_px = np.zeros((rows, 2), np.int32)
        self.place = np.zeros((rows, 3), np.float64)
        self.rotation = np.zeros((rows, 3, 3), np.float64)
        self.intrinsics = np.zeros((rows, 3, 3), np.float64)
        self.matrix = np.zeros((rows, 3, 3), np.float32)
        self.reach_m = np.zeros(rows, np.float32)
        self.far_m = np.zeros(rows, np.float32)
        self.nearness = np.zeros((rows, depth_px, depth_px), np.float16)
        self.samples = np.zeros((rows, SAMPLES, 3), np.float32)
        self.middle = np.zeros((rows, 3), np.float32)
        self.sample_m = np.zeros(rows, np.float32)
        self.others = np.zeros((rows, SAMPLES), np.uint32)
        self.slot_of: dict[int, int] = {}
        self._names = tuple(name for name, one in vars(self).items() if isinstance(one, np.ndarray))

    def append(self, row: Row) -> int:
        """Write a row into the next slot and return the slot."""
        slot = self.count
        for name in self._names:
            getattr(self, name)[slot] = row[name]
        self.slot_of[row["view_id"]] = slot
        self.count += 1
        return slot

    def drop(self, slot: int) -> None:
        """Take a row out; the last one moves into its place."""
        self.count -= 1
        del self.slot_of[int(self.view_id[slot])]
        if slot < self.count:
            self.slot_of[int(self.view_id[self.count])] = slot
        for name in self._names:
            column = getattr(self, name)
            column[slot] = column[self.count]

    def pose(self, slot: int) -> Pose:
        """Return a view's pose as it came."""
        placed = np.eye(4)
        placed[:3, :3], placed[:3, 3] = self.rotation[slot], self.place[slot]
        return Pose(placed, self.intrinsics[slot].copy())

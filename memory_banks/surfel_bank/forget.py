"""Which surfels go when there is no room, and how that is reported."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Rows, Table
from memory_banks.surfel_bank.merge import LEAST_RADIUS
from memory_banks.surfel_bank.voxels import SHIFT, blocks_of

CELL_BITS = 1
"""Surfels share a cell of two voxels a side where they face the same way."""

REGION_BITS = 4
SPARE_SHARE = 1 / 32
"""Room that is made beyond what is needed, so that it is not made for every frame."""

COVERED = 0.05
"""What a surfel counts for whose place others cover, in parts of one that stands alone."""

Reason = Literal["capacity", "contradicted"]


@dataclass(frozen=True, slots=True)
class SurfelEviction:
    """How many surfels left a region of 16 voxels a side, and why.

    `low_m` is its corner of least coordinates. They left for want of room, or because what
    was seen contradicts them: something behind them, or something else in their place.
    """

    reason: Reason
    low_m: tuple[float, float, float]
    count: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What left the bank with a write: surfels by region and reason, and the ids of views."""

    surfels: tuple[SurfelEviction, ...]
    views: tuple[int, ...]


def least_missed(surfels: Table, count: int, *, now_s: float, voxel_m: float) -> Rows:
    """Return the `count` rows whose loss uncovers least, best to lose first.

    A surfel is worth its weight times the number of views named for it and one, times the part of
    its disc that is needed: within its cell, discs are laid down from the most worth on, until
    they cover the cell's face; those after count little. Of equals the one longest unseen goes
    first. What was seen `now_s` goes last.
    """
    cell = blocks_of(surfels["voxel"], bits=CELL_BITS)
    normals = surfels["normal"]
    axis = np.abs(normals).argmax(axis=1)
    face = 2 * axis + (normals[np.arange(surfels.size), axis] > 0)
    seen = surfels["weight"] * (1.0 + (surfels["views"] >= 0).sum(axis=1))
    last_s = surfels["last_s"]
    order = np.lexsort((-last_s, -seen, face, *cell.T))
    key = np.column_stack([cell, face])[order]
    starts = np.concatenate([[True], (key[1:] != key[:-1]).any(axis=1)])
    area = surfels["radius"][order].astype(np.float64) ** 2
    total = np.cumsum(area)
    run = np.cumsum(starts) - 1
    before = total - area - (total - area)[starts][run]
    cell_area = 4**CELL_BITS * (LEAST_RADIUS * voxel_m) ** 2
    needed = np.clip((cell_area - before) / np.minimum(area, cell_area), COVERED, 1.0)
    value = np.empty(surfels.size)
    value[order] = needed * seen[order]
    return np.lexsort((last_s, value, last_s == now_s))[:count]


def reported(voxels: NDArray[np.int64], reason: Reason, *, voxel_m: float) -> list[SurfelEviction]:
    """Return how many of the surfels that left, by their `voxels [N]`, were in each region."""
    blocks, counts = np.unique(blocks_of(voxels, bits=REGION_BITS), axis=0, return_counts=True)
    corners = ((blocks << REGION_BITS) - SHIFT) * voxel_m
    return [
        SurfelEviction(reason, (x, y, z), count)
        for (x, y, z), count in zip(corners.tolist(), counts.tolist(), strict=True)
    ]

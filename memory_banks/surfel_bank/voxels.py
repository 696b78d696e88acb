"""Voxels as single numbers, and where surfels of each are found."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Floats, Rows

AXIS_BITS = 21
SHIFT = 0.381966
"""Part of a voxel by which the grid is moved, so that walls at round numbers lie within voxels."""

_HALF = 1 << (AXIS_BITS - 1)
_AXIS = (1 << AXIS_BITS) - 1


def voxels_of(points: Floats, *, voxel_m: float) -> Rows:
    """Return the voxel of each of `points [N, 3]` as one whole number."""
    cells = np.floor(points.astype(np.float64) / voxel_m + SHIFT).astype(np.int64) + _HALF
    return np.asarray((cells[:, 0] << 2 * AXIS_BITS) | (cells[:, 1] << AXIS_BITS) | cells[:, 2])


def blocks_of(voxels: Rows, *, bits: int) -> NDArray[np.int64]:
    """Return `[N, 3]`: which block of 2 ** bits voxels a side each of `voxels [N]` lies in."""
    axes = [(voxels >> shift) & _AXIS for shift in (2 * AXIS_BITS, AXIS_BITS, 0)]
    return (np.stack(axes, axis=1) - _HALF) >> bits


class VoxelIndex:
    """The rows of surfels, by the voxel in which each was born."""

    def __init__(self, voxels: Rows) -> None:
        self._order = np.argsort(voxels, kind="stable")
        self._sorted = voxels[self._order]

    def best(
        self, voxels: Rows, normals: Floats, *, surfel_normals: Floats, least_cosine: float
    ) -> Rows:
        """Return for each point the row of its voxel whose normal is nearest, -1 where none is.

        The points are in `voxels [P]` with unit `normals [P, 3]`; rows whose cosine is below
        `least_cosine` are none, and of equals it is the first.
        """
        start = np.searchsorted(self._sorted, voxels)
        stop = np.searchsorted(self._sorted, voxels, side="right")
        found = np.full(len(voxels), -1, dtype=np.int64)
        best = np.full(len(voxels), least_cosine, dtype=np.float32)
        left = np.flatnonzero(start < stop)
        nth = 0
        while len(left):
            rows = self._order[start[left] + nth]
            cosines = np.einsum("nd,nd->n", surfel_normals[rows], normals[left])
            better = (cosines > best[left]) | ((found[left] < 0) & (cosines >= best[left]))
            found[left[better]], best[left[better]] = rows[better], cosines[better]
            nth += 1
            left = left[start[left] + nth < stop[left]]
        return found


def cluster(voxels: Rows, normals: Floats, *, least_cosine: float) -> Rows:
    """Return the number of the cluster that each point is in, from 0 without gaps.

    The first point of a voxel leads a cluster of all points there whose normals agree with its own;
    the first of those left over leads the next.
    """
    clusters = np.empty(len(voxels), dtype=np.int64)
    left = np.argsort(voxels, kind="stable")
    made = 0
    while len(left):
        own = voxels[left]
        leads = np.concatenate([[True], own[1:] != own[:-1]])
        run = np.cumsum(leads) - 1
        leaders = normals[left[leads]]
        agree = np.einsum("nd,nd->n", leaders[run], normals[left]) >= least_cosine
        agree |= leads
        clusters[left[agree]] = made + run[agree]
        made += len(leaders)
        left = left[~agree]
    return clusters

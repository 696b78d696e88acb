"""How the points of a frame become surfels, or part of those that are there."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Columns, Floats, Rows, Table
from memory_banks.surfel_bank.look import Look
from memory_banks.surfel_bank.settings import SurfelBankConfig
from memory_banks.surfel_bank.voxels import VoxelIndex, cluster, voxels_of

LEAST_RADIUS = 0.75
"""Of a voxel: a little over half the diagonal of its face, so that neighbours leave no hole."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Means over the points of a frame that belong together.

    `rows [G]` are the surfels they belong to; from the number of surfels on, they are new.
    `means` holds position, normal, radius, colour, weight and voxel of each group.
    """

    rows: Rows
    means: Columns


def sample(look: Look, surfels: Table, index: VoxelIndex, config: SurfelBankConfig) -> Samples:
    """Return what the solid points of `look` say, by the surfels that they belong to.

    A point belongs to the surfel of its voxel whose normal agrees best; points that find none make
    new ones together. Means are weighted by confidence, and a new weight is its mean.
    """
    solid = np.flatnonzero(look.solid)
    points, normals = look.points[solid], look.normals[solid]
    voxels = voxels_of(points, voxel_m=config.voxel_m)
    target = index.best(
        voxels,
        normals,
        surfel_normals=surfels["normal"],
        least_cosine=config.same_normal,
    )
    new = np.flatnonzero(target < 0)
    target[new] = surfels.size + cluster(voxels[new], normals[new], least_cosine=config.same_normal)
    rows, first, group = np.unique(target, return_index=True, return_inverse=True)
    sure = look.confidence[solid]
    count = np.bincount(group, minlength=len(rows))
    total = np.bincount(group, sure, minlength=len(rows))

    def mean(values: Floats) -> NDArray[np.float64]:
        """Return the mean of `values [P, D]` over each group."""
        sums = [np.bincount(group, sure * one, minlength=len(rows)) for one in values.T]
        return np.stack(sums, axis=1).reshape(-1, values.shape[1]) / total[:, None]

    radius = np.maximum(look.radius_m[solid], np.float32(LEAST_RADIUS * config.voxel_m))
    means: dict[str, NDArray[Any]] = {
        "position": mean(points),
        "normal": unit(mean(normals), otherwise=normals[first]),
        "radius": mean(radius[:, None])[:, 0],
        "colour": mean(look.colour[solid]),
        "weight": total / np.maximum(count, 1),
        "voxel": voxels[first],
    }
    return Samples(rows, means)


def merge(surfels: Table, rows: Rows, means: Columns) -> None:
    """Bring what a frame says of `rows [G]` into their running means, weighted by their weights.

    The finest view of a surfel sets its radius.
    """
    held = surfels["weight"][rows].astype(np.float64)
    share = (means["weight"] / (held + means["weight"]))[:, None]
    for name in ("position", "colour"):
        before = surfels[name][rows]
        surfels[name][rows] = before + share * (means[name] - before)
    before = surfels["normal"][rows]
    surfels["normal"][rows] = unit(before + share * (means["normal"] - before), otherwise=before)
    surfels["radius"][rows] = np.minimum(surfels["radius"][rows], means["radius"])


def unit(vectors: NDArray[np.floating], *, otherwise: Floats) -> Floats:
    """Return `vectors [N, 3]` at unit length, `otherwise` where they have none."""
    length = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    none = length < 1e-6
    return np.where(none, otherwise, vectors / np.where(none, 1, length)).astype(np.float32)

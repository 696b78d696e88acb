"""The z-buffer of discs in the plainest words: every pixel meets every disc, in float64."""

import math

import numpy as np
from numpy.typing import NDArray


def draw(
    centres: NDArray[np.float64],
    normals: NDArray[np.float64],
    radii: NDArray[np.float64],
    ranks: NDArray[np.int64],
    *,
    intrinsics: NDArray[np.float64],
    height_px: int,
    width_px: int,
    band_m: float,
    nearest_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return `(surfel [H, W], depth_m [H, W])` as `surfel_raster` does, one ray at a time."""
    surfel = np.full((height_px, width_px), -1)
    depth_m = np.full((height_px, width_px), math.nan)
    for row in range(height_px):
        for column in range(width_px):
            ray = np.linalg.solve(intrinsics, [column + 0.5, row + 0.5, 1.0])
            met = []
            for disc, (centre, normal, radius) in enumerate(
                zip(centres, normals, radii, strict=True)
            ):
                slope = float(normal @ ray)
                if slope == 0.0:
                    continue
                depth = float(normal @ centre) / slope
                away = float(np.linalg.norm(depth * ray - centre))
                if depth > nearest_m and away <= radius:
                    met.append((int(ranks[disc]), depth, slope > 0, away, disc))
            if not met:
                continue
            rank, first, *_ = min(met)
            band = [one for one in met if one[0] == rank and one[1] <= first + band_m]
            _, depth, _, _, disc = min(band, key=lambda one: one[2:])
            surfel[row, column], depth_m[row, column] = disc, depth
    return surfel, depth_m

"""What a depth picture says of surfaces: which way they face, and how much a pixel sees of them."""

import numpy as np
from numpy.typing import NDArray

from memory_banks.surfel_bank.columns import Floats

AGREE, STEEP = 0.05, 0.25
"""Parts of the nearness by which its steps may differ within a surface, and change across it."""

LEAST_COSINE = 0.2
"""Radii stop growing with the angle here, as in VMem (arXiv 2506.18903)."""


def camera_normals(depth_m: Floats, intrinsics: NDArray[np.float64]) -> Floats:
    """Return unit normals `[H, W, 3]` in the camera's frame, facing it; NaN where depth is.

    Nearness q = 1 / z is linear in the picture on any plane, and the plane's normal is proportional
    to (fx q_u, fy q_v, q - (u - cx) q_u - (v - cy) q_v): normals from gradients of nearness as in
    Three-Filters-to-Normal (arXiv 2005.08165). The gradients are central differences. Where the
    steps to both sides differ an edge is near, and the smaller step counts; where that is steep
    too, or nothing is known around, the surface is taken to face the camera on that axis.
    """
    height, width = depth_m.shape
    (fx, _, cx), (_, fy, cy), _ = intrinsics.tolist()
    with np.errstate(divide="ignore"):
        nearness = 1 / depth_m.astype(np.float64)
    known = np.isfinite(depth_m) & (depth_m > 0)
    nearness[~known] = np.nan
    along_u, along_v = _gradient(nearness, axis=1), _gradient(nearness, axis=0)
    u, v = np.arange(width) + 0.5 - cx, np.arange(height)[:, None] + 0.5 - cy
    normals = np.stack(
        [-fx * along_u, -fy * along_v, u * along_u + v * along_v - nearness], axis=-1
    )
    length = np.sqrt((normals * normals).sum(-1, keepdims=True))
    return np.asarray(normals / length, dtype=np.float32)


def _gradient(nearness: NDArray[np.float64], *, axis: int) -> NDArray[np.float64]:
    """Return the change of `nearness [H, W]` from pixel to pixel along an axis."""
    step = np.diff(nearness, axis=axis)
    none = np.full_like(nearness.take([0], axis=axis), np.nan)
    before = np.concatenate([none, step], axis=axis)
    after = np.concatenate([step, none], axis=axis)
    smaller = np.where(~(np.abs(before) <= np.abs(after)), after, before)
    smaller = np.where(np.isnan(smaller), before, smaller)
    smaller = np.where(np.abs(smaller) <= STEEP * nearness, smaller, 0.0)
    return np.where(np.abs(after - before) <= AGREE * nearness, (before + after) / 2, smaller)


def pixel_radii(depth_m: Floats, cosines: Floats, intrinsics: NDArray[np.float64]) -> Floats:
    """Return the radius `[...]` in metres at which discs of neighbouring pixels leave no hole.

    A pixel sees z / f across and z / (f cos) along the tilt of the surface; half the diagonal of
    that patch reaches the corner that it shares with its neighbours. VMem (arXiv 2506.18903) takes
    half of z / f over 0.2 + 0.8 cos, which leaves the corners open when seen from the same place.
    """
    across = depth_m / np.float32(np.sqrt(intrinsics[0, 0] * intrinsics[1, 1]))
    along = across / np.maximum(cosines, np.float32(LEAST_COSINE))
    return np.asarray(0.5 * np.sqrt(across * across + along * along), dtype=np.float32)

"""`surfel_raster`: checks the discs and draws them where they lie."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streammem.ops.surfel_raster.raster import Array, draw


def surfel_raster(
    centres: Array,
    normals: Array,
    radii: Array,
    ranks: Array,
    *,
    intrinsics: NDArray[np.float64],
    height_px: int,
    width_px: int,
    band_m: float,
) -> tuple[Array, Array]:
    """Return which disc each pixel shows, `[H, W]` int64 with -1 for none, and its depth `[H, W]`.

    `centres [N, 3]` and unit `normals [N, 3]` are in the camera's frame (OpenCV axes, metres),
    `radii [N]` in metres, all float32; the depth is z-depth, NaN where no disc is. `ranks [N]` are
    0 or 1: a disc of rank 1 is seen only where the ray meets none of rank 0. Among the discs that
    the ray meets within `band_m` behind the first, which belong to one surface, one that faces the
    camera is preferred, then the one whose centre is nearest to where the ray meets it, then the
    first. That keeps colours crisp where discs of one surface overlap.

    Everything is in numpy for numpy arrays, else in torch on the device of the tensors; both run
    the same text and agree on every pixel but for rounding.
    Raises ValueError where shapes do not fit.
    """
    count = len(radii)
    shapes = [tuple(part.shape) for part in (centres, normals, radii, ranks)]
    if shapes != [(count, 3), (count, 3), (count,), (count,)]:
        raise ValueError(f"discs need [N, 3], [N, 3], [N] and [N], got {shapes}")
    if height_px < 1 or width_px < 1:
        raise ValueError(f"a picture needs at least one pixel, got {height_px} x {width_px}")
    kit: Any
    if isinstance(radii, np.ndarray):
        from streammem.ops.surfel_raster import numpy_kit as kit
    else:
        from streammem.ops.surfel_raster import torch_kit as kit
    return draw(
        centres,
        normals,
        radii,
        ranks,
        intrinsics=intrinsics,
        height_px=height_px,
        width_px=width_px,
        band_m=band_m,
        kit=kit,
    )

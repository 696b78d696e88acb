"""Discs through the z-buffer, as one ray at a time meets them."""

from typing import Any

import numpy as np
import pytest

from streammem.ops.surfel_raster import naive, raster, surfel_raster

Discs = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def discs_of(count: int, *, seed: int, ahead_m: float, spread_m: float) -> Discs:
    """Return discs all around a place, of which many cross the camera's plane."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count, 3)) * spread_m + [0, 0, ahead_m]
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    radii, ranks = rng.uniform(0.05, 0.6, count), rng.integers(0, 2, count)
    return centres.astype("f4"), normals.astype("f4"), radii.astype("f4"), ranks


def drawn(discs: Discs, *, height: int, width: int, kind: str = "numpy") -> tuple[Any, Any]:
    parts: Any = discs
    if kind == "torch":
        torch = pytest.importorskip("torch")
        parts = tuple(torch.from_numpy(part) for part in discs)
    surfel, depth_m = surfel_raster(
        *parts,
        intrinsics=lens(height, width),
        height_px=height,
        width_px=width,
        band_m=0.1,
    )
    return np.asarray(surfel), np.asarray(depth_m)


def lens(height: int, width: int) -> np.ndarray:
    return np.array([[12.0, 0, width / 2 - 0.3], [0, 11.0, height / 2], [0, 0, 1]])


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize(("ahead_m", "spread_m"), [(2.0, 2.0), (0.0, 0.6), (4.0, 0.8)])
@pytest.mark.parametrize(
    ("count", "height", "width"), [(0, 3, 4), (1, 9, 7), (63, 12, 17), (500, 21, 16)]
)
def test_every_pixel_shows_what_one_ray_meets(
    count: int, height: int, width: int, ahead_m: float, spread_m: float, kind: str
) -> None:
    discs = discs_of(count, seed=count, ahead_m=ahead_m, spread_m=spread_m)
    surfel, depth_m = drawn(discs, height=height, width=width, kind=kind)
    expected, deep = naive.draw(
        *(part.astype(np.float64) for part in discs[:3]),
        discs[3],
        intrinsics=lens(height, width),
        height_px=height,
        width_px=width,
        band_m=0.1,
        nearest_m=raster.NEAREST_M,
    )
    assert surfel.dtype == np.int64 and depth_m.dtype == np.float32
    assert np.mean(surfel != expected) <= 0.005
    same = surfel == expected
    assert depth_m[same] == pytest.approx(deep[same], rel=1e-4, nan_ok=True)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_many_pairs_are_drawn_in_parts(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    discs = discs_of(500, seed=3, ahead_m=2.0, spread_m=1.0)
    at_once = drawn(discs, height=30, width=40, kind=kind)
    monkeypatch.setattr(raster, "PAIRS_AT_ONCE", 700)
    in_parts = drawn(discs, height=30, width=40, kind=kind)
    assert (at_once[0] == in_parts[0]).all()
    assert np.array_equal(at_once[1], in_parts[1], equal_nan=True)


def test_the_first_of_equal_discs_is_seen_in_any_order() -> None:
    centres, normals, radii, ranks = discs_of(1, seed=0, ahead_m=3.0, spread_m=0.0)
    twice = (np.repeat(part, 5, axis=0) for part in (centres, normals, radii, ranks))
    surfel, _ = drawn(tuple(twice), height=9, width=9)
    assert set(surfel.ravel().tolist()) == {-1, 0}


def test_neighbours_on_one_plane_divide_it_between_them() -> None:
    centres = np.array([[-0.5, 0, 2], [0.5, 0, 2]], dtype=np.float32)
    normals = np.array([[0, 0, -1], [0, 0, -1]], dtype=np.float32)
    radii, ranks = np.array([1.0, 1.0], dtype=np.float32), np.zeros(2, np.int64)
    surfel, depth_m = drawn((centres, normals, radii, ranks), height=11, width=12)
    row = surfel[5]
    assert row[row >= 0].tolist() == sorted(row[row >= 0].tolist()) and {0, 1} <= set(row.tolist())
    assert depth_m[surfel >= 0] == pytest.approx(2.0)


def test_what_does_not_fit_is_refused() -> None:
    discs = discs_of(3, seed=0, ahead_m=2.0, spread_m=1.0)
    with pytest.raises(ValueError, match=r"discs need \[N, 3\], \[N, 3\], \[N\] and \[N\]"):
        drawn((discs[0][:2], *discs[1:]), height=4, width=4)
    with pytest.raises(ValueError, match="at least one pixel, got 0 x 4"):
        drawn(discs, height=0, width=4)

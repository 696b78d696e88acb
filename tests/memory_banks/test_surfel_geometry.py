"""Normals and radii of the surfels of a depth picture."""

import numpy as np
import pytest

from memory_banks.surfel_bank.geometry import camera_normals, pixel_radii
from tests.memory_banks.plain_surfels import normal_at, ray

INTRINSICS = np.array([[11.0, 0.0, 6.5], [0.0, 9.0, 5.0], [0.0, 0.0, 1.0]])


def plane(normal: list[float], offset: float, *, height: int, width: int) -> np.ndarray:
    """Return the depth picture of the plane `normal . x = offset`."""
    depth = np.empty((height, width))
    for row in range(height):
        for column in range(width):
            depth[row, column] = offset / (np.array(normal) @ ray(column, row, INTRINSICS))
    return depth.astype(np.float32)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (9, 13), (21, 17)])
def test_normals_are_those_of_central_differences(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(size))
    rows, columns = np.mgrid[: size[0], : size[1]]
    depth = 2 + 0.3 * np.sin(rows / 3 + columns / 4) + (columns > 5) * 3.0
    depth[rng.random(size) < 0.15] = np.nan
    depth[rng.random(size) < 0.05] = np.inf
    found = camera_normals(depth.astype(np.float32), INTRINSICS)
    for row, column in np.ndindex(size):
        if np.isfinite(depth[row, column]):
            plain = normal_at(depth.astype(np.float32), row, column, INTRINSICS)
            assert found[row, column] == pytest.approx(plain, abs=2e-3)
            assert found[row, column] @ ray(column, row, INTRINSICS) < 0
        else:
            assert np.isnan(found[row, column]).all()


def test_the_normal_of_a_plane_is_exact_up_to_its_edge() -> None:
    depth = plane([0.3, -0.4, np.sqrt(0.75)], 2.0, height=10, width=13)
    depth[:, 7:] = 9.0
    found = camera_normals(depth, INTRINSICS)
    assert np.abs(found[:, :7] - [-0.3, 0.4, -np.sqrt(0.75)]).max() < 1e-4
    assert np.abs(found[:, 7:] - [0, 0, -1]).max() < 1e-4


def test_a_thing_one_pixel_wide_faces_the_camera() -> None:
    depth = np.full((9, 9), 8.0, dtype=np.float32)
    depth[:, 4] = 1.0
    assert np.abs(camera_normals(depth, INTRINSICS)[:, 4] - [0, 0, -1]).max() < 1e-6


def test_discs_of_neighbouring_pixels_meet_at_the_corner_between_them() -> None:
    narrow = np.array([[300.0, 0, 1.5], [0, 300.0, 1.5], [0, 0, 1]])
    normal, offset = np.array([0.6, 0.0, 0.8]), 40.0
    here, corner = (
        towards * offset / (normal @ towards)
        for towards in (ray(1, 1, narrow), ray(1.5, 1.5, narrow))
    )
    found = pixel_radii(np.float32(here[2]), np.float32(normal[2]), narrow)
    assert np.linalg.norm(corner - here) == pytest.approx(found, rel=0.01)


def test_radii_stop_growing_where_a_surface_is_seen_from_the_side() -> None:
    cosines = np.array([0.2, 0.1, 0.0], dtype=np.float32)
    found = pixel_radii(np.ones(3, np.float32), cosines, INTRINSICS)
    assert np.ptp(found) == 0

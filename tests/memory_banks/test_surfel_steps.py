"""The steps of a write and a read, each against its plain twin."""

import numpy as np
import pytest

from memory_banks.surfel_bank.columns import Table, surfel_form
from memory_banks.surfel_bank.drawing import Drawing
from memory_banks.surfel_bank.forget import least_missed, reported
from memory_banks.surfel_bank.merge import LEAST_RADIUS
from memory_banks.surfel_bank.sightings import NONE, add_view, forget_views, rank_of, worth
from memory_banks.surfel_bank.votes import Ballot, suppressed
from memory_banks.surfel_bank.voxels import VoxelIndex, blocks_of, cluster, voxels_of
from tests.memory_banks import plain_surfels as plain
from tests.memory_banks.surfel_scene import camera

SIZES = [0, 1, 63, 500]


def normals_of(rng: np.random.Generator, count: int) -> np.ndarray:
    normals = rng.normal(size=(count, 3))
    return (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)


def listed(views: np.ndarray) -> list[list[int]]:
    return [[view for view in row if view != NONE] for row in views.tolist()]


def test_points_share_a_number_where_they_share_a_voxel() -> None:
    points = np.random.default_rng(0).uniform(-3, 3, (400, 3)).astype(np.float32)
    voxels = voxels_of(points, voxel_m=0.5)
    cells = [tuple(cell) for cell in np.floor(points.astype(np.float64) / 0.5 + 0.381966)]
    assert len(set(cells)) == len(np.unique(voxels)) == len(set(zip(cells, voxels, strict=True)))
    assert blocks_of(voxels, bits=0).tolist() == [list(map(int, cell)) for cell in cells]


@pytest.mark.parametrize("count", SIZES)
def test_points_of_a_voxel_join_where_their_normals_agree(count: int) -> None:
    rng = np.random.default_rng(count)
    voxels, normals = rng.integers(0, 40, count), normals_of(rng, count)
    found = cluster(voxels, normals, least_cosine=0.6)
    assert sorted(set(found.tolist())) == list(range(len(set(found.tolist()))))
    groups = {tuple(np.flatnonzero(found == one).tolist()) for one in set(found.tolist())}
    assert groups == {tuple(one) for one in plain.groups(voxels, normals, least_cosine=0.6)}


@pytest.mark.parametrize("count", SIZES)
def test_a_point_finds_the_surfel_of_its_voxel_that_agrees_best(count: int) -> None:
    rng = np.random.default_rng(count)
    voxels, surfels = rng.integers(0, 30, count), normals_of(rng, count)
    asked, normals = rng.integers(0, 40, 200), normals_of(rng, 200)
    found = VoxelIndex(voxels).best(asked, normals, surfel_normals=surfels, least_cosine=0.3)
    for voxel, normal, row in zip(asked, normals, found.tolist(), strict=True):
        cosines = [(float(surfels[one] @ normal), -one) for one in np.flatnonzero(voxels == voxel)]
        best, first = max(cosines, default=(-1.0, 1))
        assert row == (-first if best >= 0.3 else -1)


def test_of_surfels_that_agree_alike_the_first_is_found() -> None:
    normals = np.tile(np.array([0, 0, 1], dtype=np.float32), (4, 1))
    index = VoxelIndex(np.array([7, 5, 5, 5]))
    found = index.best(np.array([5]), normals[:1], surfel_normals=normals, least_cosine=0.6)
    assert found.tolist() == [1]


def test_a_surfel_keeps_views_spread_over_time() -> None:
    rng = np.random.default_rng(2)
    ranks = np.array([rank_of(view + 1) for view in range(60)], dtype=np.int32)
    views = np.full((30, 5), NONE, dtype=np.int32)
    twin: list[list[int]] = [[] for _ in range(30)]
    for view in range(60):
        rows = np.flatnonzero((rng.random(30) < 0.7) | (np.arange(30) == 0))
        add_view(views, rows, view, ranks=ranks[: view + 1])
        for row in rows:
            twin[row] = plain.kept_views(twin[row], view, room=5)
    assert listed(views) == twin
    assert twin[0] == [15, 31, 47, 55, 59]


def test_views_that_go_are_taken_from_all_surfels() -> None:
    views = np.array([[0, 2, 3], [1, NONE, NONE], [2, 1, NONE]], dtype=np.int32)
    assert worth(views, count=4) == pytest.approx([1 / 3, 3 / 2, 5 / 6, 1 / 3])
    forget_views(views, np.array([True, False, True, True]))
    assert listed(views) == [[0, 1, 2], [], [1]]
    assert views[:, 0].tolist() == [0, NONE, 1]


def drawing_of(rng: np.random.Generator, *, surfels: int) -> Drawing:
    surfel = rng.integers(-1, surfels, (9, 11))
    known = surfel >= 0
    depth = np.where(known, rng.uniform(0.5, 6, surfel.shape), np.nan).astype(np.float32)
    cosine = np.where(known, rng.uniform(0.1, 1, surfel.shape), 0).astype(np.float32)
    rgb = np.zeros((9, 11, 3), dtype=np.uint8)
    return Drawing(camera(0, 0, heading_deg=0), rgb, depth, known, known, surfel, cosine)


@pytest.mark.parametrize("surfels", [1, 63, 500])
def test_every_pixel_votes_once_for_each_view_of_its_surfel(surfels: int) -> None:
    rng = np.random.default_rng(surfels)
    views = np.where(
        rng.random((surfels, 4)) < 0.6,
        rng.permuted(np.tile(np.arange(12, dtype=np.int32), (surfels, 1)), axis=1)[:, :4],
        NONE,
    )
    drawing = drawing_of(rng, surfels=surfels)
    ballot = Ballot([drawing], views, count=12)
    expected = plain.shares(
        drawing.known, drawing.depth_m, drawing.cosine, drawing.surfel, views, count=12
    )
    assert ballot.share == pytest.approx(expected)


def test_the_view_with_half_of_the_votes_keeps_them() -> None:
    """With shares of .5, .3 and .2 a count that sets instead of adding gives the first one slot."""
    surfel = np.repeat([0, 1, 2], [50, 30, 20]).reshape(10, 10)
    ones = np.ones((10, 10), dtype=np.float32)
    drawing = Drawing(
        camera(0, 0, heading_deg=0),
        np.zeros((10, 10, 3), np.uint8),
        ones,
        ones > 0,
        ones > 0,
        surfel,
        ones,
    )
    ballot = Ballot([drawing], np.array([[0], [1], [2]], dtype=np.int32), count=3)
    assert ballot.share == pytest.approx([0.5, 0.3, 0.2])
    assert list(ballot.coverage(3)) == [
        (0, pytest.approx(0.5)),
        (1, pytest.approx(0.3)),
        (2, pytest.approx(0.2)),
    ]


def test_coverage_looks_for_what_is_not_covered_yet() -> None:
    surfel = np.repeat([0, 1], [60, 40]).reshape(10, 10)
    ones = np.ones((10, 10), dtype=np.float32)
    known, rgb = ones > 0, np.zeros((10, 10, 3), np.uint8)
    drawing = Drawing(camera(0, 0, heading_deg=0), rgb, ones, known, known, surfel, ones)
    views = np.array([[0, 1], [2, NONE]], dtype=np.int32)
    chosen = list(Ballot([drawing], views, count=3).coverage(3))
    assert [view for view, _ in chosen] == [1, 2, 0]
    assert [gain for _, gain in chosen] == pytest.approx([0.6, 0.4, 0.6])


def test_coverage_goes_on_when_all_is_covered() -> None:
    drawing = drawing_of(np.random.default_rng(1), surfels=4)
    views = np.array([[0, 1, 2]] * 4, dtype=np.int32)
    chosen = list(Ballot([drawing], views, count=5).coverage(8))
    assert chosen == [(2, pytest.approx(1)), (1, pytest.approx(1)), (0, pytest.approx(1))]


@pytest.mark.parametrize("count", [1, 2, 5, 18])
def test_suppression_is_that_of_vmem(count: int) -> None:
    rng = np.random.default_rng(count)
    places = rng.normal(size=(count, 2))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    for k in (1, 3, 8, 30):
        assert suppressed(apart, k) == plain.apart_from_kept(apart, k)
        assert len(suppressed(apart, k)) == min(k, count)


def test_suppression_ends_for_views_from_one_place() -> None:
    assert suppressed(np.zeros((6, 6)), 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [1, 63, 500])
def test_what_is_covered_by_others_goes_first(count: int) -> None:
    rng = np.random.default_rng(count)
    table = Table(surfel_form(views=4), capacity=count)
    points = rng.uniform(0, 1, (count, 3)).astype(np.float32)
    rows = {
        "position": points,
        "normal": normals_of(rng, count),
        "radius": rng.uniform(0.05, 0.4, count).astype(np.float32),
        "colour": points,
        "weight": rng.integers(1, 5, count).astype(np.float32),
        "first_s": np.zeros(count),
        "last_s": rng.integers(0, 20, count).astype(np.float64),
        "voxel": voxels_of(points, voxel_m=0.1),
        "views": rng.integers(-1, 2, (count, 4)).astype(np.int32),
    }
    table.append(rows)
    axis = np.abs(rows["normal"]).argmax(axis=1)
    sign = rows["normal"][np.arange(count), axis] > 0
    blocks = blocks_of(rows["voxel"], bits=1)
    cells = [(*block, a, s) for block, a, s in zip(blocks.tolist(), axis, sign, strict=True)]
    seen = rows["weight"] * (1 + (rows["views"] >= 0).sum(axis=1))
    area = 4 * (LEAST_RADIUS * 0.1) ** 2
    value = plain.needed(rows["radius"], seen, rows["last_s"], cells, cell_area=area)
    gone = least_missed(table, count // 2, now_s=19.0, voxel_m=0.1).tolist()
    keys = [
        (rows["last_s"][row] == 19.0, round(value[row], 5), rows["last_s"][row]) for row in gone
    ]
    assert keys == sorted(keys)
    kept = set(range(count)) - set(gone)
    worst = min(((rows["last_s"][r] == 19.0, round(value[r], 5)) for r in kept), default=(True, 9))
    assert all(key[:2] <= worst for key in keys)


def test_evictions_are_reported_by_region() -> None:
    points = np.array([[0.1, 0.1, 0.1], [0.2, 0.1, 0.1], [-1.0, 0.1, 0.1]], dtype=np.float32)
    found = reported(voxels_of(points, voxel_m=0.1), "capacity", voxel_m=0.1)
    assert [gone.count for gone in found] == [1, 2]
    for gone, point in zip(found, points[[2, 0]], strict=True):
        assert (point - gone.low_m >= 0).all() and (point - gone.low_m < 1.6).all()
    assert reported(voxels_of(points[:0], voxel_m=0.1), "capacity", voxel_m=0.1) == []

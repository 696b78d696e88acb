"""Cells hold every row once, by its nearest centroid, whatever came with it."""

import numpy as np
import pytest

from memory_banks.vectors.cells import NEAR_TIE, Cells


def units(count: int, size: int, *, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def filled(vectors: np.ndarray, centroids: np.ndarray) -> Cells:
    cells = Cells(vectors.shape[1])
    cells.grow(len(vectors))
    cells.replace(centroids, len(vectors))
    cells.assign(np.arange(len(vectors)), vectors.astype(np.float32))
    return cells


def nearest_twin(vectors: np.ndarray, centroids: np.ndarray) -> list[int]:
    """Return the index of the largest dot product, one pair at a time in float64."""
    return [
        max(range(len(centroids)), key=lambda c: (float(v @ centroids[c].astype(float)), -c))
        for v in vectors.astype(float)
    ]


@pytest.mark.parametrize("count", [1, 63, 500])
@pytest.mark.parametrize("cells", [1, 2, 21])
def test_rows_come_in_the_order_of_their_centroids(count: int, cells: int) -> None:
    vectors, centroids = units(count, 12, seed=1), units(cells, 12, seed=2).astype(np.float32)
    made = filled(vectors, centroids)
    assert made.held == count
    of_row = np.array(nearest_twin(vectors, centroids))
    seen = np.random.default_rng(3).random(count) < 0.7
    for query in units(4, 12, seed=4).astype(np.float32):
        order = np.argsort(-(centroids.astype(float) @ query), kind="stable").tolist()
        for reach in (1.0, count / 5, count / 2):
            rings: list[list[int]] = [[], []]
            read = 0
            for cell in order:
                if read < reach:
                    rings[0].append(cell)
                elif read < 1.5 * reach or not rings[1]:
                    rings[1].append(cell)
                read += int((of_row == cell).sum())
            near, around, mean = made.around(query, reach=reach, further=reach / 2, seen=seen)
            assert mean == pytest.approx((centroids @ query).mean(), abs=1e-6)
            for found, ring in ((near, rings[0]), (around, rings[1])):
                assert found.tolist() == np.flatnonzero(np.isin(of_row, ring) & seen).tolist()


def test_the_cell_of_a_vector_does_not_depend_on_its_company() -> None:
    centroids = units(40, 16, seed=5).astype(np.float32)
    between = centroids[:20].astype(float) + centroids[20:]
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    vectors = np.repeat(between, 50, axis=0).astype(np.float16)
    scores = vectors.astype(float) @ centroids.T.astype(float)
    top = np.sort(scores, axis=1)[:, -2:]
    assert (top[:, 1] - top[:, 0] < 2e-3).any() and NEAR_TIE < 1e-4
    together = filled(vectors, centroids)
    alone = Cells(16)
    alone.replace(centroids, len(vectors))
    for row in np.random.default_rng(6).permutation(len(vectors)):
        alone.assign(np.array([row]), vectors[[row]].astype(np.float32))
    everything = np.ones(len(vectors), dtype=bool)
    for query in centroids:
        one = together.around(query, reach=30, further=5, seen=everything)
        other = alone.around(query, reach=30, further=5, seen=everything)
        assert one[0].tolist() == other[0].tolist() and one[1].tolist() == other[1].tolist()


def test_vectors_halfway_between_centroids_go_to_the_first() -> None:
    centroids = np.eye(3, dtype=np.float32)[[2, 0, 1]]
    halfway = np.array([[0.6, 0.6, 0.5], [0.5, 0.6, 0.6]], dtype=np.float16)
    cells = filled(halfway, centroids)
    everything = np.ones(2, dtype=bool)
    assert cells.around(centroids[1], reach=1, further=5, seen=everything)[0].tolist() == [0]
    assert cells.around(centroids[0], reach=1, further=5, seen=everything)[0].tolist() == [1]


def test_a_row_is_in_one_cell_however_often_it_changes() -> None:
    vectors, centroids = units(200, 8, seed=7), units(9, 8, seed=8).astype(np.float32)
    cells = filled(vectors, centroids)
    changed = np.arange(0, 200, 3)
    vectors[changed] = units(len(changed), 8, seed=9)
    cells.assign(changed, vectors[changed].astype(np.float32))
    for row in range(0, 200, 5):
        cells.wipe(row)
    cells.grow(10)
    assert cells.held == 160
    live = np.ones(210, dtype=bool)
    near, around, _ = cells.around(centroids[0], reach=160, further=5, seen=live)
    assert sorted([*near, *around]) == [row for row in range(200) if row % 5]
    of_row = np.array(nearest_twin(vectors, centroids))
    near, _, _ = cells.around(centroids[4], reach=1, further=5, seen=live)
    assert near.tolist() == [row for row in range(200) if row % 5 and of_row[row] == 4]


def test_training_is_the_same_again_and_finds_what_there_is() -> None:
    middles = units(16, 24, seed=10).astype(float)
    rng = np.random.default_rng(11)
    made = middles[rng.integers(0, 16, 256)] + 0.02 * rng.normal(size=(256, 24))
    vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)
    rows = np.arange(256)
    one, other = Cells(24), Cells(24)
    for cells in (one, other):
        assert cells.outgrown(1)
        cells.train(vectors, rows)
        assert not cells.outgrown(512) and cells.outgrown(513)
    assert one.centroids.tobytes() == other.centroids.tobytes()
    assert one.centroids.shape == (16, 24)
    assert np.linalg.norm(one.centroids, axis=1) == pytest.approx(1, abs=1e-5)
    closeness = vectors.astype(float) @ one.centroids.T.astype(float)
    elsewhere = vectors.astype(float) @ units(16, 24, seed=13).T.astype(float)
    assert closeness.max(axis=1).mean() > 0.85 > elsewhere.max(axis=1).mean() + 0.3
    assert one.nbytes > one.centroids.nbytes


def test_equal_centroids_are_one_cell() -> None:
    vectors = np.repeat(units(1, 4, seed=14), 100, axis=0)
    cells = Cells(4)
    cells.grow(100)
    cells.train(vectors, np.arange(100))
    assert not cells.outgrown(200)
    cells.assign(np.arange(100), vectors.astype(np.float32))
    everything = np.ones(100, dtype=bool)
    near, around, _ = cells.around(
        vectors[0].astype(np.float32), reach=1, further=5, seen=everything
    )
    assert len(near) == 100 and len(around) == 0

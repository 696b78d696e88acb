"""Entries: made of frames, merged by weight, priced in bytes."""

import cv2
import numpy as np
import pytest

from memory_banks.entries import Row, entry_bytes, join, mean_direction, row_of, thumbnail_of
from streammem.records import Frame


def row(entry_id: int, *, start_s: float, end_s: float, mean_s: float, count: int) -> Row:
    return Row(entry_id, "a", start_s, end_s, mean_s, count, entry_id, 100 * entry_id, usage=1.5)


def test_a_frame_becomes_an_entry_of_its_own_moment() -> None:
    frame = Frame("a", 7, 3.25, np.zeros((4, 4, 3), dtype=np.uint8))
    made = row_of(frame, entry_id=9, thumbnail_bytes=40)
    assert (made.start_s, made.end_s, made.mean_s, made.count) == (3.25, 3.25, 3.25, 1)
    assert (made.entry_id, made.thumbnail_id, made.tier, made.merged_from) == (9, 9, "sensory", ())


def test_merging_keeps_true_times_and_adds_counts_and_usage() -> None:
    merged = join(
        [
            row(1, start_s=0.0, end_s=4.0, mean_s=1.0, count=3),
            row(2, start_s=5.0, end_s=5.0, mean_s=5.0, count=1),
            row(3, start_s=6.0, end_s=9.0, mean_s=8.0, count=2),
        ],
        new_id=8,
    )
    assert (merged.start_s, merged.end_s, merged.mean_s, merged.count) == (0.0, 9.0, 4.0, 6)
    assert (merged.usage, merged.merged_from, merged.entry_id) == (4.5, (1, 2, 3), 8)


@pytest.mark.parametrize(("counts", "shown"), [((3, 1), 1), ((1, 3), 2), ((2, 2), 1)])
def test_the_thumbnail_is_of_the_side_with_most_frames(counts: tuple[int, int], shown: int) -> None:
    left, right = (
        row(number, start_s=number, end_s=number, mean_s=number, count=count)
        for number, count in zip((1, 2), counts, strict=True)
    )
    merged = join([left, right], new_id=3)
    assert (merged.thumbnail_id, merged.thumbnail_bytes) == (shown, 100 * shown)


def test_the_mean_vector_is_weighted_by_count_and_of_unit_length() -> None:
    east, north = np.array([1, 0], dtype=np.float16), np.array([0, 1], dtype=np.float16)
    mean = mean_direction([east, north], weights=[3, 1])
    assert mean == pytest.approx(np.array([3.0, 1.0]) / np.sqrt(10.0), abs=1e-6)


def test_opposite_vectors_of_one_weight_keep_the_earlier() -> None:
    east = np.array([1, 0], dtype=np.float16)
    assert mean_direction([east, -east], weights=[2, 2]).tolist() == [1.0, 0.0]


def test_bytes_count_features_twice_and_the_thumbnail_once() -> None:
    empty = entry_bytes(numbers=0, thumbnail_bytes=0)
    assert entry_bytes(numbers=10, thumbnail_bytes=7) - empty == 2 * 10 * 2 + 7


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((90, 160), (45, 80)), ((160, 90), (80, 45)), ((30, 20), (30, 20)), ((1, 400), (1, 80))],
)
def test_thumbnails_keep_the_ratio_and_are_never_enlarged(
    shape: tuple[int, int], shown: tuple[int, int]
) -> None:
    rgb = np.full((*shape, 3), (200, 40, 10), dtype=np.uint8)
    jpeg = thumbnail_of(rgb, longest_px=80)
    decoded = cv2.cvtColor(
        cv2.imdecode(np.frombuffer(jpeg, dtype=np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
    )
    assert decoded.shape[:2] == shown
    assert np.abs(decoded.astype(int) - (200, 40, 10)).max() < 8

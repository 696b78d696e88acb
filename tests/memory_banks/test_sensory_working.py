"""The two recent tiers: rings that give back what is no longer recent."""

import numpy as np

from memory_banks.entries import Row
from memory_banks.sensory import Sensory, whole_bytes
from memory_banks.working import Working
from streammem.records import Features, Frame


def row(number: int) -> Row:
    return Row(number, "a", float(number), float(number), float(number), 1, number, 10)


def whole(number: int, *, side: int = 10) -> tuple[Frame, Features]:
    one = np.ones(1, dtype=np.float32)
    return Frame("a", number, float(number), np.zeros((side, side, 3), np.uint8)), Features(
        one, one
    )


def test_the_ring_gives_back_the_oldest() -> None:
    ring = Sensory(frames=2, picture_bytes=10_000)
    assert [ring.add(row(i), whole=whole(i)) for i in (1, 2)] == [[], []]
    assert [one.entry_id for one in ring.add(row(3), whole=whole(3))] == [1]
    assert [one.entry_id for one in ring] == [2, 3]
    assert [frame.index for frame, _ in ring.whole()] == [2, 3]


def test_pictures_beyond_their_share_go_oldest_first_and_entries_stay() -> None:
    size = whole_bytes(*whole(1))
    ring = Sensory(frames=4, picture_bytes=2 * size)
    for i in range(1, 5):
        ring.add(row(i), whole=whole(i))
        assert ring.held_bytes <= 2 * size
    assert len(ring) == 4
    assert [frame.index for frame, _ in ring.whole()] == [3, 4]
    ring.add(row(5), whole=whole(5, side=500))
    assert (ring.whole(), ring.held_bytes, len(ring)) == ([], 0, 4)


def test_a_ring_of_no_frames_keeps_nothing() -> None:
    ring = Sensory(frames=0, picture_bytes=10_000)
    assert [one.entry_id for one in ring.add(row(1), whole=whole(1))] == [1]
    assert (len(ring), ring.held_bytes) == (0, 0)


def test_a_removed_entry_takes_its_picture_along() -> None:
    ring = Sensory(frames=3, picture_bytes=10_000)
    for i in (1, 2, 3):
        ring.add(row(i), whole=whole(i))
    ring.remove(2)
    assert [one.entry_id for one in ring] == [1, 3]
    assert [frame.index for frame, _ in ring.whole()] == [1, 3]
    assert ring.held_bytes == 2 * whole_bytes(*whole(1))


def test_working_memory_is_first_in_first_out() -> None:
    working = Working(frames=2)
    gone = [one.entry_id for i in range(1, 6) for one in working.add(row(i))]
    assert gone == [1, 2, 3]
    working.remove(4)
    assert [one.entry_id for one in working] == [5]
    assert working.pop_oldest().entry_id == 5
